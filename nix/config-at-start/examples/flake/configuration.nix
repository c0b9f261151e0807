# SPDX-License-Identifier: MIT
{ pkgs, ... }:
{
  environment.systemPackages = [ pkgs.hello ];
  system.stateVersion = "26.05";
}
