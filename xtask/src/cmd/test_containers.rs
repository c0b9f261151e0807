// SPDX-License-Identifier: MIT
//! `cargo xtask test-containers`

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Context;
use super::build_image::{self, Patched};
use crate::engine::{self, Choice};
use crate::fault::Status;
use crate::image::Image;
use crate::image::base::{self, Debian, Origin};
use crate::requirements::{self, Need};
use crate::trial::{Trial, containers, start};

/// Try plainboot-container, and the image that builds its system at start, on a real engine
///
/// Builds what is missing: systemd, patched, on Debian. Containers here are called pbtest-…; any of
/// these that a killed run has left are removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test-containers
  cargo xtask test-containers --systemd 257 --only start")]
pub struct Args {
    /// The version of systemd (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION")]
    pub systemd: Option<String>,

    /// The engine to use
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Choice,

    /// Try one of the two alone
    #[arg(long, value_enum)]
    pub only: Option<Part>,
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// plainboot-container (nix/containers)
    Command,
    /// The start-up program (nix/config-at-start), with Debian's Nix
    Start,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    cases: Vec<Judged>,
}

#[derive(Serialize)]
struct Judged {
    title: &'static str,
    wrong: Vec<String>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let needed = [Need::Sources, Need::Build, Need::Image, Need::Engine];
    requirements::ensure(&needed, ui, &context.cache)?;
    // The names in the engine are the same for each run.
    let _lock = context.cache.lock("test-containers")?;
    let engine = engine::find(args.engine, &context.cache, ui)?;
    let (patched, status) = build_image::patched(context, args.systemd.as_ref())?;
    let Some(Patched { installed, layer, profile }) = patched else { return Ok(status) };
    let mut cases = Vec::new();
    for part in [Part::Command, Part::Start] {
        if args.only.is_some_and(|only| only != part) {
            continue;
        }
        let with_nix = part == Part::Start;
        let extra = if with_nix { vec!["nix-bin".to_owned()] } else { Vec::new() };
        let debian = Debian { extra, pinned: None, arch: None };
        let base = base::get(&Origin::Debian, &debian, Some(&engine), &context.cache, ui)?;
        let base = base.with_users(&installed.tree)?;
        let mut identity = installed.identity.clone();
        // So that this image is no other command's older one.
        identity.flavour = format!("patched, to try {part:?}").to_lowercase();
        let image = Image::on(&base, &identity, &profile, layer.clone(), None);
        let image = engine.load(&image, ui)?;
        let scratch = tempfile::tempdir().context("cannot make a folder for the cases")?;
        let (program, all) = if with_nix {
            let programs = scratch.path().join("programs");
            start::prepare(&context.checkout.nix(), &programs)?;
            (programs, start::CASES)
        } else {
            (context.checkout.nix().join("containers/plainboot-container"), containers::CASES)
        };
        let trial = Trial::new(&engine, image, program, scratch.path());
        containers::sweep(&trial)?;
        let tried = all.iter().try_for_each(|case| {
            let step = ui.step(case.title);
            let wrong = trial.judge(case)?;
            step.done(if wrong.is_empty() { "holds" } else { "does not hold" });
            cases.push(Judged { title: case.title, wrong });
            Ok(())
        });
        // Also what a case that failed has left.
        let swept = containers::sweep(&trial);
        tried.and(swept)?;
    }

    let failed = cases.iter().filter(|case| !case.wrong.is_empty()).count();
    let count = cases.len();
    if context.global.json {
        ui.json(&Document { schema: 1, cases })?;
    } else {
        for case in cases.iter().filter(|case| !case.wrong.is_empty()) {
            ui.result(&format!(
                "{}:\n  {}",
                case.title,
                case.wrong.join("\n  ").replace('\n', "\n  ")
            ));
        }
        ui.result(&format!("{} of {count} cases hold", count - failed));
    }
    Ok(if failed == 0 { Status::Yes } else { Status::No })
}
