// SPDX-License-Identifier: MIT
//! `patches/sources.lock`: the exact contents of every version that was verified.
//!
//! The tree id is what is locked: it is the same whether a version came from git or from a
//! tarball. Merging only ever adds; a different tree for a known version is an error, since
//! upstream never changes a release.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::model::{CommitId, Source, Tarball, TreeId};
use crate::fault::Fault;
use crate::version::SystemdVersion;

const HEADER: &str = "\
# SPDX-License-Identifier: MIT
# Written by `cargo xtask rebase-patches`; do not edit.
# The exact contents of every systemd version that the patches were verified on.
";

/// The schema that this code reads and writes.
const SCHEMA: u32 = 1;

/// What is known of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockedVersion {
    pub version: SystemdVersion,
    pub tree: TreeId,
    /// Upstream's commit, where a provider knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// How the tree was verified when the version was added.
    pub verified: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tarball: Option<Tarball>,
    /// Where the patched version was built and proved to run; see [`Lock::record_boot`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub booted: Vec<Booted>,
}

/// One proof that a patched version runs in a plain container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// Docker's name for the architecture, such as `amd64`.
    pub arch: String,
    /// The engine's kind and release, such as `Docker 20.10`.
    pub engine: String,
    /// The tree with the series applied. The proof is stale once the series gives another one.
    pub patched: TreeId,
}

/// The lock file in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lock {
    versions: BTreeMap<SystemdVersion, LockedVersion>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    #[serde(default, rename = "version")]
    versions: Vec<LockedVersion>,
}

