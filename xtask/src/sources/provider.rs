// SPDX-License-Identifier: MIT
//! What a provider of systemd versions has to answer.

use anyhow::Result;
use serde::Serialize;

use super::model::{CommitId, TreeId};
use super::repository::{Record, Repository};
use crate::version::SystemdVersion;

/// A version that a provider says it has.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct Offer {
    pub version: SystemdVersion,
    /// Short, for the table: `clone`, `upstream`, `Debian trixie`.
    pub from: String,
    pub commit: Option<CommitId>,
    pub tree: Option<TreeId>,
}

/// Whether a provider answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was asked just now, or its answer is recent enough.
    Answered,
    /// It was asked and did not answer.
    Unreachable,
    /// It cannot be asked here, or the user did not want it.
    NotAsked,
}

/// What a provider said.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    pub answer: Answer,
    /// One phrase for the reader.
    pub said: String,
    /// What went wrong on the way to this answer.
    pub complaints: Vec<String>,
    pub offers: Vec<Offer>,
    /// True if this is an answer kept from an earlier run.
    pub kept: bool,
}

impl Listing {
    pub fn none(answer: Answer, said: impl Into<String>) -> Self {
        Listing { said: said.into(), ..Listing::of(answer, Vec::new()) }
    }

    pub fn of(answer: Answer, offers: Vec<Offer>) -> Self {
        let said = match offers.len() {
            1 => "1 release tag".into(),
            n => format!("{n} release tags"),
        };
        Listing { answer, said, complaints: Vec::new(), offers, kept: false }
    }

    pub fn offer(&self, version: SystemdVersion) -> Option<&Offer> {
        self.offers.iter().find(|o| o.version == version)
    }
}

/// May an answer of an earlier run be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    Kept,
    Now,
}

/// Something that has systemd versions.
pub trait Provider {
    /// For the reader, such as `Debian source packages`.
    fn name(&self) -> String;

    /// What it has, without fetching contents. Being out of reach is an answer, not an error.
    fn list(&self, freshness: Freshness) -> Result<Listing>;

    /// Brings a version that was listed into the repository's reach. The caller checks the tree
    /// and writes the reference.
    fn fetch(&self, version: SystemdVersion, into: &Repository) -> Result<Record>;
}
