// SPDX-License-Identifier: MIT
//! `nix/s6-images` in an expression, and the init of an image that it makes, running.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Evaluated, checkout};
use crate::with_lib::Nixos;

/// What tests say of `nix/s6-images`, in an expression that has it as `e`.
pub fn expression(nixos: &Nixos, what: &str) -> String {
    format!(
        r#"let e = import {root}/xtask/tests/nixos/s6/eval.nix {{
  lib = "{lib}"; root = "{root}"; path = "{path}";
}}; inherit (e.images.lib) makeImage; inherit (e) pkgs lib; in {what}"#,
        root = checkout().display(),
        lib = nixos.lib.display(),
        path = std::env::var("PATH").unwrap(),
    )
}

pub fn json(nixos: &Nixos, what: &str) -> Value {
    nixos.nix.json(&expression(nixos, what))
}

pub fn eval(nixos: &Nixos, what: &str) -> Evaluated {
    nixos.nix.eval(&expression(nixos, what))
}

/// Builds a derivation: its path in a store that goes away with `nixos`.
pub fn build(nixos: &Nixos, what: &str) -> PathBuf {
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
pub fn root(nixos: &Nixos, image: &str) -> tempfile::TempDir {
    let script =
        build(nixos, &format!("pkgs.writeScript \"commands\" ({image}).arguments.extraCommands"));
    let dir = tempfile::tempdir().unwrap();
    let ended = Command::new("sh").arg("-eu").arg(script).current_dir(dir.path()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    dir
}

/// What evaluates, where a real s6 can run the result.
pub fn with_s6() -> Option<Nixos> {
    let nixos = Nixos::find()?;
    if !xtask::exec::have("s6-svscan") {
        xtask::skip::record("s6-svscan is not installed (Debian: s6)").unwrap();
        return None;
    }
    Some(nixos)
}

/// The init of an image, running.
pub struct Running {
    pub dir: tempfile::TempDir,
    pub child: Child,
}

pub const DEADLINE: Duration = Duration::from_secs(30);

impl Running {
    pub fn start(init: &Path, variables: &[(&str, &str)]) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(init);
        command.arg(dir.path().join("state"));
        Running::spawn(dir, command, variables)
    }

    pub fn spawn(
        dir: tempfile::TempDir,
        mut command: Command,
        variables: &[(&str, &str)],
    ) -> Running {
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

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Waits until the log has it.
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < DEADLINE, "no `{text}` in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end: exit code and log.
    pub fn end(mut self) -> (Option<i32>, String) {
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
pub fn init(nixos: &Nixos, services: &str) -> PathBuf {
    build(nixos, &format!("(makeImage {{ image.name = \"a\"; s6.services = {services}; }}).init"))
}

pub fn order(log: &str, texts: &[&str]) {
    let at: Vec<_> = texts
        .iter()
        .map(|text| log.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{log}")))
        .collect();
    assert!(at.is_sorted(), "{texts:?} in:\n{log}");
}
