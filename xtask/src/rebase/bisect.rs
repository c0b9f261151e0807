// SPDX-License-Identifier: MIT
//! The first upstream commit at which a patch stops fitting, or starts to land elsewhere.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use git2::Oid;

use super::engine::Engine;
use super::history::{self, History};
use super::outcome::Cell;
use super::solved::Target;
use crate::series::Series;
use crate::version::SystemdVersion;

/// Where to start: a version that the series fits, and its commit.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    pub version: SystemdVersion,
    pub commit: Oid,
}

/// What becomes of the series on the way to a commit.
#[derive(Debug)]
pub struct Way {
    /// First parents between the two commits.
    pub commits: usize,
    /// Those of them that change a file of the series.
    pub changing: usize,
    /// One per patch: the answer at the end of the way.
    pub cells: Vec<Cell>,
    /// One per patch: the first commit at which it needs a person, and the answer there.
    pub first: Vec<Option<(Oid, Cell)>>,
}

/// The end of the way is treated as a candidate of the release after the start's.
fn label(start: SystemdVersion) -> SystemdVersion {
    SystemdVersion::new(start.major + 1, 0)
}

/// Carries the series from `start` to the commit `to`; for each patch that needs a person there,
/// looks for the commit from which on it does.
///
/// `None` if no history connects the two commits.
///
/// # Errors
/// libgit2 failed, or the run was interrupted.
pub fn bisect(
    engine: &mut Engine,
    series: &Series,
    start: Start,
    targets: &[Target],
    to: Oid,
    link: Option<&str>,
) -> Result<Option<Way>> {
    let paths: BTreeSet<&str> = series
        .patches
        .iter()
        .flat_map(|p| &p.variants)
        .flat_map(|v| &v.text.files)
        .map(|f| f.path.as_str())
        .collect();
    let (repos, blobs, _) = engine.parts();
    let repo = repos.first().context("no repository is open")?;
    let Some((_, up)) = history::ways(repo, start.commit, to) else { return Ok(None) };
    let at: HashMap<Oid, usize> = up.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut changing: BTreeSet<usize> = BTreeSet::new();
    for path in paths {
        let steps = history::steps(repo, blobs, up[0], to, path).unwrap_or_default();
        changing.extend(steps.iter().filter_map(|s| at.get(&s.commit?)));
    }
    let changing: Vec<Oid> = changing.into_iter().map(|i| up[i]).collect();
    let mut trial = Trial { engine, series, start, targets, link, known: HashMap::new() };
    let cells = trial.cells(to)?;
    let mut first = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        first.push(match cell.outcome.is_settled() {
            true => None,
            false => trial.first(index, &changing, to)?,
        });
    }
    Ok(Some(Way { commits: up.len() - 1, changing: changing.len(), cells, first }))
}

struct Trial<'a> {
    engine: &'a mut Engine,
    series: &'a Series,
    start: Start,
    targets: &'a [Target],
    link: Option<&'a str>,
    known: HashMap<Oid, Vec<Cell>>,
}

impl Trial<'_> {
    /// The answers for all patches on a commit.
    fn cells(&mut self, commit: Oid) -> Result<Vec<Cell>> {
        if let Some(known) = self.known.get(&commit) {
            return Ok(known.clone());
        }
        let version = label(self.start.version);
        let (repos, ..) = self.engine.parts();
        let tree = repos.first().context("no repository")?.find_commit(commit)?.tree_id();
        let mut targets: Vec<Target> =
            self.targets.iter().copied().filter(|t| t.version < version).collect();
        targets.push(Target { version, tree });
        let commits = HashMap::from([(self.start.version, self.start.commit), (version, commit)]);
        self.engine.set_history(History { commits, link: self.link.map(str::to_owned) });
        let run = self.engine.run(self.series, &targets, &[version])?.pop();
        let cells = run.map(|r| r.cells).unwrap_or_default();
        self.known.insert(commit, cells.clone());
        Ok(cells)
    }

    fn fits(&mut self, index: usize, commit: Oid) -> Result<bool> {
        Ok(self.cells(commit)?.get(index).is_some_and(|c| c.outcome.is_settled()))
    }

    /// The first of `commits` at which the patch needs a person, looked up in its pull request.
    fn first(&mut self, index: usize, commits: &[Oid], to: Oid) -> Result<Option<(Oid, Cell)>> {
        let Some(mut bad) = self.search(index, commits)? else { return Ok(None) };
        let (repos, ..) = self.engine.parts();
        let repo = repos.first().context("no repository is open")?;
        if let Some(inside) = history::side(repo, bad)
            && let Some(commit) = self.search(index, &inside)?
        {
            bad = commit;
        }
        let cells = self.cells(if bad == to { to } else { bad })?;
        Ok(cells.get(index).map(|cell| (bad, cell.clone())))
    }

    /// Bisects: before the first commit it fits, at the last one it does not.
    fn search(&mut self, index: usize, commits: &[Oid]) -> Result<Option<Oid>> {
        let Some(last) = commits.last() else { return Ok(None) };
        if self.fits(index, *last)? {
            return Ok(None);
        }
        let (mut low, mut high) = (0, commits.len() - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.fits(index, commits[middle])? { low = middle + 1 } else { high = middle }
        }
        Ok(Some(commits[high]))
    }
}
