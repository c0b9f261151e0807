# SPDX-License-Identifier: MIT
#
# The image that builds its system when it starts: `nix-build -A config-at-start`.
{
  pkgs ? import <nixpkgs> { },
}:
(import (pkgs.path + "/nixos") {
  inherit (pkgs.stdenv.hostPlatform) system;
  configuration.imports = [
    ../modules
    ./module.nix
  ];
}).config.system.build.dockerImage
