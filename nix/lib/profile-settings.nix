# SPDX-License-Identifier: MIT
#
# The container profile in the words of NixOS options: the same drop-in files, under the same names,
# that the image builder of `cargo xtask` writes, so they hold in every nixpkgs, whatever it calls the
# options of the day.
{ profile }:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elem
    filter
    foldl'
    listToAttrs
    match
    ;

  # 90: after the drop-ins of the configuration, which the profile must win over.
  dropIn =
    {
      file,
      section,
      settings,
    }:
    {
      name = "systemd/${file}.d/90-plainboot.conf";
      value.text =
        "[${section}]\n"
        + concatStringsSep "" (map (key: "${key}=${settings.${key}}\n") (attrNames settings));
    };

  dropIns = filter ({ settings, ... }: settings != { }) [
    {
      file = "system.conf";
      section = "Manager";
      settings = profile.manager;
    }
    {
      file = "journald.conf";
      section = "Journal";
      settings = profile.journald;
    }
    {
      file = "logind.conf";
      section = "Login";
      settings = profile.logind;
    }
  ];

  kinds = {
    service = "services";
    socket = "sockets";
    target = "targets";
    timer = "timers";
    path = "paths";
    slice = "slices";
  };

  # "service", which stands for all of that type, and not "a.service".
  isType = unit: match "[a-z]+" unit != null;

  # { unit = "a.service"; section = "Service"; key = "Nice"; value = "5"; }
  # -> { services.a.serviceConfig.Nice = [ "5" ]; }
  unitSetting =
    {
      unit,
      section,
      key,
      value,
    }:
    let
      parts = match "(.*)\\.([a-z]+)" unit;
      stem = builtins.elemAt parts 0;
      kind = builtins.elemAt parts 1;
      config = if section == "Unit" then "unitConfig" else "${kind}Config";
      sections = [
        "Unit"
        "Service"
        "Socket"
        "Timer"
        "Path"
        "Slice"
      ];
    in
    if kinds ? ${kind} && elem section sections then
      { ${kinds.${kind}}.${stem}.${config}.${key} = [ value ]; }
    else
      throw "plainboot: nix/profile.json sets ${key} in [${section}] of ${unit}, for which NixOS has no option";
in
{
  etc = listToAttrs (map dropIn dropIns);

  # Modules, one for each setting of one unit: the module system merges them.
  unitSettings = map (setting: { systemd = unitSetting setting; }) (
    filter ({ unit, ... }: !isType unit) profile.unitSettings
  );

  # Settings of all units of a type, for which NixOS has no options: path -> text of a drop-in below
  # lib/systemd/system of a package for systemd.packages.
  typeSettings = foldl' (
    all:
    {
      unit,
      section,
      key,
      value,
    }:
    let
      path = "${unit}.d/90-plainboot.conf";
    in
    all // { ${path} = (all.${path} or "") + "[${section}]\n${key}=${value}\n"; }
  ) { } (filter ({ unit, ... }: isType unit) profile.unitSettings);

  masks = foldl' (all: unit: all // { ${unit} = { }; }) { } profile.maskedUnits;
}
