# SPDX-License-Identifier: MIT
#
# What differs in the image from the configuration that it is made of. Nothing here reaches the
# configuration itself: ./default.nix evaluates this on top of it.
#
# Why each line is there, and what is *not* there, is in docs/nixos.md.
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib)
    genAttrs
    mkBefore
    mkDefault
    mkForce
    mkIf
    mkMerge
    mkOverride
    optionalAttrs
    ;

  plainboot = import ../lib { inherit (lib) warn; };
  inherit (plainboot) profile profileSettings;

  # Wins over what a configuration says, also in dockerVariant, and loses against mkForce there.
  mkImage = mkOverride 90;
in
{
  imports = [ ./refused.nix ];

  config = mkMerge (
    profileSettings.unitSettings
    ++ [
      {
        # systemd: that of the configuration, with the patches. Nothing else is rebuilt.
        systemd = {
          package = mkImage (plainboot.patchSystemd config.virtualisation.dockerImage.systemd);
          defaultUnit = mkImage profile.defaultTarget;
          # There is no console where somebody could enter root's password.
          enableEmergencyMode = mkImage false;
          # It kills by control group.
          oomd.enable = mkImage false;
          network.enable = mkForce false;
          units = genAttrs (profile.maskedUnits ++ [ "run-wrappers.mount" ]) (_: {
            enable = mkForce false;
          });
          # Their tmpfs cannot be mounted; on the container's disk setuid works as well.
          services.suid-sgid-wrappers = mkIf config.security.enableWrappers {
            preStart = mkBefore "mkdir -p /run/wrappers";
          };
        };

        environment.etc = profileSettings.etc // {
          # The engine mounts its own over these; activation can neither replace nor write them.
          hosts.enable = mkForce false;
          hostname.enable = mkForce false;
          "resolv.conf".enable = mkForce false;
        };

        # Boot: the engine is the boot loader, and its kernel runs.
        boot = {
          isContainer = mkForce true;
          loader.grub.enable = mkForce false;
          loader.systemd-boot.enable = mkForce false;
          # The engine mounted /proc, /dev, /dev/pts and /dev/shm; nobody may mount or remount here.
          specialFileSystems = mkForce { };
          nixStoreMountOpts = mkForce [ ];
          tmp.useTmpfs = mkForce false;
        };
        fileSystems = mkForce { };
        swapDevices = mkForce [ ];
        zramSwap.enable = mkForce false;
        powerManagement.enable = mkForce false;
        services.udev.enable = mkForce false;
        security.audit.enable = mkForce false;
        security.auditd.enable = mkForce false;

        # sethostname(2) and setdomainname(2) need CAP_SYS_ADMIN; the engine has done it.
        system.activationScripts.hostname = mkForce "";
        system.activationScripts.domain = mkForce "";

        # Network: interfaces, routes, packet filter and resolver are the engine's.
        networking = {
          useDHCP = mkForce false;
          dhcpcd.enable = mkForce false;
          useNetworkd = mkForce false;
          interfaces = mkForce { };
          defaultGateway = mkForce null;
          defaultGateway6 = mkForce null;
          firewall.enable = mkForce false;
          nftables.enable = mkForce false;
          networkmanager.enable = mkForce false;
          wireless.enable = mkForce false;
          useHostResolvConf = mkForce false;
          resolvconf.enable = mkForce false;
        };
        services.resolved.enable = mkForce false;

        # One sshd with a main process, which systemd tracks, instead of one per connection.
        # 900: over container-config.nix of nixpkgs, below the configuration.
        services.openssh.startWhenNeeded = mkOverride 900 false;

        # One gets in by `docker exec`, so nobody needs a password.
        users.allowNoPasswordLogin = mkDefault true;
      }
      # Options that not every nixpkgs has.
      (optionalAttrs (options.system ? nixos-init) {
        # It takes over from an initrd, and an image has none.
        system.nixos-init.enable = mkForce false;
      })
      (optionalAttrs (options.system ? etc) {
        # It mounts /etc.
        system.etc.overlay.enable = mkForce false;
      })
    ]
  );
}
