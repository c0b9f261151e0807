# SPDX-License-Identifier: MIT
#
# patchesFor -> systemd -> the same systemd with the patches for its version after its own ones.
#
# `passthru.plainboot` says which they are, and that they are there: a patched one is returned as it is.
{ patchesFor }:
systemd:
if systemd ? plainboot then
  systemd
else
  systemd.overrideAttrs (
    old:
    let
      patches = patchesFor old.version;
    in
    {
      patches = (old.patches or [ ]) ++ patches;
      passthru = (old.passthru or { }) // {
        plainboot = {
          inherit patches;
        };
      };
    }
  )
