// SPDX-License-Identifier: MIT
//! What `cargo xtask status` need not work out again: which tree the patches give on a version, and
//! how a new release was judged.
//!
//! Both follow from the sources, the patches and the code that judges, so each answer is kept in the
//! cache under a digest of these, and is never wrong: other patches have another digest. What could not
//! be found out is no answer, and not kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::fault::{Fault, Kind};
use crate::rebase;
use crate::series::Series;
use crate::version::SystemdVersion;
use crate::workspace::Cache;

/// Answers beyond this number are of patches that nobody has any more: all are dropped then.
const KEPT: usize = 1000;

/// The code that answers, beside the rebase stage's: another one may say something else.
const CODE: [&[u8]; 5] = [
    include_bytes!("../rebase/patched.rs"),
    include_bytes!("../sites/acknowledged.rs"),
    include_bytes!("../sites/mod.rs"),
    include_bytes!("../sites/read.rs"),
    include_bytes!("../sites/scan.rs"),
];

/// What the whole series makes of a version's sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patched {
    Tree(git2::Oid),
    /// The series does not apply.
    Misfit,
    /// It could not be found out, as where a file of the sources is not here.
    Unknown,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    schema: u32,
    /// By digest; `None` for patches that do not apply there.
    trees: BTreeMap<String, Option<String>>,
    /// By digest; a sentence for each patch that waits for a person.
    judged: BTreeMap<String, Vec<String>>,
}

/// The kept answers; what is new is written when it goes out of scope.
#[derive(Debug)]
pub(super) struct Known<'a> {
    path: PathBuf,
    patches: PathBuf,
    series: &'a Series,
    file: File,
    changed: bool,
}

const SCHEMA: u32 = 1;

impl<'a> Known<'a> {
    /// `patches` is the folder that `series` was read from. A file that cannot be read is an empty one.
    pub fn open(cache: &Cache, patches: &Path, series: &'a Series) -> Self {
        let path = cache.root().join("status.json");
        let read = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let file = read
            .filter(|f: &File| f.schema == SCHEMA && f.trees.len() + f.judged.len() < KEPT)
            .unwrap_or(File { schema: SCHEMA, ..File::default() });
        Known { path, patches: patches.to_owned(), series, file, changed: false }
    }

    /// The tree that the whole series makes of `tree`, the sources of `version`.
    pub fn patched(
        &mut self,
        git: &git2::Repository,
        version: SystemdVersion,
        tree: git2::Oid,
    ) -> Patched {
        let key = self.digest_of_variants(version, tree);
        match self.file.trees.get(&key).map(|known| known.as_deref().map(git2::Oid::from_str)) {
            Some(Some(Ok(tree))) => return Patched::Tree(tree),
            Some(None) => return Patched::Misfit,
            // Not there, or no id.
            Some(Some(Err(_))) | None => {}
        }
        let ids: Vec<&str> = self.series.patches.iter().map(|p| p.id.as_str()).collect();
        let patched = match rebase::patched_tree(git, self.series, tree, version, &ids) {
            Ok(tree) => Patched::Tree(tree),
            Err(error) if error.downcast_ref().is_some_and(|f: &Fault| f.kind == Kind::Fault) => {
                Patched::Misfit
            }
            Err(error) => {
                tracing::info!(%version, error = format!("{error:#}"), "not known");
                return Patched::Unknown;
            }
        };
        let kept = match patched {
            Patched::Tree(tree) => Some(tree.to_string()),
            _ => None,
        };
        self.file.trees.insert(key, kept);
        self.changed = true;
        patched
    }

    /// How the series fared on `tree` when it was last carried there: a sentence for each patch that
    /// waits for a person.
    pub fn judgement(&self, tree: &str) -> Option<&[String]> {
        self.file.judged.get(&self.digest_of_all(tree)).map(Vec::as_slice)
    }

    /// Keeps a judgement for later.
    pub fn judge(&mut self, tree: &str, waiting: Vec<String>) {
        self.file.judged.insert(self.digest_of_all(tree), waiting);
        self.changed = true;
    }

