// SPDX-License-Identifier: MIT
//! The matrix of patches and versions: one patch after the other, all versions in parallel.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use git2::{Oid, Repository};

use super::apply::{self, Expected};
use super::attempt::{Attempt, Memo, Origin, attempt};
use super::carry::Base;
use super::content::Content;
use super::outcome::{Cell, Outcome};
use super::tree::{Blobs, State};
use crate::patch::{self, Change, FileDiff, PatchText};
use crate::series::{Patch, Series};
use crate::version::SystemdVersion;

/// A version and its tree, which is in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub version: SystemdVersion,
    pub tree: Oid,
}

/// A version after all patches.
#[derive(Debug)]
pub struct VersionRun {
    pub version: SystemdVersion,
    pub state: State,
    /// One per patch of the series.
    pub cells: Vec<Cell>,
    /// One per patch: how the files changed, where the patch was applied.
    pub solved: Vec<Option<Solved>>,
}

impl VersionRun {
    /// True if every patch has an answer that needs nobody.
    pub fn is_settled(&self) -> bool {
        self.cells.iter().all(|c| c.outcome.is_settled())
    }
}

/// A patch that was applied to a version.
#[derive(Debug, Clone)]
pub struct Solved {
    /// The commit message to use for a variant made from this.
    pub message: Vec<u8>,
    pub files: Vec<SolvedFile>,
}

/// A file before and after the patch.
#[derive(Debug, Clone)]
pub struct SolvedFile {
    pub path: String,
    pub mode: i32,
    /// `None` for a file that the patch adds.
    pub before: Option<Arc<Content>>,
    pub after: Arc<Content>,
}

impl Solved {
    /// The patch as a text made on this version. `known` remembers the diffs of files: many
    /// versions have the same.
    pub fn text(&self, known: &mut Diffs) -> Result<PatchText, git2::Error> {
        const CONTEXT_LINES: u32 = 3;
        let mut diff = |f: &SolvedFile| {
            let key = (f.path.clone(), f.before.as_ref().map(|b| b.oid), f.after.oid);
            if let Some(known) = known.get(&key) {
                return Ok(known.clone());
            }
            let before = f.before.as_ref().map(|b| b.bytes.as_slice());
            let diff = patch::diff(&f.path, before, f.mode, &f.after.bytes, CONTEXT_LINES)?;
            known.insert(key, diff.clone());
            Ok(diff)
        };
        let files = self.files.iter().map(&mut diff).collect::<Result<_, git2::Error>>()?;
        Ok(PatchText { message: self.message.clone(), files })
    }
}

/// Diffs by path and blobs.
pub type Diffs = HashMap<(String, Option<Oid>, Oid), FileDiff>;

/// Reads one repository with several threads.
pub struct Engine {
    repos: Vec<Repository>,
    blobs: Blobs,
}

