# SPDX-License-Identifier: MIT
#
# What differs in the image from the configuration that it is made of. Nothing here reaches the
# configuration itself: ./default.nix evaluates this on top of it.
#
# Why each line is there, and what is *not* there, is in docs/from-nixos2docker.md.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib)
    genAttrs
    mapAttrsToList
    mkDefault
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
          packages = mapAttrsToList (
            path: text: pkgs.writeTextDir "lib/systemd/system/${path}" text
          ) profileSettings.typeSettings;
          tmpfiles.rules = profile.tmpfiles;
          # There is no console where somebody could enter root's password.
          enableEmergencyMode = mkImage false;
          # It kills by control group.
          oomd.enable = mkImage false;
          network.enable = mkImage false;
          units = genAttrs (profile.maskedUnits ++ [ "run-wrappers.mount" ]) (_: {
            enable = mkImage false;
          });
        };

        environment.etc = profileSettings.etc // {
          # The engine mounts its own over these; activation can neither replace nor write them.
          hosts.enable = mkImage false;
          hostname.enable = mkImage false;
          "resolv.conf".enable = mkImage false;
        };

        # Boot: the engine is the boot loader, and its kernel runs.
        boot = {
          isContainer = mkImage true;
          # With one that runs systemd, the `init` of the system would be systemd itself, since the
          # initrd has activated it by then; nobody would do so here.
          initrd.enable = mkImage false;
          initrd.systemd.enable = mkImage false;
          loader.grub.enable = mkImage false;
          loader.systemd-boot.enable = mkImage false;
          # The engine mounted /proc, /dev, /dev/pts and /dev/shm; nobody may mount or remount here.
          specialFileSystems = mkImage { };
          tmp.useTmpfs = mkImage false;
        };
        fileSystems = mkImage { };
        swapDevices = mkImage [ ];
        zramSwap.enable = mkImage false;
        powerManagement.enable = mkImage false;
        services.udev.enable = mkImage false;
        security.audit.enable = mkImage false;
        security.auditd.enable = mkImage false;

        # sethostname(2) and setdomainname(2) need CAP_SYS_ADMIN; the engine has done it.
        system.activationScripts.hostname = mkImage "";
        system.activationScripts.domain = mkImage "";

        # Network: interfaces, routes, packet filter and resolver are the engine's.
        networking = {
          useDHCP = mkImage false;
          dhcpcd.enable = mkImage false;
          useNetworkd = mkImage false;
          interfaces = mkImage { };
          defaultGateway = mkImage null;
          defaultGateway6 = mkImage null;
          firewall.enable = mkImage false;
          nftables.enable = mkImage false;
          networkmanager.enable = mkImage false;
          wireless.enable = mkImage false;
          useHostResolvConf = mkImage false;
          resolvconf.enable = mkImage false;
        };
        services.resolved.enable = mkImage false;

        # One sshd with a main process, which systemd tracks, instead of one per connection.
        # 900: over container-config.nix of nixpkgs, below the configuration.
        services.openssh.startWhenNeeded = mkOverride 900 false;

        # One gets in by `docker exec`, so nobody needs a password.
        users.allowNoPasswordLogin = mkDefault true;
      }
      # Options that not every nixpkgs has.
      (
        if options.boot ? nixStoreMountOpts then
          { boot.nixStoreMountOpts = mkImage [ ]; }
        else
          { boot.readOnlyNixStore = mkImage false; }
      )
      (optionalAttrs (options.system ? nixos-init) {
        # It takes over from an initrd, and an image has none.
        system.nixos-init.enable = mkImage false;
      })
      (optionalAttrs (options.system ? etc) {
        # It mounts /etc.
        system.etc.overlay.enable = mkImage false;
      })
    ]
  );
}
