# SPDX-License-Identifier: MIT
#
# For people without flakes: `nix-build -A systemd-plainboot`, or the overlays by name.
{
  pkgs ? import <nixpkgs> { },
}:
{
  overlays = {
    default = import ./overlays;
    replace = import ./overlays/replace.nix;
  };
  lib = import ./nix/lib { inherit (pkgs.lib) warn; };
  inherit (pkgs.extend (import ./overlays)) systemd-plainboot;
}
