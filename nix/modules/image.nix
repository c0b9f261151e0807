# SPDX-License-Identifier: MIT
#
# The image itself, of a configuration that ./container.nix has made fit for a container.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  plainboot = import ../lib { inherit (lib) warn; };
  cfg = config.virtualisation.dockerImage;
  inherit (config.system.build) toplevel;

  init = pkgs.writeTextFile {
    name = "plainboot-init";
    executable = true;
    text = plainboot.init {
      shell = "${pkgs.bash}/bin/bash";
      path = [
        "${lib.getBin pkgs.coreutils}/bin"
        "${lib.getBin pkgs.findutils}/bin"
        "${lib.getBin pkgs.util-linux}/bin"
      ];
      toplevel = if cfg.init == null then toplevel else "/nix/var/nix/profiles/system";
    };
  };
  firstInit = if cfg.init == null then init else cfg.init init;

  # Only /sbin/init: the system is reached through it. With the system itself in `contents`, its
  # `etc` would become the image's, read-only, and activation could not write there.
  root = pkgs.runCommand "plainboot-root" { } ''
    mkdir -p $out/sbin
    ln -s ${firstInit} $out/sbin/init
  '';

  # What is not enforced here, asked of the running container.
  report = pkgs.writeTextFile {
    name = "plainboot-report";
    executable = true;
    destination = "/usr/lib/plainboot/report";
    text = builtins.readFile ../report.sh;
  };

  arguments = {
    inherit (cfg) name tag maxLayers;
    contents = [
      root
      report
    ]
    ++ cfg.extraContents;
    config = config.system.build.dockerImageConfig;
    # What neither the engine nor activation makes, and a machine id that each container chooses at
    # its first boot.
    extraCommands = ''
      mkdir -p dev etc nix/var/nix/gcroots nix/var/nix/profiles proc run sys tmp var/lib var/log
      chmod 1777 tmp
      mkdir -p -m 0700 root
      printf %s ${lib.escapeShellArg plainboot.profile.machineId} >etc/machine-id
    ''
    + lib.optionalString (cfg.init == null) ''
      ln -sfn ${toplevel} nix/var/nix/profiles/system
    '';
  }
  # Older nixpkgs do not know the argument.
  // lib.optionalAttrs cfg.includeNixDB { includeNixDB = true; }
  // lib.optionalAttrs (!cfg.includeStorePaths) { includeStorePaths = false; };
in
{
  config.system.build = {
    # The config that engines read, as a set; see `docker inspect`.
    dockerImageConfig =
      plainboot.imageConfig {
        systemd = config.systemd.package.version;
        patches = plainboot.patchIds config.systemd.package;
        # Where NixOS puts programs, so that `docker exec NAME systemctl` finds them.
        path = [
          "/run/wrappers/bin"
          "/run/current-system/sw/bin"
          "/nix/var/nix/profiles/default/bin"
        ];
        inherit (cfg) environment volumes;
        # The packet filter is off in the image; what it would have let through is what is served.
        tcpPorts = config.networking.firewall.allowedTCPPorts;
        udpPorts = config.networking.firewall.allowedUDPPorts;
      }
      // lib.optionalAttrs (cfg.healthcheck != [ ]) {
        Healthcheck = {
          Test = cfg.healthcheck;
          # Nanoseconds. The first build may take long; a failed test is no failure until then.
          Interval = 10 * 1000000000;
          StartPeriod = 30 * 60 * 1000000000;
        };
      };

    # What the root of the image is made of, in the store.
    dockerImageContents = arguments.contents;

    dockerImage = pkgs.dockerTools.buildLayeredImage arguments;
    dockerImageStream = pkgs.dockerTools.streamLayeredImage arguments;
  };
}
