// SPDX-License-Identifier: MIT
//! What became of each patch on each version, as one run has judged it: kept, so that the page can be
//! made again where the sources are not.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::page::Row;
use crate::atomic;
use crate::boot::record;
use crate::rebase::{Cell, Engine, VersionRun};
use crate::sites::Review;
use crate::sources::TreeId;
use crate::version::SystemdVersion;

/// Raised when a reader of the old form would misread the document.
pub const SCHEMA: u32 = 1;
/// How many are kept: the last one counts, the others show what changed since.
const KEPT: usize = 20;
const FILE: &str = "carried.json";

/// One run of `rebase-patches`, `new-release` or `report`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Carried {
    pub schema: u32,
    /// Also the name of its folder in the cache.
    pub id: String,
    /// Seconds since 1970.
    pub started_s: u64,
    /// This tool's version.
    pub plainboot: String,
    /// Oldest first.
    pub versions: Vec<Version>,
    /// Verified before, and not to be had in that run.
    pub kept: Vec<SystemdVersion>,
    /// Places that a refusal can reach and that nobody has looked at; empty in older documents.
    #[serde(default, skip_serializing_if = "Review::is_empty")]
    pub sites: Review,
}

/// One version, as the engine has judged it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    pub version: SystemdVersion,
    /// The tree with all patches; none while an outcome is unsettled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched: Option<TreeId>,
    /// One per patch of the series.
    pub cells: Vec<Cell>,
}

impl Version {
    /// As the page takes it.
    pub fn row(&self) -> Row<'_> {
        Row { version: self.version, cells: &self.cells, patched: self.patched.clone() }
    }
}

impl Carried {
    /// What `engine` has said, and what is left to look at.
    pub fn of(
        engine: &Engine,
        runs: &[VersionRun],
        kept: &[SystemdVersion],
        sites: Review,
    ) -> Result<Self> {
        let version = |run: &VersionRun| {
            let tree = run.is_settled().then(|| engine.patched_tree(run)).transpose()?;
            let patched = tree.map(TreeId::from);
            anyhow::Ok(Version { version: run.version, patched, cells: run.cells.clone() })
        };
        let versions = runs.iter().map(version).collect::<Result<_>>()?;
        Ok(Carried { sites, ..Carried::now(versions, kept) })
    }

    pub fn now(versions: Vec<Version>, kept: &[SystemdVersion]) -> Self {
        let now = SystemTime::now();
        Carried {
            schema: SCHEMA,
            id: format!("{}-carried", record::run_id(now)),
            started_s: now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            plainboot: env!("CARGO_PKG_VERSION").to_owned(),
            versions,
            kept: kept.to_vec(),
            sites: Review::default(),
        }
    }

    /// Writes it into the folder of all runs, and removes old ones. What cannot be written is missing
    /// from a page that is made without sources, and from nothing else: it is no reason to stop.
    pub fn keep(&self, runs: &Path) {
        let path = runs.join(&self.id).join(FILE);
        let written = serde_json::to_vec(self)
            .map_err(anyhow::Error::from)
            .and_then(|text| atomic::write(&path, &text));
        if let Err(error) = written {
            tracing::info!(error = format!("{error:#}"), "what the page needs is not kept");
        }
        if let Some(said) = record::prune(runs, FILE, KEPT) {
            tracing::info!("{said}");
        }
    }
}

/// The newest in a folder and in those right below it (`RUN/carried.json`, `carried-JOB.json`); and what
/// could not be read.
///
/// # Errors
/// As [`record::read_files`].
pub fn newest(dir: &Path) -> Result<(Option<Carried>, Vec<String>)> {
    let (found, unread) = record::read_files(dir, "carried", read)?;
    Ok((found.into_iter().max_by_key(|one| one.started_s), unread))
}

fn read(bytes: &[u8]) -> Result<Carried, String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let Schema { schema } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if schema != SCHEMA {
        return Err(format!("schema {schema} is not known, only {SCHEMA}"));
    }
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_can_be_read_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut carried = Carried::now(Vec::new(), &[SystemdVersion::new(262, 0)]);
        carried.keep(dir.path());
        carried.id = "20200101T000000Z-1-carried".into();
        carried.started_s = 7;
        carried.keep(dir.path());
        carried.schema += 1;
        std::fs::write(dir.path().join("carried-x.json"), serde_json::to_vec(&carried).unwrap())
            .unwrap();
        let (newest, unread) = newest(dir.path()).unwrap();
        assert!(newest.unwrap().started_s > 7);
        assert!(unread[0].contains("schema 2 is not known"), "{unread:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("runs");
        std::fs::write(&runs, "a file").unwrap();
        Carried::now(Vec::new(), &[]).keep(&runs);
        assert_eq!(std::fs::read(&runs).unwrap(), b"a file");
    }

    #[test]
    fn a_conflict_reads_back_as_it_was() {
        let text = r#"{"patch":"0002-cgroup","outcome":"conflict","from":"259","cross_checked":true,
            "files":[{"path":"a.c","outcome":"conflict","reason":"its lines are not there",
            "collisions":[{"line":827,"function":"f","ours":null,"base":"b","theirs":"t"}]}],
            "broken":[{"path":"a.c","hunk":1,"made_in":["f"],"cause":{"kind":"commit","id":"316d",
            "date":"2026-04-09","author":"D","subject":"s","undone":false},"before":"","after":"",
            "went":{"path":"b.c","function":"g","line":3}},
            {"path":"a.c","hunk":2,"made_in":[],"cause":{"kind":"versions","fits":"260","broken":"261"},
            "before":"","after":""}]}"#;
        let cell: Cell = serde_json::from_str(text).unwrap();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&cell).unwrap(), value);
    }
}
