// SPDX-License-Identifier: MIT
//! The content of a file, with what is worth computing once: its lines, its blob id, its functions.

use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use git2::Oid;

use super::blocks::{Blocks, Kept};
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

/// A part of a file that is made of another one.
pub enum Piece<'a> {
    /// The lines from the first number (from 0) up to the second.
    Lines(usize, usize),
    /// A line, with its line end.
    Own(&'a [u8]),
}

impl Content {
    /// Bytes that may not be in any repository yet.
    pub fn new(bytes: Vec<u8>) -> Self {
        Content::with_oid(patch::blob_id(&bytes), bytes)
    }

    pub fn with_oid(oid: Oid, bytes: Vec<u8>) -> Self {
        let starts = line_starts(&bytes);
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

    /// The content that `pieces` make: runs of lines of this file, and lines of their own. Where
    /// lines start is taken over instead of looked for.
    pub fn assembled(&self, pieces: &[Piece<'_>]) -> Content {
        let size = |piece: &Piece<'_>| match piece {
            Piece::Lines(from, to) => self.lines(*from, *to).len(),
            Piece::Own(line) => line.len(),
        };
        let mut bytes = Vec::with_capacity(pieces.iter().map(size).sum());
        let mut starts = Vec::with_capacity(self.starts.len() + pieces.len());
        let mut kept = Vec::new();
        // As are the hashes, if there are any: who changes this file further will ask for them.
        let mut hashes = Vec::new();
        if let Some(here) = self.hashes.get() {
            hashes.reserve_exact(here.len() + pieces.len());
            for piece in pieces {
                match piece {
                    Piece::Lines(from, to) => {
                        hashes.extend_from_slice(here.get(*from..*to).unwrap_or_default());
                    }
                    Piece::Own(line) => hashes.push(hash_line(line)),
                }
            }
        }
        for piece in pieces {
            match piece {
                Piece::Lines(from, to) => {
                    let lines = self.starts.get(*from..*to).unwrap_or_default();
                    kept.push(Kept { from: *from, to: *from + lines.len(), at: starts.len() });
                    let (to, from) = (bytes.len(), lines.first().copied().unwrap_or_default());
                    starts.extend(lines.iter().map(|start| start - from + to));
                }
                Piece::Own(_) => starts.push(bytes.len()),
            }
            match piece {
                Piece::Lines(from, to) => bytes.extend_from_slice(self.lines(*from, *to)),
                Piece::Own(line) => bytes.extend_from_slice(line),
            }
        }
        starts.push(bytes.len());
        let oid = patch::blob_id(&bytes);
        let known = OnceLock::new();
        if hashes.len() + 1 == starts.len() {
            let _ = known.set(hashes);
        }
        let blocks = OnceLock::new();
        if let Some(here) = self.blocks.get()
            && kept.is_sorted_by_key(|run| run.from)
        {
            let _ = blocks.set(here.spliced(&kept, &bytes, &starts));
        }
        Content { oid, bytes, starts, hashes: known, blocks }
    }

    /// The lines (from 0) at which `text`, made of whole lines, is found. Finds may overlap.
    pub fn find(&self, text: &[u8], most: usize) -> Vec<usize> {
        let finder = memchr::memmem::Finder::new(text);
        let mut found = Vec::new();
        let mut from = 0;
        while found.len() < most
            && !text.is_empty()
            && let Some(at) = self.bytes.get(from..).and_then(|rest| finder.find(rest))
        {
            // Only from the start of a line to the end of one.
            let at = from + at;
            let line = self.starts.partition_point(|start| *start <= at) - 1;
            if self.starts[line] == at && self.starts.binary_search(&(at + text.len())).is_ok() {
                found.push(line);
            }
            from = self.starts.get(line + 1).copied().unwrap_or(self.bytes.len());
        }
        found
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
        self.blocks.get_or_init(|| Blocks::scan(&self.bytes, &self.starts))
    }
}

/// Where the lines of a text start, and where it ends.
pub fn line_starts(bytes: &[u8]) -> Vec<usize> {
    /// Source code has shorter lines as a rule, so this is enough.
    const BYTES_PER_LINE: usize = 24;
    let mut starts: Vec<usize> = Vec::with_capacity(bytes.len() / BYTES_PER_LINE + 2);
    starts.push(0);
    starts.extend(memchr::memchr_iter(b'\n', bytes).map(|i| i + 1));
    if starts.last() != Some(&bytes.len()) {
        starts.push(bytes.len());
    }
    starts
}

fn hash_line(line: &[u8]) -> u64 {
    const FIXED: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0);
    FIXED.hash_one(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_assembled_has_the_lines_of_its_bytes() {
        let texts = ["", "a\n", "a\nb\nc\nd", "a\n\n\nd\n"];
        for (text, seen) in texts.iter().flat_map(|t| [(*t, false), (*t, true)]) {
            let file = Content::new(text.into());
            let most = file.len();
            if seen {
                file.hashes();
                file.blocks();
            }
            for (from, to) in (0..=most).flat_map(|f| (f..=most).map(move |t| (f, t))) {
                let open = from == most || to < most || text.ends_with('\n') || text.is_empty();
                let last: &[u8] = if open { b"x" } else { b"" };
                let mut pieces = vec![Piece::Own(b"new\n"), Piece::Lines(from, to)];
                if !last.is_empty() {
                    pieces.push(Piece::Own(last));
                }
                let made = file.assembled(&pieces);
                let scanned = Content::new([&b"new\n"[..], file.lines(from, to), last].concat());
                assert_eq!((&made.starts, made.oid), (&scanned.starts, scanned.oid), "{text:?}");
                assert_eq!(made.hashes(), scanned.hashes(), "{text:?}");
                assert_eq!(made.blocks(), scanned.blocks(), "{text:?}");
            }
        }
        assert_eq!(Content::new(b"a\n".to_vec()).assembled(&[]).len(), 0);
    }

    #[test]
    fn whole_lines_are_found_and_may_overlap() {
        let file = Content::new(b"a\nba\na\na\na".to_vec());
        assert_eq!(file.find(b"a\na\n", 9), [2]);
        assert_eq!(file.find(b"a\n", 9), [0, 2, 3]);
        assert_eq!(file.find(b"a\n", 2), [0, 2]);
        assert_eq!(file.find(b"a", 9), [4]);
        assert_eq!(file.find(b"", 9), [0; 0]);
        let equal = Content::new(b"a\na\na\n".to_vec());
        assert_eq!(equal.find(b"a\na\n", 9), [0, 1]);
    }
}
