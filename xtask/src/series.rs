// SPDX-License-Identifier: MIT
//! The series: `patches/series.toml` and the patch files it names.

mod edit;
mod ranges;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use edit::with_variants;
pub use ranges::{Bound, VersionRange, runs};

use crate::fault::Fault;
use crate::names;
use crate::patch::{self, PatchText};
use crate::version::SystemdVersion;

/// The schema of `series.toml` that this code reads and writes.
const SCHEMA: u32 = 1;

/// All patches, in the order in which they apply.
#[derive(Debug, Clone)]
pub struct Series {
    pub patches: Vec<Patch>,
}

/// One patch, in as many variants as systemd's versions need.
#[derive(Debug, Clone)]
pub struct Patch {
    /// The folder's name, such as `0001-mount-setup`.
    pub id: String,
    pub title: String,
    pub why: String,
    /// What upstream thinks of it, in words.
    pub upstream: String,
    pub needed: Needed,
    /// Ids of the checks that fail without this patch.
    pub checks: Vec<String>,
    /// Earlier patches of the series that this one builds on: without them it does not apply.
    pub requires: Vec<String>,
    /// Sorted by `base`.
    pub variants: Vec<Variant>,
}

/// The text of a patch that was made on one version and fits some.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The version that the text was made on; also the file's name.
    pub base: SystemdVersion,
    /// The verified versions that it is for. Empty for a file that `series.toml` does not list
    /// yet: somebody has just written it.
    pub ranges: Vec<VersionRange>,
    pub text: PatchText,
}

/// The versions that need a patch; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needed {
    pub from: Bound,
    #[serde(default)]
    pub to: Option<Bound>,
}

impl Needed {
    pub fn contains(&self, version: SystemdVersion) -> bool {
        self.from.at_or_before(version) && self.to.is_none_or(|to| to.at_or_after(version))
    }
}

impl Series {
    /// Where in the order the patch of this id is.
    ///
    /// # Errors
    /// There is none; with the id that may have been meant.
    pub fn index_of(&self, id: &str) -> Result<usize, Fault> {
        self.patches.iter().position(|p| p.id == id).ok_or_else(|| {
            let ids: Vec<&str> = self.patches.iter().map(|p| p.id.as_str()).collect();
            let all = format!("the patches are {}", ids.join(", "));
            Fault::new(format!("patches/series.toml has no patch `{id}`")).hint(names::hint(
                id,
                ids.into_iter(),
                &all,
            ))
        })
    }
}

impl Series {
    /// The patch `id`, and those that directly or not build on it, in the order of the series.
    pub fn with_dependents<'a>(&'a self, id: &'a str) -> Vec<&'a str> {
        let mut all = vec![id];
        for patch in &self.patches {
            if patch.requires.iter().any(|r| all.contains(&r.as_str())) {
                all.push(&patch.id);
            }
        }
        all
    }
}

impl Patch {
    /// The variant whose ranges hold `version`.
    pub fn variant_for(&self, version: SystemdVersion) -> Option<&Variant> {
        self.variants.iter().find(|v| v.ranges.iter().any(|r| r.contains(version)))
    }

