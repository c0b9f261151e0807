# SPDX-License-Identifier: MIT
#
# The NixOS of an image that carries Nix and builds its system when it starts: what the image has before
# that, and /sbin/init.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  fill =
    file: blanks:
    builtins.replaceStrings (map (name: "@${name}@") (builtins.attrNames blanks)) (map toString (
      builtins.attrValues blanks
    )) (builtins.readFile file);
  path = lib.makeBinPath [
    config.nix.package
    pkgs.coreutils
    pkgs.findutils
    pkgs.gitMinimal
    pkgs.gnutar
    pkgs.gzip
    pkgs.util-linux
    pkgs.xz
  ];
  shell = "${pkgs.bash}/bin/bash";
  # The folder that system.nix and the modules are read from.
  source = builtins.path {
    name = "plainboot";
    path = ../..;
    filter =
      path: _:
      lib.any
        (
          part:
          let
            top = toString (../.. + "/${part}");
          in
          path == top || lib.hasPrefix "${top}/" path
        )
        [
          "nix"
          "overlays"
          "patches"
        ];
  };
  nixpkgs = builtins.path {
    name = "nixpkgs";
    path = pkgs.path;
  };
  healthy = pkgs.writeTextFile {
    name = "plainboot-healthy";
    executable = true;
    destination = "/usr/lib/plainboot/healthy";
    text = fill ./healthy.sh { inherit shell path; };
  };
in
{
  networking.hostName = lib.mkDefault "nixos";
  system.stateVersion = lib.mkDefault lib.trivial.release;

  virtualisation.dockerImage = {
    name = lib.mkDefault "plainboot-config-at-start";
    includeNixDB = true;
    # What the image of the engine is: its own system is there, so that what a configuration adds is all
    # that the first start has to get, and systemd among it never.
    init =
      init:
      pkgs.writeTextFile {
        name = "plainboot-start";
        executable = true;
        text = fill ./start.sh {
          inherit
            shell
            path
            nixpkgs
            init
            ;
          system = "${source}/nix/config-at-start/system.nix";
          certificates = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
          base = "${config.virtualisation.dockerVariant.system.build.toplevel}";
        };
      };
    extraContents = [ healthy ];
    healthcheck = [
      "CMD"
      "/usr/lib/plainboot/healthy"
    ];
  };
}
