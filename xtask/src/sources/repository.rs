// SPDX-License-Identifier: MIT
//! The one bare repository that holds every version.
//!
//! `refs/plainboot/v<version>` names a commit of each. Beside the references, `plainboot.json`
//! keeps where each came from. The reference is written last: a version counts as present only
//! while record, reference, commit and tree agree, so a crash or a clone that went away costs a
//! second fetch and nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result};
use git2::Oid;
use serde::{Deserialize, Serialize};

use super::model::{CommitId, Origin, Source, Tarball, TreeId, reference};
use crate::atomic;
use crate::fault::Fault;
use crate::version::SystemdVersion;

/// What is known of a version in the repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub tree: TreeId,
    /// Upstream's commit, if known.
    pub commit: Option<CommitId>,
    /// The commit that the reference names.
    pub tip: CommitId,
    pub origin: Origin,
    pub verified: String,
    pub tarball: Option<Tarball>,
}

impl Record {
    pub fn into_source(self, version: SystemdVersion) -> Source {
        Source {
            version,
            has_upstream_commit: self.commit.as_ref() == Some(&self.tip),
            tree: self.tree,
            commit: self.commit,
            tip: self.tip,
            origin: self.origin,
            verified: self.verified,
            tarball: self.tarball,
        }
    }

    /// Joins two records of the same tree: upstream's own commit wins over one made here, and
    /// facts that only one of them has are kept.
    fn merged(self, other: Record) -> Record {
        let is_upstream = |r: &Record| r.commit.as_ref() == Some(&r.tip);
        let (first, second) =
            if is_upstream(&other) && !is_upstream(&self) { (other, self) } else { (self, other) };
        Record {
            commit: first.commit.or(second.commit),
            tarball: first.tarball.or(second.tarball),
            ..first
        }
    }
}

/// The repository, opened, and its records.
pub struct Repository {
    git: git2::Repository,
    records: RefCell<Records>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("path", &self.git.path()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Records {
    versions: BTreeMap<SystemdVersion, Record>,
}

/// libgit2's global settings, made once before the first repository is opened.
pub fn prepare_libgit2() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: both change settings of the C library without a lock; every repository of this
        // program is opened after this `Once`, so no other thread is inside libgit2's opening code.
        let done = unsafe {
            // Clones are only read, and nothing of their configuration or hooks is run, so one
            // that belongs to another user (a mounted volume, a run as root) is no danger.
            git2::opts::set_verify_owner_validation(false)
                // Seen with libgit2 1.9: a partial clone's configuration is refused otherwise.
                .and_then(|()| git2::opts::set_extensions(&["partialclone"]))
        };
        if let Err(error) = done {
            tracing::warn!(%error, "libgit2 refused a setting");
        }
    });
}

/// Makes `objects` (the object folder of a clone) an alternate of the bare repository at `path`,
/// which is made if it is not there. Alternates that are gone are dropped.
pub fn attach(path: &Path, objects: &Path) -> Result<()> {
    create(path)?;
    let file = path.join("objects/info/alternates");
    let old = std::fs::read(&file).unwrap_or_default();
    let mut lines: Vec<&[u8]> = old
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty() && Path::new(OsStr::from_bytes(l)).is_dir())
        .collect();
    let new = objects.as_os_str().as_bytes();
    if new.contains(&b'\n') || new.starts_with(b"\"") || new.starts_with(b"#") {
        return Err(Fault::new(format!("git cannot refer to the path {}", objects.display()))
            .hint("move the clone to a path without line breaks and quotes")
            .into());
    }
    if !lines.contains(&new) {
        lines.push(new);
    }
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    atomic::write(&file, &text)?;
    Ok(())
}

fn create(path: &Path) -> Result<()> {
    prepare_libgit2();
    if path.join("HEAD").is_file() && path.join("objects").is_dir() {
        return Ok(());
    }
    let failed = |e: &dyn std::fmt::Display| {
        Fault::new(format!("cannot create {}: {e}", path.display())).hint("pass --cache-dir DIR")
    };
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| failed(&e))?;
    // Made beside its place and moved there whole: two runs may be here at once.
    let whole = tempfile::Builder::new()
        .prefix(".plainboot-")
        .tempdir_in(parent)
        .map_err(|e| failed(&e))?;
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("plainboot");
    git2::Repository::init_opts(whole.path(), &options).map_err(|e| failed(&e.message()))?;
    match std::fs::rename(whole.path(), path) {
        Err(e) if !path.join("HEAD").is_file() => Err(failed(&e).into()),
        _ => Ok(()),
    }
}

impl Repository {
    /// Opens the bare repository at `path`; makes it if it is not there.
    pub fn open(path: &Path) -> Result<Self> {
        create(path)?;
        let git = git2::Repository::open_bare(path).map_err(|e| {
            Fault::new(format!("{} cannot be opened: {}", path.display(), e.message()))
                .hint(format!("everything in it can be fetched again: rm -r {}", path.display()))
        })?;
        let repository = Repository { git, records: RefCell::default() };
        repository.reload();
        Ok(repository)
    }

    /// Reads the records anew, since another run may have added some.
    pub fn reload(&self) {
        let text = std::fs::read(self.records_path()).unwrap_or_default();
        // A record that cannot be read is one that is not there: the version is fetched again.
        *self.records.borrow_mut() = serde_json::from_slice(&text).unwrap_or_default();
    }

    pub fn git(&self) -> &git2::Repository {
        &self.git
    }

    fn records_path(&self) -> PathBuf {
        self.git.path().join("plainboot.json")
    }

