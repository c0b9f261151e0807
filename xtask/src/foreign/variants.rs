// SPDX-License-Identifier: MIT
//! A carried series in the form of this project: the fewest texts, and a `series.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::mail::slug;
use super::{Item, series};
use crate::atomic::ChangeSet;
use crate::rebase::{Diffs, VersionRun, settle};
use crate::version::SystemdVersion;

#[derive(Serialize)]
struct File {
    schema: u32,
    patch: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    title: String,
    why: String,
    upstream: &'static str,
    needed: BTreeMap<&'static str, String>,
    variant: Vec<VariantEntry>,
}

#[derive(Serialize)]
struct VariantEntry {
    base: String,
    versions: Vec<String>,
}

/// The files of the series below `dir`, for all `runs` (which are settled).
///
/// # Errors
/// The engine has a fault; see [`settle`].
pub fn variants(
    dir: &Path,
    items: &[Item],
    base: SystemdVersion,
    runs: &[&VersionRun],
) -> Result<ChangeSet> {
    let mut series = series(items, base);
    // The text as it is made on its own version now, if that is among them: whole blob ids, exact
    // lines.
    let mut diffs = Diffs::new();
    if let Some(own) = runs.iter().find(|r| r.version == base) {
        for (patch, solved) in series.patches.iter_mut().zip(&own.solved) {
            if let (Some(variant), Some(solved)) = (patch.variants.first_mut(), solved) {
                variant.text = solved.text(&mut diffs)?;
            }
        }
    }
    let settled = settle(&series, runs, &[], &[])?;
    let mut change = ChangeSet::default();
    let mut entries = Vec::new();
    for (index, (patch, set)) in series.patches.iter().zip(&settled).enumerate() {
        let id = id(index + 1, &patch.id);
        for variant in &set.variants {
            change.put(
                dir.join(&id).join(format!("{}.patch", variant.base)),
                super::to_mail(&variant.text, &patch.id).to_bytes(),
            );
        }
        let ranges = |v: &crate::series::Variant| VariantEntry {
            base: v.base.to_string(),
            versions: v.ranges.iter().map(ToString::to_string).collect(),
        };
        // Where it is upstream it is not needed any more.
        let needs: Vec<SystemdVersion> = runs
            .iter()
            .filter(|r| r.solved.get(index).is_some_and(Option::is_some))
            .map(|r| r.version)
            .collect();
        let from = needs.iter().min().map_or(base, |v| *v);
        entries.push(Entry {
            id,
            title: patch.title.clone(),
            why: format!("Taken over from {}.", patch.id),
            upstream: "unknown",
            needed: BTreeMap::from([("from", from.to_string())]),
            variant: set.variants.iter().map(ranges).collect(),
        });
    }
    let text = toml::to_string(&File { schema: 1, patch: entries })?;
    change.put(dir.join("series.toml"), text);
    Ok(change)
}

/// `0003-some-words`, from the name of a patch.
fn id(number: usize, name: &str) -> String {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".patch").or(stem.strip_suffix(".diff")).unwrap_or(stem);
    let words = stem.split_once('-').filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
    let words = slug(words.map_or(stem, |(_, words)| words)).to_lowercase();
    let words: String =
        words.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c }).collect();
    format!("{number:04}-{}", if words.is_empty() { "patch" } else { &words })
}
