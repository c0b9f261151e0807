# SPDX-License-Identifier: MIT
#
# The images in NixOS virtual machines: the one with systemd under Docker and under podman, those with s6.
{
  pkgs,
  # ../nix/package.nix
  plainboot,
  # A `dockerImage` of ../nix/example.nix.
  image,
  # Those of ../nix/s6-images.
  s6Images,
  # That of ../nix/config-at-start.
  configAtStart,
}:
let
  test =
    module: engine:
    pkgs.testers.runNixOSTest {
      imports = [ module ];
      _module.args = { inherit engine image plainboot; };
    };
  onHost =
    backend: name:
    pkgs.testers.runNixOSTest {
      imports = [ ./containers.nix ];
      _module.args = {
        inherit backend name;
        module = ../nix/containers;
      };
    };
in
{
  docker = test ./nginx.nix "docker";
  podman = test ./nginx.nix "podman";
  containers = onHost "docker" "containers";
  containers-podman = onHost "podman" "containers-podman";
  config-at-start = pkgs.testers.runNixOSTest {
    imports = [ ./config-at-start.nix ];
    _module.args = {
      name = "config-at-start";
      image = configAtStart;
    };
  };
  s6 = pkgs.testers.runNixOSTest {
    imports = [ ./s6.nix ];
    _module.args = {
      name = "s6";
      images = s6Images;
    };
  };
}
