// SPDX-License-Identifier: MIT
//! Which versions a rebase is about, with their sources, trees and history.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::rebase_patches::Args;
use crate::fault::{Kind, kind_of};
use crate::rebase::{History, Target};
use crate::series::Series;
use crate::sources::{OLDEST_MAJOR, Source, Sources};
use crate::ui::Ui;
use crate::version::SystemdVersion;

/// The versions to work on, with their sources, and those that were verified before (by the lock,
/// or by what `series.toml` names) and are not to be had.
pub fn select(
    sources: &Sources<'_>,
    series: &Series,
    args: &Args,
    ui: &Ui,
) -> Result<(BTreeMap<SystemdVersion, Source>, Vec<SystemdVersion>)> {
    let named = sources.resolve(&args.versions)?;
    let available = if args.versions.is_empty() { sources.available()? } else { sources.known() };
    let released: BTreeSet<SystemdVersion> = available
        .iter()
        .filter(|a| a.refused.is_none() && a.version.major >= OLDEST_MAJOR)
        .map(|a| a.version)
        .filter(|v| !v.is_candidate())
        .collect();
    let mut wanted = BTreeMap::new();
    for version in &named {
        wanted.insert(*version, sources.get(*version)?);
    }
    // Nobody asked for just these, so one that a server lists but does not give is left out.
    let mut unless_unavailable = |version: SystemdVersion| -> Result<bool> {
        match sources.get(version) {
            Ok(source) => wanted.insert(version, source),
            Err(error) if kind_of(&error) == Kind::Unavailable => {
                ui.warn(&format!("left out: {error:#}"));
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        Ok(true)
    };
    let more = match () {
        () if args.all => released.clone(),
        // What is on disk is complete without a version that nobody has carried it to yet.
        () if args.versions.is_empty() && !args.check => {
            released.iter().next_back().copied().into_iter().collect()
        }
        () => BTreeSet::new(),
    };
    for version in more {
        unless_unavailable(version)?;
    }
    let mut kept = Vec::new();
    let variants = series.patches.iter().flat_map(|p| &p.variants);
    let listed =
        variants.flat_map(|v| v.ranges.iter().flat_map(|r| [r.from, r.to]).chain([v.base]));
    let before: BTreeSet<SystemdVersion> =
        sources.lock().iter().map(|entry| entry.version).chain(listed).collect();
    for version in before.into_iter().filter(|v| !named.contains(v)) {
        let here = available.iter().any(|a| a.version == version);
        if !(here && unless_unavailable(version)?) {
            kept.push(version);
        }
    }
    Ok((wanted, kept))
}

/// The verified versions and those that are named; nobody is asked for others. None at all if the
/// sources of none are here.
pub fn known(
    sources: &Sources<'_>,
    series: &Series,
    named: &[String],
    ui: &Ui,
) -> Result<(BTreeMap<SystemdVersion, Source>, Vec<SystemdVersion>)> {
    let args = Args::of(named.to_vec(), true);
    select(sources, series, &args, ui)
}

/// Where upstream shows its commits.
pub const LINK: &str = "https://github.com/systemd/systemd/commit/";

/// The commits of the versions whose history is here.
pub fn history(wanted: &BTreeMap<SystemdVersion, Source>) -> Result<History> {
    let mut history = History { link: Some(LINK.to_owned()), ..History::default() };
    for (version, source) in wanted.iter().filter(|(_, s)| s.has_upstream_commit) {
        history.commits.insert(*version, source.tip.oid()?);
    }
    Ok(history)
}

/// The wanted trees, and those that variants were made on, since a merge needs them: also where they
/// must be fetched first, from somebody who was asked in this run and has them.
pub fn targets(
    sources: &Sources<'_>,
    series: &Series,
    wanted: &BTreeMap<SystemdVersion, Source>,
) -> Result<Vec<Target>> {
    let mut trees = Vec::new();
    for (version, source) in wanted {
        trees.push(Target { version: *version, tree: source.tree.oid()? });
    }
    beside(sources, series, trees, true)
}

/// Beside the trees asked for, those that variants were made on. One that is not here is left out;
/// the engine says what it could not cross-check.
pub fn with_bases(
    sources: &Sources<'_>,
    series: &Series,
    wanted: &[Target],
) -> Result<Vec<Target>> {
    beside(sources, series, wanted.to_vec(), false)
}

fn beside(
    sources: &Sources<'_>,
    series: &Series,
    mut targets: Vec<Target>,
    fetch: bool,
) -> Result<Vec<Target>> {
    let known = sources.known();
    let to_be_had = |base| {
        known.iter().any(|a| a.version == base && (fetch || a.present) && a.refused.is_none())
    };
    for base in series.patches.iter().flat_map(|p| &p.variants).map(|v| v.base) {
        if !to_be_had(base) || targets.iter().any(|t| t.version == base) {
            continue;
        }
        match sources.get(base) {
            Ok(source) => targets.push(Target { version: base, tree: source.tree.oid()? }),
            // As if nobody had listed it.
            Err(error) if kind_of(&error) == Kind::Unavailable => {
                tracing::info!(%base, error = format!("{error:#}"), "left out");
            }
            Err(error) => return Err(error),
        }
    }
    targets.sort_by_key(|t| t.version);
    Ok(targets)
}
