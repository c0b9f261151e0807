# SPDX-License-Identifier: MIT
{ system, configuration }:
let
  lib = import (builtins.getEnv "NIXPKGS_LIB");
in
import ./eval-config.nix {
  inherit lib;
  pkgsFor =
    system:
    import ../../pkgs.nix {
      inherit lib system;
      version = "260.1";
    };
  modules = [
    configuration
    { nixpkgs.hostPlatform = system; }
  ];
}
