// SPDX-License-Identifier: MIT
//! Three-way merge of one file, as git does it, and where its changes landed.

use git2::{MergeFileInput, MergeFileOptions};

use super::align::Alignment;
use super::apply::{self, Applied};
use super::content::Content;
use super::facts::Facts;
use super::lines;
use super::outcome::{Collision, HunkReport};
use crate::patch::{self, FileDiff, Kind};

/// The answer of the merge.
#[derive(Debug)]
pub enum Merged {
    Clean(Vec<u8>),
    Conflict { collisions: Vec<Collision>, segments: Vec<Segment> },
}

/// A part of a file that was merged with conflicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Agreed(Vec<u8>),
    Clash { ours: Vec<u8>, base: Vec<u8>, theirs: Vec<u8> },
}

/// Long enough not to be found in source files.
const MARKER: usize = 43;

/// Merges the change from `base` to `theirs` into `ours`.
///
/// # Errors
/// libgit2 failed (out of memory).
pub fn merge(base: &Content, theirs: &Content, ours: &Content) -> Result<Merged, git2::Error> {
    if base.oid == ours.oid {
        return Ok(Merged::Clean(theirs.bytes.clone()));
    }
    fn input(content: &Content) -> MergeFileInput<'_> {
        let mut input = MergeFileInput::new();
        input.content(&content.bytes);
        input
    }
    let mut options = MergeFileOptions::new();
    options.style_diff3(true).marker_size(MARKER as u16);
    let result = git2::merge_file(&input(base), &input(ours), &input(theirs), Some(&mut options))?;
    if result.is_automergeable() {
        return Ok(Merged::Clean(result.content().to_vec()));
    }
    let segments = segments(result.content());
    let collisions = collisions(&segments, base, theirs, ours)?;
    Ok(Merged::Conflict { collisions, segments })
}

/// The merged file, if the two sides have changed nothing near each other; that is quickly told,
/// and most merges are like that.
pub fn apart(base: &Content, theirs: &Content, ours: &Content) -> Option<Vec<u8>> {
    woven(&Alignment::new(base, ours), &Alignment::new(base, theirs), theirs, ours)
}

/// True if a merge that compares the files by what is rare in them (histogram) gives another file
/// than `merged`. Where much has changed, the shortest difference may put a change beside lines
/// that only look like its own: the second of two equal calls.
pub fn disputed(base: &Content, theirs: &Content, ours: &Content, merged: &[u8]) -> bool {
    let upstream = Alignment::by_histogram(base, ours);
    let other = woven(&upstream, &Alignment::by_histogram(base, theirs), theirs, ours);
    other.is_some_and(|other| other != merged)
}

fn woven(
    upstream: &Alignment,
    patch: &Alignment,
    theirs: &Content,
    ours: &Content,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(ours.bytes.len() + 4096);
    let mut at = 0;
    for (old, new) in patch.changes() {
        let place = upstream.place(&old)?;
        bytes.extend_from_slice(ours.lines(at, place));
        bytes.extend_from_slice(theirs.lines(new.start, new.end));
        at = place + old.len();
    }
    bytes.extend_from_slice(ours.lines(at, ours.len()));
    Some(bytes)
}

/// True if a three-way merge changes the very lines of `ours` that applying the text has changed:
/// upstream left the lines that the patch changes, and those beside them, as they were in `base`,
/// and going by all that upstream did change they are where the text was applied. False if that
/// takes a closer look (see [`merge`]).
pub fn agrees(
    diff: &FileDiff,
    base: &Content,
    ours: &Content,
    applied: &Applied,
    facts: &Facts,
) -> bool {
    let sites: Vec<u8> = applied.sites.iter().flat_map(|s| s.line.to_le_bytes()).collect();
    let parts = [&diff.to_bytes()[..], base.oid.as_bytes(), ours.oid.as_bytes(), &sites];
    facts.proved("the merge agrees", &parts, || follows(diff, base, ours, applied))
}

