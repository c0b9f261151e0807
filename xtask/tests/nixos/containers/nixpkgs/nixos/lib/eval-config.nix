# SPDX-License-Identifier: MIT
#
# As nixpkgs' own, over the stand-ins for a NixOS.
{
  lib,
  system ? null,
  specialArgs ? { },
  prefix ? [ ],
  modules,
}:
assert system == null;
lib.evalModules {
  inherit prefix;
  specialArgs = {
    older = false;
  }
  // specialArgs;
  modules = [
    ../../../../stand-ins.nix
    (
      { config, ... }:
      {
        _module.args.pkgs = import ../../../../pkgs.nix {
          inherit lib;
          system = config.nixpkgs.hostPlatform;
          version = "260.1";
        };
      }
    )
  ]
  ++ modules;
}
