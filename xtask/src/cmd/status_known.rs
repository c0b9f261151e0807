// SPDX-License-Identifier: MIT
//! What `cargo xtask status` need not work out again: which tree the patches give on a version, and
//! how a new release was judged.
//!
//! Both follow from the sources and the patches alone, so each answer is kept in the cache under a
//! digest of these, and is never wrong: other patches have another digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::rebase;
use crate::series::Series;
use crate::version::SystemdVersion;
use crate::workspace::Cache;

/// Answers beyond this number are of patches that nobody has any more: all are dropped then.
const KEPT: usize = 1000;

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    schema: u32,
    /// By digest; `None` for patches that do not apply.
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

    /// The tree that the whole series makes of `tree`, the sources of `version`; `None` if it does not
    /// apply.
    pub fn patched(
        &mut self,
        git: &git2::Repository,
        version: SystemdVersion,
        tree: git2::Oid,
    ) -> Option<git2::Oid> {
        let key = self.digest_of_variants(version, tree);
        if let Some(known) = self.file.trees.get(&key) {
            let oid = known.as_deref().map(git2::Oid::from_str);
            return oid.and_then(Result::ok);
        }
        let ids: Vec<&str> = self.series.patches.iter().map(|p| p.id.as_str()).collect();
        let patched = rebase::patched_tree(git, self.series, tree, version, &ids).ok();
        self.file.trees.insert(key, patched.map(|oid| oid.to_string()));
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
        digest.update(concat!(env!("CARGO_PKG_VERSION"), "\n"));
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
