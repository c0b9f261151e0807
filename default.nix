# SPDX-License-Identifier: MIT
#
# For people without flakes. `nix-build -A example-image && docker load < result`, or the parts by
# name; `imports = [ "${plainboot}/nix/modules" ]` is all that a configuration needs.
{
  pkgs ? import <nixpkgs> { },
}:
let
  s6Images = import ./nix/s6-images { inherit pkgs; };
  lib = import ./nix/lib { inherit (pkgs.lib) warn; } // s6Images.lib;

  example = import (pkgs.path + "/nixos") {
    inherit (pkgs.stdenv.hostPlatform) system;
    configuration.imports = [
      ./nix/modules
      ./nix/example.nix
    ];
  };
in
rec {
  inherit lib;
  # `-A dockerImages.nix`; `-A tests.dockerImages.nginx`
  inherit (s6Images) dockerImages tests;

  overlays = {
    default = import ./overlays;
    replace = import ./overlays/replace.nix;
    s6-images = import ./nix/s6-images/overlay.nix;
  };

  nixosModules = {
    default = ./nix/modules;
    containers = ./nix/containers;
  };

  plainboot = pkgs.callPackage ./nix/package.nix { };
  systemd-plainboot = lib.patchSystemd pkgs.systemd;
  config-at-start = import ./nix/config-at-start { inherit pkgs; };
  plainboot-container = pkgs.callPackage ./nix/containers/package.nix { };
  example-image = example.config.system.build.dockerImage;

  checks = import ./vm-tests {
    inherit pkgs plainboot;
    image = example-image;
    s6Images = s6Images.dockerImages;
    configAtStart = config-at-start;
  };
}
