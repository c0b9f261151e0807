# SPDX-License-Identifier: MIT
{ pkgs, ... }:
{
  networking.hostName = "my-host";

  services.nginx = {
    enable = true;
    virtualHosts.localhost.root = pkgs.writeTextDir "index.html" "hello\n";
  };
  networking.firewall.allowedTCPPorts = [ 80 ];

  # What holds in the image alone.
  virtualisation.dockerVariant = {
    environment.systemPackages = [ pkgs.strace ];
  };

  # What holds on a machine alone; the image does without.
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.grub.enable = false;

  system.stateVersion = "26.05";
}
