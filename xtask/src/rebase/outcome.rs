// SPDX-License-Identifier: MIT
//! What became of a patch on a version. These are answers, not errors.

use serde::{Deserialize, Serialize};

use super::deeper::Method;
use super::explain::Broken;
use crate::version::SystemdVersion;

/// How a patch fares on a version, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The text applies where its headers say, and a three-way merge gives the same files.
    Clean,
    /// As clean, but at other lines, or in a file or a function with another name.
    Moved,
    /// The text does not apply, but a three-way merge puts it into the same functions.
    Merged,
    /// As [`Outcome::Resolved`], and the user has said to take such results.
    Accepted,
    /// The patch is in upstream's sources: its reverse applies, in the right functions.
    AlreadyUpstream,
    /// Merging the patch changes nothing.
    Empty,
    /// `series.toml` says that this version does without the patch.
    NotNeeded,
    /// A method that goes further than a merge finds a place, and says how; a person has to agree.
    Resolved,
    /// Some of the patch is in upstream's sources, some is not.
    PartlyUpstream,
    /// Something fits, but not beyond doubt: the methods disagree, or the function is another one.
    NeedsReview,
    /// Neither method finds a place for the patch.
    Conflict,
    /// A source file could not be read, so there is no answer.
    Unreadable,
}

impl Outcome {
    /// The word that is shown.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Clean => "clean",
            Outcome::Moved => "moved",
            Outcome::Merged => "merged",
            Outcome::Accepted => "accepted",
            Outcome::AlreadyUpstream => "upstream",
            Outcome::Empty => "empty",
            Outcome::NotNeeded => "not needed",
            Outcome::Resolved => "resolved",
            Outcome::PartlyUpstream => "partly",
            Outcome::NeedsReview => "review",
            Outcome::Conflict => "conflict",
            Outcome::Unreadable => "unreadable",
        }
    }

    /// True if the version then has the patch in it, and a variant may be written for it.
    pub fn is_applied(self) -> bool {
        matches!(self, Outcome::Clean | Outcome::Moved | Outcome::Merged | Outcome::Accepted)
    }

    /// True if nothing is left to do for a person.
    pub fn is_settled(self) -> bool {
        self <= Outcome::NotNeeded
    }
}

/// What became of one patch on one version.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Cell {
    pub patch: String,
    pub outcome: Outcome,
    /// The variant whose text was carried here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<SystemdVersion>,
    /// Two methods gave the same answer. False if the version that the text was made on is not
    /// here, so that nothing could be merged.
    pub cross_checked: bool,
    /// Why it is not simply clean, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileReport>,
    /// The hunks that do not fit, each with what is known about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
    /// Patches before this one that are missing here, so that this answer is preliminary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Other variants that apply here as well, with another result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<SystemdVersion>,
}

/// What became of one file of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct FileReport {
    /// As the patch names it.
    pub path: String,
    /// Its path in this version, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a resolved file, the method that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hunks: Vec<HunkReport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collisions: Vec<Collision>,
}

/// Where a hunk was made, and where it is here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct HunkReport {
    /// The functions it changes here.
    pub functions: Vec<String>,
    /// The functions it changes in the version it was made on, if these are others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_in: Vec<String>,
    /// First line by its header, from 1.
    pub line_old: usize,
    /// First line here, from 1.
    pub line_new: usize,
    /// `line_new` less `line_old`.
    pub offset: isize,
}

/// Lines that both upstream and the patch have changed; or a hunk that found no place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Collision {
    /// First line of `ours` in this version's file, from 1; for a hunk without a place, the line
    /// that its header names.
    pub line: usize,
    /// The function there.
    pub function: String,
    /// This version's lines. `None` if only the hunk is known, since there was no base to merge.
    pub ours: Option<String>,
    /// The lines of the version that the patch was made on.
    pub base: String,
    /// The patch's lines.
    pub theirs: String,
}
