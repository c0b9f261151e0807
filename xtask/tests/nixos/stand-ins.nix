# SPDX-License-Identifier: MIT
#
# Stand-ins for the NixOS options that plainboot sets or reads: their names, types and defaults, and
# what nixpkgs itself defines for them where that matters (a definition of the same priority would be
# a conflict). They prove what plainboot sets; they cannot prove what NixOS makes of it.
{
  config,
  lib,
  pkgs,
  # The options of NixOS 23.11, where they are others.
  older,
  ...
}:
let
  inherit (lib)
    mkDefault
    mkIf
    mkOption
    optionalAttrs
    types
    ;
  option =
    type: default:
    mkOption {
      inherit type default;
    };
  bool = option types.bool;
  anything = option types.unspecified;

  unit =
    kind:
    option (types.attrsOf (
      types.submodule {
        options = {
          enable = bool true;
          preStart = option types.lines "";
          unitConfig = option (types.attrsOf types.unspecified) { };
          "${kind}Config" = option (types.attrsOf types.unspecified) { };
        };
      }
    )) { };

  mounts = option (types.listOf (
    types.submodule {
      options = {
        enable = bool true;
        where = option types.str "";
      };
    }
  )) [ ];
in
{
  options = {
    assertions = anything [ ];
    warnings = option (types.listOf types.str) [ ];

    boot = {
      isContainer = bool false;
      initrd.enable = bool (!config.boot.isContainer);
      initrd.systemd.enable = bool (!older);
      loader.grub.enable = bool (!config.boot.isContainer);
      loader.systemd-boot.enable = bool false;
      specialFileSystems = option (types.attrsOf types.unspecified) { };
      tmp.useTmpfs = bool false;
    }
    // (
      if older then
        { readOnlyNixStore = bool true; }
      else
        {
          nixStoreMountOpts = option (types.listOf types.str) [
            "ro"
            "nodev"
            "nosuid"
          ];
        }
    );
    fileSystems = option (types.attrsOf types.unspecified) { };
    swapDevices = option (types.listOf types.unspecified) [ ];
    zramSwap.enable = bool false;
    powerManagement.enable = bool true;

    environment.systemPackages = option (types.listOf types.package) [ ];
    environment.etc = option (types.attrsOf (
      types.submodule {
        options = {
          enable = bool true;
          text = option (types.nullOr types.lines) null;
        };
      }
    )) { };

    networking = {
      hostName = option types.str "nixos";
      useDHCP = bool true;
      dhcpcd.enable = bool true;
      useNetworkd = bool false;
      interfaces = option (types.attrsOf types.unspecified) { };
      defaultGateway = option (types.nullOr types.str) null;
      defaultGateway6 = option (types.nullOr types.str) null;
      extraHosts = option types.lines "";
      nameservers = option (types.listOf types.str) [ ];
      firewall = {
        enable = bool true;
        allowedTCPPorts = option (types.listOf types.port) [ ];
        allowedUDPPorts = option (types.listOf types.port) [ ];
      };
      nftables.enable = bool false;
      networkmanager.enable = bool false;
      wireless.enable = bool false;
      useHostResolvConf = bool false;
      resolvconf.enable = bool true;
    };

    security = {
      audit.enable = bool true;
      auditd.enable = bool false;
    };

    services = {
      udev.enable = bool true;
      resolved.enable = bool false;
      openssh.startWhenNeeded = bool false;
      # Of the example alone.
      nginx = option types.raw { };
    };

    system = {
      activationScripts = option (types.attrsOf types.unspecified) { };
      build = option (types.lazyAttrsOf types.unspecified) { };
      name = option types.str config.networking.hostName;
      stateVersion = option types.str "";
    }
    // optionalAttrs (!older) {
      etc.overlay.enable = bool false;
      nixos-init.enable = bool false;
    };

    systemd = {
      package = option types.package pkgs.systemd;
      packages = option (types.listOf types.package) [ ];
      defaultUnit = option types.str "multi-user.target";
      enableEmergencyMode = bool true;
      oomd.enable = bool true;
      tmpfiles.rules = option (types.listOf types.str) [ ];
      network.enable = bool false;
      services = unit "service";
      sockets = unit "socket";
      targets = unit "target";
      slices = unit "slice";
      inherit mounts;
      automounts = mounts;
      units = option (types.attrsOf (
        types.submodule {
          options.enable = bool true;
        }
      )) { };
    };

    users.allowNoPasswordLogin = bool false;
    nixpkgs.hostPlatform = option types.str "x86_64-linux";
    nix.package = option types.package pkgs.nix;
    meta.buildDocsInSandbox = bool true;
  };

  config = {
    boot.specialFileSystems."/proc" = { };
    environment.etc = {
      hosts.text = "127.0.0.1 localhost\n";
      hostname = mkIf (config.networking.hostName != "") { text = "${config.networking.hostName}\n"; };
    };
    system.activationScripts = {
      etc = "setup-etc";
      hostname = "hostname ${config.networking.hostName}";
    };
    system.build.toplevel = "/nix/store/00000000000000000000000000000000-nixos-system";
    systemd = {
      mounts = [ { where = "/run/wrappers"; } ];
      units."run-wrappers.mount".enable = true;
      services.systemd-journald.serviceConfig = { };
    };

    # container-config.nix of nixpkgs.
    networking.useHostResolvConf = mkIf config.boot.isContainer (mkDefault true);
    services.openssh.startWhenNeeded = mkIf config.boot.isContainer (mkDefault true);
    services.udev.enable = mkIf config.boot.isContainer false;
    security.audit.enable = mkIf config.boot.isContainer false;
  };
}
