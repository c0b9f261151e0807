// SPDX-License-Identifier: MIT
//! A git clone on this machine: bare or not, shallow, partial or damaged. Nothing is copied; the
//! cache repository reads the clone's objects in place.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::model::{OLDEST_MAJOR, Origin};
use super::provider::{Answer, Freshness, Listing, Offer, Provider};
use super::repository::{Record, Repository, prepare_libgit2};
use crate::fault::Fault;
use crate::version::SystemdVersion;

/// An opened clone.
pub struct LocalClone {
    path: PathBuf,
    git: git2::Repository,
}

impl std::fmt::Debug for LocalClone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalClone").field("path", &self.path).finish_non_exhaustive()
    }
}

struct Tags {
    good: Vec<(SystemdVersion, Record)>,
    broken: Vec<String>,
}

impl LocalClone {
    /// Opens the clone at `path`.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        prepare_libgit2();
        let path = std::path::absolute(path)
            .map_err(|e| Fault::new(format!("--systemd-git {}: {e}", path.display())))?;
        let shown = path.display();
        let git = git2::Repository::open(&path).map_err(|e| {
            let fault = Fault::new(format!("--systemd-git {shown}: {}", e.message()));
            if path.exists() {
                fault.hint("give the folder of a git clone (with .git in it, or bare)")
            } else {
                fault.hint("there is nothing at this path; a URL needs its scheme (https://…)")
            }
        })?;
        Ok(LocalClone { path, git })
    }

    /// The folder of its objects, to be an alternate.
    pub fn objects(&self) -> PathBuf {
        let dir = self.git.commondir().join("objects");
        dir.canonicalize().unwrap_or(dir)
    }

    /// The release tags whose commit and tree can be read, and one phrase for each that cannot.
    fn tags(&self) -> Result<Tags> {
        let mut good = Vec::new();
        let mut broken = Vec::new();
        let at = |e: git2::Error| {
            Fault::new(format!("--systemd-git {}: {}", self.path.display(), e.message()))
        };
        for reference in self.git.references_glob("refs/tags/v*").map_err(at)? {
            let Ok(reference) = reference else { continue };
            let Ok(name) = reference.shorthand() else { continue };
            let Some(version) = SystemdVersion::from_tag(name) else { continue };
            if version.major < OLDEST_MAJOR {
                continue;
            }
            let read = || -> Result<Record, git2::Error> {
                let commit = reference.peel_to_commit()?;
                let tree = commit.tree()?;
                Ok(Record {
                    tree: tree.id().into(),
                    commit: Some(commit.id().into()),
                    tip: commit.id().into(),
                    origin: Origin::Clone { path: self.path.clone() },
                    verified: "git object ids, from the tag in a local clone".into(),
                    tarball: None,
                })
            };
            match read() {
                Ok(record) => good.push((version, record)),
                Err(e) => broken.push(format!("{name}: {}", e.message())),
            }
        }
        good.sort_by_key(|(version, _)| *version);
        Ok(Tags { good, broken })
    }

    /// The records of all its release tags.
    pub fn records(&self) -> Result<Vec<(SystemdVersion, Record)>> {
        Ok(self.tags()?.good)
    }
}

impl Provider for LocalClone {
    fn name(&self) -> String {
        format!("--systemd-git {}", self.path.display())
    }

    fn list(&self, _: Freshness) -> Result<Listing> {
        let Tags { good, broken } = self.tags()?;
        let offers = good.into_iter().map(|(version, r)| Offer {
            version,
            from: "--systemd-git".into(),
            commit: r.commit,
            tree: Some(r.tree),
        });
        let mut listing = Listing::of(Answer::Answered, offers.collect());
        if listing.offers.is_empty() {
            listing.said = format!(
                "no release tags; `git -C {} fetch --tags` brings them",
                self.path.display()
            );
        }
        if self.git.is_shallow() {
            listing.said += ", shallow: no history";
        }
        if let Some(first) = broken.first() {
            listing.complaints.push(format!("{} unreadable ({first})", broken.len()));
        }
        Ok(listing)
    }

    fn fetch(&self, version: SystemdVersion, _: &Repository) -> Result<Record> {
        let record = self.records()?.into_iter().find(|(v, _)| *v == version);
        Ok(record.map(|(_, r)| r).ok_or_else(|| {
            Fault::new(format!("no tag {} in {}", version.tag(), self.path.display()))
        })?)
    }
}
