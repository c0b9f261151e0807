# SPDX-License-Identifier: MIT
#
# What units ask for and a plain container refuses: ../refused.json, applied to a configuration.
#
# Each rule there names an option, the sections that it is in, what becomes of it, why, and the
# remedy. `fails`: the unit does not start, and without the option it would be another unit, so it is
# an error. `dropped`: the unit would not start; without the option it does what it should. `ignored`:
# it starts, and the option has no effect.
let
  inherit (builtins)
    any
    attrNames
    concatMap
    concatStringsSep
    elem
    filter
    fromJSON
    isBool
    isList
    readFile
    removeAttrs
    ;

  inherit (fromJSON (readFile ../refused.json)) rules;

  # False in one of the spellings that systemd takes, or nothing at all.
  isOff =
    value:
    elem value [
      null
      false
      0
      ""
      "0"
      "no"
      "n"
      "false"
      "f"
      "off"
      [ ]
    ];

  listed = value: if isList value then value else [ value ];

  # Of the values of an option, those that the rule is about.
  applies =
    rule: value:
    !(isOff value)
    && !(elem value (rule.except or [ ]))
    && (!(rule ? only) || any (one: elem one rule.only) (listed value));

  shown =
    value:
    if isBool value then
      (if value then "true" else "false")
    else
      concatStringsSep " " (map toString (listed value));

  # { Service = { DynamicUser = true; }; } -> what of it a rule is about.
  findIn =
    unit: sections:
    concatMap (
      rule:
      concatMap (
        section:
        if applies rule (sections.${section}.${rule.option} or null) then
          [
            {
              inherit unit section;
              inherit (rule)
                option
                effect
                why
                remedy
                ;
              value = shown sections.${section}.${rule.option};
            }
          ]
        else
          [ ]
      ) rule.sections
    ) rules;

  of = effect: filter (one: one.effect == effect);
in
rec {
  inherit rules of;

  # { "a.service" = { Service = { DynamicUser = true; }; }; } -> what the rules are about.
  find = units: concatMap (unit: findIn unit units.${unit}) (attrNames units);

  # A service -> the same without what is to be dropped. Keys that begin with X- are no business of
  # systemd's; this one tells readers of the unit, and `droppedFrom`.
  drop =
    name: service:
    let
      gone = of "dropped" (findIn name { Service = service.serviceConfig; });
    in
    if gone == [ ] then
      service
    else
      service
      // {
        serviceConfig = removeAttrs service.serviceConfig (map (one: one.option) gone);
        unitConfig = service.unitConfig // {
          X-Plainboot-Dropped = map (one: "${one.option}=${one.value}") gone;
        };
      };

  # A service -> [ "PrivateUsers=true" ]
  droppedFrom = service: service.unitConfig.X-Plainboot-Dropped or [ ];

  # [ "/etc/nixos/web.nix" ] -> " (in /etc/nixos/web.nix)"
  places = files: if files == [ ] then "" else " (in ${concatStringsSep ", " files})";

  # The files that define it -> a finding -> what to tell whoever wrote the configuration.
  message =
    files: one:
    "plainboot: ${one.unit} sets ${one.option}=${one.value}${places files}, which a plain container refuses: ${one.why}. ${one.remedy}";
}
