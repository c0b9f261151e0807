// SPDX-License-Identifier: MIT
//! The matrix of patches and versions: one patch after the other, all versions in parallel.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use git2::{Oid, Repository};

use super::attempt::{Known, Origin, attempt};
use super::carry::Base;
use super::choose::choose;
use super::explain::{self, Ask, Broken};
use super::facts::Facts;
use super::history::History;
use super::neighbours::by_way_of_neighbours;
use super::objects::{Blobs, HashedHere};
use super::outcome::Outcome;
use super::parallel::in_parallel;
use super::record::{self, apply_to, missing, not_needed, record};
use super::solved::{Target, VersionRun};
use super::tree::State;
use crate::fault::Fault;
use crate::patch::{Change, FileDiff};
use crate::series::{Patch, Series, Variant};
use crate::version::SystemdVersion;

/// Reads one repository with several threads.
pub struct Engine {
    repos: Vec<Repository>,
    blobs: Blobs,
    facts: Facts,
    history: History,
    accept_resolved: bool,
    _hashing: HashedHere,
}

impl Engine {
    /// Opens the repository once per thread; git2's handles cannot be shared.
    pub fn open(repository: &Path) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let repos = (0..threads)
            .map(|_| Repository::open(repository))
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("cannot open {}", repository.display()))?;
        Ok(Engine {
            repos,
            blobs: Blobs::default(),
            facts: Facts::default(),
            history: History::default(),
            accept_resolved: false,
            _hashing: HashedHere::start(),
        })
    }

    /// Lets checks rely on what they proved in runs before.
    #[must_use]
    pub fn knowing(self, facts: Facts) -> Self {
        Engine { facts, ..self }
    }

    /// Lets failures be explained by commits, and patches be carried through them.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        Engine { history, ..self }
    }

    /// As [`Engine::with_history`].
    pub fn set_history(&mut self, history: History) {
        self.history = history;
    }

    /// Takes what deeper methods find as [`Outcome::Accepted`](super::Outcome).
    #[must_use]
    pub fn accepting_resolved(self, accept_resolved: bool) -> Self {
        Engine { accept_resolved, ..self }
    }

    /// What is proved now.
    pub fn facts(&self) -> &Facts {
        &self.facts
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
                patched: None,
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

    /// The id of a patched tree; nothing is written.
    ///
    /// # Errors
    /// A folder on the way is missing.
    pub fn tree_id(&self, state: &State) -> Result<Oid> {
        tree_id(self.repos.first().context("no repository is open")?, &self.blobs, state)
    }

    /// The id of a version's tree with all patches that were applied.
    ///
    /// # Errors
    /// As [`Engine::tree_id`].
    pub fn patched_tree(&self, run: &VersionRun) -> Result<Oid> {
        run.patched.map_or_else(|| self.tree_id(&run.state), Ok)
    }

    /// As [`Engine::patched_tree`], of many.
    ///
    /// # Errors
    /// As [`Engine::tree_id`].
    pub fn patched_trees(&mut self, runs: &[VersionRun]) -> Result<Vec<Oid>> {
        let blobs = &self.blobs;
        let ids = in_parallel(&mut self.repos, runs, |repo, run| match run.patched {
            Some(tree) => Ok(tree),
            None => tree_id(repo, blobs, &run.state),
        });
        ids.into_iter().collect()
    }

    /// A handle per thread, what was read so far, and what is proved.
    pub(super) fn parts(&mut self) -> (&mut [Repository], &Blobs, &Facts) {
        (&mut self.repos, &self.blobs, &self.facts)
    }

    fn patch(&mut self, patch: &Patch, runs: &mut [VersionRun]) -> Result<()> {
        let origins = self.origins(patch, runs)?;
        let known = Known::new(&self.facts);
        let blobs = &self.blobs;
        let answers = in_parallel(&mut self.repos, runs, |repo, run| {
            if !patch.needed.contains(run.version) {
                return Ok(None);
            }
            choose(repo, blobs, &known, patch, &origins, &run.state).map(Some)
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
        let Some(repo) = self.repos.first() else { return Ok(()) };
        by_way_of_neighbours(repo, &self.blobs, &self.facts, patch, runs)?;
        self.go_deeper(patch, &origins, runs)?;
        self.explain(&origins, runs);
        Ok(())
    }

    /// Tries the deeper methods where a person would be needed.
    fn go_deeper(
        &mut self,
        patch: &Patch,
        origins: &[Origin],
        runs: &mut [VersionRun],
    ) -> Result<()> {
        if runs.iter().all(|run| open_origin(origins, run).is_none()) {
            return Ok(());
        }
        let mut known = Known::new(&self.facts);
        known.deeper = Some((&self.history, self.accept_resolved));
        let blobs = &self.blobs;
        let answers = in_parallel(&mut self.repos, runs, |repo, run| {
            let Some(origin) = open_origin(origins, run) else { return Ok(None) };
            let index = origins.iter().position(|o| o.version == origin.version).unwrap_or(0);
            let attempt = attempt(repo, blobs, &known, index, origin, &run.state)?;
            let better = matches!(attempt.outcome, Outcome::Resolved | Outcome::Accepted);
            Ok(better.then_some((origin, attempt)))
        });
        for (run, answer) in runs.iter_mut().zip(answers) {
            if let Some((origin, attempt)) = answer? {
                let message = origin.text.message.clone();
                record::replace_last(patch, run, Some(origin.version), attempt, message);
            }
        }
        Ok(())
    }

    /// Says why, where a patch does not fit.
    fn explain(&mut self, origins: &[Origin], runs: &mut [VersionRun]) {
        let versions: Vec<(SystemdVersion, Oid)> =
            runs.iter().map(|r| (r.version, r.state.tree)).collect();
        let Some(repo) = self.repos.first() else { return };
        // Versions with the same file have the same answer, but for the commit between them.
        let mut known: HashMap<(usize, Option<Oid>), Vec<Broken>> = HashMap::new();
        for run in runs.iter_mut() {
            let Some(origin) = open_origin(origins, run) else { continue };
            let Some(cell) = run.cells.last() else { continue };
            let mut found = Vec::new();
            for (index, report) in cell.files.iter().enumerate() {
                let (diff, base) = (&origin.text.files[index], &origin.bases[index]);
                let (false, Some(base)) = (report.outcome.is_settled(), base) else { continue };
                let path = report.moved_to.as_deref().unwrap_or(&diff.path);
                let here = run.state.file(repo, &self.blobs, path).ok().flatten();
                let key = (index, here.as_ref().map(|h| h.1.oid));
                let way = (origin.version, run.version);
                let ask = Ask {
                    diff,
                    base,
                    history: &self.history,
                    way,
                    versions: &between(&versions, way),
                    ours: here.as_ref().map(|(_, file)| (path, &**file)),
                    tree: run.state.tree,
                };
                let explain = || explain::explain(repo, &self.blobs, &ask);
                found.extend(known.entry(key).or_insert_with(explain).iter().cloned());
            }
            if let Some(cell) = run.cells.last_mut() {
                cell.broken = found;
            }
        }
    }

    /// The variants of a patch, with the files that they were made on.
    fn origins(&mut self, patch: &Patch, runs: &[VersionRun]) -> Result<Vec<Origin>> {
        let blobs = &self.blobs;
        let state = |v: &Variant| runs.iter().find(|r| r.version == v.base).map(|r| &r.state);
        let variants = patch.variants.iter();
        let files: Vec<(&Variant, &FileDiff)> =
            variants.flat_map(|v| v.text.files.iter().map(move |file| (v, file))).collect();
        let bases = in_parallel(&mut self.repos, &files, |repo, (variant, file)| {
            Ok(base(repo, blobs, state(variant), file))
        });
        let mut bases = bases.into_iter();
        let mut origins = Vec::with_capacity(patch.variants.len());
        for variant in &patch.variants {
            origins.push(Origin {
                version: variant.base,
                tree: state(variant).map(|s| s.tree),
                bases: bases.by_ref().take(variant.text.files.len()).collect::<Result<_>>()?,
                text: variant.text.clone(),
            });
        }
        Ok(origins)
    }
}

fn tree_id(repo: &Repository, blobs: &Blobs, state: &State) -> Result<Oid> {
    state.tree_id(repo, blobs).map_err(|missing| {
        Fault::new(format!("systemd {}: {}", missing.version, missing.why))
            .hint("get the version from another place: --systemd-git PATH-OR-URL")
            .into()
    })
}

/// The file that a diff was made on: as the patches before leave it on the base version, else
/// the blob that the `index` line names, if the repository has it.
fn base(repo: &Repository, blobs: &Blobs, state: Option<&State>, file: &FileDiff) -> Option<Base> {
    if matches!(file.change, Change::Create { .. }) {
        return None;
    }
    let from_version = state.and_then(|s| s.file(repo, blobs, &file.path).ok()?);
    let from_index = || {
        let oid = Oid::from_str(&file.index.as_ref()?.0).ok()?;
        blobs.get(repo, oid).ok()
    };
    let mut files =
        from_version.map(|f| f.1).into_iter().chain(std::iter::once_with(from_index).flatten());
    files.find_map(|before| Base::new(file, before))
}

/// The variant that was carried to a version, if that was not to the end.
fn open_origin<'a>(origins: &'a [Origin], run: &VersionRun) -> Option<&'a Origin> {
    let cell = run.cells.last()?;
    let open = !cell.outcome.is_settled() && cell.outcome != Outcome::Unreadable;
    origins.iter().find(|o| open && Some(o.version) == cell.from)
}

/// The versions from the one to the other, in that order.
fn between(
    versions: &[(SystemdVersion, Oid)],
    (from, to): (SystemdVersion, SystemdVersion),
) -> Vec<(SystemdVersion, Oid)> {
    let (low, high) = (from.min(to), from.max(to));
    let mut way: Vec<_> =
        versions.iter().copied().filter(|(v, _)| low <= *v && *v <= high).collect();
    if from > to {
        way.reverse();
    }
    way
}
