# SPDX-License-Identifier: MIT
#
# The image of a container that `plainboot-container` makes of a configuration or of a flake.
{
  name,
  # A module, or the path of one.
  configuration ? null,
  # FLAKE#CONFIGURATION
  flake ? null,
  nixpkgs ? <nixpkgs>,
}:
let
  ours =
    { lib, ... }:
    {
      networking.hostName = lib.mkDefault name;
      virtualisation.dockerImage.name = lib.mkForce "plainboot-container-${lib.toLower name}";
    };

  parts = builtins.match "([^#]+)#?(.*)" flake;
  wanted =
    let
      given = builtins.elemAt parts 1;
    in
    if given == "" then "default" else given;
  known = (builtins.getFlake (builtins.head parts)).nixosConfigurations or { };
  named =
    known.${wanted}
      or (throw "${builtins.head parts} has no nixosConfigurations.${wanted}; there are: ${toString (builtins.attrNames known)}");

  evaluated =
    if flake == null then
      import "${nixpkgs}/nixos" {
        configuration.imports = [
          ../modules
          configuration
          ours
        ];
      }
    else
      named.extendModules {
        # A flake that has the module already has its own.
        modules = (if named.options ? virtualisation.dockerImage then [ ] else [ ../modules ]) ++ [ ours ];
      };
in
evaluated.config.system.build.dockerImage
