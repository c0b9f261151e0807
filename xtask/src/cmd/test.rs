// SPDX-License-Identifier: MIT
//! `cargo xtask test`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use serde::Serialize;

use super::test_plan::{MAY_SKIP, Suite, real_path};
use super::{Context, prepare, test_vm};
use crate::exec::{self, Job};
use crate::fault::{Fault, Kind, Status, hint_of, kind_of};
use crate::flags::{Command, Flags};
use crate::report::tally::{Tally, cargo_summary};
use crate::requirements::{self, Need};
use crate::skip::{self, Skip};
use crate::ui::Ui;

/// Run everything that says whether the project is in order: lints, tests, then the real path
///
/// Installs what is missing where it may (root, apt). Ends with a table of minutes per stage and
/// the counts. A test that could not be tried is counted as skipped, with the reason, and makes
/// the exit code 77 unless something failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test --quick")]
pub struct Args {
    /// Lints and tests alone: no systemd is fetched, built or booted
    #[arg(long)]
    quick: bool,
}

/// One stage of the run.
#[derive(Debug, Serialize)]
struct Stage {
    title: String,
    seconds: f64,
    #[serde(flatten)]
    tally: Tally,
}

#[derive(Debug, Serialize)]
struct Record<'a> {
    schema: u32,
    stages: &'a [Stage],
    total: Tally,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let _lock = context.cache.lock("test")?;
    let start = Instant::now();
    let mut stages = vec![timed("set-up", || set_up(context, args.quick))?];
    let cargo = |title, words| timed(title, || lint(context, title, words));
    stages.push(cargo("rustfmt", &["fmt", "--all", "--check"][..])?);
    stages.push(cargo(
        "clippy",
        &["clippy", "--workspace", "--all-targets", "--color=never", "--", "-D", "warnings"],
    )?);
    stages.push(timed("tests", || cargo_test(context))?);
    if !args.quick {
        let (suites, skips) = real_path(&prepare::sources(context)?.available()?);
        std::thread::scope(|scope| {
            let mut ahead = Some(scope.spawn(|| make_guests(context, &suites)));
            for suite in &suites {
                if suite.boots_a_guest()
                    && let Some(ahead) = ahead.take()
                {
                    stages.push(timed("what guests need", || Ok(joined(context, ahead)))?);
                }
                stages.push(timed(suite.words.join(" "), || run_suite(context, suite))?);
            }
            anyhow::Ok(())
        })?;
        for skip in skips {
            stages.push(timed(skip.test.clone(), || Ok(Tally::skipped(skip, true)))?);
        }
    }
    let total = stages.iter().fold(Tally::default(), |sum, stage| sum.and(&stage.tally));
    let status = total.status();
    if context.global.json {
        context.ui.json(&Record { schema: 1, stages: &stages, total })?;
    } else {
        context.ui.result(&table(&stages, &total, start.elapsed()));
    }
    Ok(status)
}

fn timed(title: impl Into<String>, work: impl FnOnce() -> Result<Tally>) -> Result<Stage> {
    let title = title.into();
    let start = Instant::now();
    let tally = work()?;
    Ok(Stage { title, seconds: start.elapsed().as_secs_f64(), tally })
}

/// Installs what the run needs. Where that is not possible the run goes on: what cannot be tried
/// is then skipped one by one, with its own reason.
fn set_up(context: &Context<'_>, quick: bool) -> Result<Tally> {
    let needs: Vec<Need> = if quick {
        vec![Need::Nix, Need::Tests]
    } else {
        let all = requirements::COMMANDS.iter().find(|(name, _)| *name == "test");
        all.map(|(_, needs)| needs.to_vec()).unwrap_or_default()
    };
    match requirements::ensure(&needs, context.ui, &context.cache) {
        Ok(()) => {}
        Err(error) if kind_of(&error) == Kind::CannotTry => {
            let hint = hint_of(&error).unwrap_or_default();
            context.ui.warn(&format!("{error}; to have everything tested: {hint}"));
        }
        Err(error) => return Err(error),
    }
    Ok(Tally::default())
}

fn cargo_job(context: &Context<'_>, log: &str, words: &[&str]) -> Job {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    Job::new(&cargo, &transcript(context, log))
        .args(words)
        .dir(context.checkout.root())
        .deadline(Duration::from_secs(3600))
}

