# SPDX-License-Identifier: MIT
#
# `virtualisation.systemdContainers` and `plainboot-container` on a NixOS host.
{
  backend,
  # nix/containers
  module,
  name,
  ...
}:
{
  name = "plainboot-${name}";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ module ];
      virtualisation = {
        diskSize = 8192;
        memorySize = 3072;
        oci-containers = { inherit backend; };
        systemdContainers = {
          web = {
            autoStart = true;
            privateNetwork = true;
            hostAddress = "192.168.100.10";
            localAddress = "192.168.100.11";
            forwardPorts = [
              {
                hostPort = 8080;
                containerPort = 80;
              }
            ];
            bindMounts."/web".hostPath = "${pkgs.writeTextDir "index.html" "from a container\n"}";
            limits.MemoryMax = "512M";
            config = {
              services.nginx.enable = true;
              services.nginx.virtualHosts.localhost.root = "/web";
              networking.firewall.allowedTCPPorts = [ 80 ];
              system.stateVersion = "26.05";
            };
          };
          shared = {
            sharedStore = true;
            ephemeral = true;
            privateNetwork = true;
            config.system.stateVersion = "26.05";
          };
        };
      };
      environment.systemPackages = [ pkgs.curl ];
      specialisation.changed.configuration = {
        virtualisation.systemdContainers.shared.limits.TasksMax = 300;
      };
    };

  testScript = ''
    machine.wait_for_unit("${backend}-web.service")

    with subtest("nginx answers at both addresses"):
        machine.wait_until_succeeds("curl --fail --silent http://localhost:8080/ | grep 'from a container'", 120)
        machine.succeed("curl --fail --silent http://192.168.100.11/ | grep 'from a container'")

    with subtest("the command knows declared containers"):
        machine.succeed("test \"$(plainboot-container list | tr '\\n' ' ')\" = 'shared web '")
        machine.succeed("test \"$(plainboot-container status web)\" = up")
        machine.succeed("plainboot-container run web -- systemctl is-active nginx.service")
        machine.fail("plainboot-container destroy web")

    with subtest("the limit is the engine's"):
        machine.succeed("test \"$(${backend} inspect --format '{{.HostConfig.Memory}}' web)\" = 536870912")

    with subtest("its network is made once, and goes with its unit"):
        machine.succeed("systemctl stop plainboot-network-192.168.100.10.service")
        machine.fail("${backend} network inspect plainboot-192.168.100.10")
        machine.succeed("systemctl start ${backend}-web.service")
        machine.wait_until_succeeds("curl --fail --silent http://192.168.100.11/ | grep 'from a container'", 120)
        # It is there already when the power has failed.
        machine.succeed("systemctl cat plainboot-network-192.168.100.10.service | sed -n 's/^ExecStart=//p' | sh -e")
        machine.succeed("curl --fail --silent http://192.168.100.11/ | grep 'from a container'")

    with subtest("a container with the store of the host"):
        machine.succeed("plainboot-container start shared")
        machine.wait_until_succeeds("plainboot-container run shared -- systemctl is-system-running", 120)

    with subtest("a switch restarts what has changed, and nothing else"):
        before = machine.succeed("${backend} inspect --format '{{.State.StartedAt}}' web")
        machine.succeed("/run/current-system/specialisation/changed/bin/switch-to-configuration test")
        machine.wait_until_succeeds("test \"$(${backend} inspect --format '{{.HostConfig.PidsLimit}}' shared)\" = 300", 120)
        assert before == machine.succeed("${backend} inspect --format '{{.State.StartedAt}}' web")

    with subtest("what it keeps outlives a restart"):
        machine.succeed("plainboot-container run web -- touch /var/lib/kept")
        machine.succeed("plainboot-container restart web")
        machine.wait_until_succeeds("plainboot-container run web -- test -e /var/lib/kept", 120)
  '';
}
