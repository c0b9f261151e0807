// SPDX-License-Identifier: MIT
//! The first stage: from a version name to a verified tree in one bare repository.
//!
//! Providers are asked in order: the clone or server that the user named, upstream's git, the
//! distribution's source packages. They agree because a version is known by its tree id, which is
//! the same from each of them and is kept in `patches/sources.lock`.
//!
//! # Invariants
//! - A reference is written only for a tree that agrees with the lock and with what was there.
//! - No network is asked for a version that is in the repository.
//! - Nothing of the host's configuration, and nothing in a user's clone, is changed.

mod apt;
mod debian;
mod host;
mod local;
pub mod lock;
mod model;
mod pack;
mod provider;
mod remote;
mod repository;
mod resolve;
mod tarball;
mod worktree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

pub use apt::Archive;
pub use host::archive as host_archive;
pub use lock::{Booted, Lock, LockedVersion};
pub use model::{CommitId, OLDEST_MAJOR, Origin, Source, Tarball, TreeId, reference};
pub use provider::{Answer, Listing};
pub use repository::{attach, prepare_libgit2};
pub use worktree::{MissingBlob, Report, write_tree};

use crate::fault::{Fault, Kind, kind_of};
use crate::ui::Ui;
use crate::version::SystemdVersion;
use crate::workspace::Cache;
use local::LocalClone;
use provider::{Freshness, Provider};
use repository::{Record, Repository};

/// Held by the run that writes into the repository.
const LOCK: &str = "sources";

/// What the user wants of this stage.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--systemd-git`: a path or a URL.
    pub systemd_git: Option<String>,
    /// `--offline`: no network.
    pub offline: bool,
}

impl Options {
    /// The user named a clone on this machine.
    pub fn names_a_clone(&self) -> bool {
        self.systemd_git.as_deref().is_some_and(|git| !remote::is_url(git))
    }
}

impl From<&crate::flags::Global> for Options {
    fn from(global: &crate::flags::Global) -> Self {
        Options { systemd_git: global.systemd_git.clone(), offline: global.offline }
    }
}

/// A version that can be had.
#[derive(Debug, Clone, Serialize)]
pub struct Available {
    pub version: SystemdVersion,
    /// Where it would be, or was, taken from.
    pub origin: String,
    /// Other providers that have it too.
    pub also: Vec<String>,
    /// True if it is in the cache repository.
    pub present: bool,
    pub commit: Option<CommitId>,
    pub tree: Option<TreeId>,
    /// True if `patches/sources.lock` has it.
    pub locked: bool,
    /// Where it was proved to run with the series, by `patches/sources.lock`.
    pub booted: Vec<Booted>,
    /// Set if it is refused: its tree is not the known one.
    pub refused: Option<String>,
}

/// The stage, opened.
pub struct Sources<'a> {
    cache: Cache,
    lock: Lock,
    ui: &'a Ui,
    repository: Repository,
    providers: Vec<Box<dyn Provider + 'a>>,
    listings: RefCell<BTreeMap<usize, Listing>>,
    /// Tags of the user's clone whose tree is not the known one.
    refused: BTreeMap<SystemdVersion, String>,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("repository", &self.repository).finish_non_exhaustive()
    }
}

impl<'a> Sources<'a> {
    /// Opens the cache repository and attaches the user's clone, if one is named. Asks no network.
    ///
    /// # Errors
    /// `--systemd-git` names no clone, or the cache folder cannot be written.
    pub fn open(cache: &Cache, lock: Lock, options: &Options, ui: &'a Ui) -> Result<Self> {
        let mut providers: Vec<Box<dyn Provider + 'a>> = Vec::new();
        let mut clone = None;
        match options.systemd_git.as_deref() {
            Some(url) if remote::is_url(url) => {
                providers.push(Box::new(remote::Remote::given(url, options.offline, cache, ui)));
            }
            Some(path) => clone = Some(LocalClone::open(Path::new(path))?),
            None => {}
        }
        if let Some(clone) = &clone {
            let _held = cache.lock_when_free(LOCK, "sources are being fetched", ui)?;
            repository::attach(&cache.repository(), &clone.objects())?;
        }
        let repository = Repository::open(&cache.repository())?;
        let mut refused = BTreeMap::new();
        if let Some(clone) = clone {
            refused = admit_clone(&clone, &repository, &lock, cache, ui)?;
            providers.insert(0, Box::new(clone));
        }
        providers.push(Box::new(remote::Remote::upstream(options.offline, cache, ui)));
        providers.push(Box::new(debian::Distribution::new(cache.apt(), options.offline, ui)));
        let listings = RefCell::default();
        Ok(Sources { cache: cache.clone(), lock, ui, repository, providers, listings, refused })
    }

