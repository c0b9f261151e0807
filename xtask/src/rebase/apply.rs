// SPDX-License-Identifier: MIT
//! Positioned apply: every hunk, byte for byte, at a site that leaves no doubt.
//!
//! Context and removed lines must match exactly. A hunk may have moved, but its site must be the
//! only one in the file, or the only one in the function that the hunk belongs to. Plain tools
//! take the nearest site instead, and put lines into the wrong function without a word.

use std::ops::Range;

use super::blocks::{self, Blocks};
use super::content::{Content, Piece};
use crate::patch::{FileDiff, Hunk, Kind};

/// All hunks of a file found their sites.
#[derive(Debug, Clone)]
pub struct Applied {
    /// One per hunk, in order.
    pub sites: Vec<Site>,
}

/// Where a hunk goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Index of its first line in the file, from 0.
    pub line: usize,
    /// The blocks that its changes lie in.
    pub functions: Vec<String>,
    /// Tools that take the site nearest to the header's line number would choose this one too.
    pub nearest: bool,
}

/// Why a file's hunks cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Index of the hunk.
    pub hunk: usize,
    /// A fragment for the reader.
    pub reason: String,
}

/// The functions that each hunk belongs to, to tell equal sites apart.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Known from the file that the patch was made on.
    Functions(Vec<Vec<String>>),
    /// That file is not here: go by the hunk headers.
    Headers,
}

impl Expected {
    /// True if a hunk at this place belongs where the patch's author put it.
    pub fn holds(&self, index: usize, hunk: &Hunk, file: &Content, site: &Site) -> bool {
        match self {
            Expected::Functions(of) => of.get(index).is_none_or(|f| *f == site.functions),
            Expected::Headers => {
                let above = (0..site.line.min(file.len())).rev().filter_map(|i| file.line(i));
                let here = crate::patch::section(above);
                blocks::name_of_line(&hunk.section) == blocks::name_of_line(&here)
            }
        }
    }
}

/// Sites of a hunk that are looked at. Lines that are there more often name no place, and telling
/// a million of them apart takes for ever.
const SITES: usize = 100;

/// Applies all hunks, or says which one does not fit.
pub fn apply(diff: &FileDiff, file: &Content, expected: &Expected) -> Result<Applied, Misfit> {
    let mut sites: Vec<Site> = Vec::with_capacity(diff.hunks.len());
    // Where GNU patch looks first: it carries the offset of the last hunk on.
    let mut last_offset = 0_isize;
    let mut floor = 0;
    for (index, hunk) in diff.hunks.iter().enumerate() {
        let misfit = |reason: String| Misfit { hunk: index, reason };
        let candidates = candidates(hunk, file);
        let site_at = |line: usize| Site {
            line,
            functions: functions(hunk, line, file.blocks()),
            nearest: true,
        };
        let mut site = match candidates.as_slice() {
            [] => return Err(misfit("its lines are not there".into())),
            [only] => site_at(*only),
            many if many.len() > SITES => {
                return Err(misfit(format!("its lines are there more than {SITES} times")));
            }
            many => {
                let right = many.iter().map(|&line| site_at(line));
                let right: Vec<Site> =
                    right.filter(|s| expected.holds(index, hunk, file, s)).collect();
                match right.as_slice() {
                    [only] => only.clone(),
                    [] => {
                        return Err(misfit(format!(
                            "its lines are there {} times, never in its function",
                            many.len()
                        )));
                    }
                    _ => {
                        return Err(misfit(format!(
                            "its lines are there {} times in {}",
                            right.len(),
                            right[0].functions.join(", ")
                        )));
                    }
                }
            }
        };
        // As git: a hunk that starts with line 1 belongs there, one without lines below its last
        // change belongs to the end. Only checked, not used to choose: lines that repeat are
        // ambiguous all the same.
        let count = hunk.old_side().count();
        let (from_start, to_end) = (hunk.old_start <= 1, hunk.ends_the_file());
        if (from_start && site.line != 0) || (to_end && site.line + count != file.len()) {
            return Err(misfit(
                "its lines are there, but not at the start or end as before".into(),
            ));
        }
        if site.line < floor {
            return Err(misfit("its lines are there, but above those of the hunk before".into()));
        }
        let header = first_line(hunk);
        let guesses = [header, header.saturating_add_signed(last_offset)];
        site.nearest = guesses.iter().all(|&guess| {
            let distance = |line: usize| line.abs_diff(guess);
            candidates.iter().all(|&c| c == site.line || distance(c) > distance(site.line))
        });
        last_offset = site.line.cast_signed() - header.cast_signed();
        floor = site.line + count;
        sites.push(site);
    }
    Ok(Applied { sites })
}

