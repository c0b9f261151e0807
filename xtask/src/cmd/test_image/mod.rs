// SPDX-License-Identifier: MIT
//! `cargo xtask test-image`

mod args;
mod bench;
mod list;
mod via;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

pub use self::args::{Args, known_checks};
pub(super) use self::bench::Bench;
pub use self::via::Via;

use self::args::{again, ready_made};
use super::prepare::{self, Installed};
use super::{Context, ablate};
use crate::arch::Arch;
use crate::boot::ablation;
use crate::boot::checks::Check;
use crate::boot::junit;
use crate::boot::record::{self, Record};
use crate::boot::verdict::{Outcome, Verdict};
use crate::engine::{self, Choice, Engine};
use crate::exec;
use crate::fault::Status;
use crate::requirements::{self, Need};

/// Transcripts of older runs are removed.
const RUNS_KEPT: usize = 100;

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    if args.list_checks {
        return list::list(context, args);
    }
    known_checks(args)?;
    if let Some(arch) = args.arch.filter(|arch| !arch.is_native()) {
        return super::test_vm::on_guest_of(context, args, arch);
    }
    let begin = Instant::now();
    let ready = ready_made(args)?;
    if ready.is_none() && args.image.is_none() {
        let needs = match args.engine {
            // The user's own, which is not installed for them.
            Choice::Podman => &[Need::Sources, Need::Build, Need::Image][..],
            _ => &[Need::Sources, Need::Build, Need::Image, Need::Engine],
        };
        requirements::ensure(needs, context.ui, &context.cache)?;
    }
    // First, since without an engine all other work is in vain.
    let engine = engine::find(args.engine, &context.cache, context.ui)?;
    let run = Run::new(context, "test-image", begin);
    run_on(context, args, ready, &engine, run)
}

/// One run on its way, of this command or of one that brings its own engine.
pub struct Run {
    /// The words after `cargo xtask` that repeat it, up to the choice of versions.
    pub command: String,
    begin: Instant,
    now: SystemTime,
    id: String,
    /// Where its record and its transcripts go.
    pub dir: PathBuf,
}

impl Run {
    pub fn new(context: &Context<'_>, command: impl Into<String>, begin: Instant) -> Run {
        let now = SystemTime::now();
        let id = record::run_id(now);
        let dir = context.cache.runs().join(&id);
        Run { command: command.into(), begin, now, id, dir }
    }
}

