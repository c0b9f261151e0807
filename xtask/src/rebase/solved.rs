// SPDX-License-Identifier: MIT
//! What the engine works on and hands on: versions, and how patches changed them.

use std::collections::HashMap;
use std::sync::Arc;

use git2::Oid;

use super::content::Content;
use super::outcome::Cell;
use super::tree::State;
use crate::patch::{self, FileDiff, PatchText};
use crate::version::SystemdVersion;

/// A version and its tree, which is in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub version: SystemdVersion,
    pub tree: Oid,
}

/// A version after all patches.
#[derive(Debug)]
pub struct VersionRun {
    pub version: SystemdVersion,
    pub state: State,
    /// One per patch of the series.
    pub cells: Vec<Cell>,
    /// One per patch: how the files changed, where the patch was applied.
    pub solved: Vec<Option<Solved>>,
    /// Where the answer is one from before, the patched tree: then nothing is known of the files,
    /// `solved` is empty, and `state` is as upstream has it.
    pub patched: Option<Oid>,
}

impl VersionRun {
    /// True if every patch has an answer that needs nobody.
    pub fn is_settled(&self) -> bool {
        self.cells.iter().all(|c| c.outcome.is_settled())
    }
}

/// A patch that was applied to a version.
#[derive(Debug, Clone)]
pub struct Solved {
    /// The commit message to use for a variant made from this.
    pub message: Vec<u8>,
    /// The variant whose text applies here as it is, but for line numbers.
    pub applies: Option<SystemdVersion>,
    pub files: Vec<SolvedFile>,
}

/// A file before and after the patch.
#[derive(Debug, Clone)]
pub struct SolvedFile {
    pub path: String,
    pub mode: i32,
    /// `None` for a file that the patch adds.
    pub before: Option<Arc<Content>>,
    pub after: Arc<Content>,
}

impl Solved {
    /// The patch as a text made on this version. `known` remembers the diffs of files: many
    /// versions have the same.
    pub fn text(&self, known: &mut Diffs) -> Result<PatchText, git2::Error> {
        const CONTEXT_LINES: u32 = 3;
        let mut diff = |f: &SolvedFile| {
            let key = (f.path.clone(), f.before.as_ref().map(|b| b.oid), f.after.oid);
            if let Some(known) = known.get(&key) {
                return Ok(known.clone());
            }
            let before = f.before.as_ref().map(|b| b.bytes.as_slice());
            let diff = patch::diff(&f.path, before, f.mode, &f.after.bytes, CONTEXT_LINES)?;
            known.insert(key, diff.clone());
            Ok(diff)
        };
        let files = self.files.iter().map(&mut diff).collect::<Result<_, git2::Error>>()?;
        Ok(PatchText { message: self.message.clone(), files })
    }
}

/// Diffs by path and blobs.
pub type Diffs = HashMap<(String, Option<Oid>, Oid), FileDiff>;
