// SPDX-License-Identifier: MIT
//! The init of `nix/s6-images`, built by a real Nix and run by a real s6.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/s6.rs"]
mod images;
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use std::process::Command;
use std::time::{Duration, Instant};

use images::{DEADLINE, Running, build, init, json, order, with_s6};
use serde_json::json;

#[test]
fn s6_runs_services_in_their_order() {
    let Some(nixos) = with_s6() else { return };
    let init = init(
        &nixos,
        r#"{
  a = { type = "oneshot-pre"; script = "echo is-a"; after = [ "b" ]; };
  b = { type = "oneshot-pre"; script = "sleep 0.3; echo is-b"; };
  daemon = { script = "echo is-daemon $WHO in $PWD; exec sleep 1000"; environment.WHO = "it's me";
    workingDirectory = "/tmp"; };
  off = { script = "echo is-off"; enable = false; };
  x = { type = "oneshot-post"; execStart = "echo is-x '$HOME'"; after = [ "y" "a" ]; };
  y = { type = "oneshot-post"; script = "sleep 0.5; echo is-y"; };
}"#,
    );
    let mut running = Running::start(&init, &[]);
    running.wait_for("has started everything");
    running.signal(rustix::process::Signal::TERM);
    let (code, log) = running.end();
    assert_eq!(code, Some(0), "{log}");
    order(&log, &["is-b", "is-a", "is-daemon it's me in /tmp", "is-y", "is-x $HOME", "finish: 0"]);
    assert!(!log.contains("is-off"), "{log}");
}

#[test]
fn a_failure_ends_the_container_with_its_code() {
    let Some(nixos) = with_s6() else { return };
    // What fails, its code, and what must not be there.
    for (services, code, never) in [
        (
            r#"{ a = { type = "oneshot-pre"; script = "false; echo never"; };
                 d.script = "echo never"; }"#,
            1,
            "never",
        ),
        (
            r#"{ d.script = "exit 7"; e.script = "trap 'echo e-ends; exit 3' TERM; while :; do sleep 0.1; done"; }"#,
            7,
            "failed with 3",
        ),
        (r#"{ d.script = "kill -KILL $$"; }"#, 137, "starts again"),
        (
            r#"{ d.script = "exec sleep 1000";
                 z = { type = "oneshot-post"; execStart = "/nonexistent"; }; }"#,
            127,
            "has started everything",
        ),
    ] {
        let (ended, log) = Running::start(&init(&nixos, services), &[]).end();
        assert_eq!(ended, Some(code), "{services}\n{log}");
        assert!(log.contains(&format!("failed with {code}")) && !log.contains(never), "{log}");
    }
}

#[test]
fn nothing_is_ended_if_somebody_wants_to_look() {
    let Some(nixos) = with_s6() else { return };
    let look = [("S6_DONT_TERMINATE_ON_ERROR", "1")];
    let daemons =
        init(&nixos, r#"{ d.script = "exit 7"; e.script = "echo e-is; exec sleep 1000"; }"#);
    let mut running = Running::start(&daemons, &look);
    running.wait_for("it stays down");
    running.wait_for("e-is");
    let up = |name: &str| {
        let folder = running.dir.path().join("state").join(name);
        let seen = Command::new("s6-svstat").args(["-o", "up"]).arg(folder).output().unwrap();
        String::from_utf8(seen.stdout).unwrap()
    };
    assert_eq!((up("d").as_str(), up("e").as_str()), ("false\n", "true\n"));
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().0, Some(0));

    let once = init(
        &nixos,
        r#"{ a = { type = "oneshot-pre"; script = "exit 5"; }; d.script = "echo never"; }"#,
    );
    let mut running = Running::start(&once, &look);
    running.wait_for("a failed with 5\n[init] what comes after a is not started");
    running.signal(rustix::process::Signal::INT);
    let (code, log) = running.end();
    assert!(code == Some(0) && !log.contains("never"), "{code:?} {log}");
}

