# SPDX-License-Identifier: MIT
#
# The folder that s6-svscan(8) runs, and the init that prepares it: texts, and the shell files beside
# this one with their blanks filled in.
{ lib, pkgs }:
let
  inherit (lib)
    concatMapStrings
    concatStringsSep
    escapeShellArg
    mapAttrsToList
    optionalString
    ;

  shell = pkgs.runtimeShell;
  s6 = "${pkgs.s6}/bin";
  path = "${s6}:${pkgs.coreutils}/bin";

  fill =
    file: blanks:
    builtins.replaceStrings (map (name: "@${name}@") (builtins.attrNames blanks)) (map toString (
      builtins.attrValues blanks
    )) (builtins.readFile file);
  common = { inherit shell path; };
  boolean = value: if value then "yes" else "no";

  script =
    name: text:
    pkgs.writeTextFile {
      inherit name text;
      executable = true;
    };

  # What it takes to be the service: environment, folder, user, program.
  run =
    service:
    let
      program =
        if service.script != "" then
          script "s6-${service.name}-script" "#!${shell} -e\n${service.script}"
        else
          service.execStart;
      environment = lib.filterAttrs (_: value: value != null) service.environment;
    in
    script "s6-${service.name}-run" (
      ''
        #!${shell}
        # s6.services.${service.name}
        exec 2>&1
        ${optionalString (service.type == "long-run") "echo $$ >group"}
        cd ${
          escapeShellArg (if service.workingDirectory == null then "/" else service.workingDirectory)
        } || exit
      ''
      + concatStringsSep "" (
        mapAttrsToList (name: value: "export ${name}=${escapeShellArg (toString value)}\n") environment
      )
      + "exec ${
        optionalString (service.user != "root") "${s6}/s6-setuidgid ${escapeShellArg service.user} "
      }${program}\n"
    );

  finish =
    service:
    script "s6-${service.name}-finish" (
      fill ./finish.sh (
        common
        // {
          service = service.name;
          ignoreFailure = boolean service.ignoreFailure;
          onFailure = boolean service.restartOnFailure;
          onSignal = boolean (service.restartOnFailure || service.restartOnSignal);
          onSuccess = boolean service.restartOnSuccess;
        }
      )
    );

  # Commands that make the service's folder below $1.
  folder =
    service:
    let
      at = "\"$1\"/${service.name}";
    in
    [
      "mkdir ${at}"
      "ln -s ${run service} ${at}/run"
      "ln -s ${finish service} ${at}/finish"
      "echo ${escapeShellArg service.stopSignal} >${at}/down-signal"
      "echo ${toString service.stopTimeout} >${at}/timeout-kill"
    ]
    ++ lib.optionals (service.execLogger != null) [
      "mkdir ${at}/log"
      "ln -s ${logger service} ${at}/log/run"
    ];
  logger = service: script "s6-${service.name}-log" "#!${shell}\nexec ${service.execLogger}\n";

  oneshot = service: "oneshot ${escapeShellArg service.name} ${run service}\n";
in
{
  init =
    {
      pre,
      longRuns,
      post,
    }:
    script "s6-init" (
      fill ./init.sh (
        common
        // {
          # Ended by `:`, since a function of a shell must have a command.
          pre = concatMapStrings oneshot pre + ":";
          post = concatMapStrings oneshot post + ":";
          folders = concatStringsSep " &&\n    " (lib.concatMap folder longRuns ++ [ ":" ]);
          stop = script "s6-stop" (fill ./stop.sh common);
          end = script "s6-end" (fill ./end.sh common);
        }
      )
    );
}
