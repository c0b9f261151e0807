# SPDX-License-Identifier: MIT
#
# Nix for one user, root, without its daemon: `docker run -it nix`.
{ config, pkgs, ... }:
{
  image = {
    name = "nix";
    interactive = true;
    entryPoint = [ "${pkgs.bashInteractive}/bin/bash" ];
    env = {
      HOME = "/root";
      NIX_SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
      USER = "root";
    };
    run = ''
      echo "https://channels.nixos.org/nixos-unstable nixpkgs" >root/.nix-channels
    '';
  };

  nix.enable = true;
  # Building in a namespace of its own is refused in a plain container.
  nix.settings.sandbox = false;
  environment.systemPackages = [
    config.nix.package
    pkgs.cacert
    pkgs.gitMinimal
  ];
  # For one user there is no daemon.
  s6.ignoreUnits = [
    "nix-daemon.service"
    "nix-daemon.socket"
    "nix-gc.service"
    "nix-optimise.service"
    "nix-gc.timer"
    "nix-optimise.timer"
  ];
}
