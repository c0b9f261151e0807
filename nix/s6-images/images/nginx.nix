# SPDX-License-Identifier: MIT
#
# The nginx of NixOS, without systemd.
{ pkgs, ... }:
{
  image.name = "nginx";
  image.exposedPorts."80/tcp" = { };
  services.nginx = {
    enable = true;
    virtualHosts.localhost.root = pkgs.writeTextDir "index.html" "nginx under s6\n";
  };
}