impl Applied {
    /// The patched file.
    pub fn bytes(&self, diff: &FileDiff, file: &Content) -> Vec<u8> {
        let added = |hunk: &Hunk| hunk.new_side().map(<[u8]>::len).sum::<usize>();
        let most = file.bytes.len() + diff.hunks.iter().map(added).sum::<usize>();
        let mut bytes = Vec::with_capacity(most);
        self.pieces(diff, file, |piece| {
            bytes.extend_from_slice(piece);
            true
        });
        bytes
    }

    /// As [`Applied::bytes`], with its lines known.
    pub fn content(&self, diff: &FileDiff, file: &Content) -> Content {
        let mut pieces = Vec::new();
        let mut at = 0;
        for (hunk, site) in diff.hunks.iter().zip(&self.sites) {
            pieces.push(Piece::Lines(at, site.line));
            pieces.extend(hunk.new_side().map(Piece::Own));
            at = site.line + hunk.old_side().count();
        }
        pieces.push(Piece::Lines(at, file.len()));
        file.assembled(&pieces)
    }

    /// True if the patched file is `wanted`; nothing is built for this.
    pub fn gives(&self, diff: &FileDiff, file: &Content, wanted: &[u8]) -> bool {
        let mut rest = wanted;
        let all = self.pieces(diff, file, |piece| {
            rest.strip_prefix(piece).map(|after| rest = after).is_some()
        });
        all && rest.is_empty()
    }

    /// Hands the parts of the patched file to `take`, in order, until it returns false.
    fn pieces<'a>(
        &self,
        diff: &'a FileDiff,
        file: &'a Content,
        mut take: impl FnMut(&'a [u8]) -> bool,
    ) -> bool {
        let mut at = 0;
        for (hunk, site) in diff.hunks.iter().zip(&self.sites) {
            if !take(file.lines(at, site.line)) || !hunk.new_side().all(&mut take) {
                return false;
            }
            at = site.line + hunk.old_side().count();
        }
        take(file.lines(at, file.len()))
    }
}

/// Applies a patch to the very file it was made on: every hunk at the line that its header names.
pub fn apply_at_headers(diff: &FileDiff, file: &Content) -> Option<Applied> {
    let lines = sites_at_headers(diff, file)?;
    let site = |(hunk, line): (&Hunk, usize)| Site {
        line,
        functions: functions(hunk, line, file.blocks()),
        nearest: true,
    };
    Some(Applied { sites: diff.hunks.iter().zip(lines).map(site).collect() })
}

/// The first lines of the hunks, from 0, if each hunk fits where its header says.
pub fn sites_at_headers(diff: &FileDiff, file: &Content) -> Option<Vec<usize>> {
    let mut at = 0;
    let mut sites = Vec::with_capacity(diff.hunks.len());
    for hunk in &diff.hunks {
        let line = first_line(hunk);
        if line < at || !hunk.old_side().enumerate().all(|(i, l)| file.line(line + i) == Some(l)) {
            return None;
        }
        at = line + hunk.old_side().count();
        sites.push(line);
    }
    Some(sites)
}

/// The changes of a hunk: for each the old lines that it replaces, counted from the hunk's first
/// line. Where lines are only added, the range is empty.
pub fn changes(hunk: &Hunk) -> impl Iterator<Item = Range<usize>> {
    let mut old = 0;
    hunk.lines.chunk_by(|a, b| (a.kind == Kind::Context) == (b.kind == Kind::Context)).filter_map(
        move |lines| {
            let from = old;
            old += lines.iter().filter(|l| l.kind != Kind::Add).count();
            let is_change = lines.first().is_some_and(|l| l.kind != Kind::Context);
            is_change.then_some(from..old)
        },
    )
}

