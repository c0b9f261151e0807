# SPDX-License-Identifier: MIT
#
# Images as modules, with s6 as init where a service is defined: `lib.makeImage`, images that are made
# with it, and a test of each in a NixOS machine. See ../../docs/from-nix-container-images.md.
{ pkgs }:
let
  makeImage = import ./make-image.nix { inherit pkgs; };

  modules = {
    example = ./images/example.nix;
    example-systemd = ./images/example-systemd.nix;
    hello = ./images/hello.nix;
    nginx = ./images/nginx.nix;
    nix = ./images/nix.nix;
  };
  dockerImages = builtins.mapAttrs (_: makeImage) modules;
in
{
  lib = {
    inherit makeImage;
    # An image -> its name and tag, as `docker run` takes it.
    imageRef = image: "${image.imageName}:${image.imageTag}";
  };

  inherit dockerImages;

  # `-A tests.dockerImages.nginx`, and of each `.image`, `.image.config` and `.image.init`.
  tests.dockerImages = builtins.mapAttrs (
    name: image:
    pkgs.testers.runNixOSTest {
      imports = [ ../../vm-tests/s6.nix ];
      _module.args = {
        name = "s6-${name}";
        images.${name} = image;
      };
    }
    // {
      inherit image;
    }
  ) dockerImages;
}
