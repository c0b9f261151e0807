# SPDX-License-Identifier: MIT
#
# `image.*`: what the image is called, and what it has and runs beside its services.
{
  bare,
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    concatMapStrings
    escapeShellArg
    mkOption
    optionals
    types
    ;
  cfg = config.image;
  added = import ./added.nix { inherit lib; };
  accounts = import ./users.nix { inherit lib; } bare config;

  files = added.etc bare config;
  isLink = file: lib.hasSuffix "symlink" file.mode;
  # "+0" or the name of a user or group -> its number.
  id = of: name: if lib.hasPrefix "+" name then lib.removePrefix "+" name else toString of.${name};

  # A file of the store is copied, since programs that add users rewrite it.
  account = name: mode: ''
    rm -f etc/${name}
    cp ${pkgs.writeText name accounts.${name}} etc/${name}
    chmod ${mode} etc/${name}
  '';
  # With an image below, its accounts stay unless some are defined here.
  hasAccounts =
    cfg.from == null
    || lib.any (name: !(bare.users.users ? ${name})) (lib.attrNames accounts.users)
    || lib.any (name: !(bare.users.groups ? ${name})) (lib.attrNames config.users.groups);
in
{
  options.image = {
    name = mkOption {
      type = types.strMatching "[a-z0-9]+(([._]|__|-+|/)[a-z0-9]+)*";
      example = "registry.example.org/web";
      description = "Name of the image, as in `docker run NAME`.";
    };

    tag = mkOption {
      type = types.nullOr (types.strMatching "[A-Za-z0-9_][A-Za-z0-9._-]*");
      default = null;
      description = "Tag of the image. Without one it is the hash of the image's store path.";
    };

    entryPoint = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = lib.literalExpression "[ \"\${pkgs.hello}/bin/hello\" ]";
      description = "The program that the container runs, and its arguments. With services it is s6.";
    };

    env = mkOption {
      type = types.attrsOf (
        types.oneOf [
          types.str
          types.int
          types.path
          types.package
        ]
      );
      default = { };
      example = {
        TZ = "Europe/Berlin";
      };
      description = "Environment of the container, and so of its services.";
    };

    exposedPorts = mkOption {
      type = types.attrsOf (types.attrsOf types.anything);
      default = { };
      example = {
        "80/tcp" = { };
      };
      description = "Ports on which the container serves.";
    };

    from = mkOption {
      type = types.nullOr types.package;
      default = null;
      example = lib.literalExpression ''
        pkgs.dockerTools.pullImage { imageName = "debian"; /* … */ }
      '';
      description = "The image on which this one is built.";
    };

    run = mkOption {
      type = types.lines;
      default = "";
      example = "mkdir -p srv";
      description = "Shell commands that run in the root of the image when it is built.";
    };

    interactive = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the image has a shell and coreutils for whoever looks into the container.";
    };

    build = mkOption {
      type = types.attrsOf types.raw;
      internal = true;
      description = "What dockerTools is asked for.";
    };
  };

  config = {
    environment.systemPackages = optionals cfg.interactive [
      pkgs.bashInteractive
      pkgs.coreutils
    ];

    assertions = map (message: {
      assertion = false;
      inherit message;
    }) accounts.errors;

    image.build = {
      contents = [
        (pkgs.buildEnv {
          name = "image-path";
          paths = added.packages bare config;
          pathsToLink = [
            "/bin"
            "/sbin"
            "/lib"
            "/share"
          ];
          ignoreCollisions = true;
        })
      ];

      # In the root of the image, which is the working directory.
      commands = ''
        mkdir -p etc root run/current-system tmp var/empty var/log var/lib var/cache
        chmod 1777 tmp
        chmod 0700 root
        # Where modules of NixOS expect programs.
        ln -sfn / run/current-system/sw
      ''
      + lib.optionalString hasAccounts (
        account "passwd" "0644" + account "group" "0644" + account "shadow" "0600"
      )
      + concatMapStrings (
        file:
        let
          target = escapeShellArg "etc/${file.target}";
        in
        ''
          mkdir -p "$(dirname ${target})"
          rm -rf ${target}
        ''
        + (
          if isLink file then
            "ln -s ${file.source} ${target}\n"
          else
            ''
              cp -rL ${file.source} ${target}
              chmod ${file.mode} ${target}
            ''
        )
      ) files
      + concatMapStrings (home: ''
        mkdir -p ${escapeShellArg ".${home.path}"}
        chmod ${home.mode} ${escapeShellArg ".${home.path}"}
      '') accounts.homes
      + cfg.run;

      # The same as (a fake) root: owners.
      rootCommands =
        concatMapStrings (
          home: "chown ${toString home.uid}:${toString home.gid} ${escapeShellArg ".${home.path}"}\n"
        ) accounts.homes
        + concatMapStrings (
          file:
          "chown ${id accounts.uids file.user}:${id accounts.gids file.group} ${escapeShellArg "etc/${file.target}"}\n"
        ) (lib.filter (file: !isLink file) files);

      config = {
        Env = lib.mapAttrsToList (name: value: "${name}=${toString value}") (
          {
            PATH = "/bin:/sbin:/usr/bin:/usr/sbin";
          }
          // cfg.env
        );
        ExposedPorts = cfg.exposedPorts;
      }
      // lib.optionalAttrs (cfg.entryPoint != [ ]) { Entrypoint = cfg.entryPoint; };
    };
  };
}
