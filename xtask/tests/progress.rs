// SPDX-License-Identifier: MIT
//! What a user sees of a long step: on a terminal, in a file, in CI.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::path::Path;
use std::process::{Command, Output};

/// A command that has one step and asks no network: the page of an empty cache.
const WORDS: [&str; 4] = ["report", "--offline", "--output", "page.html"];

fn run(dir: &Path, more: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(WORDS).args(more).current_dir(dir);
    clean(&mut command, dir);
    command.envs(variables.iter().copied()).output().unwrap()
}

fn clean(command: &mut Command, dir: &Path) {
    for name in [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "GITHUB_ACTIONS",
        "PLAINBOOT_CACHE",
        "PLAINBOOT_OFFLINE",
        "PLAINBOOT_SYSTEMD_GIT",
    ] {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", dir).env("TERM", "xterm");
}

/// A checkout without a patch, and the cache beside it.
fn checkout() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["xtask", "patches", "plainboot"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(dir.path().join("patches/series.toml"), "schema = 1\n").unwrap();
    dir
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_file_gets_a_line_when_a_step_begins_and_one_when_it_ends() {
    let dir = checkout();
    let plain = run(dir.path(), &[], &[]);
    let said = text(&plain.stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "… carrying the patches", "{said}");
    assert!(lines[1].starts_with("✓ carrying the patches: "), "{said}");
    assert_eq!(text(&plain.stdout), format!("{}\n", dir.path().join("page.html").display()));
    assert!(!said.contains('\x1b') && !said.contains('\r'), "{said:?}");

    let quiet = run(dir.path(), &["--quiet"], &[]);
    assert_eq!(text(&quiet.stderr), "");
    assert_eq!(quiet.stdout, plain.stdout);

    let forced = text(&run(dir.path(), &[], &[("CLICOLOR_FORCE", "1")]).stderr);
    assert!(forced.contains("\x1b[32m✓\x1b[0m carrying"), "{forced:?}");
}

#[test]
fn ci_gets_a_group_for_each_step() {
    let dir = checkout();
    let said = text(&run(dir.path(), &[], &[("GITHUB_ACTIONS", "true")]).stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "::group::carrying the patches", "{said}");
    let end = lines.iter().position(|l| *l == "::endgroup::").unwrap();
    assert!(lines[end + 1].starts_with("✓ carrying the patches: "), "{said}");
}

#[test]
fn what_earlier_runs_took_is_said() {
    let dir = checkout();
    let cache = dir.path().join("plainboot");
    let times =
        r#"{"schema": 2, "steps": [{"title": "carrying the patches", "seconds": [100.0]}]}"#;
    std::fs::write(cache.join("times.json"), times).unwrap();
    let said = text(&run(dir.path(), &[], &[]).stderr);
    assert!(said.starts_with("… carrying the patches (took 1:40 before)\n"), "{said}");
}

/// The time in a shell is the user's; and `demo --check` compares what `run` says.
#[test]
fn the_time_of_a_shell_is_not_held_against_the_next_one() {
    let dir = checkout();
    let times = dir.path().join("plainboot/times.json");
    let long = r#"{"schema": 2, "steps": [{"title": "$ report --offline", "seconds": [3000.0]},
        {"title": "$ run --base scratch", "seconds": [3000.0]}]}"#;
    for (words, told) in
        [(&["report", "--offline"][..], true), (&["run", "--base", "scratch"], false)]
    {
        std::fs::write(&times, long).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(words).current_dir(dir.path());
        clean(&mut command, dir.path());
        let said = text(&command.output().unwrap().stderr);
        assert_eq!(said.contains("this took 50:00 minutes before"), told, "{said}");
    }
}

/// `script` (util-linux) gives its child a terminal, and writes what comes out of it.
fn on_a_terminal(dir: &Path, variables: &[(&str, &str)]) -> Option<String> {
    if !xtask::exec::have("script") {
        xtask::skip::record("script is not installed (Debian: bsdutils)").unwrap();
        return None;
    }
    let words = format!("{} {}", env!("CARGO_BIN_EXE_xtask"), WORDS.join(" "));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &words, "/dev/null"]).current_dir(dir);
    clean(&mut command, dir);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(text(&output.stdout))
}

#[test]
fn a_terminal_sees_one_line_that_lives_and_goes() {
    let dir = checkout();
    let cache = dir.path().join("plainboot");
    let times =
        r#"{"schema": 2, "steps": [{"title": "carrying the patches", "seconds": [100.0]}]}"#;
    std::fs::write(cache.join("times.json"), times).unwrap();
    let Some(said) = on_a_terminal(dir.path(), &[]) else { return };
    assert!(said.contains("0:00, about 1:"), "the live line: {said:?}");
    assert!(said.contains("\x1b[32m✓\x1b[0m carrying the patches: "), "{said:?}");
    // The live line was cleared before what stays was written.
    let (live, after) = said.split_once("\x1b[32m✓").unwrap();
    assert!(live.contains("\x1b[2K") && !after.contains("about"), "{said:?}");

    let Some(plain) = on_a_terminal(dir.path(), &[("NO_COLOR", "1")]) else { return };
    assert!(plain.contains("✓ carrying") && !plain.contains("[32m"), "{plain:?}");
    let Some(dumb) = on_a_terminal(dir.path(), &[("TERM", "dumb")]) else { return };
    assert!(dumb.starts_with("… carrying the patches") && !dumb.contains('\x1b'), "{dumb:?}");
}