    /// The cache repository.
    pub fn git(&self) -> &git2::Repository {
        self.repository.git()
    }

    /// The tip of a branch of upstream's, or of the server that --systemd-git names, without its
    /// history.
    ///
    /// # Errors
    /// The server does not answer, or has no such branch.
    pub fn branch(&self, name: &str, options: &Options) -> Result<git2::Oid> {
        let remote = match options.systemd_git.as_deref() {
            Some(url) if remote::is_url(url) => {
                remote::Remote::given(url, options.offline, &self.cache, self.ui)
            }
            _ => remote::Remote::upstream(options.offline, &self.cache, self.ui),
        };
        let _held = self.cache.lock_when_free(LOCK, "sources are being fetched", self.ui)?;
        remote.branch(name, &self.repository)
    }

    /// The lock that versions are checked against.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Every version that can be had or is there, oldest first. Asks all providers.
    pub fn available(&self) -> Result<Vec<Available>> {
        for i in 0..self.providers.len() {
            self.listing(i, Freshness::Kept)?;
        }
        Ok(self.known())
    }

    /// The versions that are there, and those that a provider named in this run. Asks nobody.
    pub fn known(&self) -> Vec<Available> {
        let mut all: BTreeMap<SystemdVersion, Available> = BTreeMap::new();
        for (version, record) in self.repository.present() {
            all.insert(
                version,
                Available {
                    version,
                    origin: record.origin.to_string(),
                    also: Vec::new(),
                    present: true,
                    commit: record.commit,
                    tree: Some(record.tree),
                    locked: false,
                    booted: Vec::new(),
                    refused: None,
                },
            );
        }
        for listing in self.listings.borrow().values() {
            for offer in listing.offers.clone() {
                all.entry(offer.version)
                    .and_modify(|a| a.also.push(offer.from.clone()))
                    .or_insert_with(|| Available {
                        version: offer.version,
                        origin: offer.from,
                        also: Vec::new(),
                        present: false,
                        commit: offer.commit,
                        tree: offer.tree,
                        locked: false,
                        booted: Vec::new(),
                        refused: None,
                    });
            }
        }
        for (version, available) in &mut all {
            let locked = self.lock.get(*version);
            available.locked = locked.is_some();
            available.booted = locked.map(|l| l.booted.clone()).unwrap_or_default();
            available.refused = self.refused.get(version).cloned();
        }
        all.into_values().collect()
    }

    /// Which providers were asked in this run, and what each said.
    pub fn answers(&self) -> Vec<(String, Listing)> {
        let listings = self.listings.borrow();
        listings.iter().map(|(i, l)| (self.providers[*i].name(), l.clone())).collect()
    }

    /// Asks every provider anew, whatever was kept of earlier answers.
    pub fn refresh(&self) -> Result<()> {
        for i in 0..self.providers.len() {
            self.listing(i, Freshness::Now)?;
        }
        Ok(())
    }

