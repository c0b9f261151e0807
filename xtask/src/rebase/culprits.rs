// SPDX-License-Identifier: MIT
//! How long it takes to name the commit that broke a hunk, measured on backports that conflict.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use git2::Repository;

use super::backports::{self, Backport, HERE, MADE_ON};
use super::carry::{self, Base};
use super::explain::{self, Ask, Cause};
use super::facts::Facts;
use super::history::History;
use super::objects::{Blobs, HashedHere};
use super::outcome::Outcome;
use crate::patch::{self, FileDiff};

/// One hunk that does not fit.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// A commit was named.
    pub named: bool,
    pub time: Duration,
}

/// Explains the first hunk of each file that does not fit, from the main branch where the commit was
/// picked to the stable branch: a release of history, or more. One after the other, and nothing
/// that was read for the one is known for the next.
///
/// # Errors
/// The repository cannot be opened, or an object of a case is missing.
pub fn culprits(repository: &Path, cases: &[&Backport]) -> Result<Vec<Asked>> {
    let repo = Repository::open(repository)
        .with_context(|| format!("cannot open {}", repository.display()))?;
    let _hashing = HashedHere::start();
    let mut asked = Vec::new();
    for case in cases {
        crate::exec::check_interrupt()?;
        let blobs = Blobs::default();
        let parent = |id| repo.find_commit(id)?.parent_id(0);
        let commits = [(MADE_ON, parent(case.picked)?), (HERE, parent(case.stable)?)];
        let history = History { commits: commits.into(), link: None };
        for path in backports::changes(&repo, case.base, case.theirs)?.into_keys() {
            let read = |tree| {
                let entry = blobs.entry(&repo, tree, &path).ok()??;
                blobs.get(&repo, entry.oid).ok()
            };
            let sides = (read(case.base), read(case.theirs), read(case.ours));
            let (Some(before), Some(after), Some(ours)) = sides else { continue };
            let diff = patch::diff(&path, Some(&before.bytes), 0o100_644, &after.bytes, 3)?;
            for hunk in &diff.hunks {
                let one = FileDiff { hunks: vec![hunk.clone()], ..diff.clone() };
                let Some(base) = Base::new(&one, before.clone()) else { continue };
                let carried = carry::carry(&one, Some(&base), &ours, &Facts::default())?;
                if carried.outcome != Outcome::Conflict {
                    continue;
                }
                let start = Instant::now();
                let ask = Ask {
                    diff: &one,
                    base: &base,
                    history: &history,
                    way: (MADE_ON, HERE),
                    versions: &[],
                    ours: Some((&path, &ours)),
                    tree: case.ours,
                };
                let broken = explain::explain(&repo, &Blobs::default(), &ask);
                let named = broken.iter().any(|b| matches!(b.cause, Some(Cause::Commit { .. })));
                asked.push(Asked { named, time: start.elapsed() });
                break;
            }
        }
    }
    Ok(asked)
}
