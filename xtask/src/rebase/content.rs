// SPDX-License-Identifier: MIT
//! The content of a file, with what is worth computing once: its lines, its blob id, its functions.

use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use git2::Oid;

use super::blocks::Blocks;
use crate::patch;

/// A file's bytes. Shared between all versions that hold the very same file.
#[derive(Debug)]
pub struct Content {
    pub oid: Oid,
    pub bytes: Vec<u8>,
    /// Offsets at which lines start, and the end.
    starts: Vec<usize>,
    hashes: OnceLock<Vec<u64>>,
    blocks: OnceLock<Blocks>,
}

impl Content {
    /// Bytes that may not be in any repository yet.
    pub fn new(bytes: Vec<u8>) -> Self {
        Content::with_oid(patch::blob_id(&bytes), bytes)
    }

    pub fn with_oid(oid: Oid, bytes: Vec<u8>) -> Self {
        /// Source code has shorter lines as a rule, so this is enough.
        const BYTES_PER_LINE: usize = 24;
        let mut starts: Vec<usize> = Vec::with_capacity(bytes.len() / BYTES_PER_LINE + 2);
        starts.push(0);
        starts.extend(memchr::memchr_iter(b'\n', &bytes).map(|i| i + 1));
        if starts.last() != Some(&bytes.len()) {
            starts.push(bytes.len());
        }
        Content { oid, bytes, starts, hashes: OnceLock::new(), blocks: OnceLock::new() }
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Line `index` (from 0) with its line end; `None` past the end.
    pub fn line(&self, index: usize) -> Option<&[u8]> {
        let (from, to) = (*self.starts.get(index)?, *self.starts.get(index + 1)?);
        self.bytes.get(from..to)
    }

    /// The lines from `from` (from 0) up to `to`, which does not belong to them.
    pub fn lines(&self, from: usize, to: usize) -> &[u8] {
        let offset = |i: usize| self.starts[i.min(self.len())];
        &self.bytes[offset(from)..offset(to.max(from))]
    }

    /// The lines (from 0) at which `text`, made of whole lines, is found. Finds may overlap.
    pub fn find(&self, text: &[u8], most: usize) -> Vec<usize> {
        let wanted: Vec<&[u8]> = patch::split_lines(text).collect();
        // The longest line is the least common one, more often than not.
        let Some(probe) = (0..wanted.len()).max_by_key(|&i| wanted[i].len()) else {
            return Vec::new();
        };
        let (hash, count) = (hash_line(wanted[probe]), wanted.len());
        let hashes = self.hashes();
        let found = hashes.iter().enumerate().skip(probe).filter(|(_, h)| **h == hash);
        found
            .map(|(line, _)| line - probe)
            .filter(|line| line + count <= self.len() && self.lines(*line, line + count) == text)
            .take(most)
            .collect()
    }

    /// A hash of each line. Equal lines have equal hashes; that others differ is as good as
    /// certain (64 bits), but for what is written the bytes themselves are compared.
    pub fn hashes(&self) -> &[u64] {
        self.hashes.get_or_init(|| {
            self.starts.windows(2).map(|w| hash_line(&self.bytes[w[0]..w[1]])).collect()
        })
    }

    /// The functions and other top-level blocks, found at the first call.
    pub fn blocks(&self) -> &Blocks {
        self.blocks.get_or_init(|| Blocks::scan(&self.bytes))
    }
}

fn hash_line(line: &[u8]) -> u64 {
    const FIXED: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0);
    FIXED.hash_one(line)
}
