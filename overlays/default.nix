# SPDX-License-Identifier: MIT
#
# Adds `systemd-plainboot`: the systemd of the nixpkgs at hand with the patches for its version on
# top of nixpkgs' own. `systemd` itself stays as it is, so nothing else is rebuilt; use the package
# through `systemd.package = pkgs.systemd-plainboot;`.
#
# To replace `systemd` everywhere, which rebuilds all that links to it, apply ./replace.nix instead.
_final: prev: {
  systemd-plainboot = (import ../nix/lib { inherit (prev.lib) warn; }).patchSystemd prev.systemd;
}