    /// A version whose tree is in the repository and agrees with the lock; fetched if needed.
    ///
    /// # Errors
    /// Nobody has it; whoever has it does not give it; its tree is not the locked one.
    pub fn get(&self, version: SystemdVersion) -> Result<Source> {
        if version.major < OLDEST_MAJOR {
            return Err(resolve::too_old(version).into());
        }
        if let Some(reason) = self.refused.get(&version) {
            return Err(refusal(reason));
        }
        if let Some(record) = self.repository.find(version) {
            self.lock.check(version, &record.tree, &record.origin.to_string())?;
            return Ok(record.into_source(version));
        }
        let mut failures: Vec<anyhow::Error> = Vec::new();
        let mut tried = Vec::new();
        for freshness in [Freshness::Kept, Freshness::Now] {
            for i in 0..self.providers.len() {
                let listing = self.listing(i, freshness)?;
                if tried.contains(&i) || listing.offer(version).is_none() {
                    continue;
                }
                tried.push(i);
                match self.fetch(&*self.providers[i], version) {
                    Ok(source) => return Ok(source),
                    Err(e) if kind_of(&e) == Kind::Interrupted => return Err(e),
                    Err(e) => failures.push(e),
                }
            }
            if !failures.is_empty() {
                break;
            }
        }
        // The first failure is that of the provider the user would rather have.
        let mut failures = failures.into_iter();
        match failures.next() {
            Some(first) => {
                for other in failures {
                    self.ui.warn(&format!("{other:#}"));
                }
                Err(first.context(format!("cannot get systemd {version}")))
            }
            None => Err(self.unknown(&version.to_string(), version)?.into()),
        }
    }

    fn fetch(&self, provider: &dyn Provider, version: SystemdVersion) -> Result<Source> {
        let _held = self.cache.lock_when_free(LOCK, "sources are being fetched", self.ui)?;
        self.repository.reload();
        let record = match self.repository.find(version) {
            Some(record) => record, // another run was faster
            None => provider.fetch(version, &self.repository)?,
        };
        self.lock.check(version, &record.tree, &record.origin.to_string())?;
        self.repository.store([(version, record.clone())])?;
        Ok(record.into_source(version))
    }

    /// What provider `i` has: its answer of this run, else one it kept, else asked.
    fn listing(&self, i: usize, freshness: Freshness) -> Result<Listing> {
        if let Some(known) = self.listings.borrow().get(&i)
            && !(freshness == Freshness::Now && known.kept)
        {
            return Ok(known.clone());
        }
        let _held = self.cache.lock_when_free(LOCK, "sources are being fetched", self.ui)?;
        let listing = self.providers[i].list(freshness)?;
        tracing::info!(provider = self.providers[i].name(), said = listing.said, "asked");
        self.listings.borrow_mut().insert(i, listing.clone());
        Ok(listing)
    }
}

fn refusal(reason: &str) -> anyhow::Error {
    Fault::new(reason)
        .hint(
            "upstream never moves a release tag: compare with another clone, or leave \
             --systemd-git out to take the version from elsewhere",
        )
        .into()
}

/// Records the tags of the user's clone. Those whose tree differs from the locked one, or from the
/// one that is there, are returned with the reason.
fn admit_clone(
    clone: &LocalClone,
    repository: &Repository,
    lock: &Lock,
    cache: &Cache,
    ui: &Ui,
) -> Result<BTreeMap<SystemdVersion, String>> {
    let mut refused = BTreeMap::new();
    let mut good: Vec<(SystemdVersion, Record)> = Vec::new();
    let present = repository.present();
    for (version, record) in clone.records()? {
        let origin = record.origin.to_string();
        if let Err(fault) = lock.check(version, &record.tree, &origin) {
            refused.insert(version, fault.message);
            continue;
        }
        match present.get(&version) {
            Some(old) if old.tree != record.tree && lock.get(version).is_none() => {
                refused.insert(
                    version,
                    format!(
                        "systemd {version} from {origin} has the tree {}, the one from {} has {} \
                         (tampered, or a moved tag)",
                        record.tree.short(),
                        old.origin,
                        old.tree.short()
                    ),
                );
            }
            _ => good.push((version, record)),
        }
    }
    let is_new = |(v, r): &(SystemdVersion, Record)| match present.get(v) {
        Some(old) => old.tree != r.tree || old.tip != r.tip,
        None => true,
    };
    if good.iter().any(is_new) {
        let _held = cache.lock_when_free(LOCK, "sources are being fetched", ui)?;
        repository.reload();
        repository.store(good)?;
    }
    Ok(refused)
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
