# SPDX-License-Identifier: MIT
#
# The nixpkgs of an image: its systemd is another one than that of the configurations.
{ system }:
import ../../pkgs.nix {
  lib = import (builtins.getEnv "NIXPKGS_LIB");
  inherit system;
  version = "259.8";
}
