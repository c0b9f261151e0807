# SPDX-License-Identifier: MIT
#
# `nixosModules.default`: adds `config.system.build.dockerImage` to a NixOS configuration.
#
# The image is a second evaluation of the same configuration with ./container.nix on top, as
# `system.build.vm` is one with qemu-vm.nix on top. The configuration itself gains options and two
# entries of `system.build`, and nothing else of it changes.
{
  config,
  extendModules,
  lib,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;

  variant = extendModules {
    modules = [
      ./container.nix
      ./image.nix
      # The systemd that the configuration itself would run; ./container.nix patches it.
      { virtualisation.dockerImage.systemd = mkDefault config.systemd.package; }
    ];
  };
in
{
  options.virtualisation = {
    dockerImage = {
      name = mkOption {
        type = types.strMatching "[a-z0-9]+(([._]|__|-+|/)[a-z0-9]+)*";
        default =
          let
            host = lib.toLower config.networking.hostName;
          in
          if host == "" then "nixos-docker" else host;
        defaultText = lib.literalMD "`networking.hostName` in lower case, or `nixos-docker` if that is empty";
        example = "registry.example.org/web";
        description = "Name of the image, as in `docker run NAME`.";
      };

      tag = mkOption {
        type = types.strMatching "[A-Za-z0-9_][A-Za-z0-9._-]*";
        default = "latest";
        description = "Tag of the image.";
      };

      maxLayers = mkOption {
        type = types.ints.between 2 125;
        default = 125;
        description = ''
          The most layers that the image has. More of them share more between images; engines take up
          to 127, and two are kept for whoever builds on top.
        '';
      };

      extraContents = mkOption {
        type = types.listOf types.package;
        default = [ ];
        example = lib.literalExpression "[ (pkgs.writeTextDir \"srv/index.html\" \"hello\") ]";
        description = ''
          Packages whose files appear below `/` of the image, next to the system. For programs,
          {option}`environment.systemPackages` is the better place.
        '';
      };

      includeNixDB = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether the image knows its store paths as valid, so that `nix` and its daemon work in the
          container. Registering them takes time in the build.
        '';
      };

      environment = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = {
          TZ = "Europe/Berlin";
        };
        description = ''
          Environment of PID 1 and of `docker exec`. Services do not see it: use
          {option}`systemd.globalEnvironment` for them.
        '';
      };

      unenforcedLimits = mkOption {
        type = types.enum [
          "list"
          "refuse"
        ];
        default = "list";
        description = ''
          What becomes of a limit inside the image that cannot hold, such as `MemoryMax=` of a service:
          it is listed in the image, or it is an error.
        '';
      };

      includeStorePaths = mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether the image holds its store paths. Without them it is small, and runs only where the
          Nix store that has them is mounted on `/nix/store`.
        '';
      };

      volumes = mkOption {
        type = types.listOf (types.strMatching "/.+");
        default = [ ];
        example = [ "/var/lib/postgresql" ];
        description = ''
          Folders for which the engine makes a volume when the user names none. There is none by
          default; `/run` must not be one, since volumes outlive a restart and `/run` must not.
        '';
      };

      init = mkOption {
        type = types.nullOr (types.functionTo types.package);
        default = null;
        internal = true;
        description = ''
          What is `/sbin/init` in place of the image's own init, which it gets. That one starts the
          system of which `/nix/var/nix/profiles/system` is the profile.
        '';
      };

      healthcheck = mkOption {
        type = types.listOf types.str;
        default = [ ];
        internal = true;
        description = "The test of the image's health, as engines have it.";
      };

      systemd = mkOption {
        type = types.package;
        internal = true;
        description = "The systemd that the image patches: that of the configuration itself.";
      };
    };

    dockerVariant = mkOption {
      inherit (variant) type;
      default = { };
      visible = "shallow";
      example = lib.literalExpression ''
        {
          services.nginx.enable = true;
          environment.systemPackages = [ pkgs.strace ];
        }
      '';
      description = ''
        NixOS options that hold in the image alone, on top of the configuration. What plainboot sets
        in the image wins over plain definitions, here and in the configuration; `lib.mkForce` wins
        over plainboot.
      '';
    };
  };

  config.system.build = {
    # An archive for `docker load < result`.
    dockerImage = mkDefault config.virtualisation.dockerVariant.system.build.dockerImage;
    # A script that writes the archive to its stdout: `$(nix-build …) | docker load`.
    dockerImageStream = mkDefault config.virtualisation.dockerVariant.system.build.dockerImageStream;
  };

  # It uses extendModules, which the manual's sandbox cannot evaluate.
  meta.buildDocsInSandbox = false;
}
