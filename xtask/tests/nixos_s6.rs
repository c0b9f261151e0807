// SPDX-License-Identifier: MIT
//! `nix/s6-images`: evaluated with nixpkgs' own `lib` over stand-ins, its files built by a real Nix with
//! the shell of this machine, its services run by a real s6.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Evaluated, checkout};
use with_lib::{Nixos, reference};

/// What tests say of `nix/s6-images`, in an expression that has it as `e`.
fn expression(nixos: &Nixos, what: &str) -> String {
    format!(
        r#"let e = import {root}/xtask/tests/nixos/s6/eval.nix {{
  lib = "{lib}"; root = "{root}"; path = "{path}";
}}; inherit (e.images.lib) makeImage; inherit (e) pkgs lib; in {what}"#,
        root = checkout().display(),
        lib = nixos.lib.display(),
        path = std::env::var("PATH").unwrap(),
    )
}

fn json(nixos: &Nixos, what: &str) -> Value {
    nixos.nix.json(&expression(nixos, what))
}

fn eval(nixos: &Nixos, what: &str) -> Evaluated {
    nixos.nix.eval(&expression(nixos, what))
}

/// Builds a derivation: its path in a store that goes away with `nixos`.
fn build(nixos: &Nixos, what: &str) -> PathBuf {
    let options = ["--option", "sandbox", "false", "--option", "build-users-group", ""];
    let made = nixos.nix.run(
        "nix-build",
        &[&options[..], &["--no-substitute", "--no-out-link", "-E", &expression(nixos, what)]]
            .concat(),
    );
    assert!(made.ok, "{what}: {}", made.stderr);
    PathBuf::from(made.stdout.trim())
}