impl Engine {
    /// Opens the repository once per thread; git2's handles cannot be shared.
    pub fn open(repository: &Path) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let repos = (0..threads)
            .map(|_| Repository::open(repository))
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("cannot open {}", repository.display()))?;
        Ok(Engine { repos, blobs: Blobs::default() })
    }

    /// Carries the series to the `wanted` versions out of `targets`. Other targets are used only
    /// as versions that a variant was made on.
    ///
    /// # Errors
    /// libgit2 failed, or the run was interrupted. Objects that are missing are no error: see
    /// [`Outcome::Unreadable`].
    pub fn run(
        &mut self,
        series: &Series,
        targets: &[Target],
        wanted: &[SystemdVersion],
    ) -> Result<Vec<VersionRun>> {
        let is_base = |v: SystemdVersion| {
            series.patches.iter().any(|p| p.variants.iter().any(|x| x.base == v))
        };
        let mut runs: Vec<VersionRun> = targets
            .iter()
            .filter(|t| wanted.contains(&t.version) || is_base(t.version))
            .map(|t| VersionRun {
                version: t.version,
                state: State::new(t.version, t.tree),
                cells: Vec::new(),
                solved: Vec::new(),
            })
            .collect();
        runs.sort_by_key(|r| r.version);
        for patch in &series.patches {
            crate::exec::check_interrupt()?;
            self.patch(patch, &mut runs)?;
        }
        runs.retain(|r| wanted.contains(&r.version));
        Ok(runs)
    }

    fn patch(&mut self, patch: &Patch, runs: &mut [VersionRun]) -> Result<()> {
        let origins = self.origins(patch, runs)?;
        let memo = Memo::default();
        let blobs = &self.blobs;
        let answers = in_parallel(&mut self.repos, runs, |repo, run| {
            if !patch.needed.contains(run.version) {
                return Ok(None);
            }
            choose(repo, blobs, &memo, patch, &origins, &run.state).map(Some)
        });
        for (run, answer) in runs.iter_mut().zip(answers) {
            let without = missing(&run.cells);
            let (cell, solved) = match answer? {
                None => (not_needed(patch), None),
                Some((origin, attempt, rivals)) => {
                    let message = origin.map(|o| o.text.message.clone()).unwrap_or_default();
                    record(patch, origin.map(|o| o.version), attempt, message, without, rivals)
                }
            };
            if let Some(solved) = &solved {
                apply_to(&mut run.state, solved);
            }
            run.cells.push(cell);
            run.solved.push(solved);
        }
        self.by_way_of_neighbours(patch, runs)
    }

    /// Small steps conflict less: what was solved on a version is carried to its neighbours, until
    /// nothing is gained any more.
    fn by_way_of_neighbours(&mut self, patch: &Patch, runs: &mut [VersionRun]) -> Result<()> {
        let Some(repo) = self.repos.first() else { return Ok(()) };
        let open = |r: &VersionRun| {
            let outcome = r.cells.last().map(|c| c.outcome);
            matches!(outcome, Some(Outcome::Conflict | Outcome::NeedsReview))
        };
        let solved = |r: &VersionRun| r.solved.last().is_some_and(Option::is_some);
        let (memo, mut diffs) = (Memo::default(), Diffs::new());
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
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(origin_of(neighbour, done, &mut diffs)?),
                    };
                    let state = &runs[at].state;
                    let attempt = attempt(repo, &self.blobs, &memo, near, origin, state)?;
                    if attempt.outcome.is_applied() {
                        let from = neighbour.cells.last().and_then(|c| c.from);
                        let message = done.message.clone();
                        let attempt = attempt.by_way_of(neighbour.version);
                        replace_last(patch, &mut runs[at], from, attempt, message);
                        progress = true;
                    }
                }
            }
            if !progress {
                return Ok(());
            }
        }
    }

    /// The variants of a patch, with the files that they were made on.
    fn origins(&self, patch: &Patch, runs: &[VersionRun]) -> Result<Vec<Origin>> {
        let Some(repo) = self.repos.first() else { return Ok(Vec::new()) };
        let mut origins = Vec::new();
        for variant in &patch.variants {
            let state = runs.iter().find(|r| r.version == variant.base).map(|r| &r.state);
            let base = |file: &FileDiff| self.base(repo, state, file);
            origins.push(Origin {
                version: variant.base,
                tree: state.map(|s| s.tree),
                bases: variant.text.files.iter().map(base).collect::<Result<_, _>>()?,
                text: variant.text.clone(),
            });
        }
        Ok(origins)
    }

    /// The file that a diff was made on: as the patches before leave it on the base version, else
    /// the blob that the `index` line names, if the repository has it.
    fn base(
        &self,
        repo: &Repository,
        state: Option<&State>,
        file: &FileDiff,
    ) -> Result<Option<Base>, git2::Error> {
        if matches!(file.change, Change::Create { .. }) {
            return Ok(None);
        }
        let from_version = state.and_then(|s| s.file(repo, &self.blobs, &file.path).ok()?);
        let from_index = || {
            let oid = Oid::from_str(&file.index.as_ref()?.0).ok()?;
            self.blobs.get(repo, oid).ok()
        };
        for before in from_version.map(|f| f.1).into_iter().chain(from_index()) {
            if let Some(base) = Base::new(file, before)? {
                return Ok(Some(base));
            }
        }
        Ok(None)
    }
}

type Choice<'a> = (Option<&'a Origin>, Attempt, Vec<SystemdVersion>);

/// Tries the variants and takes the best answer; among equals the one listed first: the variant
/// made on this version, the one assigned to it, then the nearest.
fn choose<'a>(
    repo: &Repository,
    blobs: &Blobs,
    memo: &Memo,
    patch: &Patch,
    origins: &'a [Origin],
    state: &State,
) -> Result<Choice<'a>> {
    let version = state.version;
    let assigned = patch.variant_for(version).map(|v| v.base);
    let mut order: Vec<usize> = (0..origins.len()).collect();
    order.sort_by_key(|&i| {
        let base = origins[i].version;
        (base != version, Some(base) != assigned, distance(base, version))
    });
    let mut attempts: Vec<(usize, Attempt)> = Vec::new();
    for &index in &order {
        let attempt = attempt(repo, blobs, memo, index, &origins[index], state)?;
        // Applying and the reverse applying are both facts about the text: the nearest wins.
        let done = attempt.outcome <= Outcome::Moved || attempt.outcome == Outcome::AlreadyUpstream;
        attempts.push((index, attempt));
        if done {
            break;
        }
    }
    let weight = |o: Outcome| match o {
        Outcome::Clean | Outcome::Moved | Outcome::AlreadyUpstream => 0,
        other => other as usize,
    };
    // Of several conflicts the one with the least left to do.
    let open = |a: &Attempt| -> usize {
        let files = a.reports.iter().filter(|r| !r.outcome.is_settled());
        files.map(|r| 1 + r.collisions.len()).sum()
    };
    let rank = |a: &Attempt| (weight(a.outcome), open(a));
    let Some(best) = (0..attempts.len()).min_by_key(|&i| rank(&attempts[i].1)) else {
        let attempt = Attempt {
            outcome: Outcome::Conflict,
            reason: Some("the patch has no variant yet".into()),
            cross_checked: false,
            reports: Vec::new(),
            files: Vec::new(),
        };
        return Ok((None, attempt, Vec::new()));
    };
    let (index, best) = attempts.swap_remove(best);
    let rivals = order.iter().filter(|&&i| i != index && best.outcome.is_applied());
    let rivals = rivals.filter(|&&i| is_rival(repo, blobs, &origins[i], &best, state));
    let rivals = rivals.map(|&i| origins[i].version).collect();
    Ok((Some(&origins[index]), best, rivals))
}

