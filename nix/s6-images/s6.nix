# SPDX-License-Identifier: MIT
#
# `s6.*`: services, and the init that runs them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    attrNames
    concatMap
    concatStringsSep
    filter
    mkIf
    mkOption
    optional
    types
    ;
  cfg = config.s6;
  tree = import ./tree.nix { inherit lib pkgs; };

  enabled = lib.filterAttrs (_: service: service.enable) cfg.services;
  named = lib.mapAttrsToList (name: service: service // { inherit name; }) enabled;
  ofType = type: filter (service: service.type == type) named;

  # toposort wants to know whether a comes before b.
  ordered = type: lib.toposort (a: b: lib.elem a.name b.after) (ofType type);
  pre = ordered "oneshot-pre";
  post = ordered "oneshot-post";

  init = tree.init {
    pre = pre.result;
    longRuns = ofType "long-run";
    post = post.result;
  };

  # What can be wrong with `after`, of one service: texts.
  wrongAfter =
    service:
    concatMap (
      other:
      let
        says = "s6.services.${service.name}.after names ${other}";
      in
      optional (
        !(enabled ? ${other})
      ) "${says}, which is no service; there are: ${concatStringsSep ", " (attrNames enabled)}"
      ++ optional (
        service.type == "oneshot-pre" && (enabled.${other}.type or "oneshot-pre") != "oneshot-pre"
      ) "${says}, a ${enabled.${other}.type}, which starts later; make it a oneshot-post"
    ) service.after;
  wrongCommand =
    service:
    optional (
      (service.execStart == "") == (service.script == "")
    ) "s6.services.${service.name} must have one of execStart and script";
  cycle =
    type: sorted:
    optional (sorted ? cycle)
      "s6.services: these ${type} services wait for one another (after): ${
        concatStringsSep ", " (map (one: one.name) sorted.cycle)
      }";

  service = {
    options = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the service is there.";
      };

      type = mkOption {
        type = types.enum [
          "oneshot-pre"
          "long-run"
          "oneshot-post"
        ];
        default = "long-run";
        description = ''
          `oneshot-pre` services run one after another when the container starts; then the `long-run`
          services, the daemons, are started all at once; then the `oneshot-post` services run, one
          after another.
        '';
      };

      after = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "migrate" ];
        description = ''
          Services that come before this one, where both run once. Daemons have no order: one that
          waits for another must try again.
        '';
      };

      execStart = mkOption {
        type = types.either types.str types.package;
        default = "";
        example = lib.literalExpression "''\${pkgs.nginx}/bin/nginx -g \"daemon off;\"''";
        description = "The command, as in a shell.";
      };

      script = mkOption {
        type = types.lines;
        default = "";
        description = "A shell script in place of a command; it ends at the first command that fails.";
      };

      user = mkOption {
        type = types.str;
        default = "root";
        description = "The user whose the processes are.";
      };

      workingDirectory = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "The working directory; `/` without one.";
      };

      environment = mkOption {
        type = types.attrsOf (
          types.nullOr (
            types.oneOf [
              types.str
              types.int
              types.path
              types.package
            ]
          )
        );
        default = { };
        example = {
          LANG = "C.UTF-8";
        };
        description = "Environment of the processes, on top of the container's.";
      };

      restartOnFailure = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether s6 starts a `long-run` service again that fails. Else the failure of a service ends
          the container, with the exit code of the service.
        '';
      };

      restartOnSignal = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether s6 starts a `long-run` service again that dies of a signal (other than SIGTERM, SIGINT,
          SIGHUP or SIGPIPE), also without {option}`restartOnFailure`.
        '';
      };

      ignoreFailure = mkOption {
        type = types.bool;
        default = false;
        description = "Whether a `long-run` service that fails is taken for one that ends by itself.";
      };

      restartOnSuccess = mkOption {
        type = types.bool;
        default = true;
        description = "Whether s6 starts a `long-run` service again that ends without failing.";
      };

      execLogger = mkOption {
        type = types.nullOr (types.either types.str types.package);
        default = null;
        example = lib.literalExpression "\"\${pkgs.s6}/bin/s6-log t /var/log/web\"";
        description = ''
          A command that reads what a `long-run` service writes. Without one it goes to the log of the
          container.
        '';
      };

      stopSignal = mkOption {
        type = types.str;
        default = "SIGTERM";
        description = "The signal that ends a `long-run` service.";
      };

      stopTimeout = mkOption {
        type = types.ints.unsigned;
        default = 0;
        description = ''
          Milliseconds after which a `long-run` service that does not end is killed; 0 is never (the
          engine kills the container after ten seconds).
        '';
      };
    };
  };
in
{
  options.s6 = {
    services = mkOption {
      type = types.attrsOf (types.submodule service);
      default = { };
      description = "Services that s6 runs in the container.";
    };

    init = mkOption {
      type = types.nullOr types.package;
      default = null;
      internal = true;
      description = "The init of the image: `init STATE-DIR`, as any user.";
    };
  };

  config = mkIf (enabled != { }) {
    s6.init = init;
    # A state folder that is there is of the container's last start.
    image.entryPoint = [
      "${init}"
      "--replace"
      "/run/s6"
    ];
    environment.systemPackages = [ pkgs.s6 ];

    assertions =
      map
        (message: {
          assertion = false;
          inherit message;
        })
        (
          concatMap wrongCommand named
          ++ concatMap wrongAfter (filter (one: one.type != "long-run") named)
          ++ cycle "oneshot-pre" pre
          ++ cycle "oneshot-post" post
        );
    warnings = map (
      one: "s6.services.${one.name}.after has no effect: daemons are started all at once"
    ) (filter (one: one.type == "long-run" && one.after != [ ]) named);
  };
}
