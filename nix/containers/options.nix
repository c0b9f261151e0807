# SPDX-License-Identifier: MIT
#
# The options of one of `virtualisation.systemdContainers`: those of `containers.<name>`, and limits.
{ lib, pkgs }:
let
  inherit (lib) mkOption types;
  string = types.nullOr types.str;

  # Options of `containers.<name>` that no engine has, and what to do instead.
  unavailable = {
    extraVeths = "give it further networks: extraFlags = [ \"--network=NAME\" ]";
    hostBridge = "make a network of the engine on that bridge, and give extraFlags = [ \"--network=NAME\" ]";
    interfaces = "an interface of the host cannot move into the container; use macvlan networks of the engine";
    macvlans = "make a macvlan network of the engine, and give extraFlags = [ \"--network=NAME\" ]";
    path = "give the configuration itself: config";
    flake = "give config of the flake's modules";
    privateUsers = "the engine maps users for all of its containers (userns-remap, rootless)";
    networkNamespacePath = "use networks of the engine";
  };

  bindMount =
    { name, ... }:
    {
      options = {
        mountPoint = mkOption {
          type = types.str;
          default = name;
          defaultText = lib.literalMD "the name of the attribute";
          description = "Where it is in the container.";
        };
        hostPath = mkOption {
          type = string;
          default = null;
          description = "Where it is on the host; at the same place, if null.";
        };
        isReadOnly = mkOption {
          type = types.bool;
          default = true;
          description = "Whether the container may only read it.";
        };
      };
    };

  forwardPort.options = {
    protocol = mkOption {
      type = types.enum [
        "tcp"
        "udp"
      ];
      default = "tcp";
      description = "The protocol.";
    };
    hostPort = mkOption {
      type = types.port;
      description = "The port of the host.";
    };
    containerPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      description = "The port of the container; the same, if null.";
    };
  };

  device.options = {
    node = mkOption {
      type = types.str;
      example = "/dev/net/tun";
      description = "The device node.";
    };
    modifier = mkOption {
      type = types.str;
      example = "rw";
      description = "What the container may do with it: r, w and m (mknod).";
    };
  };

  # A whole NixOS, of what all definitions of the option say together.
  system =
    name: one:
    lib.mkOptionType {
      name = "NixOS configuration";
      check = value: builtins.isAttrs value || builtins.isFunction value || builtins.isPath value;
      merge =
        loc: definitions:
        (import "${toString one.nixpkgs}/nixos/lib/eval-config.nix" {
          inherit lib;
          inherit (one) specialArgs;
          # As on the host, unless the container says otherwise.
          system = null;
          prefix = loc;
          modules = [
            ../modules
            {
              nixpkgs.hostPlatform = lib.mkDefault pkgs.stdenv.hostPlatform.system;
              networking.hostName = lib.mkDefault name;
              virtualisation.dockerImage = {
                name = lib.mkDefault "plainboot-container-${lib.toLower name}";
                unenforcedLimits = lib.mkDefault "refuse";
                includeStorePaths = !one.sharedStore;
              };
            }
          ]
          ++ map (definition: {
            _file = definition.file;
            imports = [ definition.value ];
          }) definitions;
        }).config;
    };
in
{
  inherit unavailable;

  module =
    { config, name, ... }:
    {
      options = {
        config = mkOption {
          type = system name config;
          description = "The NixOS configuration of the container.";
        };
        nixpkgs = mkOption {
          type = types.path;
          default = pkgs.path;
          defaultText = lib.literalExpression "pkgs.path";
          description = "The nixpkgs of the container.";
        };
        specialArgs = mkOption {
          type = types.attrsOf types.unspecified;
          default = { };
          description = "Further arguments for the modules of the container.";
        };
        autoStart = mkOption {
          type = types.bool;
          default = false;
          description = "Whether it starts with the host.";
        };
        restartIfChanged = mkOption {
          type = types.bool;
          default = true;
          description = "Whether `nixos-rebuild switch` restarts it if it has changed.";
        };
        privateNetwork = mkOption {
          type = types.bool;
          default = false;
          description = "Whether it has a network of its own, in place of the host's.";
        };
        hostAddress = mkOption {
          type = string;
          default = null;
          example = "192.168.100.10";
          description = ''
            The IPv4 address of the host in the network that it shares with the container. Containers
            with the same one see one another.
          '';
        };
        localAddress = mkOption {
          type = string;
          default = null;
          example = "192.168.100.11";
          description = "The IPv4 address of the container.";
        };
        forwardPorts = mkOption {
          type = types.listOf (types.submodule forwardPort);
          default = [ ];
          example = [
            {
              hostPort = 8080;
              containerPort = 80;
            }
          ];
          description = "Ports of the host that lead to the container.";
        };
        bindMounts = mkOption {
          type = types.attrsOf (types.submodule bindMount);
          default = { };
          example = {
            "/home".hostPath = "/home/alice";
          };
          description = "Folders and files of the host that the container sees.";
        };
        ephemeral = mkOption {
          type = types.bool;
          default = false;
          description = ''
            Whether each start begins anew. Otherwise `/var`, `/home` and `/root` are volumes, and stay.
          '';
        };
        sharedStore = mkOption {
          type = types.bool;
          default = false;
          description = ''
            Whether the container reads its programs from the store of the host, instead of having them
            in its image. It then sees all of the host's store.
          '';
        };
        tmpfs = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "/tmp" ];
          description = "Folders that are in memory.";
        };
        allowedDevices = mkOption {
          type = types.listOf (types.submodule device);
          default = [ ];
          description = "Devices of the host that the container may use.";
        };
        additionalCapabilities = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "CAP_NET_ADMIN" ];
          description = "Capabilities beyond those that every container has. None is needed for systemd.";
        };
        enableTun = mkOption {
          type = types.bool;
          default = false;
          description = "Whether it may make TUN and TAP interfaces.";
        };
        extraFlags = mkOption {
          type = types.listOf types.str;
          default = [ ];
          example = [ "--dns=192.0.2.53" ];
          description = "Further options of `docker run` or `podman run`.";
        };
        limits = {
          MemoryMax = mkOption {
            type = string;
            default = null;
            example = "512M";
            description = "The memory that the whole container gets, as systemd has it.";
          };
          CPUQuota = mkOption {
            type = string;
            default = null;
            example = "150%";
            description = "The time that it gets on processors: `100%` is that of one.";
          };
          TasksMax = mkOption {
            type = types.nullOr types.ints.positive;
            default = null;
            example = 512;
            description = "How many processes and threads it may have.";
          };
          AllowedCPUs = mkOption {
            type = string;
            default = null;
            example = "0-1";
            description = "The processors that it may use.";
          };
        };
      }
      // lib.mapAttrs (
        _: instead:
        mkOption {
          type = types.unspecified;
          default = null;
          visible = false;
          description = "Not available: ${instead}.";
        }
      ) unavailable;
    };
}
