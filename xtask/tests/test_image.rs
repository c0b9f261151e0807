// SPDX-License-Identifier: MIT
//! `test-image` as a whole where it cannot work: what it says, and its exit code.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a run printed on stderr, and its exit code.
struct Said {
    text: String,
    code: Option<i32>,
}

/// Runs `test-image` with a PATH that holds one program alone: a `docker` that is this script.
fn test_image(docker: Option<&str>, arguments: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    if let Some(script) = docker {
        let path = dir.path().join("docker");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("test-image")
        .args(arguments)
        .arg("--cache-dir")
        .arg(dir.path().join("cache"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .env("PATH", dir.path())
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap();
    Said { text: String::from_utf8(output.stderr).unwrap(), code: output.status.code() }
}

const TREES: [&str; 4] = ["--systemd", "262", "--tree", "/nonexistent"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    TREES.iter().chain(more).copied().collect()
}

#[test]
fn without_any_engine_it_cannot_be_tried() {
    let said = test_image(None, &TREES);
    assert_eq!(said.code, Some(77), "{}", said.text);
    assert!(said.text.contains("`docker` is not installed"), "{}", said.text);
    assert!(said.text.contains("hint: as root: apt-get install docker.io"), "{}", said.text);
}

#[test]
fn a_cli_without_its_service_is_no_engine() {
    let script =
        r#"echo '{"ServerErrors":["x"]}'; echo 'Cannot connect to the daemon' >&2; exit 1"#;
    let said = test_image(Some(script), &with(&["--engine", "docker"]));
    assert_eq!(said.code, Some(77), "{}", said.text);
    assert!(said.text.contains("Cannot connect to the daemon"), "{}", said.text);
}

#[test]
fn cgroup_v1_is_named() {
    let script = r#"echo '{"ServerVersion":"20.10.5","CgroupVersion":"1"}'"#;
    let said = test_image(Some(script), &with(&["--engine", "docker"]));
    assert_eq!(said.code, Some(77), "{}", said.text);
    assert!(said.text.contains("runs on cgroup v1"), "{}", said.text);
}

#[test]
fn a_silent_engine_is_given_up_after_five_seconds() {
    let start = Instant::now();
    let said = test_image(Some("exec /bin/sleep 60"), &with(&["--engine", "docker"]));
    assert_eq!(said.code, Some(77), "{}", said.text);
    assert!(said.text.contains("does not answer"), "{}", said.text);
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// Of such a check only the preconditions would be looked at, and that called a proof.
#[test]
fn a_check_of_another_table_is_refused_with_the_command_that_has_it() {
    for (arguments, hint) in [
        (vec!["--only", "fault.no-memory"], "test-vm --faults --only fault.no-memory"),
        (vec!["--only", "real.redis"], "test-image --services --only real.redis"),
        (vec!["--only", "made.restart"], "test-image --image IMAGE --only made.restart"),
        (vec!["--faults", "--only", "services.simple"], "test-image --only services.simple"),
    ] {
        let said = test_image(None, &with(&[]).into_iter().chain(arguments).collect::<Vec<_>>());
        assert_eq!(said.code, Some(2), "{}", said.text);
        assert!(said.text.contains(&format!("hint: cargo xtask {hint}\n")), "{}", said.text);
    }
}

#[test]
fn an_unknown_check_is_a_fault_that_names_the_list() {
    let said = test_image(None, &with(&["--only", "boot.walking"]));
    assert_eq!(said.code, Some(2), "{}", said.text);
    assert!(said.text.contains("cargo xtask test-image --list-checks"), "{}", said.text);
}
