// SPDX-License-Identifier: MIT
//! `cargo xtask test-containers`

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Context;
use super::build_image::{self, Patched};
use crate::engine::{self, Choice};
use crate::fault::{Fault, Status};
use crate::image::Image;
use crate::image::base::{self, Debian, Origin};
use crate::requirements::{self, Need};
use crate::trial::{Case, Outcome, Trial, containers, start};

/// Try plainboot-container, and the image that builds its system at start, on a real engine
///
/// Builds what is missing: systemd, patched, on Debian. Containers here are called pbtest-…; any of
/// these that a killed run has left are removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test-containers
  cargo xtask test-containers --systemd 257 --only start
  cargo xtask test-containers --only command.networks")]
pub struct Args {
    /// The version of systemd (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION")]
    pub systemd: Option<String>,

    /// The engine to use
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Choice,

    /// Try one part alone (command or start), or one case
    #[arg(long, value_name = "ID")]
    pub only: Option<String>,
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// plainboot-container (nix/containers)
    Command,
    /// The start-up program (nix/config-at-start), with Debian's Nix
    Start,
}

impl Part {
    const ALL: [Part; 2] = [Part::Command, Part::Start];

    fn cases(self) -> &'static [Case] {
        match self {
            Part::Command => containers::CASES,
            Part::Start => start::CASES,
        }
    }

    /// What the image has beside systemd.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Part::Command => &[],
            Part::Start => &["nix-bin", "nginx-light"],
        }
    }
}

/// The cases, of each part that has some.
fn wanted(only: Option<&str>) -> Result<Vec<(Part, Vec<&'static Case>)>> {
    let is = |case: &Case| {
        only.is_none_or(|only| {
            case.id == only || case.id.strip_prefix(only).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let of = |part: Part| (part, part.cases().iter().filter(|case| is(case)).collect::<Vec<_>>());
    let parts: Vec<_> = Part::ALL.map(of).into_iter().filter(|(_, c)| !c.is_empty()).collect();
    if parts.is_empty() {
        let ids: Vec<_> = Part::ALL.iter().flat_map(|part| part.cases()).map(|c| c.id).collect();
        let only = only.unwrap_or_default();
        return Err(Fault::new(format!("there is no case {only}"))
            .hint(format!("there are: command, start, {}", ids.join(", ")))
            .into());
    }
    Ok(parts)
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    cases: Vec<Judged>,
}

#[derive(Serialize)]
struct Judged {
    id: &'static str,
    title: &'static str,
    wrong: Vec<String>,
    /// Why it was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let parts = wanted(args.only.as_deref())?;
    let needed = [Need::Sources, Need::Build, Need::Image, Need::Engine];
    requirements::ensure(&needed, ui, &context.cache)?;
    // The names in the engine are the same for each run.
    let _lock = context.cache.lock("test-containers")?;
    let engine = engine::find(args.engine, &context.cache, ui)?;
    let (patched, status) = build_image::patched(context, args.systemd.as_ref())?;
    let Some(Patched { installed, layer, profile }) = patched else { return Ok(status) };
    let mut judged = Vec::new();
    for (part, cases) in parts {
        let extra = part.packages().iter().map(|&name| name.to_owned()).collect();
        let debian = Debian { extra, pinned: None, arch: None };
        let base = base::get(&Origin::Debian, &debian, Some(&engine), &context.cache, ui)?;
        let base = base.with_users(&installed.tree)?;
        let mut identity = installed.identity.clone();
        // So that this image is no other command's older one.
        identity.flavour = format!("patched, to try {part:?}").to_lowercase();
        let image = Image::on(&base, &identity, &profile, layer.clone(), None);
        let image = engine.load(&image, ui)?;
        let scratch = tempfile::tempdir().context("cannot make a folder for the cases")?;
        let program = match part {
            Part::Command => context.checkout.nix().join("containers/plainboot-container"),
            Part::Start => {
                let programs = scratch.path().join("programs");
                start::prepare(&context.checkout.nix(), &programs)?;
                programs
            }
        };
        let trial = Trial::new(&engine, image, program, context.checkout.root(), scratch.path());
        containers::sweep(&trial)?;
        let tried = cases.iter().try_for_each(|case| {
            let step = ui.step(case.title);
            let (wrong, skipped) = match trial.judge(case)? {
                Outcome::Holds => {
                    step.done("holds");
                    (Vec::new(), None)
                }
                Outcome::Wrong(all) => {
                    step.done("does not hold");
                    (all, None)
                }
                Outcome::Skipped(reason) => {
                    step.done(&format!("skipped: {reason}"));
                    (Vec::new(), Some(reason))
                }
            };
            judged.push(Judged { id: case.id, title: case.title, wrong, skipped });
            Ok(())
        });
        // Also what a case that failed has left.
        let swept = containers::sweep(&trial);
        tried.and(swept)?;
    }
    tell(context, judged)
}

fn tell(context: &Context<'_>, cases: Vec<Judged>) -> Result<Status> {
    let ui = context.ui;
    let count = cases.len();
    let failed = cases.iter().filter(|case| !case.wrong.is_empty()).count();
    let skipped = cases.iter().filter(|case| case.skipped.is_some()).count();
    if context.global.json {
        ui.json(&Document { schema: 2, cases })?;
    } else {
        for case in &cases {
            if let Some(reason) = &case.skipped {
                ui.result(&format!("{} ({}) was not tried: {reason}", case.title, case.id));
            } else if !case.wrong.is_empty() {
                let wrong = case.wrong.join("\n  ").replace('\n', "\n  ");
                ui.result(&format!("{} ({}):\n  {wrong}", case.title, case.id));
            }
        }
        ui.result(&format!("{} of {count} cases hold", count - failed - skipped));
    }
    Ok(if failed > 0 {
        Status::No
    } else if skipped > 0 {
        Status::NotTried
    } else {
        Status::Yes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_a_case_and_nothing_else_can_be_wanted() {
        let count = |only| wanted(only).map(|all| all.iter().map(|(_, c)| c.len()).sum::<usize>());
        let every = count(None).unwrap();
        assert_eq!(every, containers::CASES.len() + start::CASES.len());
        assert_eq!(count(Some("start")).unwrap(), start::CASES.len());
        assert_eq!(count(Some("start.flake")).unwrap(), 1);
        assert!(count(Some("sta")).unwrap_err().to_string().contains("there is no case sta"));
    }

    #[test]
    fn no_two_cases_have_an_id() {
        let mut ids: Vec<_> = Part::ALL.iter().flat_map(|p| p.cases()).map(|c| c.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
