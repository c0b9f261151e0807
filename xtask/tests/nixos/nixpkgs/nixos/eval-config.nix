# SPDX-License-Identifier: MIT
{
  lib,
  pkgsFor,
  modules,
}:
lib.evalModules {
  specialArgs.older = false;
  modules = [
    ../../stand-ins.nix
    ({ config, ... }: { _module.args.pkgs = pkgsFor config.nixpkgs.hostPlatform; })
  ]
  ++ modules;
}
