# SPDX-License-Identifier: MIT
#
# `nixosModules.containers`: `virtualisation.systemdContainers.<name>`, containers of NixOS
# configurations on a host, run by its Docker or Podman.
#
# Each becomes one of `virtualisation.oci-containers`, whose units start it, and are restarted by
# `nixos-rebuild switch` if they have changed, and only then.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    attrValues
    concatLists
    concatMap
    filterAttrs
    mapAttrs
    mapAttrs'
    mapAttrsToList
    mkIf
    mkOption
    nameValuePair
    optional
    optionals
    types
    ;
  cfg = config.virtualisation.systemdContainers;
  inherit (config.virtualisation.oci-containers) backend;
  limits = import ./limits.nix { inherit lib; };
  addresses = import ./addresses.nix { inherit lib; };

  container = import ./options.nix { inherit lib pkgs; };
  unitOf = name: "${backend}-${name}.service";
  hasAddresses = one: one.hostAddress != null && one.localAddress != null;
  networkOf = one: "plainboot-${one.hostAddress}";
  shares = attrValues (filterAttrs (_: hasAddresses) cfg);
  # One network for all containers that have the same address of the host; it must hold them all.
  networks = lib.groupBy (one: one.hostAddress) shares;
  subnetOf = host: users: addresses.subnet ([ host ] ++ map (one: one.localAddress) users);
  overlapping = map (
    two:
    "virtualisation.systemdContainers: the networks of hostAddress ${two} overlap; give their containers the same hostAddress, or addresses further apart"
  ) (addresses.overlaps (lib.mapAttrs subnetOf networks));

  volume =
    mount:
    "${if mount.hostPath == null then mount.mountPoint else mount.hostPath}:${mount.mountPoint}"
    + lib.optionalString mount.isReadOnly ":ro";
  port =
    forward:
    "${toString forward.hostPort}:${
      toString (if forward.containerPort == null then forward.hostPort else forward.containerPort)
    }/${forward.protocol}";

  image = one: one.config.virtualisation.dockerImage;

  translate = name: one: {
    image = "${(image one).name}:${(image one).tag}";
    imageFile = one.config.system.build.dockerImage;
    hostname = name;
    inherit (one) autoStart;
    labels."plainboot.container" = "declared";
    ports = map port one.forwardPorts;
    volumes =
      map volume (attrValues one.bindMounts)
      ++ optionals (!one.ephemeral) (
        map (folder: "plainboot-${name}-${folder}:/${folder}") [
          "var"
          "home"
          "root"
        ]
      )
      ++ optional one.sharedStore "/nix/store:/nix/store:ro";
    extraOptions =
      (
        if !one.privateNetwork then
          [ "--network=host" ]
        else if hasAddresses one then
          [
            "--network=${networkOf one}"
            "--ip=${one.localAddress}"
          ]
        else
          [ ]
      )
      ++ limits.options one.limits
      ++ map (folder: "--tmpfs=${folder}") one.tmpfs
      ++ map (device: "--device=${device.node}:${device.node}:${device.modifier}") one.allowedDevices
      ++ optional one.enableTun "--device=/dev/net/tun"
      ++ map (capability: "--cap-add=${lib.removePrefix "CAP_" capability}") (
        one.additionalCapabilities ++ optional one.enableTun "CAP_NET_ADMIN"
      )
      ++ one.extraFlags;
  };

  errors =
    name: one:
    let
      option = "virtualisation.systemdContainers.${name}";
      failed = map (said: "${option}.config: ${said.message}") (
        builtins.filter (said: !said.assertion) one.config.virtualisation.dockerVariant.assertions
      );
    in
    optional (
      builtins.match "[a-zA-Z0-9][a-zA-Z0-9_-]+" name == null
    ) "${option}: a container's name is two or more letters, digits, - and _"
    ++ optional (
      !one.privateNetwork && (one.hostAddress != null || one.localAddress != null)
    ) "${option}: hostAddress and localAddress are of a privateNetwork; set privateNetwork = true"
    ++ optional (
      (one.hostAddress == null) != (one.localAddress == null)
    ) "${option}: hostAddress and localAddress go together"
    ++
      optional (!one.privateNetwork && one.forwardPorts != [ ])
        "${option}.forwardPorts: without privateNetwork the container has the ports of the host; set privateNetwork = true, or leave forwardPorts away"
    ++ mapAttrsToList (other: instead: "${option}.${other}: an engine does not offer it; ${instead}") (
      filterAttrs (other: _: one.${other} != null) container.unavailable
    )
    ++ limits.errors "${option}.limits" one.limits
    ++ failed;
