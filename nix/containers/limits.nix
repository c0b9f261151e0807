# SPDX-License-Identifier: MIT
#
# Limits in systemd's words, for a whole container -> options of an engine.
{ lib }:
let
  inherit (lib)
    elemAt
    fixedWidthNumber
    mod
    optional
    toInt
    ;

  # "1.5G" and percentages are for systemd alone.
  memory =
    text:
    let
      found = builtins.match "([0-9]+)([KMGT]?)" text;
      number = elemAt found 0;
      unit = elemAt found 1;
    in
    if found == null then
      null
    else if unit == "T" then
      "${toString (toInt number * 1024)}g"
    else if unit == "" then
      "${number}b"
    else
      "${number}${lib.toLower unit}";

  # "150%" -> "1.50"
  processors =
    text:
    let
      found = builtins.match "([0-9]+)%" text;
      percent = toInt (builtins.head found);
    in
    if found == null || percent == 0 then
      null
    else
      "${toString (percent / 100)}.${fixedWidthNumber 2 (mod percent 100)}";
in
{
  options =
    limits:
    optional (
      limits.MemoryMax != null && limits.MemoryMax != "infinity"
    ) "--memory=${memory limits.MemoryMax}"
    ++ optional (limits.CPUQuota != null) "--cpus=${processors limits.CPUQuota}"
    ++ optional (limits.TasksMax != null) "--pids-limit=${toString limits.TasksMax}"
    ++
      optional (limits.AllowedCPUs != null)
        "--cpuset-cpus=${builtins.replaceStrings [ " " ] [ "," ] limits.AllowedCPUs}";

  # where -> limits -> texts
  errors =
    where: limits:
    optional
      (limits.MemoryMax != null && limits.MemoryMax != "infinity" && memory limits.MemoryMax == null)
      "${where}.MemoryMax: \"${limits.MemoryMax}\" is no amount that an engine takes, such as 512M or 2G"
    ++ optional (
      limits.CPUQuota != null && processors limits.CPUQuota == null
    ) "${where}.CPUQuota: \"${limits.CPUQuota}\" is no share of processors, such as 50% or 150%";
}
