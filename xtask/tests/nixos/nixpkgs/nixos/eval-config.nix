# SPDX-License-Identifier: MIT
{
  lib,
  pkgsFor,
  modules,
}:
lib.evalModules {
  modules = [
    ../../stand-ins.nix
    ({ config, ... }: { _module.args.pkgs = pkgsFor config.nixpkgs.hostPlatform; })
  ]
  ++ modules;
}