/// The image's root as its commands leave it.
fn root(nixos: &Nixos, image: &str) -> tempfile::TempDir {
    let script =
        build(nixos, &format!("pkgs.writeScript \"commands\" ({image}).arguments.extraCommands"));
    let dir = tempfile::tempdir().unwrap();
    let ended = Command::new("sh").arg("-eu").arg(script).current_dir(dir.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    dir
}

fn have_s6() -> bool {
    let have = xtask::exec::have("s6-svscan");
    if !have {
        xtask::skip::record("s6-svscan is not installed (Debian: s6)").unwrap();
    }
    have
}

/// The init of an image, running.
struct Running {
    dir: tempfile::TempDir,
    child: Child,
}

const DEADLINE: Duration = Duration::from_secs(30);

impl Running {
    fn start(init: &Path, variables: &[(&str, &str)]) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(init);
        command.arg(dir.path().join("state"));
        Running::spawn(dir, command, variables)
    }

    fn spawn(dir: tempfile::TempDir, mut command: Command, variables: &[(&str, &str)]) -> Running {
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = command
            .env_remove("S6_DONT_TERMINATE_ON_ERROR")
            .env("OUT", dir.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { dir, child }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Waits until the log has it.
    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < DEADLINE, "no `{text}` in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end: exit code and log.
    fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.log());
            }
            assert!(start.elapsed() < DEADLINE, "it goes on:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    /// A test that fails ends what it started: s6-svscan takes its services along.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(rustix::process::Signal::TERM);
            std::thread::sleep(Duration::from_millis(500));
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// An image with these services; coreutils is on s6's own PATH.
fn init(nixos: &Nixos, services: &str) -> PathBuf {
    build(nixos, &format!("(makeImage {{ image.name = \"a\"; s6.services = {services}; }}).init"))
}

fn order(log: &str, texts: &[&str]) {
    let at: Vec<_> = texts
        .iter()
        .map(|text| log.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{log}")))
        .collect();
    assert!(at.is_sorted(), "{texts:?} in:\n{log}");
}

#[test]
fn an_image_holds_what_its_module_adds_and_nothing_else() {
    let Some(nixos) = Nixos::find() else { return };
    let hello = json(&nixos, "e.images.dockerImages.hello.arguments");
    assert_eq!(hello["config"]["Entrypoint"], json!(["/usr/bin/hello"]));
    assert_eq!(hello["contents"][0]["paths"], json!([]));
    assert!(hello.get("includeNixDB").is_none());
    let empty = root(&nixos, "makeImage { config.image.name = \"empty\"; }");
    let read = |dir: &tempfile::TempDir, path: &str| {
        std::fs::read_to_string(dir.path().join(path)).unwrap()
    };
    assert_eq!(
        read(&empty, "etc/passwd"),
        "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/var/empty:/bin/nologin\n"
    );
    assert_eq!(read(&empty, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
    let names: Vec<_> = std::fs::read_dir(empty.path().join("etc"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");

    let image = r#"makeImage {
  image = { name = "web"; tag = "1"; env.TZ = "Europe/Berlin"; exposedPorts."80/tcp" = { };
    from = pkgs.hello; run = "mkdir srv"; interactive = true; };
  environment.etc."a/b".text = "linked";
  environment.etc."secret" = { text = "copied"; mode = "0440"; user = "web"; group = "+7"; };
  users.users.web = { group = "web"; isSystemUser = true; };
  users.users.alice = { isNormalUser = true; extraGroups = [ "web" ]; hashedPassword = "$6$x"; };
  users.users.bob.isNormalUser = true;
  users.users.bob.uid = 1000;
  users.groups.web = { };
}"#;
    let made = json(&nixos, &format!("({image}).arguments"));
    assert_eq!(
        made["config"],
        json!({
            "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TZ=Europe/Berlin"],
            "ExposedPorts": { "80/tcp": {} },
        })
    );
    assert_eq!((&made["name"], &made["tag"]), (&json!("web"), &json!("1")));
    assert_eq!(made["fromImage"], "/usr");
    assert_eq!(made["contents"][0]["paths"], json!(["/usr", "/usr"]));
    let dir = root(&nixos, image);
    assert_eq!(
        read(&dir, "etc/passwd"),
        "root:x:0:0::/root:/bin/bash\nalice:x:1001:100::/home/alice:/bin/bash\n\
         bob:x:1000:100::/home/bob:/bin/bash\nnobody:x:65534:65534::/var/empty:/bin/nologin\n\
         web:x:999:999::/var/empty:/bin/nologin\n"
    );
    assert_eq!(
        read(&dir, "etc/group"),
        "root:x:0:\nnogroup:x:65534:\nusers:x:100:\nweb:x:999:alice\n"
    );
    assert!(read(&dir, "etc/shadow").contains("alice:$6$x:1::::::\n"));
    assert_eq!(read(&dir, "etc/a/b"), "linked");
    assert!(dir.path().join("etc/a/b").is_symlink() && dir.path().join("srv").is_dir());
    let mode = |path: &str| {
        let found = dir.path().join(path).metadata().unwrap().permissions();
        std::os::unix::fs::PermissionsExt::mode(&found) & 0o7777
    };
    assert_eq!(
        ["etc/secret", "etc/shadow", "home/alice", "tmp"].map(mode),
        [0o440, 0o600, 0o700, 0o1777]
    );
    let owners = made["fakeRootCommands"].as_str().unwrap();
    for owner in ["chown 1001:100 ./home/alice\n", "chown 999:7 etc/secret\n"] {
        assert!(owners.contains(owner), "{owners}");
    }
}

#[test]
fn predefined_images_offer_image_config_and_init() {
    let Some(nixos) = Nixos::find() else { return };
    let seen = json(
        &nixos,
        "{
  images = builtins.attrNames e.images.dockerImages;
  tests = builtins.mapAttrs (_: test: test.image.config.image.name) e.images.tests.dockerImages;
  inits = builtins.attrNames (lib.filterAttrs (_: image: image ? init) e.images.dockerImages);
  overlay = builtins.attrNames (import ./nix/s6-images/overlay.nix (pkgs // { }) { inherit lib; });
}"
        .replace("./nix", &format!("{}/nix", checkout().display()))
        .as_str(),
    );
    assert_eq!(seen["images"], json!(["example", "example-systemd", "hello", "nginx", "nix"]));
    assert_eq!(seen["tests"]["nginx"], "nginx");
    assert_eq!(seen["inits"], json!(["example", "example-systemd", "nginx"]));
    assert_eq!(seen["overlay"], json!(["dockerImages", "lib", "tests"]));

    let nix = json(&nixos, "e.images.dockerImages.nix.arguments");
    assert_eq!(
        (&nix["includeNixDB"], &nix["contents"][0]["paths"][4]),
        (&json!(true), &json!("/usr"))
    );
    let dir = root(&nixos, "e.images.dockerImages.nix");
    let conf = std::fs::read_to_string(dir.path().join("etc/nix/nix.conf")).unwrap();
    assert_eq!(conf, "sandbox = false");
    let users = std::fs::read_to_string(dir.path().join("etc/passwd")).unwrap();
    assert!(users.contains("\nnixbld1:x:30001:30000:") && !users.contains("messagebus"), "{users}");
}

#[test]
fn s6_runs_services_in_their_order() {
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
fn services_end_by_their_signal_and_in_time() {
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
fn services_of_nixos_become_services_of_s6() {
    let Some(nixos) = Nixos::find() else { return };
    let types = json(
        &nixos,
        r#"lib.mapAttrs (_: s: [ s.type s.after s.restartOnFailure s.restartOnSuccess ])
  (makeImage {
    image.name = "a";
    systemd.services = {
      one = { script = "a"; serviceConfig.Type = "oneshot"; };
      two = { script = "a"; serviceConfig.Type = "oneshot"; after = [ "one.service" "network.target" ]; };
      three = { script = "a"; after = [ "two.service" ]; serviceConfig.Restart = "on-failure"; };
      four = { script = "a"; serviceConfig.Type = "oneshot"; after = [ "three.service" ]; };
      five = { script = "a"; serviceConfig.Type = "oneshot"; after = [ "four.service" ]; };
      zero = { script = "a"; serviceConfig.Type = "oneshot"; before = [ "one.service" ]; };
      kept = { script = "a"; serviceConfig = { Type = "notify"; Restart = "always"; }; };
      "instance@".script = "a";
      none.after = [ "one.service" ];
    };
  }).config.s6.services"#,
    );
    assert_eq!(
        types,
        json!({
            "zero": ["oneshot-pre", [], false, false],
            "one": ["oneshot-pre", ["zero"], false, false],
            "two": ["oneshot-pre", ["one"], false, false],
            "three": ["long-run", [], true, false],
            "four": ["oneshot-post", ["three"], false, false],
            "five": ["oneshot-post", ["four"], false, false],
            "kept": ["long-run", [], true, true],
        })
    );
}

#[test]
fn what_a_unit_says_holds_when_s6_runs_it() {
    let Some(nixos) = Nixos::find() else { return };
    if !have_s6() {
        return;
    }
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
            "literal word|a|b|a b|xc  dy||$|*|unit.service|",
            "I am called yes from a file",
        ],
    );
}

#[test]
fn what_s6_cannot_do_is_an_error_with_the_remedy() {
    let Some(nixos) = Nixos::find() else { return };
    for (module, parts) in [
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.Type = \"forking\"; };",
            &[
                "systemd.services.a",
                "Type=forking",
                "Use the image with systemd",
                "s6.ignoreUnits = [ \"a.service\" ]",
            ][..],
        ),
        ("systemd.services.a = { script = \"b\"; startAt = \"daily\"; };", &["startAt"]),
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.DynamicUser = true; };",
            &["DynamicUser", "users.users.a"],
        ),
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.ExecStop = \"c\"; };",
            &["ExecStop="],
        ),
        (
            "systemd.services.a = { script = \"b\"; unitConfig.ConditionPathExists = \"/c\"; };",
            &["ConditionPathExists="],
        ),
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.StandardOutput = \"file:/c\"; };",
            &["StandardOutput=file:/c"],
        ),
        (
            "systemd.sockets.a = { };",
            &[
                "a.socket: s6 starts services when the container starts",
                "Use the image with systemd",
            ],
        ),
        ("systemd.services.a.serviceConfig.ExecStart = \"/b %q\";", &["%q has no meaning"]),
        (
            "systemd.services.a.serviceConfig.ExecStart = \"/b 'c\";",
            &["a quote or an escape is not closed"],
        ),
        (
            "systemd.services.a.serviceConfig.ExecStart = \"/b ; /c\";",
            &["several commands in one line"],
        ),
        (
            "s6.services.a = { script = \"b\"; execStart = \"c\"; };",
            &["s6.services.a must have one of execStart and script"],
        ),
        (
            "s6.services.a = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"c\" ]; };",
            &["s6.services.a.after names c, which is no service"],
        ),
        (
            "s6.services.a = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"c\" ]; }; s6.services.c.script = \"d\";",
            &["a long-run, which starts later; make it a oneshot-post"],
        ),
        (
            "s6.services.a = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"c\" ]; }; s6.services.c = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"a\" ]; };",
            &["wait for one another (after): "],
        ),
        (
            "users.users.a = { isNormalUser = true; password = \"b\"; };",
            &["users.users.a", "hashedPassword"],
        ),
        (
            "users.users.a = { isSystemUser = true; group = \"b\"; };",
            &["users.users.a.group: there is no group b"],
        ),
    ] {
        let seen = eval(
            &nixos,
            &format!("(makeImage {{ image.name = \"a\"; {module} }}).arguments.config"),
        );
        assert!(!seen.ok, "{module} was taken: {}", seen.stdout);
        for part in parts {
            assert!(seen.stderr.contains(part), "{module}: no `{part}` in {}", seen.stderr);
        }
    }
    let ignored = json(
        &nixos,
        r#"(makeImage { image.name = "a"; systemd.sockets.a = { };
  systemd.services.a = { script = "b"; serviceConfig.Type = "dbus"; };
  s6.ignoreUnits = [ "a.socket" "a.service" ]; }).config.s6.services"#,
    );
    assert_eq!(ignored, json!({}));
    let name = eval(&nixos, "(makeImage { image.name = \"A b\"; }).arguments.name");
    assert!(!name.ok && name.stderr.contains("image.name"), "{}", name.stderr);
}

