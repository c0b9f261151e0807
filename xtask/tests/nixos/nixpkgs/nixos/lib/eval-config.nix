# SPDX-License-Identifier: MIT
#
# As nixpkgs' own, over the stand-ins for makeImage.
{
  lib,
  system ? null,
  modules,
}:
assert system == null;
lib.evalModules { modules = [ ../../../s6/nixos.nix ] ++ modules; }
