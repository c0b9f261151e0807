# SPDX-License-Identifier: MIT
#
# `systemd.services` that a configuration adds, as services of s6. A part of what systemd does: who needs
# more takes the image with systemd, which the errors here say.
{
  bare,
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    attrNames
    concatMap
    concatMapStrings
    concatStringsSep
    elem
    escapeShellArg
    filter
    filterAttrs
    mapAttrs
    mapAttrsToList
    mkOption
    optional
    optionalString
    optionals
    removeSuffix
    types
    ;
  added = import ./added.nix { inherit lib; };
  commandLine = import ./command-line.nix { inherit lib; };
  accounts = import ./users.nix { inherit lib; } bare config;
  shell = pkgs.runtimeShell;

  instead = "Use the image with systemd for it: nixosModules.default of plainboot, config.system.build.dockerImage.";

  ignored = unit: elem unit config.s6.ignoreUnits;
  isTemplate = lib.hasInfix "@";
  services = filterAttrs (
    name: service:
    !ignored "${name}.service" && !isTemplate name && (service.serviceConfig.ExecStart or null) != null
  ) (added.units "services" bare config);

  list = value: if value == null || value == "" then [ ] else lib.toList value;
  # Of an option that may be given several times, where an empty one drops those before it.
  every =
    key: service:
    lib.foldl' (all: one: if one == "" then [ ] else all ++ [ one ]) [ ] (
      list (service.serviceConfig.${key} or null)
    );
  one =
    key: default: service:
    service.serviceConfig.${key} or default;
  type = service: one "Type" "simple" service;
  isOneshot = service: type service == "oneshot";
  isYes =
    value:
    elem value [
      true
      "true"
      "yes"
      "on"
      "1"
      1
    ];

  # What changes a service so much that without it another one would run: text -> whether it is there.
  untranslatable =
    name: service:
    let
      set = key: (service.serviceConfig.${key} or null) != null && service.serviceConfig.${key} != [ ];
      says = key: optional (set key) "${key}=";
    in
    concatMap says [
      "BindPaths"
      "BindReadOnlyPaths"
      "BusName"
      "ExecCondition"
      "ExecStartPost"
      "ExecStop"
      "ExecStopPost"
      "ImportCredential"
      "LoadCredential"
      "LoadCredentialEncrypted"
      "OpenFile"
      "RootDirectory"
      "RootImage"
      "SetCredential"
      "Sockets"
      "TemporaryFileSystem"
    ]
    ++ optional (isYes (
      one "DynamicUser" false service
    )) "DynamicUser=true (give it a user: users.users.${name})"
    ++ optional (
      !elem (type service) [
        "simple"
        "exec"
        "idle"
        "notify"
        "notify-reload"
        "oneshot"
      ]
    ) "Type=${type service}"
    ++ optional (list (service.startAt or [ ]) != [ ]) "startAt"
    ++
      concatMap
        (
          key:
          optional (
            !elem (lib.head (lib.splitString ":" (one key "journal" service))) [
              "inherit"
              "journal"
              "journal+console"
              "kmsg"
              "null"
              "tty"
            ]
          ) "${key}=${one key "" service}"
        )
        [
          "StandardOutput"
          "StandardError"
        ]
    ++ optional (one "StandardInput" "null" service != "null") "StandardInput="
    ++ concatMap (
      condition:
      optional (lib.hasPrefix "Condition" condition || lib.hasPrefix "Assert" condition) "${condition}="
    ) (attrNames (filterAttrs (_: value: value != [ ] && value != null) service.unitConfig));

  # Other units that would start something.
  otherUnits =
    concatMap
      (
        kind: map (name: "${name}.${lib.removeSuffix "s" kind}") (attrNames (added.units kind bare config))
      )
      [
        "sockets"
        "timers"
        "paths"
      ];

  directories = {
    RuntimeDirectory = "/run";
    StateDirectory = "/var/lib";
    CacheDirectory = "/var/cache";
    LogsDirectory = "/var/log";
    ConfigurationDirectory = "/etc";
  };

  # The script that is the service: what systemd does before it executes a program, then the programs.
  script =
    name: service:
    let
      user = one "User" "root" service;
      group = one "Group" null service;
      uid = accounts.uids.${user} or null;
      primary = accounts.gids.${accounts.users.${user}.group} or null;
      gid = accounts.gids.${group} or null;
      supplementary = concatMap (one: optional (accounts.gids ? ${one}) (toString accounts.gids.${one})) (
        lib.unique (accounts.users.${user}.extraGroups or [ ] ++ every "SupplementaryGroups" service)
      );
      # By number where the configuration knows the user; else as the image below knows it.
      become =
        if user == "root" && group == null then
          ""
        else if uid != null && (group == null || gid != null) then
          "${pkgs.s6}/bin/s6-applyuidgid -u ${toString uid} -g ${
            toString (if group == null then primary else gid)
          } "
          + "-G ${escapeShellArg (concatStringsSep "," supplementary)} "
        else if group == null || group == user then
          "${pkgs.s6}/bin/s6-setuidgid ${escapeShellArg (toString user)} "
        else
          throw "systemd.services.${name}: there is no user ${user} with a group ${group}; define users.users and users.groups";
      owner = optionalString (become != "") (
        if uid != null then
          "-o ${toString uid} -g ${toString (if group == null then primary else gid)} "
        else
          "-o ${escapeShellArg user} "
      );

      lineOf =
        line:
        let
          made = builtins.addErrorContext "while translating systemd.services.${name}" (
            commandLine.translate name become shell (toString line)
          );
        in
        made;
      run = line: "${(lineOf line).command}${optionalString (lineOf line).mayFail " || :"}\n";
      start = every "ExecStart" service;
      makeDirectories =
        key: base:
        let
          names = concatMap (text: commandLine.words (toString text)) (list (one key null service));
          # "name:link" gives the folder a second name.
          paths = map (one: "${base}/${lib.head (lib.splitString ":" one)}") names;
          variable = {
            RuntimeDirectory = "RUNTIME_DIRECTORY";
            StateDirectory = "STATE_DIRECTORY";
            CacheDirectory = "CACHE_DIRECTORY";
            LogsDirectory = "LOGS_DIRECTORY";
            ConfigurationDirectory = "CONFIGURATION_DIRECTORY";
          };
        in
        optionalString (paths != [ ]) (
          "install -d -m ${
            toString (one "${key}Mode" "0755" service)
          } ${owner}${concatStringsSep " " (map escapeShellArg paths)}\nexport ${variable.${key}}=${escapeShellArg (concatStringsSep ":" paths)}\n"
        );
      environmentFile =
        file:
        let
          path = lib.removePrefix "-" (toString file);
          isOptional = lib.hasPrefix "-" (toString file);
          read = ". ${escapeShellArg path}";
        in
        "set -a\n"
        + (if isOptional then "[ ! -e ${escapeShellArg path} ] || ${read}\n" else "${read}\n")
        + "set +a\n";
      home = accounts.users.${user}.home or null;
      folder = one "WorkingDirectory" null service;
      place = lib.removePrefix "-" (toString folder);
      directory = if place == "~" then toString home else place;
    in
    # As systemd has it, an expanded value is not taken as a pattern.
    "set -f\n"
    + optionalString (one "UMask" null service != null) "umask ${toString (one "UMask" null service)}\n"
    + optionalString (one "LimitNOFILE" null service != null) ''
      ulimit -n ${lib.last (lib.splitString ":" (toString (one "LimitNOFILE" null service)))} || :
    ''
    + concatStringsSep "" (mapAttrsToList makeDirectories directories)
    + optionalString (user != "root") (
      "export USER=${escapeShellArg user} LOGNAME=${escapeShellArg user}"
      + optionalString (home != null) " HOME=${escapeShellArg home}"
      + "\n"
    )
    + concatMapStrings (
      text:
      concatStringsSep "" (
        mapAttrsToList (key: value: "export ${key}=${escapeShellArg value}\n") (
          commandLine.assignments text
        )
      )
    ) (every "Environment" service)
    + concatMapStrings environmentFile (every "EnvironmentFile" service)
    + optionalString (folder != null) (
      "cd ${escapeShellArg directory}" + optionalString (lib.hasPrefix "-" folder) " || :" + "\n"
    )
    + optionalString (one "StandardOutput" "journal" service == "null") "exec >/dev/null\n"
    + optionalString (one "StandardError" "journal" service == "null") "exec 2>/dev/null\n"
    + concatMapStrings run (every "ExecStartPre" service)
    + (
      if isOneshot service then
        concatMapStrings run start
      else
        "exec ${(lineOf (lib.head start)).command}\n"
    );

  # "5min 20s" and numbers of seconds -> milliseconds, 0 if it is for ever; see "PARSING TIME SPANS" in
  # systemd.time(7).
  milliseconds =
    key: name: value:
    let
      second = 1000;
      day = 86400 * second;
      units =
        lib.concatMapAttrs (names: length: lib.genAttrs (lib.splitString " " names) (_: length)) {
          "usec us μs" = 0.001;
          "msec ms" = 1;
          "seconds second sec s" = second;
          "minutes minute min m" = 60 * second;
          "hours hour hr h" = 3600 * second;
          "days day d" = day;
          "weeks week w" = 7 * day;
          # Of 30.44 and 365.25 days.
          "months month M" = 2630016 * second;
          "years year y" = 31557600 * second;
        }
        // {
          "" = second;
        };
      go =
        text:
        let
          found = builtins.match "[[:space:]]*([0-9]+(\\.[0-9]+)?)[[:space:]]*([^0-9[:space:]]*)(.*)" text;
          unit = lib.elemAt found 2;
          # As 007 is no number in JSON.
          number = builtins.fromJSON (lib.head (builtins.match "0*([0-9].*)" (lib.head found)));
        in
        if builtins.match "[[:space:]]*" text != null then
          0
        else if found == null || !(units ? ${unit}) then
          throw "systemd.services.${name}: ${key}=${toString value} is no time span, such as 90, 1min 30s or infinity"
        else
          number * units.${unit} + go (lib.elemAt found 3);
    in
    if toString value == "infinity" then
      0
    else if builtins.match "[[:space:]]*" (toString value) != null then
      throw "systemd.services.${name}: ${key}= is empty"
    else
      builtins.ceil (go (toString value));

  unitName = removeSuffix ".service";
  isDaemon = unit: services ? ${unitName unit} && !isOneshot services.${unitName unit};
  # After a daemon, directly or by way of another oneshot.
  isLate =
    seen: name:
    lib.any (
      unit:
      isDaemon unit
      || (services ? ${unitName unit} && !elem unit seen && isLate (seen ++ [ unit ]) (unitName unit))
    ) (orderedAfter name);
  # What comes before it, by its own words or those of the other.
  orderedAfter =
    name:
    services.${name}.after or [ ]
    ++ map (other: "${other}.service") (
      filter (other: elem "${name}.service" (services.${other}.before or [ ])) (attrNames services)
    );

  translate =
    name: service:
    let
      restart = one "Restart" "no" service;
      late = isLate [ ] name;
      start = every "ExecStart" service;
      s6Type =
        if !isOneshot service then
          "long-run"
        else if late then
          "oneshot-post"
        else
          "oneshot-pre";
    in
    {
      type = s6Type;
      script = script name service;
      environment = mapAttrs (_: value: if value == null then null else toString value) (
        config.systemd.globalEnvironment or { } // service.environment
      );
      restartOnFailure = elem restart [
        "always"
        "on-failure"
      ];
      # No service has a watchdog here, so that on-watchdog never does.
      restartOnSignal = elem restart [
        "on-abnormal"
        "on-abort"
      ];
      ignoreFailure =
        s6Type == "long-run" && lib.any (line: lib.hasInfix "-" (commandLine.prefix (toString line))) start;
      restartOnSuccess = elem restart [
        "always"
        "on-success"
      ];
      stopSignal = toString (one "KillSignal" "SIGTERM" service);
      stopTimeout =
        if service.serviceConfig ? TimeoutStopSec then
          milliseconds "TimeoutStopSec" name service.serviceConfig.TimeoutStopSec
        else
          milliseconds "TimeoutSec" name (one "TimeoutSec" 0 service);
      # Daemons have no order, and what runs once before them cannot wait for what comes later.
      after =
        if s6Type == "long-run" then
          [ ]
        else
          map unitName (filter (unit: services ? ${unitName unit}) (orderedAfter name));
    };
in
{
  options.s6.ignoreUnits = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [
      "web.socket"
      "backup.timer"
    ];
    description = ''
      Units of NixOS that the configuration adds and s6 is to leave out: what it cannot run is an error
      otherwise.
    '';
  };

  config = {
    s6.services = mapAttrs translate (
      filterAttrs (name: service: untranslatable name service == [ ]) services
    );

    assertions =
      concatMap (
        name:
        let
          found = untranslatable name services.${name};
        in
        optionals (found != [ ]) [
          {
            assertion = false;
            message = "systemd.services.${name}: s6 cannot do what it asks for: ${concatStringsSep ", " found}. ${instead} Or leave it out: s6.ignoreUnits = [ \"${name}.service\" ]";
          }
        ]
      ) (attrNames services)
      ++ map (unit: {
        assertion = ignored unit;
        message = "${unit}: s6 starts services when the container starts, and never else. ${instead} Or leave it out: s6.ignoreUnits = [ \"${unit}\" ]";
      }) otherUnits;
  };
}
