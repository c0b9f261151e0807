# SPDX-License-Identifier: MIT
#
# What the configuration asks for and a plain container refuses: an error where a unit would not
# start, less hardening where it would not start for that alone, and a file in the image for what has
# no effect.
{
  config,
  lib,
  options,
  ...
}:
let
  plainboot = import ../lib { inherit (lib) warn; };
  inherit (plainboot) refused;
  inherit (lib)
    attrNames
    concatMap
    concatMapAttrs
    concatStringsSep
    elem
    elemAt
    filter
    filterAttrs
    head
    mkOption
    optional
    toList
    unique
    ;

  enabled = filterAttrs (_: unit: unit.enable);
  sections =
    kind: section: units:
    concatMapAttrs (name: unit: {
      "${name}.${kind}" = {
        Unit = unit.unitConfig;
        ${section} = unit."${kind}Config";
      };
    }) (enabled units);

  refusesLimits = config.virtualisation.dockerImage.unenforcedLimits == "refuse";
  services = enabled config.systemd.services;
  found = refused.find (
    sections "service" "Service" services
    // sections "socket" "Socket" config.systemd.sockets
    // sections "slice" "Slice" config.systemd.slices
  );

  dropped = concatMap (
    name: map (what: "${name}.service ${what}") (refused.droppedFrom services.${name})
  ) (attrNames services);

  # Limits of the container's resources, which the engine can set for all of it.
  limits = filter (one: lib.hasPrefix "Limit the container" one.remedy && one.value != "infinity") (
    refused.of "ignored" found
  );

  mounts = filter (mount: mount.enable && mount.where != "/run/wrappers") (
    config.systemd.mounts ++ config.systemd.automounts
  );

  machineId = config.environment.etc."machine-id" or { enable = false; };

  # The files in which an option has a definition that says so; what a module has without a file is
  # left out.
  definedIn =
    option: says:
    unique (
      filter (file: file != "<unknown-file>") (
        map (definition: definition.file) (
          filter (definition: says definition.value) option.definitionsWithLocations
        )
      )
    );
  unitFiles =
    unit:
    let
      # NAME.KIND; names may have dots in them.
      parts = builtins.match "(.*)\\.([a-z]+)" unit;
    in
    definedIn options.systemd."${elemAt parts 1}s" (units: units ? ${head parts});
  mountFiles =
    where: option:
    definedIn option (mounts: builtins.any (mount: mount.where or null == where) (toList mounts));

  # Settings that the engine overrules, each with what to do instead.
  lost =
    optional (
      config.networking.extraHosts != ""
    ) "networking.extraHosts (the engine writes /etc/hosts: `docker run --add-host NAME:ADDRESS`)"
    ++ optional (
      config.networking.nameservers != [ ]
    ) "networking.nameservers (the engine writes /etc/resolv.conf: `docker run --dns ADDRESS`)";
in
{
  options.systemd.services = mkOption {
    # After everything has been said about a service, hence no definition.
    apply = lib.mapAttrs refused.drop;
  };

  config = {
    assertions = [
      {
        assertion = config.systemd.package ? plainboot;
        message = "plainboot: systemd.package in virtualisation.dockerVariant is a systemd without the patches, which does not boot in a plain container. Remove it there, and set systemd.package in the configuration itself: the image patches that";
      }
      {
        assertion = !machineId.enable;
        message = "plainboot: environment.etc.\"machine-id\"${
          refused.places (definedIn options.environment.etc (files: files ? "machine-id"))
        } gives every container of the image the same machine id. Set environment.etc.\"machine-id\".enable = lib.mkForce false in virtualisation.dockerVariant";
      }
      {
        assertion = !(elem "/run" config.virtualisation.dockerImage.volumes);
        message = "plainboot: virtualisation.dockerImage.volumes must not hold /run: a volume outlives the restart of a container, and what is in /run must not. Remove it; /run needs no mount";
      }
    ]
    ++ map (one: {
      assertion = false;
      message = refused.message (unitFiles one.unit) one;
    }) (refused.of "fails" found ++ lib.optionals refusesLimits limits)
    ++ map (mount: {
      assertion = false;
      message = "plainboot: systemd.mounts or systemd.automounts mounts ${mount.where}${
        refused.places (
          mountFiles mount.where options.systemd.mounts ++ mountFiles mount.where options.systemd.automounts
        )
      }, which a plain container refuses. Define it with lib.mkIf (!config.boot.isContainer), and use `docker run --volume` or `--tmpfs ${mount.where}`";
    }) mounts;

    warnings =
      map (said: "plainboot: without effect in the image: ${said}") lost
      ++
        optional (dropped != [ ])
          "plainboot: dropped in the image, since these services would not start with it: ${concatStringsSep ", " dropped}. They are less hardened than in the configuration; the container is the boundary";

    # For whoever looks into a running container.
    environment.etc."plainboot/unenforced.json".text = builtins.toJSON (
      map (one: {
        inherit (one)
          unit
          option
          value
          why
          remedy
          ;
      }) (refused.of "ignored" found)
    );
  };
}
