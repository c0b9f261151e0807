# SPDX-License-Identifier: MIT
#
# Evaluates a configuration over the stand-ins with nixpkgs' own `lib`.
{
  # Where nixpkgs' `lib` and plainboot are.
  lib,
  root,
  version ? "260.1",
  # See ./stand-ins.nix.
  older ? false,
  # Takes the stand-ins for packages, and gives those that are to be others.
  packages ? (_: { }),
  # Modules of a user.
  modules ? [ ],
}:
let
  theirs = import lib;
  standIns = import ./pkgs.nix {
    lib = theirs;
    inherit version;
  };
  pkgs = standIns // packages standIns;
  stage = theirs.evalModules {
    specialArgs = { inherit older; };
    modules = [
      ./stand-ins.nix
      { _module.args.pkgs = pkgs; }
    ]
    ++ modules;
  };
  imaged = stage.extendModules { modules = [ "${root}/nix/modules" ]; };

  # What a configuration says of everything but the image, with packages as their names.
  plain =
    config:
    let
      known = builtins.removeAttrs config [
        "_module"
        "assertions"
        # Whether the manual is built in a sandbox.
        "meta"
        "virtualisation"
      ];
    in
    show (
      known
      // {
        system = known.system // {
          build = builtins.removeAttrs known.system.build [
            "dockerImage"
            "dockerImageContents"
            "dockerImageStream"
          ];
        };
      }
    );

  show =
    value:
    if theirs.isDerivation value then
      "package ${value.name}" + theirs.optionalString (value ? plainboot) ", patched"
    else if builtins.isAttrs value then
      builtins.mapAttrs (_: show) value
    else if builtins.isList value then
      map show value
    else
      value;

  image = imaged.config.system.build.dockerImage;
  variant = imaged.config.virtualisation.dockerVariant;
in
{
  inherit theirs pkgs variant;
  inherit (imaged) config;
  options = imaged.options.virtualisation;

  # The options that plainboot declares, for their reference.
  reference =
    let
      ours = {
        inherit (imaged.options.virtualisation) dockerImage dockerVariant;
      };
      shown = builtins.filter (one: one.visible == true || one.visible == "shallow") (
        builtins.filter (one: !one.internal) (theirs.optionAttrSetToDocList ours)
      );
      below = builtins.filter (one: !(theirs.hasPrefix "virtualisation.dockerVariant." one.name)) shown;
    in
    map (
      one:
      builtins.intersectAttrs {
        name = null;
        description = null;
        type = null;
        default = null;
        example = null;
      } one
    ) below;

  untouched = {
    before = plain stage.config;
    after = plain imaged.config;
    assertions = imaged.config.assertions;
  };

  # Refused assertions and warnings of the image.
  said = {
    errors = map (one: one.message) (builtins.filter (one: !one.assertion) variant.assertions);
    inherit (variant) warnings;
  };

  # As given to dockerTools.
  inherit (image) arguments;

  image = {
    inherit (image) kind;
    arguments = image.arguments // {
      contents = map (one: one.name) image.arguments.contents;
    };
    streamed = imaged.config.system.build.dockerImageStream.kind;
  };

  # What is set in the image and was not, or otherwise, in the configuration.
  settings =
    let
      differing =
        before: after:
        theirs.filterAttrs (_: value: value != { }) (
          builtins.mapAttrs (
            name: value:
            if !(before ? ${name}) then
              value
            else if !(after ? ${name}) then
              { was = value; }
            else if builtins.isAttrs before.${name} && builtins.isAttrs after.${name} then
              differing before.${name} after.${name}
            else if after.${name} == before.${name} then
              { }
            else
              {
                was = before.${name};
                is = after.${name};
              }
          ) (before // after)
        );
    in
    differing (plain stage.config) (plain variant);
}
