// SPDX-License-Identifier: MIT
//! The content of a file, with what is worth computing once: its lines, its blob id, its functions.

use std::sync::OnceLock;

use git2::{ObjectType, Oid};

use super::blocks::Blocks;

/// A file's bytes. Shared between all versions that hold the very same file.
#[derive(Debug)]
pub struct Content {
    pub oid: Oid,
    pub bytes: Vec<u8>,
    /// Offsets at which lines start, and the end.
    starts: Vec<usize>,
    blocks: OnceLock<Blocks>,
}

impl Content {
    /// Bytes that may not be in any repository yet.
    pub fn new(bytes: Vec<u8>) -> Result<Self, git2::Error> {
        Ok(Content::with_oid(Oid::hash_object(ObjectType::Blob, &bytes)?, bytes))
    }

    pub fn with_oid(oid: Oid, bytes: Vec<u8>) -> Self {
        let ends = memchr::memchr_iter(b'\n', &bytes).map(|i| i + 1);
        let mut starts: Vec<usize> = std::iter::once(0).chain(ends).collect();
        if starts.last() != Some(&bytes.len()) {
            starts.push(bytes.len());
        }
        Content { oid, bytes, starts, blocks: OnceLock::new() }
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
    pub fn find(&self, text: &[u8]) -> Vec<usize> {
        let ends_open = !text.ends_with(b"\n");
        let finder = memchr::memmem::Finder::new(text);
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = self.bytes.get(from..).and_then(|rest| finder.find(rest)) {
            let at = from + at;
            // Not past the find, as `find_iter` goes: a site that overlaps another is one, too.
            from = at + 1;
            if let Ok(line) = self.starts.binary_search(&at)
                && (!ends_open || at + text.len() == self.bytes.len())
            {
                found.push(line);
            }
        }
        found
    }

    /// The functions and other top-level blocks, found at the first call.
    pub fn blocks(&self) -> &Blocks {
        self.blocks.get_or_init(|| Blocks::scan(&self.bytes))
    }
}
