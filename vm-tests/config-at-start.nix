# SPDX-License-Identifier: MIT
#
# The image that builds its system when it starts, without a network: all that its configuration adds to
# the image's own is a file.
{ image, name, ... }:
{
  name = "plainboot-${name}";

  nodes.machine =
    { pkgs, ... }:
    {
      virtualisation = {
        diskSize = 16384;
        memorySize = 4096;
        docker.enable = true;
      };
      environment.etc."first/configuration.nix".text = ''
        { environment.etc.greeting.text = "first\n"; system.stateVersion = "26.05"; }
      '';
    };

  testScript = ''
    machine.wait_for_unit("docker.service")
    image = machine.succeed("docker load < ${image}").strip().split()[-1]
    machine.succeed("mkdir /config && cp /etc/first/configuration.nix /config/")
    machine.succeed(f"docker run --detach --name nixos --volume /config:/config:ro {image}")

    with subtest("it is built, and systemd is not"):
        machine.wait_until_succeeds("docker logs nixos 2>&1 | grep 'plainboot: built system-1-link'", 1800)
        machine.fail("docker logs nixos 2>&1 | grep -E \"building .*-systemd-[0-9]\"")
        machine.wait_until_succeeds("docker exec nixos systemctl is-system-running", 300)
        machine.succeed("docker exec nixos grep first /etc/greeting")
        machine.wait_until_succeeds("test \"$(docker inspect --format '{{.State.Health.Status}}' nixos)\" = healthy", 60)

    with subtest("a restart builds nothing"):
        machine.succeed("docker restart nixos")
        machine.wait_until_succeeds("docker logs nixos 2>&1 | grep 'has not changed'", 60)

    with subtest("a failure keeps the last good system"):
        machine.succeed("echo '{ oops }' >/config/configuration.nix && docker restart nixos")
        machine.wait_until_succeeds("docker logs nixos 2>&1 | grep 'starts the last good system'", 600)
        machine.wait_until_succeeds("docker exec nixos systemctl is-system-running", 300)
  '';
}