    /// The sources, and the texts that apply to them.
    fn digest_of_variants(&self, version: SystemdVersion, tree: git2::Oid) -> String {
        let variants = self.series.patches.iter().filter_map(|patch| {
            let variant = patch.variant_for(version)?;
            Some(patch.file(variant.base))
        });
        self.digest(&tree.to_string(), variants)
    }

    /// The sources, and all that a patch could be carried from.
    fn digest_of_all(&self, tree: &str) -> String {
        let files = self
            .series
            .patches
            .iter()
            .flat_map(|patch| patch.variants.iter().map(|variant| patch.file(variant.base)));
        self.digest(tree, files.chain([PathBuf::from("series.toml"), PathBuf::from("sites.toml")]))
    }

    fn digest(&self, tree: &str, files: impl Iterator<Item = PathBuf>) -> String {
        let mut digest = Sha256::new();
        digest.update(rebase::of_stage());
        for code in CODE {
            digest.update((code.len() as u64).to_le_bytes());
            digest.update(code);
        }
        digest.update(tree);
        for file in files {
            let text = std::fs::read(self.patches.join(&file)).unwrap_or_default();
            digest.update(format!("\n{} {}\n", file.display(), text.len()));
            digest.update(text);
        }
        digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        if !self.changed {
            return;
        }
        // The next run would be slower without it, and nothing else.
        let written = serde_json::to_vec(&self.file)
            .map_err(anyhow::Error::from)
            .and_then(|text| atomic::write(&self.path, &text));
        if let Err(error) = written {
            tracing::info!(%error, "the state of the patches is not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series;

    /// A partial clone that lacks a file says nothing of the patches, and may be completed.
    #[test]
    fn what_could_not_be_read_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(&dir.path().join("cache"))).unwrap();
        std::fs::create_dir(cache.root()).unwrap();
        let patches =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rebase/upstream").join("patches");
        let series = series::load(&patches).unwrap();
        let version = series.patches[0].variants[0].base;
        let sources = patches.with_file_name("trees").join(version.to_string());
        let path = &series.patches[0].variants[0].text.files[0].path;
        let text = std::fs::read(sources.join(path)).unwrap();
        let git = git2::Repository::init_bare(dir.path().join("git")).unwrap();
        let tree = |oid: git2::Oid| {
            let none = git.treebuilder(None).unwrap().write().unwrap();
            let mut update = git2::build::TreeUpdateBuilder::new();
            update.upsert(path.as_str(), oid, git2::FileMode::Blob);
            update.create_updated(&git, &git.find_tree(none).unwrap()).unwrap()
        };
        let good = tree(git.blob(&text).unwrap());
        let bad = tree(git.blob(b"int other;\n").unwrap());
        let mut known = Known::open(&cache, &patches, &series);
        assert!(matches!(known.patched(&git, version, good), Patched::Tree(_)));
        assert_eq!(known.patched(&git, version, bad), Patched::Misfit);
        assert_eq!(known.file.trees.len(), 2);

        let lost = git.blob(b"lost\n").unwrap();
        let partial = tree(lost);
        let id = lost.to_string();
        std::fs::remove_file(dir.path().join("git/objects").join(&id[..2]).join(&id[2..])).unwrap();
        let git = git2::Repository::open(dir.path().join("git")).unwrap();
        assert_eq!(known.patched(&git, version, partial), Patched::Unknown);
        assert_eq!(known.file.trees.len(), 2);
    }

    #[test]
    fn a_judgement_is_for_these_patches_and_these_sources_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(&dir.path().join("cache"))).unwrap();
        std::fs::create_dir(cache.root()).unwrap();
        let patches = dir.path().join("patches");
        std::fs::create_dir(&patches).unwrap();
        let text = |more: &str| format!("schema = 1\n{more}");
        std::fs::write(patches.join("series.toml"), text("")).unwrap();
        let series = series::load(&patches).unwrap();
        Known::open(&cache, &patches, &series).judge("a", vec!["0002: conflict".to_owned()]);
        let known = Known::open(&cache, &patches, &series);
        assert_eq!(known.judgement("a").unwrap(), ["0002: conflict"]);
        assert_eq!(known.judgement("b"), None);
        std::fs::write(patches.join("series.toml"), text("# changed\n")).unwrap();
        assert_eq!(known.judgement("a"), None);
    }
}