#[test]
fn s6_starts_services_again() {
    let Some(nixos) = with_s6() else { return };
    let init = init(
        &nixos,
        r#"{
  fails = { script = "echo fails-runs; exit 1"; restartOnFailure = true; };
  ends.script = "echo ends-runs";
  once = { script = "echo once-runs"; restartOnSuccess = false; };
}"#,
    );
    let mut running = Running::start(&init, &[]);
    for text in ["fails-runs", "ends-runs"] {
        let start = Instant::now();
        while running.log().matches(text).count() < 2 {
            assert!(start.elapsed() < DEADLINE, "{}", running.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    running.wait_for("fails failed with 1: starts again");
    assert_eq!(running.log().matches("once-runs").count(), 1);
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn what_a_service_leaves_behind_goes_with_it() {
    let Some(nixos) = with_s6() else { return };
    let init = init(
        &nixos,
        r#"{
  polite.script = ''
    (trap 'echo polite-went; exit' TERM; echo polite-is; while :; do sleep 0.05; done) &
    sleep 0.3; exit 1
  '';
  polite.restartOnFailure = true;
  stubborn.script = ''
    (trap "" TERM; while :; do sleep 0.05; done) &
    echo "stubborn-is $!"; sleep 0.3; exit 7
  '';
  stubborn.restartOnFailure = true;
}"#,
    );
    let mut running = Running::start(&init, &[]);
    running.wait_for("polite failed with 1: starts again");
    running.wait_for("stubborn failed with 7: starts again");
    order(&running.log(), &["polite-is", "polite-went", "polite failed"]);
    let log = running.log();
    let left = log.split("stubborn-is ").nth(1).unwrap().lines().next().unwrap();
    let start = Instant::now();
    // As a zombie it is gone too; who reaps it is not s6 here.
    while std::fs::read_to_string(format!("/proc/{left}/cmdline")).is_ok_and(|c| !c.is_empty()) {
        assert!(start.elapsed() < DEADLINE, "{left} is still there: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn a_signal_is_another_end_than_a_code() {
    let Some(nixos) = with_s6() else { return };
    for (end, code) in [("kill -KILL $$", 7), ("exit 3", 3)] {
        let services = format!(
            "{{ d = {{ script = \"[ -e $OUT/again ] && exit 7; touch $OUT/again; {end}\"; restartOnSignal = true; }}; }}"
        );
        let (ended, log) = Running::start(&init(&nixos, &services), &[]).end();
        assert_eq!(ended, Some(code), "{services}\n{log}");
    }
    let ignored = r#"{ d = { script = "echo ran; [ -e $OUT/again ] && exec sleep 1000; touch $OUT/again; exit 3"; ignoreFailure = true; }; }"#;
    let mut running = Running::start(&init(&nixos, ignored), &[]);
    running.wait_for("ran\nran\n");
    running.signal(rustix::process::Signal::TERM);
    let (ended, log) = running.end();
    assert!(ended == Some(0) && !log.contains("failed"), "{log}");
}

#[test]
fn services_end_by_their_signal_and_in_time() {
    let Some(nixos) = with_s6() else { return };
    let init = init(
        &nixos,
        r#"{
  polite = { stopSignal = "SIGUSR1";
    script = "trap 'echo polite-ends; exit 0' USR1; echo polite-is; while :; do sleep 0.1; done"; };
  stubborn = { stopTimeout = 300; script = "trap '' TERM; echo stubborn-is; while :; do sleep 0.1; done"; };
  logged = { script = "echo to-the-logger; exec sleep 1000"; execLogger = "cat >$OUT/logged"; };
}"#,
    );
    let mut running = Running::start(&init, &[]);
    for text in ["polite-is", "stubborn-is"] {
        running.wait_for(text);
    }
    let logged = running.dir.path().join("logged");
    let start = Instant::now();
    while std::fs::read_to_string(&logged).unwrap_or_default() != "to-the-logger\n" {
        assert!(start.elapsed() < DEADLINE, "{}", running.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal(rustix::process::Signal::TERM);
    let start = Instant::now();
    let (code, log) = running.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("polite-ends") && !log.contains("to-the-logger"), "{log}");
    assert!(start.elapsed() < Duration::from_secs(10), "{log}");
}

#[test]
fn a_state_folder_is_not_taken_over_by_accident() {
    let Some(nixos) = with_s6() else { return };
    let init = init(&nixos, r#"{ a = { type = "oneshot-pre"; script = "exit 9"; }; }"#);
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let ended = Command::new(&init).args(args).current_dir(dir.path()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    assert!(run(&[]).1.contains("usage: ") && run(&[]).0 == Some(2));
    assert_eq!(run(&["state"]).0, Some(9));
    let (code, said) = run(&["state"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("state is there already: remove it, or name another folder"), "{said}");
    // A container that starts again has the folder of its last start.
    assert_eq!(run(&["--replace", "state"]).0, Some(9));
    assert_eq!(
        json(&nixos, "(makeImage { image.name = \"a\"; s6.services.a.script = \"b\"; }).arguments.config.Entrypoint")
            .as_array()
            .unwrap()[1..],
        [json!("--replace"), json!("/run/s6")]
    );
}

/// As PID 1 of a namespace, where orphans become its children.
#[test]
fn no_zombie_stays() {
    let Some(nixos) = with_s6() else { return };
    if !rustix::process::geteuid().is_root() {
        xtask::skip::record("a PID namespace needs root").unwrap();
        return;
    }
    let init = init(
        &nixos,
        r#"{
  orphans = { type = "oneshot-pre";
    script = "for n in 1 2 3 4 5; do (sleep 0.1 & echo orphan of $$); done"; };
  count = { type = "oneshot-post"; script = ''
    sleep 0.6
    echo "pid one is $(cat /proc/1/comm)"
    echo "zombies: $(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ')" || :
    echo "sleeping: $(cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^sleep$')" || :
  ''; };
}"#,
    );
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(&init);
    command.arg(dir.path().join("state"));
    let mut running = Running::spawn(dir, command, &[]);
    running.wait_for("has started everything");
    let log = running.log();
    assert_eq!(log.matches("orphan of").count(), 5, "{log}");
    order(&log, &["pid one is s6-svscan", "zombies: 0", "sleeping: 0"]);
}

#[test]
fn what_a_unit_says_holds_when_s6_runs_it() {
    let Some(nixos) = with_s6() else { return };
    let init = build(
        &nixos,
        r#"(makeImage {
  image.name = "a";
  systemd.globalEnvironment.EVERYWHERE = "yes";
  systemd.services.unit = {
    preStart = "echo pre in $PWD as $(umask)";
    environment.A = "a b";
    serviceConfig = {
      Type = "oneshot";
      Environment = [ "B=dropped" "" "C='c  d' D=e" ];
      EnvironmentFile = [ "-/nonexistent" (toString (pkgs.writeText "env" "F='from a file'")) ];
      WorkingDirectory = "/tmp";
      UMask = "0077";
      ExecStart = [
        "-/bin/false"
        ''/bin/printf "%%s|" literal\ word $A ''${A} "x''${C}y" ''${UNSET} $UNSET $$ '*' %n''
        ''/bin/printf "%%s|" a\x2db \101\t"\\" \u00e9 \; ";" 's/\./\x00/' "\s"''
        "@/bin/bash called -c 'echo; echo \"I am $$0 $$EVERYWHERE $$F\"'"
      ];
    };
  };
}).init"#,
    );
    let (code, log) = {
        let mut running = Running::start(&init, &[]);
        running.wait_for("has started everything");
        running.signal(rustix::process::Signal::TERM);
        running.end()
    };
    assert_eq!(code, Some(0), "{log}");
    order(
        &log,
        &[
            "pre in /tmp as 0077",
            "literal\\ word|a|b|a b|xc  dy||$|*|unit.service|",
            "a-b|A\t\\|é|;|;|s/\\./\\x00/| |",
            "I am called yes from a file",
        ],
    );
}

/// The module of NixOS as far as the stand-in says what it says; the nginx is Debian's. In namespaces that
/// are as a container's: its own processes, its own network, folders of its own.
#[test]
fn nginx_of_nixos_serves_under_s6() {
    let Some(nixos) = with_s6() else { return };
    if !rustix::process::geteuid().is_root() {
        xtask::skip::record("another user, and a network namespace, need root").unwrap();
        return;
    }
    if !xtask::exec::have("nginx") && !std::path::Path::new("/usr/sbin/nginx").exists() {
        xtask::skip::record_optional("nginx is not installed (Debian: nginx-light)").unwrap();
        return;
    }
    let init = build(
        &nixos,
        &r#"(makeImage {
  imports = [ ROOT/nix/s6-images/images/nginx.nix ];
  s6.services.ask = { type = "oneshot-post"; script = ''
    get() {
      exec 3<>/dev/tcp/127.0.0.1/80 || return
      printf 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
      cat <&3
    }
    # It serves as soon as it can; s6 does not wait for it.
    again() { for n in {1..100}; do (get) 2>/dev/null && return; sleep 0.1; done; }
    again
    master=$(cat /run/nginx/nginx.pid)
    echo "runs as $(stat -c %u:%g /proc/$master)"
    echo "folders $(stat -c %u:%g:%a /run/nginx /var/cache/nginx /var/log/nginx | xargs)"
    kill -KILL "$master"
    for n in {1..100}; do [ "$master" = "$(cat /run/nginx/nginx.pid)" ] || break; sleep 0.1; done
    again
    cat /proc/$(cat /run/nginx/nginx.pid)/cmdline | tr '\\0' ' '
    kill -TERM 1
  ''; };
}).init"#
            .replace("ROOT", &support::checkout().display().to_string()),
    );
    // User 60 reads its configuration there.
    let store = nixos.nix.store();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(store.parent().unwrap(), open).unwrap();
    let container = "ip link set lo up
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
for folder in /run /var/cache /var/log; do mount -t tmpfs tmpfs $folder; done
exec \"$0\" /run/s6";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.args(["sh", "-euc", container]).arg(&init);
    let (code, log) = Running::spawn(tempfile::tempdir().unwrap(), command, &[]).end();
    assert_eq!(code, Some(0), "{log}");
    order(
        &log,
        &[
            "HTTP/1.1 200 OK",
            "nginx under s6",
            "runs as 60:60",
            "folders 60:60:750 60:60:750 60:60:750",
            "nginx failed with 137: starts again",
            "nginx: master process",
            "finish: 0",
        ],
    );
}

#[test]
fn shellcheck_has_nothing_to_say_of_the_init() {
    let Some(nixos) = with_lib::Nixos::find() else { return };
    if !xtask::exec::have("shellcheck") {
        xtask::skip::record("shellcheck is not installed").unwrap();
        return;
    }
    let init = build(&nixos, "e.images.dockerImages.example.init");
    let text = std::fs::read_to_string(&init).unwrap();
    let others = regex::Regex::new(r"/\S+/store/[a-z0-9]{32}-s6-[a-z-]+").unwrap();
    let mut files: Vec<_> = others.find_iter(&text).map(|found| found.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    assert!(files.len() >= 6, "{files:?}");
    for file in files.into_iter().chain([init.to_str().unwrap()]) {
        let checked = Command::new("shellcheck").args(["--shell=bash", file]).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}");
    }
}