/// The nginx of NixOS, as far as the stand-in asks for what it does.
#[test]
fn nginx_of_nixos_is_translated() {
    let Some(nixos) = Nixos::find() else { return };
    let script = json(&nixos, "e.images.dockerImages.nginx.config.s6.services.nginx.script");
    let script = script.as_str().unwrap();
    let user = "/usr/bin/s6-applyuidgid -u 60 -g 60 -G '' ";
    for line in [
        "umask 0027\n",
        "install -d -m 0750 -o 60 -g 60 /run/nginx\n",
        &format!("{user}{}", nixos.nix.store().display()),
        &format!("exec {user}/usr/bin/nginx -c /etc/nginx.conf -g 'daemon off;'\n"),
    ] {
        assert!(script.contains(line), "no `{line}` in {script}");
    }
}

#[test]
fn shellcheck_has_nothing_to_say_of_the_init() {
    let Some(nixos) = Nixos::find() else { return };
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

/// What docs/from-nix-container-images.md shows first, word for word.
#[test]
fn the_quick_start_of_nix_container_images_evaluates() {
    let Some(nixos) = Nixos::find() else { return };
    let docs =
        std::fs::read_to_string(checkout().join("docs/from-nix-container-images.md")).unwrap();
    let examples: Vec<&str> = docs
        .split("```nix\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|example| example.starts_with("lib.makeImage"))
        .collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let seen = json(
            &nixos,
            &format!(
                "let lib = e.lib // e.images.lib; in ({example}).arguments.config.Entrypoint or null"
            ),
        );
        let program = seen[0].as_str();
        let ok = if example.contains("entryPoint") {
            program == Some("/usr/bin/hello")
        } else if example.contains("services") {
            program.is_some_and(|init| init.ends_with("-s6-init"))
        } else {
            seen.is_null()
        };
        assert!(ok, "{example}: {seen}");
    }
}

#[test]
fn the_option_reference_of_images_says_what_the_modules_say() {
    let Some(nixos) = Nixos::find() else { return };
    let options = json(
        &nixos,
        r#"let inherit (makeImage { image.name = "a"; }) options; in
map (builtins.intersectAttrs { name = null; description = null; type = null; default = null; example = null; })
  (builtins.filter (one: one.visible && !one.internal)
    (lib.optionAttrSetToDocList { inherit (options) image s6; }))"#,
    );
    let expected = reference(
        &options,
        "Options of makeImage",
        "Generated from nix/s6-images: PLAINBOOT_WRITE=1 cargo test --test nixos_s6 option; do not edit.",
    );
    let file = checkout().join("docs/s6-options.md");
    if std::env::var_os("PLAINBOOT_WRITE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "docs/s6-options.md; PLAINBOOT_WRITE=1 writes it");
    assert!(expected.matches("\n## ").count() >= 18, "{expected}");
}
