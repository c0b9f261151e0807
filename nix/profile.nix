# SPDX-License-Identifier: MIT
#
# What makes a system into a container image: ./profile.json, which the image builder of
# `cargo xtask test-image` reads too, so that both make the same image. JSON has no comments, so
# each entry carries its `why`.
let
  inherit (builtins)
    fromJSON
    mapAttrs
    readFile
    replaceStrings
    ;
  profile = fromJSON (readFile ./profile.json);
  values = mapAttrs (_: entry: entry.value);
in
{
  inherit (profile) schema;
  command = profile.command.value;
  stopSignal = profile.stopSignal.value;
  environment = values profile.environment;
  machineId = profile.machineId.value;
  defaultTarget = profile.defaultTarget.value;
  maskedUnits = map (entry: entry.value) profile.maskedUnits;
  manager = values profile.manager;
  journald = values profile.journald;
  logind = values profile.logind;
  tmpfiles = map (entry: entry.value) profile.tmpfiles;
  # [ { unit = "a.service"; section = "Service"; key = "Nice"; value = "5"; } ]
  unitSettings = map (entry: entry.value) profile.unitSettings;

  # { systemd = "257.10"; patches = [ "0001-mount-setup" ]; } -> the labels of the image
  labels =
    { systemd, patches }:
    let
      ids = builtins.concatStringsSep "," patches;
      fill = replaceStrings [ "@systemd@" "@patches@" ] [ systemd ids ];
    in
    mapAttrs (_: entry: fill entry.value) profile.labels;
}
