// SPDX-License-Identifier: MIT
//! The three-way merge seen by its lines: where lines of one file are in another version of it.

use std::ops::Range;

use imara_diff::{Algorithm, Hunk};

use super::content::Content;
use super::lines;

/// What upstream changed between two versions of a file.
#[derive(Debug)]
pub struct Alignment {
    /// In order; neither overlapping nor touching.
    changes: Vec<Hunk>,
}

impl Alignment {
    /// Compares two files line by line, as git does (Myers, then sliding changes down).
    pub fn new(base: &Content, ours: &Content) -> Self {
        Self::by(Algorithm::Myers, base, ours)
    }

    /// Compares two files by lines that are rare, as `git merge` does.
    pub fn by_histogram(base: &Content, ours: &Content) -> Self {
        Self::by(Algorithm::Histogram, base, ours)
    }

    fn by(algorithm: Algorithm, base: &Content, ours: &Content) -> Self {
        if base.oid == ours.oid {
            return Alignment { changes: Vec::new() };
        }
        Alignment { changes: lines::changes(algorithm, base.hashes(), ours.hashes()) }
    }

    /// The line of `ours` that stands for line `lines.start` of the base, if a three-way merge may
    /// change these lines: upstream has changed none of them, and nothing right beside them.
    pub fn place(&self, lines: &Range<usize>) -> Option<usize> {
        let start = u32::try_from(lines.start).ok()?;
        let end = u32::try_from(lines.end).ok()?;
        // The first change that does not end above.
        let next = self.changes.partition_point(|c| c.before.end < start);
        if self.changes.get(next).is_some_and(|c| c.before.start <= end) {
            return None;
        }
        let shift = match next.checked_sub(1).and_then(|last| self.changes.get(last)) {
            Some(last) => i64::from(last.after.end) - i64::from(last.before.end),
            None => 0,
        };
        usize::try_from(i64::from(start) + shift).ok()
    }

    /// The changes, as lines before and after.
    pub fn changes(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let range = |r: &Range<u32>| r.start as usize..r.end as usize;
        self.changes.iter().map(move |c| (range(&c.before), range(&c.after)))
    }

    /// The lines of `ours` that stand where `lines` of the base were, with all that was changed
    /// in or right beside them.
    pub fn image(&self, lines: &Range<usize>) -> Range<usize> {
        self.around(lines).1
    }

    /// `lines`, widened by the changes that touch them, on both sides.
    pub fn around(&self, lines: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let touching = |c: &&Hunk| {
            (c.before.start as usize) <= lines.end && (c.before.end as usize) >= lines.start
        };
        let first = self.changes.iter().find(touching);
        let last = self.changes.iter().rev().find(touching);
        let start = first.map_or(lines.start, |c| lines.start.min(c.before.start as usize));
        let end = last.map_or(lines.end, |c| lines.end.max(c.before.end as usize));
        // Lines outside of all changes keep their distance to the last change above.
        let map = |line: usize, up_to: &dyn Fn(&&Hunk) -> bool| {
            let above = self.changes.iter().rev().find(up_to);
            above.map_or(line, |c| line - c.before.end as usize + c.after.end as usize)
        };
        let from = match first.filter(|c| c.before.start as usize == start) {
            Some(change) => change.after.start as usize,
            None => map(start, &|c| c.before.end as usize <= start),
        };
        let to = match last.filter(|c| c.before.end as usize == end) {
            Some(change) => change.after.end as usize,
            None => map(end, &|c| c.before.end as usize <= end),
        };
        (start..end, from..to.max(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(lines: &[&str]) -> Content {
        Content::new(lines.iter().flat_map(|l| format!("{l}\n").into_bytes()).collect())
    }

    #[test]
    fn lines_are_followed_past_changes_and_given_up_beside_them() {
        let base = content(&["a", "b", "c", "d", "e", "f"]);
        let ours = content(&["x", "a", "b", "C", "d", "e", "f"]);
        let align = Alignment::new(&base, &ours);
        assert_eq!(align.place(&(4..5)), Some(5));
        assert_eq!(align.place(&(5..5)), Some(6));
        // The changed line, its neighbours, and a gap at its edge.
        for lines in [2..3, 1..2, 3..4, 3..3, 2..2, 0..6] {
            assert_eq!(align.place(&lines), None, "{lines:?}");
        }
        assert_eq!(Alignment::new(&base, &base).place(&(0..6)), Some(0));
        assert_eq!(align.image(&(4..6)), 5..7);
        assert_eq!(align.around(&(1..3)), (1..3, 2..4));
        assert_eq!(align.around(&(3..5)), (2..5, 3..6));
    }
}
