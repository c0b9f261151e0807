# SPDX-License-Identifier: MIT
#
# Opt-in: ./default.nix, and `systemd` itself is the patched one. Everything that links to libsystemd
# or libudev is rebuilt, and `systemdMinimal` and `systemdLibs`, which derive from `systemd`, are
# patched too.
final: prev:
let
  ours = import ./default.nix final prev;
in
ours // { systemd = ours.systemd-plainboot; }
