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
use crate::trial::{Trial, containers};

/// Try plainboot-container on a real engine: its verbs, bad input, updates that fail or are killed
///
/// Builds what is missing: systemd, patched, on Debian. Containers here are called pbtest-…; any of
/// these that a killed run has left are removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test-containers
  cargo xtask test-containers --systemd 257 --engine podman")]
pub struct Args {
    /// The version of systemd (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION")]
    pub systemd: Option<String>,

    /// The engine to use
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Choice,
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
    let engine = engine::find(args.engine, &context.cache, ui)?;
    let (patched, status) = build_image::patched(context, args.systemd.as_ref())?;
    let Some(Patched { installed, layer, profile }) = patched else { return Ok(status) };
    let debian = Debian { extra: Vec::new(), pinned: None, arch: None };
    let base = base::get(&Origin::Debian, &debian, Some(&engine), &context.cache, ui)?;
    let base = base.with_users(&installed.tree)?;
    let mut identity = installed.identity;
    // So that this image is no other command's older one.
    identity.flavour = "patched, for containers".to_owned();
    let image = engine.load(&Image::on(&base, &identity, &profile, layer, None), ui)?;

    let scratch = tempfile::tempdir().context("cannot make a folder for the cases")?;
    let program = context.checkout.nix().join("containers/plainboot-container");
    let trial = Trial::new(&engine, image, program, scratch.path());
    containers::sweep(&trial)?;
    let mut cases = Vec::new();
    let tried = containers::CASES.iter().try_for_each(|case| {
        let step = ui.step(case.title);
        let wrong = trial.judge(case)?;
        step.done(if wrong.is_empty() { "holds" } else { "does not hold" });
        cases.push(Judged { title: case.title, wrong });
        Ok(())
    });
    // Also what a case that failed has left.
    let swept = containers::sweep(&trial);
    tried.and(swept)?;

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
        ui.result(&format!("plainboot-container: {} of {count} cases hold", count - failed));
    }
    Ok(if failed == 0 { Status::Yes } else { Status::No })
}