    /// The file of a variant, relative to the folder of the series.
    pub fn file(&self, base: SystemdVersion) -> PathBuf {
        Path::new(&self.id).join(format!("{base}.patch"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    #[serde(default)]
    patch: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    title: String,
    why: String,
    upstream: String,
    needed: Needed,
    #[serde(default)]
    checks: Vec<String>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    variant: Vec<VariantEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantEntry {
    base: SystemdVersion,
    #[serde(default)]
    versions: Vec<VersionRange>,
}

/// Reads the series in the folder `dir`.
///
/// A file `<id>/<version>.patch` that `series.toml` does not list is taken as a new variant without
/// versions: a person resolves a conflict by writing the file and running the command again.
///
/// # Errors
/// A file that cannot be read, names or ranges that contradict each other, a malformed patch.
pub fn load(dir: &Path) -> Result<Series, Fault> {
    load_with(dir, &|path| std::fs::read(path))
}

/// [`load`] with another way to read files, such as from a change that is not written yet.
pub fn load_with(
    dir: &Path,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
) -> Result<Series, Fault> {
    let path = dir.join("series.toml");
    let cannot = |path: &Path, e: std::io::Error| {
        Fault::new(format!("cannot read {}: {e}", path.display()))
            .hint(format!("restore it: git checkout -- {}", path.display()))
    };
    let bad = |what: String| {
        Fault::new(format!("{}: {what}", path.display()))
            .hint("CONTRIBUTING.md describes the file; `git diff` shows what was changed")
    };
    let bytes = read(&path).map_err(|e| cannot(&path, e))?;
    let text = String::from_utf8(bytes).map_err(|_| bad("not UTF-8".into()))?;
    let file: File = toml::from_str(&text).map_err(|e| bad(e.to_string().trim().to_owned()))?;
    if file.schema != SCHEMA {
        return Err(bad(format!("schema {} is not known, only {SCHEMA}", file.schema))
            .hint("update this checkout: a newer plainboot wrote the file"));
    }
    let mut patches: Vec<Patch> = Vec::new();
    for entry in file.patch {
        let id = entry.id.clone();
        if !is_id(&id) {
            return Err(bad(format!("`{id}` is no patch id: they look like 0001-mount-setup")));
        }
        if patches.last().is_some_and(|p| p.id >= id) {
            return Err(bad(format!("{id} is out of order or there twice")));
        }
        if let Some(other) = entry.requires.iter().find(|r| !patches.iter().any(|p| p.id == **r)) {
            return Err(bad(format!("{id} requires `{other}`, which is no patch before it")));
        }
        patches.push(patch(dir, entry, read, &bad)?);
    }
    Ok(Series { patches })
}

fn patch(
    dir: &Path,
    entry: Entry,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    bad: &dyn Fn(String) -> Fault,
) -> Result<Patch, Fault> {
    let folder = dir.join(&entry.id);
    let mut listed = BTreeSet::new();
    let mut variants: Vec<Variant> = Vec::new();
    let mut unlisted = unlisted(&folder, &entry.variant);
    // A pending change may remove such a file.
    unlisted.retain(|v| read(&folder.join(format!("{}.patch", v.base))).is_ok());
    for VariantEntry { base, versions } in entry.variant.into_iter().chain(unlisted) {
        if !listed.insert(base) {
            return Err(bad(format!("{} has two variants {base}", entry.id)));
        }
        let clash = variants.iter().find_map(|v| {
            let both = v.ranges.iter().find(|a| versions.iter().any(|b| a.overlaps(b)))?;
            Some(format!("{}: {both} belongs to two variants, {} and {base}", entry.id, v.base))
        });
        if let Some(clash) = clash {
            return Err(bad(clash));
        }
        let path = folder.join(format!("{base}.patch"));
        let bytes = read(&path).map_err(|e| {
            Fault::new(format!("cannot read {}: {e}", path.display())).hint(format!(
                "restore it (git checkout -- {}) or remove its entry from series.toml",
                path.display()
            ))
        })?;
        let text = patch::parse(&bytes, &path)?;
        variants.push(Variant { base, ranges: versions, text });
    }
    variants.sort_by_key(|v| v.base);
    let Entry { id, title, why, upstream, needed, checks, requires, .. } = entry;
    Ok(Patch { id, title, why, upstream, needed, checks, requires, variants })
}

/// Patch files in `folder` that are named like a version and not listed.
fn unlisted(folder: &Path, listed: &[VariantEntry]) -> Vec<VariantEntry> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.filter_map(|f| f.file_name().into_string().ok());
    let bases = names.filter_map(|n| n.strip_suffix(".patch")?.parse::<SystemdVersion>().ok());
    bases
        .filter(|base| !listed.iter().any(|v| v.base == *base))
        .map(|base| VariantEntry { base, versions: Vec::new() })
        .collect()
}

/// Four digits, a dash, then letters, digits and dashes.
fn is_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(number, name)| {
        number.len() == 4
            && number.bytes().all(|b| b.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(requires: [&str; 3]) -> Result<Series, Fault> {
        let entry = |(i, requires): (usize, &str)| {
            let list = if requires.is_empty() { String::new() } else { format!("'{requires}'") };
            format!(
                "[[patch]]\nid = '000{i}-a'\ntitle = ''\nwhy = ''\nupstream = ''\n\
                 needed = {{ from = '254' }}\nrequires = [{list}]\n"
            )
        };
        let text: String = requires.into_iter().enumerate().map(entry).collect();
        load_with(Path::new("/nowhere"), &|path| {
            if path.ends_with("series.toml") {
                Ok(format!("schema = 1\n{text}").into_bytes())
            } else {
                Err(std::io::ErrorKind::NotFound.into())
            }
        })
    }

    #[test]
    fn a_patch_is_left_out_with_what_requires_it() {
        let series = parsed(["", "0000-a", "0001-a"]).unwrap();
        assert_eq!(series.with_dependents("0000-a"), ["0000-a", "0001-a", "0002-a"]);
        assert_eq!(series.with_dependents("0001-a"), ["0001-a", "0002-a"]);
        assert_eq!(series.with_dependents("0002-a"), ["0002-a"]);
    }

    #[test]
    fn a_patch_requires_earlier_ones_alone() {
        let refusal = parsed(["", "0002-a", ""]).unwrap_err().to_string();
        assert!(refusal.contains("0001-a requires `0002-a`"), "{refusal}");
    }
}
