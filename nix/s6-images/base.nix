# SPDX-License-Identifier: MIT
#
# The empty NixOS that an image is compared with, and starts from.
{ lib, ... }:
{
  boot.isContainer = true;
  # One gets in by `docker exec`, so nobody needs a password.
  users.allowNoPasswordLogin = lib.mkDefault true;
  # Nix is in an image if it is asked for.
  nix.enable = lib.mkDefault false;
  # Of a machine; nothing here reads it.
  system.stateVersion = lib.mkDefault lib.trivial.release;
}
