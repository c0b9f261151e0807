# SPDX-License-Identifier: MIT
#
# module -> image.
#
# The module is evaluated as a NixOS configuration, with all of NixOS' modules, and the image holds what
# it *adds* to an empty one: files of /etc, packages, users, services. Of the empty one itself nothing
# comes in, so that an image of one program has that program and its closure.
{ pkgs }:
module:
let
  inherit (pkgs) lib;

  bare = import (pkgs.path + "/nixos/lib/eval-config.nix") {
    inherit lib;
    # That of `pkgs`, below.
    system = null;
    modules = [
      ./base.nix
      { nixpkgs.pkgs = pkgs; }
    ];
  };
  evaluated = bare.extendModules {
    modules = [
      ./image.nix
      ./s6.nix
      ./systemd.nix
      { _module.args.bare = bare.config; }
      module
    ];
  };
  inherit (evaluated) config options;

  errors = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  checked =
    value:
    if errors != [ ] then
      throw "\nplainboot: the image cannot be made:\n${lib.concatMapStrings (text: "- ${text}\n") errors}"
    else
      lib.foldr lib.warn value config.warnings;

  image = pkgs.dockerTools.buildLayeredImage (
    {
      inherit (config.image) name tag;
      fromImage = config.image.from;
      contents = config.image.build.contents;
      extraCommands = config.image.build.commands;
      fakeRootCommands = config.image.build.rootCommands;
      config = config.image.build.config;
    }
    # Older nixpkgs do not know the argument.
    // lib.optionalAttrs config.nix.enable { includeNixDB = true; }
  );
in
checked image
// {
  inherit config options;
}
// lib.optionalAttrs (config.s6.init != null) {
  # A script: `init STATE-DIR`, as any user.
  init = checked config.s6.init;
}
