// SPDX-License-Identifier: MIT
//! The part of `rebase-patches` that knows when there is nothing new to find out.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::Context;
use crate::atomic;
use crate::rebase::{self, Engine, Question, Recalled, Settled, Target, VersionRun};
use crate::series::{self, Series};
use crate::version::SystemdVersion;

/// The file in the cache that holds the last answer.
const FILE: &str = "rebase-answer";

/// Reads the series, with a hash of all files that it is read from.
///
/// # Errors
/// As [`series::load`].
pub fn load(dir: &Path) -> Result<(Series, [u8; 32])> {
    let hash = RefCell::new(Sha256::new());
    let series = series::load_with(dir, &|path| {
        let bytes = std::fs::read(path)?;
        let name = path.as_os_str().as_encoded_bytes();
        for part in [name, &bytes] {
            let mut hash = hash.borrow_mut();
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Ok(bytes)
    })?;
    Ok((series, hash.into_inner().finalize().into()))
}

/// The last answer, if the question is the same again.
pub struct LastAnswer {
    path: PathBuf,
    question: Question,
    recalled: bool,
}

impl LastAnswer {
    /// `series` is the hash that [`load`] gives.
    pub fn to(
        context: &Context<'_>,
        series: &[u8; 32],
        targets: &[Target],
        wanted: &[SystemdVersion],
        kept: &[SystemdVersion],
    ) -> Self {
        let path = context.cache.root().join(FILE);
        let question = Question::new(series, targets, wanted, kept);
        LastAnswer { path, question, recalled: false }
    }

    pub fn recall(&mut self, series: &Series) -> Option<Recalled> {
        let found = rebase::recall(&std::fs::read(&self.path).ok()?, self.question, series);
        self.recalled = found.is_some();
        found
    }

    /// Keeps the answer for the next run, if it leaves nothing to do. Nothing depends on it.
    ///
    /// # Errors
    /// As [`rebase::remember`].
    pub fn keep(
        &self,
        engine: &Engine,
        series: &Series,
        runs: &[VersionRun],
        settled: &[Settled],
    ) -> Result<()> {
        if self.recalled {
            return Ok(());
        }
        if let Some(bytes) = rebase::remember(self.question, engine, series, runs, settled)?
            && let Err(error) = atomic::write(&self.path, &bytes)
        {
            tracing::info!(%error, "the answer is not kept");
        }
        Ok(())
    }
}
