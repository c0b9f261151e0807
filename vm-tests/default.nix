# SPDX-License-Identifier: MIT
#
# The image in NixOS virtual machines, under Docker and under podman.
{
  pkgs,
  # ../nix/package.nix
  plainboot,
  # A `dockerImage` of ../nix/example.nix.
  image,
}:
let
  test =
    module: engine:
    pkgs.testers.runNixOSTest {
      imports = [ module ];
      _module.args = { inherit engine image plainboot; };
    };
in
{
  docker = test ./nginx.nix "docker";
  podman = test ./nginx.nix "podman";
}
