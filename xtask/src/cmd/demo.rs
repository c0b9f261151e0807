// SPDX-License-Identifier: MIT
//! `cargo xtask demo`

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Context;
use crate::atomic;
use crate::exec::{Job, quote};
use crate::fault::{Fault, Status};
use crate::report::recording::{self, Line};

/// Record docs/demo.svg, what the README shows: a real `cargo xtask run`, and what is typed there
///
/// Builds what is missing first. With --check the session is run again and compared with the one in the
/// picture: commands and answers, not times and version numbers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask demo
  cargo xtask demo --check")]
pub struct Args {
    /// Write nothing; exit code 1 if the picture shows another session
    #[arg(long)]
    check: bool,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    picture: &'a Path,
    /// The picture had this session already; without --check, in the very same times.
    same: bool,
    /// What was typed and said now.
    lines: Vec<&'a str>,
}

/// What is typed in the container.
pub const TYPED: [&str; 6] = [
    "systemctl is-system-running",
    "grep -E '^(CapEff|Seccomp):' /proc/1/status",
    "mkdir /sys/fs/cgroup/mine",
    "systemctl list-units --type=service --state=running --plain --no-legend",
    "systemd-run --wait --quiet --unit=hello echo 'a service says hello'",
    "journalctl --output=cat --unit=hello --quiet",
];
/// As long as a person takes to type a command; who watches has to read it, too.
const TYPING_S: f64 = 1.5;
/// With a build from nothing.
const DEADLINE: Duration = Duration::from_secs(3600);
const TITLE: &str =
    "cargo xtask run: systemd as PID 1 in a plain container, and commands typed there";

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let step = ui.step("build what is missing");
    session(context, &["true"], &|line| step.detail(line))?;
    step.done("");
    let step = ui.step("record the session");
    let lines = session(context, &TYPED, &|line| step.detail(line))?;
    step.done(&format!("{} lines", lines.len()));
    let path = context.checkout.root().join("docs/demo.svg");
    let told = |same: bool| {
        let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        ui.json(&Document { schema: 1, picture: &path, same, lines })
    };
    if !args.check {
        let changed = atomic::write(&path, recording::svg(&lines, TITLE).as_bytes())?;
        if context.global.json {
            told(!changed)?;
        } else {
            ui.result(&path.display().to_string());
        }
        return Ok(Status::Yes);
    }
    let svg = std::fs::read_to_string(&path).unwrap_or_default();
    let Some(shown) = recording::transcript(&svg) else {
        return Err(Fault::new(format!("{} is not there, or no recording", path.display()))
            .hint("cargo xtask demo")
            .into());
    };
    let shown = recording::shape(shown.iter().map(String::as_str));
    let now = recording::shape(lines.iter().map(|line| line.text.as_str()));
    let status = if shown == now { Status::Yes } else { Status::No };
    if context.global.json {
        told(shown == now)?;
        return Ok(status);
    }
    if shown == now {
        ui.result("docs/demo.svg shows what happens");
        return Ok(status);
    }
    let patch =
        diffy::create_patch(&(shown.join("\n") + "\n"), &(now.join("\n") + "\n")).to_string();
    ui.result(&format!(
        "docs/demo.svg shows another session; cargo xtask demo records it\n{patch}"
    ));
    Ok(status)
}

/// Runs `cargo xtask run` with this script instead of a terminal, and notes what is said when.
fn session(context: &Context<'_>, typed: &[&str], progress: &dyn Fn(&str)) -> Result<Vec<Line>> {
    let dir = tempfile::tempdir().context("no folder for temporary files")?;
    let line = |command: &&str| {
        let shown = quote(&format!("# {command}"));
        format!("sleep {TYPING_S}; echo {shown}; {command} </dev/null 2>&1\n")
    };
    let script: String = typed.iter().map(line).collect();
    let input = dir.path().join("typed");
    std::fs::write(&input, script)?;
    // Not by its name: a build in between, as `cargo test` is one, has put another program there.
    let this = format!("/proc/{}/exe", std::process::id());
    let command = format!("exec {this} run <{}", quote(&input.display().to_string()));
    let cache = context.cache.root();
    let mut job = Job::new("sh", &context.cache.runs().join("demo.log"))
        .args(["-c", &command])
        .dir(context.checkout.root())
        .env("PLAINBOOT_CACHE", cache)
        .env("PLAINBOOT_OFFLINE", if context.global.offline { "true" } else { "false" })
        .env("NO_COLOR", "1")
        .env("GITHUB_ACTIONS", "")
        .deadline(DEADLINE);
    if let Some(git) = &context.global.systemd_git {
        job = job.env("PLAINBOOT_SYSTEMD_GIT", git);
    }
    // A reader has another home than this machine's.
    let home = cache.display().to_string();
    let begin = Instant::now();
    let mut lines = vec![Line { at: Duration::ZERO, text: "$ cargo xtask run".to_owned() }];
    job.run(|line| {
        progress(line);
        let text = line.trim_end().replace(&home, "$HOME/.cache/plainboot");
        lines.push(Line { at: begin.elapsed(), text });
    })?;
    Ok(lines)
}
