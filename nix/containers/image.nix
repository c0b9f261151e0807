# SPDX-License-Identifier: MIT
#
# The image of a container that `plainboot-container` makes of a configuration or of a flake.
{
  name,
  # A module.
  configuration ? null,
  # The path of one, as a string: in an argument of a command, a path cannot have spaces.
  file ? null,
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
      # Not in a string: Nix would copy all of it to its store.
      import (nixpkgs + "/nixos") {
        configuration.imports = [
          ../modules
          (if file == null then configuration else /. + file)
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
