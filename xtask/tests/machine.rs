// SPDX-License-Identifier: MIT
//! `doctor` and `test` as whole commands, on a machine made of a PATH with stand-ins.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One test at a time: a script that is being written while another test forks would be busy
/// (ETXTBSY) when it is to be run.
static ONE: Mutex<()> = Mutex::new(());

/// A PATH with nothing but the programs that a test writes.
struct Machine {
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Machine {
    fn new() -> Machine {
        let machine = Machine {
            _alone: ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(machine.bin()).unwrap();
        machine
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// A program as a shell script, which can use the shell's own commands alone.
    fn program(&self, name: &str, script: &str) -> &Self {
        let file = self.bin().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn xtask(&self, words: &[&str]) -> Outcome {
        let output = self.command(words).output().unwrap();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(words)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .env("PATH", self.bin())
            .env("CARGO", self.bin().join("cargo"))
            .env("PLAINBOOT_CACHE", self.dir.path().join("cache"))
            .env_remove("DOCKER_HOST")
            .env_remove("PKG_CONFIG_PATH");
        command
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// cargo as `test` calls it; `summary` is what its tests end with.
fn cargo(summary: &str) -> String {
    format!("[ \"$1\" = test ] || exit 0\n{summary}")
}

const GOOD: &str =
    "echo 'test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'";

#[test]
fn doctor_names_what_is_missing_and_the_line_that_installs_it() {
    let machine = Machine::new();
    for program in ["git", "apt-get", "meson"] {
        machine.program(program, "exit 9");
    }
    let text = machine.xtask(&["doctor"]);
    assert_eq!(text.code, Some(1), "{}", text.stderr);
    assert!(text.stdout.contains("rebase-patches  ready\n"), "{}", text.stdout);
    let install = text.stdout.lines().find(|l| l.contains("install -y")).unwrap();
    for package in ["gperf", "mmdebstrap", "nix-bin", "ninja-build", "quilt"] {
        assert!(install.contains(&format!(" {package}")), "{install}");
    }
    assert!(!install.contains(" meson") && !install.contains(" git"), "{install}");

    let json = machine.xtask(&["doctor", "--json"]);
    assert_eq!(json.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["ready"], false);
    assert!(install.ends_with(document["install"].as_str().unwrap()));
}

#[test]
fn an_engine_that_answers_is_taken_and_one_that_does_not_is_named() {
    let machine = Machine::new();
    machine.program("docker", "echo warning: x >&2; echo server=28.5.1");
    let found = machine.xtask(&["doctor"]).stdout;
    assert!(found.contains("engine 28.5.1 at the default address"), "{found}");
    assert!(!found.contains("docker.io"), "{found}");
    machine.program("docker", "echo server=; exit 1");
    let found = machine.xtask(&["doctor"]).stdout;
    assert!(found.contains("no engine answers at the default address"), "{found}");
}

#[test]
fn test_installs_what_is_missing_as_root_and_else_says_how() {
    let machine = Machine::new();
    let bin = machine.bin();
    let log = machine.dir.path().join("apt.log");
    // Installs by writing the programs that were asked for.
    machine.program("cargo", &cargo(GOOD)).program(
        "apt-get",
        &format!(
            "echo \"$DEBIAN_FRONTEND $*\" >> {log}\nfor name in nix-instantiate patch quilt git s6-svscan shellcheck; do\n\
             echo '#!/bin/sh' > {bin}/$name; /bin/chmod +x {bin}/$name; done",
            log = log.display(),
            bin = bin.display()
        ),
    );
    let run = machine.xtask(&["test", "--quick"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.ends_with("\n\n6 passed, 0 failed, 0 skipped\n"), "{}", run.stdout);
    if is_root() {
        let calls = std::fs::read_to_string(&log).unwrap();
        let install = calls.lines().last().unwrap();
        assert!(install.starts_with("noninteractive "), "{install}");
        assert!(
            install.ends_with(
                "install -y --no-install-recommends git nix-bin patch quilt s6 shellcheck"
            ),
            "{install}"
        );
    } else {
        assert!(!log.exists());
        assert!(run.stderr.contains("sudo apt-get"), "{}", run.stderr);
    }
}

#[test]
fn an_apt_that_brings_nothing_is_a_fault() {
    if !is_root() {
        return xtask::skip::record("only root installs packages").unwrap();
    }
    let machine = Machine::new();
    machine.program("cargo", &cargo(GOOD)).program("apt-get", "exit 0");
    let run = machine.xtask(&["test", "--quick"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("nix-bin") && run.stderr.contains("is not found"),
        "{}",
        run.stderr
    );

    machine.program("apt-get", "echo E: no space left; exit 100");
    let run = machine.xtask(&["test", "--quick"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("E: no space left"), "{}", run.stderr);
    assert!(run.stderr.contains("apt-get.log"), "{}", run.stderr);
}

#[test]
fn failures_skips_and_silence_are_told_apart() {
    let machine = Machine::new();
    for name in ["nix-instantiate", "patch", "quilt", "git"] {
        machine.program(name, "");
    }
    let run = |script: &str| {
        let run = machine.program("cargo", script).xtask(&["test", "--quick"]);
        (run.code, run.stdout.lines().last().unwrap_or_default().to_owned(), run.stdout)
    };

    let (code, last, text) = run(&cargo(
        "echo 'test a::b ... FAILED'
         echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out'
         exit 101",
    ));
    assert_eq!((code, last.as_str()), (Some(1), "5 passed, 1 failed, 0 skipped"));
    assert!(text.contains("failed: a::b\n"), "{text}");

    let (code, last, text) = run(&cargo(&format!(
        "echo '{{\"test\":\"c::d\",\"reason\":\"no moon\"}}' >> \"$PLAINBOOT_SKIP_LOG\"\n{GOOD}"
    )));
    assert_eq!((code, last.as_str()), (Some(77), "5 passed, 0 failed, 1 skipped"));
    assert!(text.contains("skipped: c::d: no moon\n"), "{text}");

    // The log of the run before is not counted again.
    let (code, last, _) = run(&cargo(GOOD));
    assert_eq!((code, last.as_str()), (Some(0), "6 passed, 0 failed, 0 skipped"));

    // A test binary that was killed prints no summary.
    let (code, last, text) = run(&cargo("exit 101"));
    assert_eq!((code, last.as_str()), (Some(1), "2 passed, 1 failed, 0 skipped"));
    assert!(text.contains("failed: cargo test\n"), "{text}");

    // A cargo test that ran nothing is no success, nor is a lint that failed.
    let (code, last, _) = run("[ \"$1\" = fmt ] && exit 1\nexit 0");
    assert_eq!((code, last.as_str()), (Some(1), "1 passed, 2 failed, 0 skipped"));
}

#[test]
fn an_interrupt_lets_apt_get_finish() {
    if !is_root() {
        return xtask::skip::record("only root installs packages").unwrap();
    }
    let machine = Machine::new();
    let (begun, ended) = (machine.dir.path().join("begun"), machine.dir.path().join("ended"));
    machine
        .program("cargo", &cargo(GOOD))
        .program("apt-get", &format!("> {}; /bin/sleep 1; > {}", begun.display(), ended.display()));
    let mut command = machine.command(&["test", "--quick"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !begun.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "apt-get was never called");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(ended.exists(), "apt-get was killed");
}
