# SPDX-License-Identifier: MIT
#
# For the overlays of a nixpkgs: `lib.makeImage`, `dockerImages` and `tests`.
final: prev:
let
  images = import ./default.nix { pkgs = final; };
in
{
  lib = prev.lib // images.lib;
  inherit (images) dockerImages;
  tests = (prev.tests or { }) // {
    inherit (images.tests) dockerImages;
  };
}
