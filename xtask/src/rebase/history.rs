// SPDX-License-Identifier: MIT
//! The way of one file through upstream's history, from one commit to another.
//!
//! Only first parents are walked, which is where upstream's pull requests and stable backports are
//! merged, and of all those commits only the few that change the file are looked at closely: the
//! rest is skipped by bisection, as equal blobs at both ends need nothing in between.

use std::collections::HashMap;

use git2::{Oid, Repository};

use super::objects::Blobs;
use super::tree::State;
use crate::version::SystemdVersion;

/// The commits of versions, where they are known, and how a reader finds a commit.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub commits: HashMap<SystemdVersion, Oid>,
    /// Where commits can be read: what comes before the id.
    pub link: Option<String>,
}

impl History {
    /// The commits of two versions.
    pub fn between(&self, (from, to): (SystemdVersion, SystemdVersion)) -> Option<(Oid, Oid)> {
        Some((*self.commits.get(&from)?, *self.commits.get(&to)?))
    }
}

/// First parents that are followed at most on either side: from v254 to v262 there are 17,000.
const LONGEST: usize = 100_000;

/// A state of the file, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The commit that made the file so; on the way back to where both histories part, the one
    /// that is taken back. `None` for the state at the start.
    pub commit: Option<Oid>,
    /// The commit is in the history of the start alone (a backport), so going on undoes it.
    pub undone: bool,
    /// Path and blob after the step; `None` if the file is not there.
    pub file: Option<(String, Oid)>,
}

/// The distinct states of the file `path` of the commit `from` on the way to `to`. `None` where no
/// history connects them: trees alone, a shallow clone, objects that are missing.
pub fn steps(
    repo: &Repository,
    blobs: &Blobs,
    from: Oid,
    to: Oid,
    path: &str,
) -> Option<Vec<Step>> {
    let (down, up) = ways(repo, from, to)?;
    let walk = Walk { repo, blobs };
    let mut steps = vec![Step { commit: None, undone: false, file: walk.file(from, path)? }];
    // Back to where the histories part, then on to the target.
    walk.changes(&down, path, true, &mut steps)?;
    walk.changes(&up, path, false, &mut steps)?;
    Some(steps)
}

/// The first parents from `from` down to the last commit that both have, and from there up to `to`.
pub fn ways(repo: &Repository, from: Oid, to: Oid) -> Option<(Vec<Oid>, Vec<Oid>)> {
    let mut sides =
        [(vec![from], HashMap::from([(from, 0)])), (vec![to], HashMap::from([(to, 0)]))];
    let time = |id: Oid| repo.find_commit(id).map(|c| c.time().seconds()).ok();
    loop {
        for (mine, other) in [(0, 1), (1, 0)] {
            let last = *sides[mine].0.last()?;
            if let Some(&at) = sides[other].1.get(&last) {
                let mut ways = [std::mem::take(&mut sides[0].0), std::mem::take(&mut sides[1].0)];
                ways[other].truncate(at + 1);
                let [down, mut up] = ways;
                up.reverse();
                return Some((down, up));
            }
        }
        // The younger end goes on: its partner may be waiting below.
        let ends = [*sides[0].0.last()?, *sides[1].0.last()?];
        let parents = [parent(repo, ends[0]), parent(repo, ends[1])];
        let younger = match (parents[0], parents[1]) {
            (None, None) => return None,
            (None, _) => 1,
            (_, None) => 0,
            _ => usize::from(time(ends[1])? > time(ends[0])?),
        };
        let next = parents[younger]?;
        let side = &mut sides[younger];
        side.1.insert(next, side.0.len());
        side.0.push(next);
        if side.0.len() > LONGEST {
            return None;
        }
    }
}

fn parent(repo: &Repository, id: Oid) -> Option<Oid> {
    repo.find_commit(id).ok()?.parent_id(0).ok()
}

struct Walk<'a> {
    repo: &'a Repository,
    blobs: &'a Blobs,
}

