# SPDX-License-Identifier: MIT
#
# Adds `systemd-plainboot`: the systemd of the nixpkgs at hand with the patches for its version on
# top of nixpkgs' own. `systemd` itself stays as it is, so nothing else is rebuilt; use the package
# through `systemd.package = pkgs.systemd-plainboot;`.
#
# To replace `systemd` everywhere, which rebuilds all that links to it, apply ./replace.nix instead.
_final: prev:
let
  inherit (import ../nix/lib { inherit (prev.lib) warn; }) patchesFor;
in
{
  systemd-plainboot =
    # Already patched, if ./replace.nix was applied before this overlay: never patch twice.
    if prev.systemd ? plainboot then
      prev.systemd
    else
      prev.systemd.overrideAttrs (
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
      );
}
