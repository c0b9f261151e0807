# SPDX-License-Identifier: MIT
#
# Stand-ins for the options of NixOS that makeImage reads: their names, types and defaults, with some of
# what is in every NixOS, which an image must not have. And an nginx that asks for what the one of
# nixpkgs asks for.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkDefault
    mkIf
    mkMerge
    mkOption
    types
    ;
  option = type: default: mkOption { inherit type default; };
  strings = option (types.listOf types.str) [ ];
  anything = option (types.attrsOf types.unspecified) { };

  unit =
    { config, name, ... }:
    {
      options = {
        enable = option types.bool true;
        after = strings;
        before = strings;
        requires = strings;
        wants = strings;
        wantedBy = strings;
        startAt = option (types.either types.str (types.listOf types.str)) [ ];
        path = option (types.listOf types.unspecified) [ ];
        environment = option (types.attrsOf (
          types.nullOr (
            types.oneOf [
              types.str
              types.path
              types.package
            ]
          )
        )) { };
        preStart = option types.lines "";
        script = option types.lines "";
        unitConfig = anything;
        serviceConfig = anything;
      };
      config = {
        path = [ pkgs.coreutils ];
        environment.PATH = lib.makeBinPath config.path;
        serviceConfig = mkMerge [
          (mkIf (config.preStart != "") {
            ExecStartPre = [
              "${pkgs.writeScript "${name}-pre-start" "#!${pkgs.runtimeShell} -e\n${config.preStart}"} "
            ];
          })
          (mkIf (config.script != "") {
            ExecStart = "${pkgs.writeScript "${name}-start" "#!${pkgs.runtimeShell} -e\n${config.script}"} ";
          })
        ];
      };
    };
  units = option (types.attrsOf (types.submodule unit)) { };

  user =
    { config, name, ... }:
    {
      options = {
        enable = option types.bool true;
        name = option types.str name;
        uid = option (types.nullOr types.int) null;
        group = option types.str "";
        extraGroups = strings;
        description = option types.str "";
        home = option types.str "/var/empty";
        homeMode = option types.str "700";
        createHome = option types.bool false;
        isNormalUser = option types.bool false;
        isSystemUser = option types.bool false;
        shell = option types.unspecified { shellPath = "/bin/nologin"; };
        password = option (types.nullOr types.str) null;
        initialPassword = option (types.nullOr types.str) null;
        hashedPassword = option (types.nullOr types.str) null;
        hashedPasswordFile = option (types.nullOr types.str) null;
        initialHashedPassword = option (types.nullOr types.str) null;
      };
      config = mkIf config.isNormalUser {
        group = mkDefault "users";
        home = mkDefault "/home/${name}";
        createHome = mkDefault true;
        shell = mkDefault "/run/current-system/sw/bin/bash";
      };
    };
  group =
    { name, ... }:
    {
      options = {
        name = option types.str name;
        gid = option (types.nullOr types.int) null;
        members = strings;
      };
    };
  # The first lines say what the module of NixOS says; where temporary files are is for a Debian.
  nginxConf = pkgs.writeText "nginx.conf" (
    ''
      pid /run/nginx/nginx.pid;
      error_log stderr;
      daemon off;
      events { }
      http {
        access_log /var/log/nginx/access.log;
    ''
    + lib.concatMapStrings (use: "  ${use}_temp_path /var/cache/nginx/${use};\n") [
      "client_body"
      "fastcgi"
      "proxy"
      "scgi"
      "uwsgi"
    ]
    + lib.concatStrings (
      lib.mapAttrsToList (name: host: ''
        server {
          listen 0.0.0.0:80;
          server_name ${name};
          root ${host.root};
        }
      '') config.services.nginx.virtualHosts
    )
    + "}\n"
  );
  nginx = "${pkgs.nginx}/bin/nginx -c '${nginxConf}'";
  file =
    { config, name, ... }:
    {
      options = {
        enable = option types.bool true;
        target = option types.str name;
        text = option (types.nullOr types.lines) null;
        source = mkOption { type = types.path; };
        mode = option types.str "symlink";
        user = option types.str "+0";
        group = option types.str "+0";
      };
      config.source = mkIf (config.text != null) (
        mkDefault (pkgs.writeText "etc-${baseNameOf name}" config.text)
      );
    };
in
{
  options = {
    assertions = option (types.listOf types.unspecified) [ ];
    warnings = strings;
    boot.isContainer = option types.bool false;
    environment.etc = option (types.attrsOf (types.submodule file)) { };
    environment.systemPackages = option (types.listOf types.package) [ ];
    nix.enable = option types.bool true;
    nix.package = option types.package pkgs.nix;
    nix.settings = anything;
    nixpkgs.pkgs = option types.unspecified null;
    services.nginx.enable = option types.bool false;
    services.nginx.virtualHosts = anything;
    system.stateVersion = option types.str "";
    systemd.globalEnvironment = option (types.attrsOf types.str) { };
    systemd.services = units;
    systemd.sockets = units;
    systemd.timers = units;
    systemd.paths = units;
    users.allowNoPasswordLogin = option types.bool false;
    users.users = option (types.attrsOf (types.submodule user)) { };
    users.groups = option (types.attrsOf (types.submodule group)) { };
  };

  config = mkMerge [
    {
      _module.args.pkgs = config.nixpkgs.pkgs;
      environment.etc."profile".text = "of every NixOS";
      environment.etc."systemd/system".text = lib.concatStringsSep " " (
        builtins.attrNames config.systemd.services
      );
      environment.systemPackages = [ pkgs.strace ];
      systemd.globalEnvironment.TZDIR = "/etc/zoneinfo";
      systemd.services.journald.serviceConfig.ExecStart = "/nothing";
      systemd.sockets.journald = { };
      users.users = {
        root = {
          uid = 0;
          group = "root";
          home = "/root";
          shell = "/run/current-system/sw/bin/bash";
          initialHashedPassword = "!";
        };
        nobody = {
          uid = 65534;
          group = "nogroup";
        };
        nixbld1 = {
          uid = 30001;
          group = "nixbld";
        };
        messagebus.group = "messagebus";
      };
      users.groups = {
        root.gid = 0;
        nogroup.gid = 65534;
        users.gid = 100;
        nixbld.gid = 30000;
        messagebus = { };
      };
    }
    (mkIf config.nix.enable {
      environment.etc."nix/nix.conf".text = "sandbox = ${lib.boolToString config.nix.settings.sandbox}";
      systemd.services.nix-daemon.serviceConfig.ExecStart = "@/bin/nix-daemon nix-daemon";
      systemd.sockets.nix-daemon = { };
    })
    (mkIf config.services.nginx.enable {
      systemd.services.nginx = {
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" ];
        preStart = "${nginx} -t";
        serviceConfig = {
          ExecStart = nginx;
          ExecReload = [
            "${nginx} -t"
            "/bin/kill -HUP $MAINPID"
          ];
          Restart = "always";
          RestartSec = "10s";
          User = "nginx";
          Group = "nginx";
          RuntimeDirectory = "nginx";
          RuntimeDirectoryMode = "0750";
          CacheDirectory = "nginx";
          CacheDirectoryMode = "0750";
          LogsDirectory = "nginx";
          LogsDirectoryMode = "0750";
          UMask = "0027";
          AmbientCapabilities = [
            "CAP_NET_BIND_SERVICE"
            "CAP_SYS_RESOURCE"
          ];
          NoNewPrivileges = true;
          PrivateTmp = true;
          ProcSubset = "pid";
          ProtectSystem = "strict";
          SystemCallFilter = [ "~@debug" ];
        };
      };
      users.users.nginx = {
        uid = 60;
        group = "nginx";
        isSystemUser = true;
      };
      users.groups.nginx.gid = 60;
    })
  ];
}