in
{
  options.virtualisation.systemdContainers = mkOption {
    type = types.attrsOf (types.submodule container.module);
    default = { };
    example = lib.literalExpression ''
      {
        web = {
          autoStart = true;
          privateNetwork = true;
          hostAddress = "192.168.100.10";
          localAddress = "192.168.100.11";
          limits.MemoryMax = "512M";
          config = {
            services.nginx.enable = true;
            system.stateVersion = "26.05";
          };
        };
      }
    '';
    description = ''
      NixOS containers, with systemd, run by Docker or Podman without privileges: the options of
      `containers.<name>`, and limits. {option}`virtualisation.oci-containers.backend` says by which
      engine.
    '';
  };

  config = mkIf (cfg != { }) {
    virtualisation.oci-containers.containers = mapAttrs translate cfg;
    environment.systemPackages = [ (pkgs.callPackage ./package.nix { }) ];

    # What `plainboot-container` knows them by. With a shared store, what the container runs must stay: a
    # compressed image refers to nothing that the collector of garbage would see.
    environment.etc = mapAttrs' (
      name: one:
      nameValuePair "plainboot/containers/${name}" {
        text =
          "unit=${unitOf name}\n"
          + lib.optionalString one.sharedStore (
            let
              inherit (one.config.virtualisation.dockerVariant.system) build;
            in
            lib.concatMapStrings (path: "keeps=${path}\n") ([ build.toplevel ] ++ build.dockerImageContents)
          );
      }
    ) cfg;

    assertions = map (message: {
      assertion = false;
      inherit message;
    }) (concatLists (mapAttrsToList errors cfg) ++ overlapping);

    warnings = concatMap (
      name:
      map (
        said: "virtualisation.systemdContainers.${name}.config: ${said}"
      ) cfg.${name}.config.virtualisation.dockerVariant.warnings
    ) (builtins.attrNames cfg);

    systemd.services =
      mapAttrs' (
        host: users:
        nameValuePair "plainboot-network-${host}" {
          description = "Network of containers for which the host is ${host}";
          # Containers require it, and come after it, by their own units: a unit that named them would be
          # another one with each of them, and a switch would restart them all.
          after = optionals (backend == "docker") [ "docker.service" ];
          requires = optionals (backend == "docker") [ "docker.service" ];
          path = [ config.virtualisation.${backend}.package ];
          serviceConfig.Type = "oneshot";
          serviceConfig.RemainAfterExit = true;
          script =
            builtins.replaceStrings
              [
                "@engine@"
                "@host@"
                "@subnet@"
              ]
              [
                backend
                host
                (subnetOf host users)
              ]
              (builtins.readFile ./network.sh);
          # Its containers have stopped before, as they require it. It stays for one of somebody else, who may
          # have stopped it too: an engine would give it away.
          preStop = ''
            [ -n "$(${backend} ps --all --quiet --filter network=plainboot-${host})" ] || ${backend} network rm plainboot-${host}
          '';
        }
      ) networks
      // mapAttrs' (
        name: one:
        nameValuePair "${backend}-${name}" (
          {
            inherit (one) restartIfChanged;
          }
          // lib.optionalAttrs (hasAddresses one) {
            requires = [ "plainboot-network-${one.hostAddress}.service" ];
            after = [ "plainboot-network-${one.hostAddress}.service" ];
          }
        )
      ) cfg;
  };
}
