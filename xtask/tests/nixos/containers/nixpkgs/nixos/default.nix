# SPDX-License-Identifier: MIT
{ configuration }:
import ./lib/eval-config.nix {
  lib = import (builtins.getEnv "NIXPKGS_LIB");
  modules = [ configuration ];
}
