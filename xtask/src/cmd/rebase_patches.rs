// SPDX-License-Identifier: MIT
//! `cargo xtask rebase-patches`

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::rebase_recall::{self, LastAnswer};
use super::rebase_select::{history, select, targets};
use super::{Context, bisect, ci_matrix, rebase_sites, rebase_text};
use crate::atomic::{self, ChangeSet};
use crate::fault::{Fault, Status};
use crate::rebase::{self, Cell, Engine, Facts, Outcome, Settled, VersionRun};
use crate::render::overlay::{self, Verified};
use crate::report;
use crate::series::{self, Series};
use crate::sites::Review;
use crate::sources::{Lock, Source, Sources, TreeId};
use crate::version::SystemdVersion;

/// Carry the patches to systemd's versions, and write the variants, the overlay and the lock
///
/// Without versions: those in patches/sources.lock and the newest that can be had. Versions that
/// were verified before are always judged again; those that cannot be had here keep what they have.
///
/// A conflict is solved by `cargo xtask resolve`, or by writing patches/<ID>/<VERSION>.patch (git
/// format-patch on a checkout of that version); series.toml is completed by itself.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask rebase-patches
  cargo xtask rebase-patches 263-rc1 --check --systemd-git ~/src/systemd
  cargo xtask rebase-patches --all --accept-resolved")]
pub struct Args {
    /// Versions to carry the patches to, such as 257, 257.13 or 261-rc2
    #[arg(value_name = "VERSION")]
    pub(super) versions: Vec<String>,

    /// All released versions from 254 on that can be had here
    #[arg(long, conflicts_with = "versions")]
    pub(super) all: bool,

    /// Write nothing; exit 1 if anything on disk would change. Adds no version of its own accord
    #[arg(long)]
    pub(super) check: bool,

    /// Only look ahead, to a branch, tag or commit of --systemd-git, as `bisect` does: write nothing
    #[arg(long, value_name = "REV", conflicts_with_all = ["versions", "all", "check"])]
    to: Option<String>,

    /// Check everything anew, also what a run before has proved; --check does so too
    #[arg(long)]
    no_cache: bool,

    /// Take and write also what deeper methods than a merge have found ("resolved"): read it first
    #[arg(long)]
    accept_resolved: bool,
}

impl Args {
    /// These versions, beside those that were verified before.
    pub(super) fn of(versions: Vec<String>, check: bool) -> Self {
        Args { versions, check, ..Args::default() }
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Oldest version first.
    versions: Vec<Row<'a>>,
    /// In the lock, but not to be had here.
    kept: &'a [SystemdVersion],
    variants: Vec<VariantSet<'a>>,
    /// Files that were written; with `--check`, that would be.
    changed: Vec<String>,
    /// Places that a refusal can reach and that nobody has looked at.
    sites: &'a Review,
    /// Time spent carrying, in seconds, without reading the sources.
    seconds: f64,
}

#[derive(Serialize)]
struct Row<'a> {
    version: SystemdVersion,
    tree: TreeId,
    /// The tree with all patches; none while an outcome is unsettled.
    patched_tree: Option<TreeId>,
    patches: &'a [Cell],
}

#[derive(Serialize)]
struct VariantSet<'a> {
    patch: &'a str,
    /// Base to ranges.
    variants: BTreeMap<String, Vec<String>>,
    added: &'a [SystemdVersion],
    removed: &'a [SystemdVersion],
    /// No smaller set covers the versions.
    minimal: bool,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    if let Some(rev) = &args.to {
        return bisect::run(context, &bisect::Args::ahead(rev));
    }
    carry(context, args).map(|carried| carried.status)
}

/// What came of it, for a command that goes on.
pub(super) struct Carried {
    pub status: Status,
    pub runs: Vec<VersionRun>,
    /// Versions on which a refusal can reach places that nobody has looked at.
    pub unseen: Vec<SystemdVersion>,
    /// Below the checkout, with `/`.
    pub changed: Vec<String>,
}