impl Lock {
    /// Reads the lock; a file that does not exist yet is an empty lock.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        match std::fs::read_to_string(path) {
            Ok(text) => Lock::parse(&text)
                .map_err(|f| Fault { message: format!("{}: {}", path.display(), f.message), ..f }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
            Err(e) => Err(Fault::new(format!("cannot read {}: {e}", path.display()))),
        }
    }

    /// Reads the text of a lock file.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        const AGAIN: &str = "restore it with `git checkout patches/sources.lock`, or remove it \
                             and run `cargo xtask rebase-patches`";
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let bad = |e: toml::de::Error| Fault::new(e.to_string().trim().to_owned()).hint(AGAIN);
        let Schema { schema } = toml::from_str(text).map_err(bad)?;
        if schema != SCHEMA {
            return Err(Fault::new(format!("schema {schema} is not known, only {SCHEMA}"))
                .hint("the lock was written by a newer plainboot: update this checkout"));
        }
        let file: File = toml::from_str(text).map_err(bad)?;
        let mut versions = BTreeMap::new();
        for entry in file.versions {
            let version = entry.version;
            if versions.insert(version, entry).is_some() {
                return Err(Fault::new(format!("version {version} is there twice")).hint(AGAIN));
            }
        }
        Ok(Lock { versions })
    }

    pub fn get(&self, version: SystemdVersion) -> Option<&LockedVersion> {
        self.versions.get(&version)
    }

    /// All entries, oldest version first.
    pub fn iter(&self) -> impl Iterator<Item = &LockedVersion> {
        self.versions.values()
    }

    /// Fails if `tree` is not what the lock holds for this version; passes if it holds nothing.
    pub fn check(&self, version: SystemdVersion, tree: &TreeId, origin: &str) -> Result<(), Fault> {
        match self.get(version) {
            Some(entry) if &entry.tree != tree => Err(Fault::new(format!(
                "systemd {version} from {origin} is not the one in patches/sources.lock: its \
                 tree is {}, the locked one {} (tampered, or a moved tag)",
                tree.short(),
                entry.tree.short()
            ))
            .hint(format!(
                "do not use this source; if the lock is what is wrong, remove the entry of \
                 {version} from patches/sources.lock and run the command again"
            ))),
            _ => Ok(()),
        }
    }

    /// Adds a verified version, or completes what is known of it. Facts that are there stay.
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// A different tree for a known version.
    pub fn record(&mut self, source: &Source) -> Result<bool, Fault> {
        self.check(source.version, &source.tree, &source.origin.to_string())?;
        let before = self.versions.get(&source.version).cloned();
        let entry = self.versions.entry(source.version).or_insert_with(|| LockedVersion {
            version: source.version,
            tree: source.tree.clone(),
            commit: None,
            verified: source.verified.clone(),
            tarball: None,
            booted: Vec::new(),
        });
        if entry.commit.is_none() {
            entry.commit.clone_from(&source.commit);
        }
        if entry.tarball.is_none() {
            entry.tarball.clone_from(&source.tarball);
        }
        Ok(before.as_ref() != Some(&*entry))
    }

    /// Notes that a patched version was proved to run; an older proof of the same architecture and
    /// engine is replaced. Returns whether anything changed.
    ///
    /// # Errors
    /// The version is not in the lock.
    pub fn record_boot(&mut self, version: SystemdVersion, proof: Booted) -> Result<bool, Fault> {
        let entry = self.versions.get_mut(&version).ok_or_else(|| {
            Fault::new(format!("systemd {version} is not in patches/sources.lock"))
                .hint(format!("cargo xtask rebase-patches {version}"))
        })?;
        if entry.booted.contains(&proof) {
            return Ok(false);
        }
        entry.booted.retain(|b| (&b.arch, &b.engine) != (&proof.arch, &proof.engine));
        entry.booted.push(proof);
        entry.booted.sort_by(|a, b| (&a.arch, &a.engine).cmp(&(&b.arch, &b.engine)));
        Ok(true)
    }

    /// The text of the file: sorted by version, the same for the same facts.
    pub fn render(&self) -> String {
        let file = File { schema: SCHEMA, versions: self.versions.values().cloned().collect() };
        // Strings, lists and tables of strings always have a TOML form.
        let body = toml::to_string(&file).unwrap_or_default();
        format!("{HEADER}{body}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Origin;
    use super::*;

    fn source(version: &str, digit: &str) -> Source {
        let id = digit.repeat(40);
        Source {
            version: version.parse().unwrap(),
            tree: TreeId(id.clone()),
            commit: None,
            tip: CommitId(id),
            has_upstream_commit: false,
            origin: Origin::Distribution { distribution: "Debian".into(), suite: "trixie".into() },
            verified: "SHA-256 \"signed\"".into(),
            tarball: None,
        }
    }

    #[test]
    fn the_file_is_sorted_and_reads_back_as_it_was() {
        let mut lock = Lock::default();
        let mut s = source("257.13", "a");
        s.tarball = Some(Tarball {
            name: "systemd_257.13.orig.tar.gz".into(),
            sha256: "b".repeat(64),
            package: "257.13-1".into(),
            verified: "InRelease > Sources > SHA-256".into(),
        });
        assert!(lock.record(&source("262", "c")).unwrap());
        assert!(lock.record(&s).unwrap());
        let proof = |digit: &str| Booted {
            arch: "amd64".into(),
            engine: "Docker 20.10".into(),
            patched: TreeId(digit.repeat(40)),
        };
        assert!(lock.record_boot(s.version, proof("d")).unwrap());
        assert!(!lock.record_boot(s.version, proof("d")).unwrap());
        assert!(lock.record_boot(s.version, proof("e")).unwrap());
        assert_eq!(lock.get(s.version).unwrap().booted, [proof("e")]);
        assert!(lock.record_boot("255".parse().unwrap(), proof("e")).is_err());
        let text = lock.render();
        assert!(text.contains("cargo xtask rebase-patches"));
        assert!(text.find("257.13").unwrap() < text.find("\"262\"").unwrap(), "{text}");
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert_eq!(Lock::parse(&text).unwrap().render(), text);
    }

    #[test]
    fn recording_adds_what_was_missing_and_nothing_else() {
        let mut lock = Lock::default();
        lock.record(&source("257", "a")).unwrap();
        assert!(!lock.record(&source("257", "a")).unwrap());
        let mut from_git = source("257", "a");
        from_git.commit = Some(CommitId("d".repeat(40)));
        from_git.verified = "otherwise".into();
        assert!(lock.record(&from_git).unwrap());
        let entry = lock.get(from_git.version).unwrap();
        assert_eq!(entry.commit, from_git.commit);
        assert_eq!(entry.verified, "SHA-256 \"signed\"");
    }

    #[test]
    fn another_tree_for_a_known_version_is_refused() {
        let mut lock = Lock::default();
        lock.record(&source("257", "a")).unwrap();
        let fault = lock.record(&source("257", "b")).unwrap_err();
        assert!(fault.message.contains("tampered, or a moved tag"), "{fault}");
        assert_eq!(lock.get(fault_version()).unwrap().tree, TreeId("a".repeat(40)));
    }

    fn fault_version() -> SystemdVersion {
        "257".parse().unwrap()
    }

    #[test]
    fn a_missing_file_is_empty_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sources.lock");
        assert_eq!(Lock::load(&path).unwrap(), Lock::default());
        for text in [
            "schema = 2",
            "schema = 1\nnonsense = 1",
            "[[version]]",
            "schema = 1\n[[version]]\nversion = \"257\"\ntree = \"abc\"\nverified = \"\"",
        ] {
            std::fs::write(&path, text).unwrap();
            let fault = Lock::load(&path).unwrap_err();
            assert!(fault.message.contains("sources.lock"), "{fault}");
            assert!(fault.hint.is_some());
        }
    }
}
