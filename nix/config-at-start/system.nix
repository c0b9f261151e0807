# SPDX-License-Identifier: MIT
#
# The system that the image builds when it starts; see start.sh.
{
  # The path of a mounted configuration.nix.
  configuration ? null,
  # The path of a file { flakeUrl = "…"; nixosConfiguration = "…"; }.
  options ? null,
  # The nixpkgs of the image.
  nixpkgs,
}:
let
  wanted = import options;
  known = (builtins.getFlake wanted.flakeUrl).nixosConfigurations or { };
  named =
    known.${wanted.nixosConfiguration}
      or (throw "${wanted.flakeUrl} has no nixosConfigurations.${wanted.nixosConfiguration}; there are: ${toString (builtins.attrNames known)}");

  ours =
    { lib, pkgs, ... }:
    {
      # That of the image's nixpkgs, whatever nixpkgs the flake has: with the patches it is in the
      # image, and the first start compiles none.
      virtualisation.dockerImage.systemd =
        lib.mkForce
          (import nixpkgs { inherit (pkgs.stdenv.hostPlatform) system; }).systemd;
    };

  evaluated =
    if options == null then
      import "${nixpkgs}/nixos" {
        configuration.imports = [
          ../modules
          ours
          configuration
        ];
      }
    else
      named.extendModules {
        # A flake that has the module already has its own.
        modules = (if named.options ? virtualisation.dockerImage then [ ] else [ ../modules ]) ++ [ ours ];
      };
in
{
  inherit (evaluated) config;
  system = evaluated.config.virtualisation.dockerVariant.system.build.toplevel;
}
