// SPDX-License-Identifier: MIT
//! Comparing two files by the hashes of their lines, which each file has anyway.

use imara_diff::{Algorithm, Diff, Hunk, IndentHeuristic, IndentLevel, NoSliderHeuristic, Token};

use super::content::Content;
use crate::patch::{self, Change, FileDiff, Kind, Line};

/// What differs; in order, neither overlapping nor touching. Changes that could as well be further
/// up are where they are furthest down.
pub fn changes(algorithm: Algorithm, before: &[u64], after: &[u64]) -> Vec<Hunk> {
    let numbered = numbered(before, after);
    let mut diff = Diff::default();
    diff.compute_with(algorithm, &numbered.before, &numbered.after, numbered.count);
    diff.postprocess_with(&numbered.before, &numbered.after, NoSliderHeuristic);
    diff.hunks().collect()
}

/// Two lists as small numbers, equal where the hashes are.
struct Numbered {
    before: Vec<Token>,
    after: Vec<Token>,
    /// All numbers are below it.
    count: u32,
}

fn numbered(before: &[u64], after: &[u64]) -> Numbered {
    let same = |(a, b): &(&u64, &u64)| a == b;
    let above = before.iter().zip(after).take_while(same).count();
    let below = before[above..].iter().rev().zip(after[above..].iter().rev()).take_while(same);
    let below = below.count();
    // Half of the slots stay free: hashes are as good as random, so a place is found at once.
    let most = before.len() + after.len() - above - below;
    let slots = (most * 2).next_power_of_two();
    let mut table: Vec<(u64, u32)> = vec![(0, 0); slots];
    let mut count = 0;
    let mut number = |hash: u64| {
        let mut at = hash as usize & (slots - 1);
        loop {
            match &mut table[at] {
                (_, 0) => {
                    count += 1;
                    table[at] = (hash, count);
                    return Token(count - 1);
                }
                (there, number) if *there == hash => return Token(*number - 1),
                _ => at = (at + 1) & (slots - 1),
            }
        }
    };
    let old: Vec<Token> = before.iter().map(|hash| number(*hash)).collect();
    let mut new = Vec::with_capacity(after.len());
    new.extend_from_slice(&old[..above]);
    new.extend(after[above..after.len() - below].iter().map(|hash| number(*hash)));
    new.extend_from_slice(&old[old.len() - below..]);
    Numbered { before: old, after: new, count }
}

/// The change of a file from `old` to `new`, with as much context as git gives.
pub fn diff(path: &str, mode: i32, old: &Content, new: &Content) -> FileDiff {
    const CONTEXT_LINES: usize = 3;
    FileDiff {
        path: path.to_owned(),
        change: Change::Modify { mode },
        index: Some((old.oid.to_string(), new.oid.to_string())),
        hunks: hunks(old, new, CONTEXT_LINES),
    }
}

/// The hunks that turn `old` into `new`, with `context` lines around each change: nearly always those that git
/// makes (of 2,700 changes of systemd's files all but 14), and a tenth of the work. What is written to
/// files is made by git's own code: see [`patch::diff`].
pub fn hunks(old: &Content, new: &Content, context: usize) -> Vec<patch::Hunk> {
    if old.oid == new.oid {
        return Vec::new();
    }
    let numbered = numbered(old.hashes(), new.hashes());
    let mut diff = Diff::default();
    diff.compute_with(Algorithm::Myers, &numbered.before, &numbered.after, numbered.count);
    // What a number stands for, for the few lines that are asked about.
    let mut texts: Vec<&[u8]> = vec![b""; numbered.count as usize];
    for (file, numbers) in [(old, &numbered.before), (new, &numbered.after)] {
        for (line, number) in numbers.iter().enumerate() {
            texts[number.0 as usize] = file.line(line).unwrap_or_default();
        }
    }
    let indent = |number: Token| {
        const TAB: u8 = 8;
        IndentLevel::for_ascii_line(texts[number.0 as usize].iter().copied(), TAB)
    };
    diff.postprocess_with(&numbered.before, &numbered.after, IndentHeuristic::new(indent));
    let changes: Vec<Hunk> = diff.hunks().collect();
    // git puts changes into one hunk where their contexts would meet.
    let meet = |a: &Hunk, b: &Hunk| (b.before.start - a.before.end) as usize <= 2 * context;
    changes.chunk_by(meet).filter_map(|changes| hunk(old, new, context, changes)).collect()
}

fn hunk(old: &Content, new: &Content, context: usize, changes: &[Hunk]) -> Option<patch::Hunk> {
    let (first, last) = (changes.first()?, changes.last()?);
    let above = (first.before.start as usize).min(context);
    let start = first.before.start as usize - above;
    let end = (last.before.end as usize + context).min(old.len());
    let new_start = first.after.start as usize - above;
    let mut lines = Vec::new();
    let mut put = |kind: Kind, file: &Content, from: usize, to: usize| {
        for line in (from..to).filter_map(|i| file.line(i)) {
            lines.push(Line { kind, text: line.to_vec() });
        }
    };
    let mut at = start;
    for change in changes {
        put(Kind::Context, old, at, change.before.start as usize);
        put(Kind::Remove, old, change.before.start as usize, change.before.end as usize);
        put(Kind::Add, new, change.after.start as usize, change.after.end as usize);
        at = change.before.end as usize;
    }
    put(Kind::Context, old, at, end);
    let new_end = last.after.end as usize + (end - last.before.end as usize);
    // With no lines on a side, its number is that of the line above.
    let number = |from: usize, to: usize| if from == to { from } else { from + 1 };
    let old_start = number(start, end);
    let above = (0..old_start.saturating_sub(1)).rev().filter_map(|i| old.line(i));
    Some(patch::Hunk {
        old_start,
        new_start: number(new_start, new_end),
        section: patch::section(above),
        lines,
    })
}