fn transcript(context: &Context<'_>, name: &str) -> PathBuf {
    context.cache.runs().join("test").join(name)
}

/// A stage that is one yes or no: an exit code of cargo.
fn lint(context: &Context<'_>, title: &str, words: &[&str]) -> Result<Tally> {
    let step = context.ui.step(title);
    match cargo_job(context, &format!("{title}.log"), words).run(|line| step.detail(line)) {
        Ok(()) => {
            step.done("");
            Ok(Tally::passed(1))
        }
        Err(error) => refused(context.ui, title, error),
    }
}

/// Shows a failed child and counts it; an interrupt or a program that is not there ends the run.
fn refused(ui: &Ui, title: &str, error: anyhow::Error) -> Result<Tally> {
    if !matches!(kind_of(&error), Kind::Fault | Kind::Unavailable) {
        return Err(error);
    }
    ui.error(&error);
    Ok(Tally::failed(title))
}

fn cargo_test(context: &Context<'_>) -> Result<Tally> {
    let step = context.ui.step("tests");
    let log = transcript(context, "tests.log");
    let skips = transcript(context, "skips.jsonl");
    match std::fs::remove_file(&skips) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Fault::new(format!("cannot remove {}: {e}", skips.display())).into());
        }
        _ => {}
    }
    let outcome = cargo_job(
        context,
        "tests.log",
        &["test", "--workspace", "--no-fail-fast", "--color=never"],
    )
    .env(skip::LOG, &skips)
    .run(|line| step.detail(line));
    exec::check_interrupt()?;
    let text = std::fs::read_to_string(&log)
        .map_err(|e| Fault::new(format!("cannot read {}: {e}", log.display())))?;
    let mut tally = cargo_summary(&text, skip::read(&skips)?)?;
    match outcome {
        // Zero tests with exit code 0 is what a filter or an empty workspace gives: no proof.
        Ok(()) if tally.passed == 0 => tally = tally.and(&Tally::failed("cargo test ran no test")),
        Ok(()) => step.done(&tally.line()),
        Err(error) => {
            drop(step);
            // A binary that was killed, or did not compile, prints no summary.
            let counted = refused(context.ui, "cargo test", error)?;
            if tally.failed == 0 {
                tally = tally.and(&counted);
            }
        }
    }
    Ok(tally)
}

fn joined(context: &Context<'_>, ahead: std::thread::ScopedJoinHandle<'_, ()>) -> Tally {
    if ahead.join().is_err() {
        context.ui.warn("what guests need was not made ahead: its thread panicked");
    }
    Tally::default()
}

/// Makes what the guests need while other suites wait for an engine, at the lowest
/// priority. What cannot be made is told by the suite that needs it.
fn make_guests(context: &Context<'_>, suites: &[Suite]) {
    exec::yield_processors();
    let behind = context.ui.behind();
    for suite in suites {
        let Ok(Flags { command: Command::TestVm(args), global }) = parse(context, suite) else {
            continue;
        };
        let context = Context { ui: &behind, global: &global, ..context.clone() };
        if let Err(error) = test_vm::make_ready(&context, &args) {
            tracing::debug!(%error, suite = suite.words.join(" "), "not made ahead");
        }
    }
}

/// The suite's command line, with what the user has said for the whole run.
fn parse(context: &Context<'_>, suite: &Suite) -> Result<Flags> {
    let title = suite.words.join(" ");
    let words = ["cargo xtask"].into_iter().chain(suite.words.iter().map(String::as_str));
    let mut flags = Flags::try_parse_from(words)
        .map_err(|e| Fault::new(format!("`cargo xtask {title}`: {e}")))?;
    accept_few_skips(&mut flags.command);
    flags.global.cache_dir = Some(context.cache.root().to_owned());
    flags.global.systemd_git.clone_from(&context.global.systemd_git);
    flags.global.quiet = context.global.quiet;
    flags.global.verbose = context.global.verbose;
    Ok(flags)
}

/// A check that is skipped for another reason than those that are known proves nothing.
fn accept_few_skips(command: &mut Command) {
    match command {
        Command::TestImage(args) => args.may_skip = Some(MAY_SKIP.map(str::to_owned).to_vec()),
        // A guest has every controller, and is asked for nothing that it could not try.
        Command::TestVm(args) => args.may_skip = Some(Vec::new()),
        _ => {}
    }
}