    /// The versions that are there, whole as far as commit and top tree tell.
    pub fn present(&self) -> BTreeMap<SystemdVersion, Record> {
        let records = self.records.borrow();
        records.versions.iter().filter(|(v, r)| self.holds(**v, r)).map(clone_pair).collect()
    }

    /// The record of one version, if it is there.
    pub fn find(&self, version: SystemdVersion) -> Option<Record> {
        let record = self.records.borrow().versions.get(&version).cloned()?;
        self.holds(version, &record).then_some(record)
    }

    fn holds(&self, version: SystemdVersion, record: &Record) -> bool {
        let holds = || -> Result<bool, git2::Error> {
            let tip = self.git.refname_to_id(&reference(version))?;
            let commit = self.git.find_commit(tip)?;
            self.git.find_tree(commit.tree_id())?;
            Ok(tip == record.tip.oid()? && commit.tree_id() == record.tree.oid()?)
        };
        holds().unwrap_or(false)
    }

    /// Records versions whose objects are in reach. A version that is there already with the same
    /// tree is completed; the caller has made sure that the trees do not differ.
    pub fn store(&self, new: impl IntoIterator<Item = (SystemdVersion, Record)>) -> Result<()> {
        let mut changed = Vec::new();
        for (version, record) in new {
            let record = match self.find(version) {
                Some(old) if old.tree == record.tree => {
                    let joined = old.clone().merged(record);
                    if joined == old {
                        continue;
                    }
                    joined
                }
                _ => record,
            };
            self.records.borrow_mut().versions.insert(version, record.clone());
            changed.push((version, record.tip));
        }
        if changed.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&*self.records.borrow())?;
        atomic::write(&self.records_path(), &text)?;
        for (version, tip) in changed {
            self.git
                .reference(&reference(version), tip.oid()?, true, "plainboot")
                .with_context(|| format!("cannot write {}", reference(version)))?;
        }
        Ok(())
    }

    /// A commit without parents around an imported tree. The same tarball gives the same commit on
    /// every machine.
    pub fn commit_tarball(
        &self,
        version: SystemdVersion,
        tree: Oid,
        tarball: &Tarball,
    ) -> Result<Oid> {
        let epoch = git2::Time::new(0, 0);
        let who = git2::Signature::new("plainboot", "plainboot@localhost", &epoch)?;
        let message = format!(
            "systemd {version}\n\nTarball: {}\nSHA-256: {}\n",
            tarball.name, tarball.sha256
        );
        Ok(self.git.commit(None, &who, &who, &message, &self.git.find_tree(tree)?, &[])?)
    }
}

fn clone_pair((version, record): (&SystemdVersion, &Record)) -> (SystemdVersion, Record) {
    (*version, record.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(repository: &Repository, content: &[u8], upstream: bool) -> Record {
        let git = repository.git();
        let mut builder = git.treebuilder(None).unwrap();
        builder.insert("file", git.blob(content).unwrap(), 0o100644).unwrap();
        let tree = builder.write().unwrap();
        let tarball = Tarball {
            name: "t".into(),
            sha256: "0".into(),
            package: "p".into(),
            verified: "v".into(),
        };
        let who = git2::Signature::new("u", "u@x", &git2::Time::new(1, 0)).unwrap();
        let tip = if upstream {
            git.commit(None, &who, &who, "v1", &git.find_tree(tree).unwrap(), &[]).unwrap()
        } else {
            repository.commit_tarball(v(), tree, &tarball).unwrap()
        };
        Record {
            tree: tree.into(),
            commit: upstream.then(|| tip.into()),
            tip: tip.into(),
            origin: Origin::Remote { url: "x".into() },
            verified: "somehow".into(),
            tarball: (!upstream).then_some(tarball),
        }
    }

    fn v() -> SystemdVersion {
        SystemdVersion::new(257, 0)
    }

    #[test]
    fn upstreams_commit_replaces_the_one_made_here_and_the_tarball_stays_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.git");
        let repository = Repository::open(&path).unwrap();
        let made = record(&repository, b"x", false);
        let upstream = record(&repository, b"x", true);
        for order in [[&made, &upstream], [&upstream, &made]] {
            for record in order {
                repository.store([(v(), record.clone())]).unwrap();
            }
            let found = Repository::open(&path).unwrap().find(v()).unwrap();
            assert_eq!(found.tip, upstream.tip);
            assert_eq!(found.tarball, made.tarball);
        }
    }

    #[test]
    fn a_version_without_its_objects_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::open(&dir.path().join("a.git")).unwrap();
        let whole = record(&repository, b"x", true);
        repository.store([(v(), whole.clone())]).unwrap();
        assert_eq!(repository.present().len(), 1);
        let tip = whole.tip.to_string();
        let object = format!("objects/{}/{}", &tip[..2], &tip[2..]);
        std::fs::remove_file(repository.git().path().join(object)).unwrap();
        let again = Repository::open(repository.git().path()).unwrap();
        assert!(again.find(v()).is_none());
    }

    #[test]
    fn a_broken_record_file_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::open(&dir.path().join("a.git")).unwrap();
        repository.store([(v(), record(&repository, b"x", true))]).unwrap();
        std::fs::write(repository.records_path(), "{").unwrap();
        repository.reload();
        assert!(repository.present().is_empty());
    }

    #[test]
    fn alternates_are_added_once_and_dead_ones_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.git");
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        attach(&path, &one).unwrap();
        attach(&path, &one).unwrap();
        std::fs::remove_dir(&one).unwrap();
        attach(&path, &two).unwrap();
        let text = std::fs::read_to_string(path.join("objects/info/alternates")).unwrap();
        assert_eq!(text, format!("{}\n", two.display()));
    }
}