/// The header's line, as an index from 0.
pub fn first_line(hunk: &Hunk) -> usize {
    // With no old lines, the header names the line above.
    if hunk.old_side().next().is_none() { hunk.old_start } else { hunk.old_start.saturating_sub(1) }
}

/// All sites at which the old side matches.
fn candidates(hunk: &Hunk, file: &Content) -> Vec<usize> {
    let count = hunk.old_side().count();
    // A hunk without old lines fits everywhere, so only an empty file is clear enough.
    if count == 0 {
        return if file.is_empty() { vec![0] } else { Vec::new() };
    }
    let old: Vec<u8> = hunk.old_side().flatten().copied().collect();
    file.find(&old, SITES + 1)
}

/// The blocks that the changes of a hunk lie in if its first line is line `line`.
pub fn functions(hunk: &Hunk, line: usize, blocks: &Blocks) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut at = line;
    let mut removed = false;
    for l in &hunk.lines {
        let name = match l.kind {
            Kind::Context => {
                removed = false;
                at += 1;
                continue;
            }
            Kind::Remove => {
                removed = true;
                at += 1;
                blocks.at(at - 1)
            }
            // Lines that replace others land where these were.
            Kind::Add if removed => continue,
            Kind::Add => blocks.gap(at),
        };
        if found.last().is_none_or(|last| last != name) {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch;

    fn content(text: &str) -> Content {
        Content::new(text.as_bytes().to_vec())
    }

    fn diff(before: &str, after: &str) -> FileDiff {
        patch::diff("a.c", Some(before.as_bytes()), 0o100_644, after.as_bytes(), 3).unwrap()
    }

    /// Texts of few distinct lines, so that sites repeat: what applies away from its header lands
    /// at a site that is the only one, or it does not apply at all.
    #[test]
    fn a_repeated_site_is_never_chosen_by_chance() {
        let mut seed = 88_172_645_463_325_252_u64;
        let mut random = move |n: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % n
        };
        for _ in 0..4000 {
            let mut text = |lines: u64| -> Vec<String> {
                (0..lines).map(|_| format!("{}\n", random(5))).collect()
            };
            let (mut lines, insert, above) = (text(14), text(2), text(3));
            let before = lines.concat();
            lines.splice(6..7, insert);
            let after = lines.concat();
            let diff = diff(&before, &after);
            if diff.hunks.is_empty() {
                continue;
            }
            let exact = apply_at_headers(&diff, &content(&before)).unwrap();
            assert_eq!(exact.bytes(&diff, &content(&before)), after.as_bytes());
            let (reverse, file) = (diff.reversed(), content(&after));
            let undone = apply_at_headers(&reverse, &file).unwrap();
            assert_eq!(undone.bytes(&reverse, &file), before.as_bytes());
            let moved = above.concat() + &before;
            let moved = content(&moved);
            if let Ok(applied) = apply(&diff, &moved, &Expected::Headers) {
                let wanted = above.concat() + &after;
                assert_eq!(applied.bytes(&diff, &moved), wanted.as_bytes());
                assert!(applied.gives(&diff, &moved, wanted.as_bytes()));
                assert!(!applied.gives(&diff, &moved, &moved.bytes));
            }
        }
    }

    #[test]
    fn the_function_decides_between_equal_sites() {
        let body =
            "        a();\n        b();\n        c();\n        d();\n        e();\n        f();\n";
        let before = format!("int one(void) {{\n{body}}}\n\nint two(void) {{\n{body}}}\n");
        let at = before.rfind("        d();").unwrap();
        let after = format!("{}        x();\n{}", &before[..at], &before[at..]);
        let diff = diff(&before, &after);
        let file = content(&format!("int zero;\n{before}"));
        let expected = Expected::Functions(vec![vec!["two".into()]]);
        let applied = apply(&diff, &file, &expected).unwrap();
        assert_eq!(applied.bytes(&diff, &file), format!("int zero;\n{after}").as_bytes());
        assert_eq!(applied.sites[0].functions, ["two"]);
        let elsewhere = Expected::Functions(vec![vec!["three".into()]]);
        let misfit = apply(&diff, &file, &elsewhere).unwrap_err();
        assert!(misfit.reason.contains("never in its function"), "{}", misfit.reason);
    }
}
