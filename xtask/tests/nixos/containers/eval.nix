# SPDX-License-Identifier: MIT
#
# A host with nix/containers, over stand-ins for the options of NixOS that it sets or reads.
{
  lib,
  root,
  # A module of a user.
  module,
}:
let
  theirs = import lib;
  inherit (theirs) mkOption types;
  option = type: default: mkOption { inherit type default; };
  pkgs =
    import ../pkgs.nix {
      lib = theirs;
      version = "260.1";
    }
    // {
      path = toString ./nixpkgs;
    };
  host = theirs.evalModules {
    modules = [
      "${root}/nix/containers"
      module
      {
        config._module.args.pkgs = pkgs;
        options = {
          assertions = option (types.listOf types.unspecified) [ ];
          warnings = option (types.listOf types.str) [ ];
          environment.etc = option (types.attrsOf (
            types.submodule { options.text = option types.str ""; }
          )) { };
          environment.systemPackages = option (types.listOf types.package) [ ];
          systemd.services = option (types.attrsOf (types.attrsOf types.unspecified)) { };
          virtualisation.docker.package = option types.package pkgs.bash;
          virtualisation.podman.package = option types.package pkgs.bash;
          virtualisation.oci-containers.backend = option types.str "podman";
          # Their options, of which each must be one.
          virtualisation.oci-containers.containers = option (types.attrsOf (
            types.submodule {
              options = {
                image = mkOption { type = types.str; };
                imageFile = mkOption { type = types.package; };
                hostname = mkOption { type = types.str; };
                autoStart = mkOption { type = types.bool; };
                labels = mkOption { type = types.attrsOf types.str; };
                ports = mkOption { type = types.listOf types.str; };
                volumes = mkOption { type = types.listOf types.str; };
                extraOptions = mkOption { type = types.listOf types.str; };
              };
            }
          )) { };
        };
      }
    ];
  };
in
{
  lib = theirs;
  inherit (host) config options;
  containers = host.config.virtualisation.oci-containers.containers;
  errors = map (one: one.message) (builtins.filter (one: !one.assertion) host.config.assertions);
  addresses = import "${root}/nix/containers/addresses.nix" { lib = theirs; };
  # Those of one container, with "<name>" in their names.
  reference =
    map
      (
        one:
        builtins.intersectAttrs {
          name = null;
          description = null;
          type = null;
          default = null;
          example = null;
        } one
      )
      (
        builtins.filter (one: one.visible == true && !one.internal) (
          theirs.optionAttrSetToDocList {
            virtualisation = { inherit (host.options.virtualisation) systemdContainers; };
          }
        )
      );
}
