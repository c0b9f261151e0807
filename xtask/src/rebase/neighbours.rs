// SPDX-License-Identifier: MIT
//! Versions that no variant fits, reached from versions beside them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use anyhow::Result;
use git2::Repository;

use super::attempt::{Known, Origin, attempt};
use super::carry::Base;
use super::facts::Facts;
use super::objects::Blobs;
use super::outcome::Outcome;
use super::record;
use super::solved::{Diffs, Solved, VersionRun};
use crate::series::Patch;

/// Small steps conflict less: what was solved on a version is carried to its neighbours, until
/// nothing is gained any more.
pub fn by_way_of_neighbours(
    repo: &Repository,
    blobs: &Blobs,
    facts: &Facts,
    patch: &Patch,
    runs: &mut [VersionRun],
) -> Result<()> {
    let open = |r: &VersionRun| {
        let outcome = r.cells.last().map(|c| c.outcome);
        outcome.is_some_and(|o| !o.is_settled() && o != Outcome::Unreadable)
    };
    let solved = |r: &VersionRun| r.solved.last().is_some_and(Option::is_some);
    let (known, mut diffs) = (Known::new(facts), Diffs::new());
    let mut origins: HashMap<usize, Origin> = HashMap::new();
    let mut tried: HashSet<(usize, usize)> = HashSet::new();
    loop {
        let mut progress = false;
        for at in 0..runs.len() {
            let below = (0..at).rev().find(|&i| solved(&runs[i]));
            let above = (at + 1..runs.len()).find(|&i| solved(&runs[i]));
            for near in [below, above].into_iter().flatten() {
                if !open(&runs[at]) || !tried.insert((near, at)) {
                    continue;
                }
                let neighbour = &runs[near];
                let Some(Some(done)) = neighbour.solved.last() else { continue };
                let origin = match origins.entry(near) {
                    Entry::Occupied(there) => there.into_mut(),
                    Entry::Vacant(new) => new.insert(origin_of(neighbour, done, &mut diffs)?),
                };
                let state = &runs[at].state;
                let attempt = attempt(repo, blobs, &known, near, origin, state)?;
                if attempt.outcome.is_applied() {
                    let from = neighbour.cells.last().and_then(|c| c.from);
                    let message = done.message.clone();
                    let attempt = attempt.by_way_of(neighbour.version);
                    record::replace_last(patch, &mut runs[at], from, attempt, message);
                    progress = true;
                }
            }
        }
        if !progress {
            return Ok(());
        }
    }
}

fn origin_of(run: &VersionRun, solved: &Solved, diffs: &mut Diffs) -> Result<Origin, git2::Error> {
    let text = solved.text(diffs)?;
    let mut bases = Vec::with_capacity(text.files.len());
    for (diff, file) in text.files.iter().zip(&solved.files) {
        bases.push(match &file.before {
            Some(before) => Base::new(diff, before.clone()),
            None => None,
        });
    }
    Ok(Origin { version: run.version, tree: Some(run.state.tree), text, bases })
}