/// Carries, writes and reports.
pub(super) fn carry(context: &Context<'_>, args: &Args) -> Result<Carried> {
    let ui = context.ui;
    let patches = context.checkout.patches();
    let (series, hash) = rebase_recall::load(&patches)?;
    if series.patches.is_empty() {
        return Err(Fault::new(format!(
            "{} names no patch",
            patches.join("series.toml").display()
        ))
        .hint("add a [[patch]] entry; CONTRIBUTING.md describes it")
        .into());
    }
    let lock = Lock::load(&context.checkout.lock())?;
    let sources = Sources::open(&context.cache, lock.clone(), &context.global.into(), ui)?;

    let step = ui.step("reading the sources");
    let (wanted, kept) = select(&sources, &series, args, ui)?;
    if wanted.is_empty() {
        return Err(Fault::new("no version of systemd can be had here")
            .hint("cargo xtask sources says who was asked; --systemd-git PATH names a clone")
            .into());
    }
    let targets = targets(&sources, &series, &wanted)?;
    step.done(&format!("{} versions", wanted.len()));

    let versions: Vec<SystemdVersion> = wanted.keys().copied().collect();
    let step = ui.step("carrying the patches");
    let start = Instant::now();
    let mut engine = Engine::open(sources.git().path())?
        .with_history(history(&wanted)?)
        .accepting_resolved(args.accept_resolved);
    let facts = context.cache.root().join("rebase-facts");
    if !args.no_cache && !args.check {
        let known = std::fs::read(&facts).unwrap_or_default();
        engine = engine.knowing(Facts::from_bytes(&known));
    }
    let mut last = LastAnswer::to(context, &hash, &targets, &versions, &kept);
    let recalled = if args.no_cache || args.check { None } else { last.recall(&series) };
    let (mut runs, mut known) = match recalled {
        Some(recalled) => (recalled.runs, Some(recalled.settled)),
        None => (engine.run(&series, &targets, &versions)?, None),
    };
    tracing::info!(seconds = start.elapsed().as_secs_f64(), "carried");
    let sites = rebase_sites::review(context, &sources, &series, &runs)?;
    let unseen = sites.versions();
    if known.is_some() && !unseen.is_empty() {
        // Versions that somebody must look at first are none to choose variants for.
        known = None;
        runs = engine.run(&series, &targets, &versions)?;
    }
    let (verified, open): (Vec<&VersionRun>, Vec<&VersionRun>) =
        runs.iter().partition(|r| r.is_settled() && !unseen.contains(&r.version));
    let strangers: Vec<SystemdVersion> = open.iter().map(|r| r.version).collect();
    // What is on disk stays as it is if it would lose a version that it held.
    let loses: Vec<SystemdVersion> =
        strangers.iter().copied().filter(|v| lock.get(*v).is_some()).collect();
    let (settled, read_back) = match known {
        Some(settled) => (settled, true),
        None => (rebase::settle(&series, &verified, &kept, &strangers)?, false),
    };
    tracing::info!(seconds = start.elapsed().as_secs_f64(), "variants chosen");
    let change = if loses.is_empty() {
        let change = render(context, &series, &settled, &verified, &wanted, lock)?;
        if !read_back {
            rebase::verify(&mut engine, &patches, &|path| change.read(path), &verified)?;
            if verified.len() == runs.len() {
                last.keep(&engine, &series, &runs, &settled)?;
            }
        }
        change
    } else {
        ChangeSet::default()
    };
    let seconds = start.elapsed().as_secs_f64();
    // Useful, but nothing depends on it.
    if let Some(bytes) = engine.facts().to_bytes()
        && let Err(error) = atomic::write(&facts, &bytes)
    {
        tracing::info!(%error, "facts are not kept");
    }
    match report::carried::Carried::of(&engine, &runs, &kept, sites.clone()) {
        Ok(carried) => carried.keep(&context.cache.runs()),
        Err(error) => tracing::info!(%error, "what the page needs is not kept"),
    }
    step.done(&format!("{} x {} versions", series.patches.len(), runs.len()));

    let root = context.checkout.root();
    let drift = change.drift();
    let name = |p: &std::path::Path| p.strip_prefix(root).unwrap_or(p).display().to_string();
    let removed = |p: &std::path::Path| change.read(p).is_err();
    let changed: Vec<String> = drift.iter().map(|p| name(p)).collect();
    let gone: Vec<String> = drift.iter().filter(|p| removed(p)).map(|p| name(p)).collect();
    if !args.check {
        change.apply()?;
    }

    if context.global.json {
        ui.json(&document(&engine, &runs, &settled, &kept, &sites, changed.clone(), seconds)?)?;
    } else {
        ui.result(&rebase_text::table(&series, &runs, ui));
        for text in rebase_text::problems(&series, &runs, context.global.verbose > 0, ui) {
            ui.result(&text);
        }
        if let Some(text) = rebase_sites::text(&sites, &sources, &runs, ui) {
            ui.result(&text);
        }
        if !kept.is_empty() {
            let names = rebase_text::names(&kept);
            ui.result(&format!("not available here, kept as it is: {names}"));
        }
        if !loses.is_empty() {
            let names = rebase_text::names(&loses);
            ui.result(&format!("nothing was written: {names} fitted before and must fit again"));
        }
        ui.result(&rebase_text::changes(&settled, &changed, &gone, args.check));
        ui.result(&rebase_text::summary(&runs, seconds));
    }
    let status = status(&runs, args.check && !changed.is_empty()).and(rebase_sites::status(&sites));
    Ok(Carried { status, runs, unseen: unseen.into_iter().collect(), changed })
}

