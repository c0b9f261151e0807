# SPDX-License-Identifier: MIT
#
# Services as NixOS has them, run by s6.
{ pkgs, ... }:
{
  image.name = "example-systemd";

  systemd.services = {
    first = {
      serviceConfig.Type = "oneshot";
      script = "echo first: a oneshot";
    };
    second = {
      after = [ "first.service" ];
      preStart = "echo second: before it starts";
      environment.WHO = "second";
      script = ''
        echo "$WHO: a daemon"
        exec ${pkgs.coreutils}/bin/sleep infinity
      '';
    };
    third = {
      after = [ "second.service" ];
      serviceConfig.Type = "oneshot";
      serviceConfig.ExecStart = "${pkgs.coreutils}/bin/echo third: \"after a daemon\" of %n";
    };
  };
}
