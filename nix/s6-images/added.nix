# SPDX-License-Identifier: MIT
#
# What a configuration adds to the empty one.
{ lib }:
let
  inherit (lib)
    any
    attrValues
    elem
    filter
    filterAttrs
    hasPrefix
    ;

  # Files of /etc that follow from services, or that the engine mounts, or that ./users.nix makes.
  elsewhere = [
    "dbus-1"
    "fstab"
    "group"
    "hostname"
    "hosts"
    "passwd"
    "resolv.conf"
    "shadow"
    "sudoers"
    "systemd"
    "tmpfiles.d"
    "udev"
  ];
  isElsewhere = target: any (name: target == name || hasPrefix "${name}/" target) elsewhere;
in
{
  # Files of /etc, enabled, that the empty one has not or has otherwise.
  etc =
    bare: config:
    filter (
      file:
      file.enable
      && !isElsewhere file.target
      && !(any (
        other: other.target == file.target && other.enable && toString other.source == toString file.source
      ) (attrValues bare.environment.etc))
    ) (attrValues config.environment.etc);

  packages =
    bare: config:
    let
      known = map toString bare.environment.systemPackages;
    in
    filter (package: !elem (toString package) known) config.environment.systemPackages;

  # Units of a type, such as "services": name -> unit.
  units =
    type: bare: config:
    filterAttrs (name: unit: unit.enable && !(bare.systemd.${type} ? ${name})) config.systemd.${type};
}