fn run_suite(context: &Context<'_>, suite: &Suite) -> Result<Tally> {
    let title = suite.words.join(" ");
    context.ui.note(&format!("cargo xtask {title}"));
    let flags = parse(context, suite)?;
    // One document on stdout: under --json the suites' own tables go to stderr.
    let aside = context.ui.aside();
    let ui = if context.global.json { &aside } else { context.ui };
    let (status, reason) = match super::dispatch(&flags, ui) {
        Ok(Status::No) => (Status::No, "the answer is no".to_owned()),
        Ok(status) => (status, "the command says it cannot be tried here".to_owned()),
        Err(error) if kind_of(&error) == Kind::Interrupted => return Err(error),
        Err(error) => {
            ui.error(&error);
            (kind_of(&error).into(), format!("{error:#}"))
        }
    };
    let skipped = |reason: String, allowed| {
        Tally::skipped(Skip { test: title.clone(), reason, optional: false }, allowed)
    };
    match status {
        Status::Yes => Ok(Tally::passed(1)),
        Status::No | Status::Fault if suite.early_warning => {
            Ok(skipped(format!("early warning: {reason}"), true))
        }
        // Which checks said no is told above.
        Status::No => Ok(Tally::failed(title)),
        Status::Fault => {
            Ok(Tally::failed(format!("{title}: {}", reason.lines().next().unwrap_or_default())))
        }
        Status::NotTried => Ok(skipped(reason, suite.early_warning)),
        Status::Interrupted => Err(Fault::interrupted().into()),
    }
}

/// Minutes per stage, the skips, what failed (of a fault: why), and the counts alone on the last line.
fn table(stages: &[Stage], total: &Tally, elapsed: Duration) -> String {
    let width = stages.iter().map(|s| s.title.len()).max().unwrap_or(0).max("stage".len());
    let mut text = format!("{:width$}  minutes  passed  failed  skipped\n", "stage");
    let mut row = |title: &str, seconds: f64, tally: &Tally| {
        text += &format!(
            "{title:width$}  {:7.2}  {:6}  {:6}  {:7}\n",
            seconds / 60.0,
            tally.passed,
            tally.failed,
            tally.skips.len()
        );
    };
    for stage in stages {
        row(&stage.title, stage.seconds, &stage.tally);
    }
    row("all", elapsed.as_secs_f64(), total);
    for skipped in &total.skips {
        text += &format!("\nskipped: {}: {}", skipped.skip.test, skipped.skip.reason);
    }
    // Last, so that the end of a long log tells.
    for failure in &total.failures {
        text += &format!("\nfailed: {failure}");
    }
    if !(total.skips.is_empty() && total.failures.is_empty()) {
        text.push('\n');
    }
    text + "\n" + &total.line() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_skip_nothing_and_an_engine_what_it_cannot_do() {
        let accepted = |words: &str| {
            let words = ["cargo xtask"].into_iter().chain(words.split(' '));
            let mut command = Flags::try_parse_from(words).unwrap().command;
            accept_few_skips(&mut command);
            match command {
                Command::TestImage(args) => args.may_skip,
                Command::TestVm(args) => args.may_skip,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(accepted("test-vm --only limits.memory"), Some(Vec::new()));
        assert_eq!(accepted("test-image").unwrap(), MAY_SKIP);
    }

    #[test]
    fn the_counts_stand_alone_on_the_last_line() {
        let skip = Skip { test: "nix::x".into(), reason: "no nix".into(), optional: false };
        let stages = [
            Stage { title: "clippy".into(), seconds: 61.2, tally: Tally::passed(1) },
            Stage {
                title: "tests".into(),
                seconds: 3.0,
                tally: Tally::passed(40).and(&Tally::skipped(skip, false)),
            },
        ];
        let total = stages.iter().fold(Tally::default(), |sum, s| sum.and(&s.tally));
        insta::assert_snapshot!(table(&stages, &total, Duration::from_secs(90)), @r#"
        stage   minutes  passed  failed  skipped
        clippy     1.02       1       0        0
        tests      0.05      40       0        1
        all        1.50      41       0        1

        skipped: nix::x: no nix

        41 passed, 0 failed, 1 skipped
        "#);
    }
}
