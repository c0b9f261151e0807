// SPDX-License-Identifier: MIT
//! The matrix of patches and versions: one patch after the other, all versions in parallel.

use std::path::Path;

use anyhow::{Context as _, Result};
use git2::{Oid, Repository};

use super::attempt::{Known, Origin};
use super::carry::Base;
use super::choose::choose;
use super::facts::Facts;
use super::neighbours::by_way_of_neighbours;
use super::objects::{Blobs, HashedHere};
use super::parallel::in_parallel;
use super::record::{apply_to, missing, not_needed, record};
use super::solved::{Target, VersionRun};
use super::tree::State;
use crate::fault::Fault;
use crate::patch::{Change, FileDiff};
use crate::series::{Patch, Series};
use crate::version::SystemdVersion;

/// Reads one repository with several threads.
pub struct Engine {
    repos: Vec<Repository>,
    blobs: Blobs,
    facts: Facts,
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
            _hashing: HashedHere::start(),
        })
    }

    /// Lets checks rely on what they proved in runs before.
    #[must_use]
    pub fn knowing(self, facts: Facts) -> Self {
        Engine { facts, ..self }
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
        let repo = self.repos.first().context("no repository is open")?;
        state.tree_id(repo, &self.blobs).map_err(|missing| {
            Fault::new(format!("systemd {}: {}", missing.version, missing.why))
                .hint("get the version from another place: --systemd-git PATH-OR-URL")
                .into()
        })
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
        by_way_of_neighbours(repo, &self.blobs, &self.facts, patch, runs)
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
