# SPDX-License-Identifier: MIT
#
# A NixOS configuration to try the module with, and what the VM tests boot: nginx, which answers a
# client with a page of its own.
{ pkgs, ... }:
{
  networking.hostName = "plainboot-example";
  networking.firewall.allowedTCPPorts = [ 80 ];

  services.nginx = {
    enable = true;
    virtualHosts.localhost.root = pkgs.writeTextDir "index.html" "nginx under systemd in a plain container\n";
  };

  # For a machine; the image has no disk and ignores it.
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.grub.enable = false;

  system.stateVersion = "26.05";
}