fn follows(diff: &FileDiff, base: &Content, ours: &Content, applied: &Applied) -> bool {
    let Some(made) = apply::sites_at_headers(diff, base) else { return false };
    let alignment = Alignment::new(base, ours);
    diff.hunks.iter().zip(made).zip(&applied.sites).all(|((hunk, made), site)| {
        apply::changes(hunk).all(|change| {
            let lines = made + change.start..made + change.end;
            alignment.place(&lines) == Some(site.line + change.start)
        })
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Both,
    Ours,
    Base,
    Theirs,
}

/// Reads git's conflict markers.
fn segments(marked: &[u8]) -> Vec<Segment> {
    let mut part = Part::Both;
    let mut found = vec![Segment::Agreed(Vec::new())];
    for text in patch::split_lines(marked) {
        let marker = |b: u8| text.len() > MARKER && text[..MARKER].iter().all(|c| *c == b);
        if part == Part::Both && marker(b'<') {
            part = Part::Ours;
            let (ours, base, theirs) = Default::default();
            found.push(Segment::Clash { ours, base, theirs });
        } else if part == Part::Ours && marker(b'|') {
            part = Part::Base;
        } else if part == Part::Base && marker(b'=') {
            part = Part::Theirs;
        } else if part == Part::Theirs && marker(b'>') {
            part = Part::Both;
            found.push(Segment::Agreed(Vec::new()));
        } else {
            match (found.last_mut(), part) {
                (Some(Segment::Agreed(lines)), _) => lines.extend_from_slice(text),
                (Some(Segment::Clash { ours, .. }), Part::Ours) => ours.extend_from_slice(text),
                (Some(Segment::Clash { base, .. }), Part::Base) => base.extend_from_slice(text),
                (Some(Segment::Clash { theirs, .. }), _) => theirs.extend_from_slice(text),
                (None, _) => {}
            }
        }
    }
    found
}

/// The conflicts, with their lines in `ours`.
fn collisions(
    segments: &[Segment],
    base: &Content,
    theirs: &Content,
    ours: &Content,
) -> Result<Vec<Collision>, git2::Error> {
    // The file as it would be if all conflicts went to `ours`, to find their lines in `ours`.
    let mut resolved: Vec<u8> = Vec::new();
    let mut found: Vec<([&[u8]; 3], usize)> = Vec::new();
    let mut line = 0;
    for segment in segments {
        let lines = match segment {
            Segment::Agreed(lines) => lines,
            Segment::Clash { ours, base, theirs } => {
                found.push(([ours, base, theirs], line));
                ours
            }
        };
        resolved.extend_from_slice(lines);
        line += patch::split_lines(lines).count();
    }
    let to_ours = patch::hunks(&ours.bytes, &resolved, 0)?;
    let made = groups(base, theirs);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(found
        .into_iter()
        .map(|([mine, old, new], line)| {
            // Lines that the merge brought in above this conflict are not in `ours`.
            let above = to_ours.iter().filter(|h| h.new_start <= line);
            let growth: isize = above.map(patch::Hunk::growth).sum();
            let at = line.saturating_add_signed(-growth);
            let here = if mine.is_empty() { ours.blocks().gap(at) } else { ours.blocks().at(at) };
            let made_in = made
                .iter()
                .find(|g| !g.text.is_empty() && (contains(new, &g.text) || contains(old, &g.text)));
            let function = match made_in.and_then(|g| g.functions.first()) {
                Some(made) if made != here => format!("{here} (made in {made})"),
                _ => here.to_owned(),
            };
            Collision {
                line: at + 1,
                function,
                ours: Some(text(mine)),
                base: text(old),
                theirs: text(new),
            }
        })
        .collect())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// A change without context.
#[derive(Debug)]
pub struct Group {
    /// Its first line in the old file, from 0.
    pub line: usize,
    pub functions: Vec<String>,
    pub added: usize,
    pub removed: usize,
    /// The first added line, else the first removed one.
    text: Vec<u8>,
}

/// The changes between two files, with the functions of the old file that they are in.
pub fn groups(before: &Content, after: &Content) -> Vec<Group> {
    lines::hunks(before, after, 0)
        .iter()
        .map(|hunk| {
            let line = apply::first_line(hunk);
            let count = |kind| hunk.lines.iter().filter(|l| l.kind == kind).count();
            let first = |kind| hunk.lines.iter().find(|l| l.kind == kind).map(|l| l.text.clone());
            Group {
                line,
                functions: apply::functions(hunk, line, before.blocks()),
                added: count(Kind::Add),
                removed: count(Kind::Remove),
                text: first(Kind::Add).or_else(|| first(Kind::Remove)).unwrap_or_default(),
            }
        })
        .collect()
}

/// Why a clean merge is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Fewer lines are changed than the patch changes.
    Partly(String),
    /// The changes are in other functions.
    Elsewhere(String),
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doubt::Partly(why) | Doubt::Elsewhere(why) => f.write_str(why),
        }
    }
}

/// Compares where changes were made with where they landed: the same functions in the same order,
/// and as many lines. Returns what differs. A function may have another name here: `renamed` knows.
pub fn compare(
    made: &[Group],
    landed: &[Group],
    renamed: impl Fn(&str, &str) -> bool,
) -> Option<Doubt> {
    let lines = |g: &[Group]| g.iter().fold((0, 0), |(a, r), g| (a + g.added, r + g.removed));
    let (was, is) = (lines(made), lines(landed));
    if was != is {
        return Some(Doubt::Partly(format!(
            "the patch adds {} and removes {} lines, here {} and {}: a part of it is there already",
            was.0, was.1, is.0, is.1
        )));
    }
    let functions = |g: &[Group]| {
        let mut all: Vec<String> = g.iter().flat_map(|g| g.functions.clone()).collect();
        all.dedup();
        all
    };
    let (was, is) = (functions(made), functions(landed));
    let mut pairs = was.iter().zip(&is);
    let other = pairs.find(|(made, here)| made != here && !renamed(made, here));
    if other.is_none() && was.len() == is.len() {
        return None;
    }
    Some(Doubt::Elsewhere(match other {
        Some((made, here)) => format!("it lands in {here}, was made in {made}"),
        None => format!("it lands in {}, was made in {}", is.join(", "), was.join(", ")),
    }))
}

/// The report of merged changes, matched up in order as far as both sides have the same number.
pub fn report(made: &[Group], landed: &[Group]) -> Vec<HunkReport> {
    landed
        .iter()
        .enumerate()
        .map(|(i, group)| {
            let origin = if made.len() == landed.len() { made.get(i) } else { None };
            let (line_old, line_new) = (origin.map_or(group.line, |g| g.line) + 1, group.line + 1);
            HunkReport {
                functions: group.functions.clone(),
                made_in: origin
                    .filter(|g| g.functions != group.functions)
                    .map(|g| g.functions.clone())
                    .unwrap_or_default(),
                line_old,
                line_new,
                offset: line_new.cast_signed() - line_old.cast_signed(),
            }
        })
        .collect()
}
