// SPDX-License-Identifier: MIT
//! The three-way merge seen by its lines: where lines of one file are in another version of it.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput};

use super::content::Content;

/// What upstream changed between two versions of a file.
#[derive(Debug)]
pub struct Alignment {
    /// In order; neither overlapping nor touching.
    changes: Vec<Hunk>,
}

impl Alignment {
    /// Compares two files line by line, as git does (Myers, then sliding changes down).
    pub fn new(base: &Content, ours: &Content) -> Self {
        if base.oid == ours.oid {
            return Alignment { changes: Vec::new() };
        }
        let mut input: InternedInput<u64> = InternedInput::default();
        input.reserve(base.len() as u32, ours.len() as u32);
        input.update_before(base.hashes().iter().copied());
        input.update_after(ours.hashes().iter().copied());
        let mut diff = Diff::compute(Algorithm::Myers, &input);
        diff.postprocess_no_heuristic(&input);
        Alignment { changes: diff.hunks().collect() }
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
    }
}
