// SPDX-License-Identifier: MIT
//! `cargo xtask report`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Context, rebase_select, rebase_sites};
use crate::atomic;
use crate::boot::record::{self, Record};
use crate::fault::{Fault, Status};
use crate::rebase::{Engine, Facts};
use crate::report::carried::{self, Carried};
use crate::report::page::{self, Input};
use crate::series::{self, Series};
use crate::sources::{Lock, Sources};
use crate::version::SystemdVersion;

/// Write one HTML page: the grid, conflicts with their culprits, the patches, boots and trends
///
/// The page needs no network and no other file. What is in the lock is judged anew, and whatever
/// newer release the cache holds; nothing else is written, and no verdict follows from it: the exit
/// code is 0 once the page is there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask report --output page.html
  cargo xtask report 263-rc1 --systemd-git ~/src/systemd
  cargo xtask report --records artefacts      # and those of other machines
  cargo xtask report --from artefacts         # those alone, as on a machine without sources")]
pub struct Args {
    /// Versions to judge besides those, such as 263-rc1
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,

    /// Where to write the page (default: report.html in the cache folder)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Also show the records below this folder, such as those of other machines
    #[arg(long, visible_alias = "merge", value_name = "DIR")]
    records: Vec<PathBuf>,

    /// Make the page from the records in this folder alone: no sources, no network, no cache
    #[arg(long, value_name = "DIR", conflicts_with_all = ["versions", "records"])]
    from: Option<PathBuf>,
}

/// What the page is made of.
struct Known {
    carried: Carried,
    records: Vec<Record>,
    unread: Vec<String>,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Written {
    schema: u32,
    page: PathBuf,
    bytes: usize,
    versions: usize,
    /// Cells that wait for a person.
    unsettled: usize,
    /// Versions with places that a refusal can reach and that nobody has looked at.
    unseen: Vec<SystemdVersion>,
    records: usize,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let cache = context.cache.root();
    let output = args.output.clone().unwrap_or_else(|| cache.join("report.html"));
    if output.is_dir() {
        return Err(Fault::new(format!("{} is a folder", output.display()))
            .hint("name a file: cargo xtask report --output report.html")
            .into());
    }
    let series = series::load(&context.checkout.patches())?;
    let lock = Lock::load(&context.checkout.lock())?;
    let known = match &args.from {
        Some(dir) => from(dir, &lock)?,
        None => judge(context, args, &series, &lock)?,
    };
    let input = Input {
        made_s: known.carried.started_s,
        series: &series,
        lock: &lock,
        rows: known.carried.versions.iter().map(carried::Version::row).collect(),
        kept: &known.carried.kept,
        sites: &known.carried.sites,
        records: &known.records,
        unread: &known.unread,
    };
    let html = page::html(&input);
    atomic::write(&output, html.as_bytes())
        .with_context(|| format!("cannot write {}", output.display()))?;

    let output = std::path::absolute(&output)?;
    if context.global.json {
        ui.json(&Written {
            schema: 1,
            page: output,
            bytes: html.len(),
            versions: input.rows.len(),
            unsettled: input.unsettled(),
            unseen: input.sites.versions().into_iter().collect(),
            records: known.records.len(),
        })?;
    } else {
        ui.result(&format!("{}\n", output.display()));
    }
    Ok(Status::Yes)
}

/// Carries the patches to what is here, and reads what this machine has recorded.
fn judge(context: &Context<'_>, args: &Args, series: &Series, lock: &Lock) -> Result<Known> {
    let ui = context.ui;
    let cache = context.cache.root();
    let (records, unread) = records(context, &args.records)?;
    let sources = Sources::open(&context.cache, lock.clone(), &context.global.into(), ui)?;
    let step = ui.step("carrying the patches");
    let named: Vec<String> = here(&sources, lock).chain(args.versions.iter().cloned()).collect();
    let (wanted, kept) = if named.is_empty() && context.global.systemd_git.is_none() {
        (BTreeMap::new(), lock.iter().map(|entry| entry.version).collect())
    } else {
        rebase_select::known(&sources, series, &named, ui)?
    };
    let targets = rebase_select::targets(&sources, series, &wanted)?;
    let versions: Vec<SystemdVersion> = wanted.keys().copied().collect();
    let facts = cache.join("rebase-facts");
    let proved = std::fs::read(&facts).unwrap_or_default();
    let mut engine = Engine::open(sources.git().path())?
        .with_history(rebase_select::history(&wanted)?)
        .knowing(Facts::from_bytes(&proved));
    let runs = engine.run(series, &targets, &versions)?;
    // Useful to the next run, but nothing depends on it.
    if let Some(bytes) = engine.facts().to_bytes()
        && let Err(error) = atomic::write(&facts, &bytes)
    {
        tracing::info!(%error, "facts are not kept");
    }
    let sites = rebase_sites::review(context, &sources, series, &runs)?;
    let carried = Carried::of(&engine, &runs, &kept, sites)?;
    if !runs.is_empty() {
        carried.keep(&context.cache.runs());
    }
    step.done(&format!("{} x {} versions", series.patches.len(), runs.len()));
    Ok(Known { carried, records, unread })
}

/// What others have recorded. Versions that the newest of their runs did not judge are shown as the lock
/// has them.
fn from(dir: &Path, lock: &Lock) -> Result<Known> {
    is_folder(dir)?;
    let (records, mut unread) = record::read_all(dir)?;
    let (carried, unreadable) = carried::newest(dir)?;
    unread.extend(unreadable);
    if records.is_empty() && carried.is_none() {
        return Err(Fault::new(format!("{} holds no record that can be read", dir.display()))
            .hint(unread.into_iter().chain([HOLDS.to_owned()]).collect::<Vec<_>>().join("\n"))
            .into());
    }
    let carried = carried.unwrap_or_else(|| {
        let kept: Vec<SystemdVersion> = lock.iter().map(|entry| entry.version).collect();
        Carried::now(Vec::new(), &kept)
    });
    Ok(Known { carried, records, unread })
}

const HOLDS: &str = "name the folder that holds RUN/record.json or record-JOB.json";

fn is_folder(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(Fault::new(format!("{} is no folder", dir.display())).hint(HOLDS).into())
}

/// The verified versions whose sources are here, and those that came out after them: a conflict
/// with one of these is what the page is opened for. Naming them keeps others from being asked for.
fn here(sources: &Sources<'_>, lock: &Lock) -> impl Iterator<Item = String> {
    let last = lock.iter().map(|entry| entry.version).max();
    let newer = move |v: SystemdVersion| Some(v) > last && !v.is_candidate();
    let known = sources.known().into_iter().filter(|a| a.refused.is_none()).map(|a| a.version);
    known.filter(move |v| lock.get(*v).is_some() || newer(*v)).map(|v| v.to_string())
}

/// All records, oldest first, each once; and what could not be read.
fn records(context: &Context<'_>, more: &[PathBuf]) -> Result<(Vec<Record>, Vec<String>)> {
    let (mut records, mut unread) = record::read_all(&context.cache.runs())?;
    for dir in more {
        is_folder(dir)?;
        let (theirs, unreadable) = record::read_all(dir)?;
        records.extend(theirs);
        unread.extend(unreadable);
    }
    records.sort_by(|a, b| (a.started_s, &a.id).cmp(&(b.started_s, &b.id)));
    // Not by their names: two machines have given older ones the same.
    let mut seen = BTreeSet::new();
    records.retain(|r| serde_json::to_vec(r).is_ok_and(|text| seen.insert(Sha256::digest(text))));
    Ok((records, unread))
}