/// Examines what the arguments name on this engine.
pub fn run_on(
    context: &Context<'_>,
    args: &Args,
    ready: Option<(Installed, Option<Installed>)>,
    engine: &Engine,
    run: Run,
) -> Result<Status> {
    let Run { command, begin, now, id, dir } = run;
    let mut record = Record {
        schema: record::SCHEMA,
        id,
        started_s: now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        plainboot: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine.facts.clone(),
        subjects: Vec::new(),
        ablations: Vec::new(),
        steps: Vec::new(),
        seconds: 0.0,
    };
    let all = |check: &Check| args.is_about(check);
    let mut judge = |main: &Installed, stock: Option<&Installed>| -> Result<()> {
        let bench = Bench { context, engine, dir: &dir, args };
        let subject = bench.examine(main, stock, &all)?;
        if args.record && subject.complete && subject.verdict == Verdict::Proven {
            bench.record(&main.identity)?;
        }
        record.subjects.push(subject);
        // After each, so that an interrupt loses nothing.
        record.steps = context.ui.steps();
        record.seconds = begin.elapsed().as_secs_f64();
        save(&dir, &record)
    };
    let mut status = Status::Yes;
    if let Some(image) = &args.image {
        let bench = Bench { context, engine, dir: &dir, args };
        record.subjects.push(bench.examine_made(image, &all)?);
        record.steps = context.ui.steps();
        record.seconds = begin.elapsed().as_secs_f64();
        save(&dir, &record)?;
    } else if let Some((main, stock)) = &ready {
        judge(main, stock.as_ref())?;
    } else {
        let sources = prepare::sources(context)?;
        let (pairs, fits) = match &args.revision {
            Some(revision) => prepare::recipes_at(context, &sources, revision)?,
            None => {
                let versions = prepare::versions(&sources, &args.systemd)?;
                prepare::recipes(context, &sources, &versions)?
            }
        };
        status = fits;
        // An engine elsewhere may run on another architecture.
        let arch = Arch::named(engine.facts.arch());
        let install = |recipe| prepare::install_for(context, &sources, recipe, arch);
        let whole = if args.ablate.is_none() { pairs.as_slice() } else { &[] };
        for pair in whole {
            // Stock first: the patched build then compiles only what the patches touch.
            let stock = args.looks_at_stock().then(|| install(&pair.stock)).transpose()?;
            match (&pair.patched, &stock) {
                (_, Some(stock)) if args.stock => judge(stock, Some(stock))?,
                (Some(recipe), stock) => judge(&install(recipe)?, stock.as_ref())?,
                (None, _) => {}
            }
        }
        if let Some(parts) = &args.ablate {
            let bench = Bench { context, engine, dir: &dir, args };
            for pair in &pairs {
                let seen = ablate::ablate(&bench, &sources, pair, parts)?;
                record.subjects.extend(seen.whole);
                record.ablations.extend(seen.ablations);
                record.steps = context.ui.steps();
                record.seconds = begin.elapsed().as_secs_f64();
                save(&dir, &record)?;
            }
        }
    }
    if let Some(said) = record::prune(&context.cache.runs(), "record.json", RUNS_KEPT) {
        context.ui.note(&said);
    }
    report(context, args, &command, &record, &dir)?;
    if args.keep {
        hold(context, engine)?;
    }
    let status = record.subjects.iter().fold(status, |all, s| all.and(s.verdict.into()));
    Ok(record.ablations.iter().fold(status, |all, a| all.and(a.status())))
}

fn save(dir: &Path, record: &Record) -> Result<()> {
    let json = serde_json::to_vec_pretty(record).context("cannot write the record")?;
    crate::atomic::write(&dir.join("record.json"), &json)?;
    crate::atomic::write(&dir.join("junit.xml"), &junit::junit(record)?).map(drop)
}

fn report(
    context: &Context<'_>,
    args: &Args,
    command: &str,
    record: &Record,
    dir: &Path,
) -> Result<()> {
    if context.global.json {
        context.ui.json(record)?;
    } else {
        for subject in &record.subjects {
            context.ui.result(&record::table(subject, context.ui));
        }
        for version in record.ablations.chunk_by(|a, b| a.version == b.version) {
            context.ui.result(&ablation::table(version, context.ui));
        }
    }
    for subject in &record.subjects {
        // Once each, although one may have failed in several rows.
        let failed: BTreeSet<&str> = subject
            .checks
            .iter()
            .filter(|c| matches!(c.outcome, Outcome::Fails(_) | Outcome::Broken(_)))
            .map(|c| c.id.as_str())
            .collect();
        if !failed.is_empty() {
            let clone = context.global.systemd_git.as_deref();
            let again = again(args, clone, command, subject.version, &failed);
            context.ui.note(&format!("transcript: {}", subject.transcript.display()));
            context.ui.note(&format!("repeat:     {again}"));
        }
    }
    context.ui.note(&format!("record:     {}", dir.join("record.json").display()));
    Ok(())
}

fn hold(context: &Context<'_>, engine: &Engine) -> Result<()> {
    context.ui.note(&format!("kept: {} ps --all", engine.prompt()));
    if !engine.facts.private {
        return Ok(());
    }
    context.ui.note("the private engine runs on until Ctrl-C");
    while exec::sleep(std::time::Duration::from_secs(1)).is_ok() {}
    Ok(())
}