impl Walk<'_> {
    /// The file at `path`, or where it has gone; the outer `None` if objects are missing.
    #[expect(clippy::option_option, reason = "unknown and absent are two answers")]
    fn file(&self, commit: Oid, path: &str) -> Option<Option<(String, Oid)>> {
        let tree = self.repo.find_commit(commit).ok()?.tree_id();
        let entry = self.blobs.entry(self.repo, tree, path).ok()?;
        Some(entry.filter(|e| e.is_regular()).map(|e| (path.to_owned(), e.oid)))
    }

    /// Adds the states that the file goes through along `way`, whose first commit is known.
    fn changes(&self, way: &[Oid], path: &str, undone: bool, steps: &mut Vec<Step>) -> Option<()> {
        let (first, last) = (*way.first()?, *way.last()?);
        let mut path = steps.last()?.file.as_ref().map_or(path, |f| &f.0).to_owned();
        let mut way = way;
        let mut here = self.file(first, &path)?;
        loop {
            let there = self.file(last, &path)?;
            if here == there || way.len() < 2 {
                return Some(());
            }
            // The first commit of the way after which the file is another one. Between equal
            // blobs nothing is looked for, so `there` may be met on the way: all the better.
            let (mut low, mut high) = (0, way.len() - 1);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if self.file(way[middle], &path)? == here { low = middle } else { high = middle }
            }
            let mut file = self.file(way[high], &path)?;
            if file.is_none() {
                file = self.moved(way[low], way[high], &path);
                if let Some((new, _)) = &file {
                    path.clone_from(new);
                }
            }
            // Going back, it is the upper one of the two commits that is taken back.
            let commit = Some(if undone { way[low] } else { way[high] });
            steps.push(Step { commit, undone, file: file.clone() });
            here = file;
            way = &way[high..];
        }
    }

    /// Where the file went between two commits.
    fn moved(&self, before: Oid, after: Oid, path: &str) -> Option<(String, Oid)> {
        let tree = |id: Oid| self.repo.find_commit(id).map(|c| c.tree_id()).ok();
        let (before, after) = (tree(before)?, tree(after)?);
        let old = self.blobs.entry(self.repo, before, path).ok()??;
        let content = self.blobs.get(self.repo, old.oid).ok()?;
        // The version plays no part in looking up a path.
        let state = State::new(SystemdVersion::new(0, 0), after);
        let new = state.find_moved(self.repo, self.blobs, before, path, &content)?;
        let entry = self.blobs.entry(self.repo, after, &new).ok()??;
        Some((new, entry.oid))
    }
}

/// The commits of the pull request that the merge `commit` brought in, oldest first; `None` if it is
/// no merge.
pub fn side(repo: &Repository, commit: Oid) -> Option<Vec<Oid>> {
    let mut way = branch(repo, commit)?;
    way.remove(0);
    Some(way)
}

/// As [`side`], with the commit that the pull request was made on in front.
fn branch(repo: &Repository, commit: Oid) -> Option<Vec<Oid>> {
    /// Pull requests are shorter; one that is longer is not gone through.
    const LONGEST: usize = 1000;
    let merge = repo.find_commit(commit).ok()?;
    let (main, side) = (merge.parent_id(0).ok()?, merge.parent_id(1).ok()?);
    let base = repo.merge_base(main, side).ok()?;
    let mut way = vec![side];
    while *way.last()? != base {
        way.push(parent(repo, *way.last()?)?);
        if way.len() > LONGEST {
            return None;
        }
    }
    way.reverse();
    Some(way)
}

/// The states that the file goes through in the pull request that the merge `commit` brought in;
/// empty if it is no merge.
pub fn inside(repo: &Repository, blobs: &Blobs, commit: Oid, path: &str) -> Vec<Step> {
    let find = || -> Option<Vec<Step>> {
        let way = branch(repo, commit)?;
        let walk = Walk { repo, blobs };
        let file = walk.file(*way.first()?, path)?;
        let mut steps = vec![Step { commit: None, undone: false, file }];
        walk.changes(&way, path, false, &mut steps)?;
        steps.remove(0);
        Some(steps)
    };
    find().unwrap_or_default()
}