/// True if the text applies strictly as well, in its functions, and gives other files than `best`.
fn is_rival(
    repo: &Repository,
    blobs: &Blobs,
    origin: &Origin,
    best: &Attempt,
    state: &State,
) -> bool {
    let mut differs = origin.text.files.len() != best.files.len();
    for (diff, base) in origin.text.files.iter().zip(&origin.bases) {
        let Ok(Some((_, here))) = state.file(repo, blobs, &diff.path) else { return false };
        let expected = base.as_ref().map_or(&Expected::Headers, Base::functions);
        let Ok(applied) = apply::apply(diff, &here, expected) else { return false };
        let mut sites = diff.hunks.iter().zip(&applied.sites).enumerate();
        if !sites.all(|(i, (hunk, site))| expected.holds(i, hunk, &here, site)) {
            return false;
        }
        let ours = best.files.iter().find(|f| f.path == diff.path);
        differs |= ours.is_none_or(|f| f.after.bytes != applied.bytes);
    }
    differs
}

/// How far two versions are apart: by major release, then by point release.
fn distance(a: SystemdVersion, b: SystemdVersion) -> (u32, u32) {
    (a.major.abs_diff(b.major), a.point().abs_diff(b.point()))
}

fn origin_of(run: &VersionRun, solved: &Solved, diffs: &mut Diffs) -> Result<Origin, git2::Error> {
    let text = solved.text(diffs)?;
    let mut bases = Vec::with_capacity(text.files.len());
    for (diff, file) in text.files.iter().zip(&solved.files) {
        bases.push(match &file.before {
            Some(before) => Base::new(diff, before.clone())?,
            None => None,
        });
    }
    Ok(Origin { version: run.version, tree: Some(run.state.tree), text, bases })
}

fn not_needed(patch: &Patch) -> Cell {
    Cell {
        patch: patch.id.clone(),
        outcome: Outcome::NotNeeded,
        from: None,
        cross_checked: false,
        reason: None,
        files: Vec::new(),
        without: Vec::new(),
        rivals: Vec::new(),
    }
}

fn missing(cells: &[Cell]) -> Vec<String> {
    cells.iter().filter(|c| !c.outcome.is_settled()).map(|c| c.patch.clone()).collect()
}

fn record(
    patch: &Patch,
    from: Option<SystemdVersion>,
    attempt: Attempt,
    message: Vec<u8>,
    without: Vec<String>,
    rivals: Vec<SystemdVersion>,
) -> (Cell, Option<Solved>) {
    let Attempt { outcome, reason, cross_checked, reports, files } = attempt;
    let solved = outcome.is_applied().then_some(Solved { message, files });
    let cell = Cell {
        patch: patch.id.clone(),
        outcome,
        from,
        cross_checked,
        reason,
        files: reports,
        without,
        rivals,
    };
    (cell, solved)
}

/// Takes a better answer for the patch that was tried last.
fn replace_last(
    patch: &Patch,
    run: &mut VersionRun,
    from: Option<SystemdVersion>,
    attempt: Attempt,
    message: Vec<u8>,
) {
    run.cells.pop();
    run.solved.pop();
    let without = missing(&run.cells);
    let (cell, solved) = record(patch, from, attempt, message, without, Vec::new());
    if let Some(solved) = &solved {
        apply_to(&mut run.state, solved);
    }
    run.cells.push(cell);
    run.solved.push(solved);
}

fn apply_to(state: &mut State, solved: &Solved) {
    for file in &solved.files {
        state.touched.insert(file.path.clone(), (file.mode, file.after.clone()));
    }
}

/// Runs `work` on every item, with one thread per repository handle. Results keep the order.
fn in_parallel<T: Sync, R: Send>(
    repos: &mut [Repository],
    items: &[T],
    work: impl Fn(&Repository, &T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<R>)> = Vec::with_capacity(items.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = repos
            .iter_mut()
            .map(|repo| {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed))
                        && let Some(item) = items.get(index)
                    {
                        let result = crate::exec::check_interrupt().and_then(|()| work(repo, item));
                        mine.push((index, result));
                    }
                    mine
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(mine) => results.extend(mine),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
