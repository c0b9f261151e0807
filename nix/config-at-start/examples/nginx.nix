# SPDX-License-Identifier: MIT
{
  services.nginx.enable = true;
  services.nginx.virtualHosts.localhost.root = "/web";
  networking.firewall.allowedTCPPorts = [ 80 ];
  system.stateVersion = "26.05";
}
