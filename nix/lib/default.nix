# SPDX-License-Identifier: MIT
#
# plainboot's pure functions. They need nothing of nixpkgs but its `lib.warn`, and not even that.
{
  # message -> value -> value: says the message and returns the value.
  warn ? message: builtins.trace "warning: ${message}",
}:
rec {
  # The versions that were verified, with their patches; generated from patches/series.toml.
  segments = import ../../overlays/systemd-patches.nix;

  selectPatches = import ./select-patches.nix { inherit warn; };

  # The patch files for a systemd version such as "257.10", in the order in which they apply.
  patchesFor = selectPatches segments;
}
