# SPDX-License-Identifier: MIT
#
# The `config` of an OCI image, from the container profile and what a system adds to it.
{ profile }:
{
  # The version of systemd, and the ids of its patches.
  systemd,
  patches,
  # Folders with programs, in the order of PATH.
  path,
  # { NAME = "value"; }
  environment ? { },
  # Ports, as numbers.
  tcpPorts ? [ ],
  udpPorts ? [ ],
  # Absolute paths.
  volumes ? [ ],
}:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    listToAttrs
    map
    ;
  set =
    names:
    listToAttrs (
      map (name: {
        inherit name;
        value = { };
      }) names
    );
  # What the system adds wins over the profile.
  all = {
    PATH = concatStringsSep ":" path;
  }
  // profile.environment
  // environment;
in
{
  Cmd = profile.command;
  StopSignal = profile.stopSignal;
  Env = map (name: "${name}=${all.${name}}") (attrNames all);
  ExposedPorts = set (
    map (port: "${toString port}/tcp") tcpPorts ++ map (port: "${toString port}/udp") udpPorts
  );
  Volumes = set volumes;
  Labels = profile.labels { inherit systemd patches; };
}
