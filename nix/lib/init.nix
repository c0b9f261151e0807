# SPDX-License-Identifier: MIT
#
# The text of /sbin/init; see ../init.sh.
{
  # A shell, and folders with mountpoint(1) and find(1).
  shell,
  path,
  # The NixOS system, with its `init`.
  toplevel,
}:
builtins.replaceStrings
  [
    "@shell@"
    "@path@"
    "@toplevel@"
  ]
  [
    "${shell}"
    (builtins.concatStringsSep ":" path)
    "${toplevel}"
  ]
  (builtins.readFile ../init.sh)
