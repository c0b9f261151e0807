# SPDX-License-Identifier: MIT
#
# Images of makeImage in a plain `docker run IMAGE`, with s6 as PID 1 where they have services.
{
  # { hello = image; }, of those of ../nix/s6-images/images.
  images,
  # What tells the test from others.
  name,
  ...
}:
let
  # Python, for each: the image is loaded, and its reference is `image`.
  expected = {
    hello = ''
      machine.succeed(f"docker run --rm {image} | grep 'Hello, world!'")
    '';
    example = ''
      machine.succeed(f"docker run --detach --name example {image}")
      machine.wait_until_succeeds("docker logs example 2>&1 | grep 'has started everything'", 60)
      machine.succeed("docker logs example 2>&1 | grep 'daemon: alice says hello'")
      machine.succeed("test \"$(docker exec example cat /proc/1/comm)\" = s6-svscan")
      machine.succeed("timeout 10 docker stop example")
      machine.succeed("test \"$(docker inspect --format '{{.State.ExitCode}}' example)\" = 0")
      # The folder of the last start is no hindrance.
      machine.succeed("docker start example")
      machine.wait_until_succeeds("test \"$(docker logs example 2>&1 | grep -c 'has started everything')\" = 2", 60)
    '';
    example-systemd = ''
      machine.succeed(f"docker run --detach --name systemd {image}")
      machine.wait_until_succeeds("docker logs systemd 2>&1 | grep 'third: after a daemon of third.service'", 60)
      machine.succeed("docker logs systemd 2>&1 | grep 'second: a daemon'")
    '';
    nginx = ''
      machine.succeed(f"docker run --detach --name nginx --publish 8080:80 {image}")
      machine.wait_until_succeeds("curl --fail --silent http://localhost:8080/ | grep 'nginx under s6'", 60)
    '';
    nix = ''
      machine.succeed(f"docker run --rm {image} -c 'nix-instantiate --eval --expr 1+1' | grep 2")
      machine.succeed(f"docker run --rm {image} -c 'nix-store --query --requisites /bin/nix'")
    '';
  };
in
{
  name = "plainboot-${name}";

  nodes.machine =
    { pkgs, ... }:
    {
      virtualisation = {
        diskSize = 8192;
        memorySize = 2048;
        docker.enable = true;
      };
      environment.systemPackages = [ pkgs.curl ];
    };

  testScript = ''
    machine.wait_for_unit("docker.service")
  ''
  + builtins.concatStringsSep "" (
    map (one: ''
      loaded = machine.succeed("docker load < ${images.${one}}")
      image = loaded.strip().split()[-1]
      ${expected.${one}}
    '') (builtins.attrNames images)
  );
}