/// Everything that follows from the settled series: patch files, series.toml, lock, overlay, what CI runs.
fn render(
    context: &Context<'_>,
    series: &Series,
    settled: &[Settled],
    verified: &[&VersionRun],
    wanted: &BTreeMap<SystemdVersion, Source>,
    mut lock: Lock,
) -> Result<ChangeSet> {
    let dir = context.checkout.patches();
    let mut change = ChangeSet::default();
    let mut new = series.clone();
    let mut listed = BTreeMap::new();
    for (patch, set) in new.patches.iter_mut().zip(settled) {
        for variant in set.variants.iter().filter(|v| set.added.contains(&v.base)) {
            change.put(dir.join(patch.file(variant.base)), variant.text.to_bytes());
        }
        for base in &set.removed {
            change.remove(dir.join(patch.file(*base)));
        }
        patch.variants.clone_from(&set.variants);
        let ranges = set.variants.iter().map(|v| (v.base, v.ranges.clone())).collect();
        listed.insert(patch.id.clone(), ranges);
    }
    let path = dir.join("series.toml");
    let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    change.put(path, series::with_variants(&text, &listed)?);

    for run in verified {
        // A version that is known was checked against the lock when it was read. What another
        // provider could add about it must not make the file depend on who was asked.
        let new = wanted.get(&run.version).filter(|_| lock.get(run.version).is_none());
        if let Some(source) = new {
            lock.record(source)?;
        }
    }
    change.put(context.checkout.lock(), lock.render());
    // Who has no CI needs none.
    let matrix = context.checkout.matrix();
    if matrix.is_file() {
        change.put(matrix, ci_matrix::of(&lock).render()?);
    }

    let verified = lock.iter().map(|entry| Verified {
        version: entry.version,
        patches: new
            .patches
            .iter()
            .filter_map(|p| Some(p.file(p.variant_for(entry.version)?.base)))
            .collect(),
    });
    let segments = overlay::segments(verified.collect())?;
    change.append(overlay::overlay(&context.checkout, &segments)?);
    Ok(change)
}

fn document<'a>(
    engine: &Engine,
    runs: &'a [VersionRun],
    settled: &'a [Settled],
    kept: &'a [SystemdVersion],
    sites: &'a Review,
    changed: Vec<String>,
    seconds: f64,
) -> Result<Document<'a>> {
    let row = |run: &'a VersionRun| -> Result<Row<'a>> {
        let patched = run.is_settled().then(|| engine.patched_tree(run)).transpose()?;
        Ok(Row {
            version: run.version,
            tree: run.state.tree.into(),
            patched_tree: patched.map(TreeId::from),
            patches: &run.cells,
        })
    };
    let set = |s: &'a Settled| VariantSet {
        patch: &s.id,
        variants: s
            .variants
            .iter()
            .map(|v| (v.base.to_string(), v.ranges.iter().map(ToString::to_string).collect()))
            .collect(),
        added: &s.added,
        removed: &s.removed,
        minimal: s.minimal,
    };
    Ok(Document {
        schema: 1,
        versions: runs.iter().map(row).collect::<Result<_>>()?,
        kept,
        variants: settled.iter().map(set).collect(),
        changed,
        sites,
        seconds,
    })
}

fn status(runs: &[VersionRun], drift: bool) -> Status {
    let outcomes = || runs.iter().flat_map(|r| &r.cells).map(|c| c.outcome);
    let no = |o: Outcome| !o.is_settled() && o != Outcome::Unreadable;
    let mut status = if drift || outcomes().any(no) { Status::No } else { Status::Yes };
    if outcomes().any(|o| o == Outcome::Unreadable) {
        status = status.and(Status::Fault);
    }
    status
}
