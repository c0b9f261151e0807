# SPDX-License-Identifier: MIT
#
# Every kind of service, and a user.
{ pkgs, ... }:
{
  image.name = "example";
  image.interactive = true;
  users.users.alice.isNormalUser = true;
  environment.etc."greeting".text = "hello\n";

  s6.services = {
    migrate.type = "oneshot-pre";
    migrate.script = "echo migrate: once, before the daemons";
    prepare.type = "oneshot-pre";
    prepare.after = [ "migrate" ];
    prepare.script = "echo prepare: after migrate";
    daemon.user = "alice";
    daemon.environment.GREETING = "/etc/greeting";
    daemon.script = ''
      echo "daemon: $(${pkgs.coreutils}/bin/id -un) says $(${pkgs.coreutils}/bin/cat "$GREETING")"
      exec ${pkgs.coreutils}/bin/sleep infinity
    '';
    announce.type = "oneshot-post";
    announce.script = "echo announce: once, after the daemons";
  };
}
