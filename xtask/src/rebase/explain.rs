// SPDX-License-Identifier: MIT
//! Why a hunk does not fit: the commit that broke it, what it did there, and where the code went.

use std::collections::HashSet;
use std::sync::Arc;

use git2::{Oid, Repository};
use serde::{Deserialize, Serialize};

use super::align::Alignment;
use super::apply;
use super::carry::{self, Base};
use super::content::Content;
use super::deeper;
use super::facts::Facts;
use super::history::{self, History, Step};
use super::merge::{self, Merged};
use super::objects::Blobs;
use super::outcome::Outcome;
use crate::patch::{self, FileDiff, Kind};
use crate::version::SystemdVersion;

/// Lines of a side that are kept: more help nobody.
const MOST_LINES: usize = 24;

/// A hunk that does not fit, and what is known about that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Broken {
    pub path: String,
    /// From 1.
    pub hunk: usize,
    /// The functions that its changes were made in.
    pub made_in: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The lines of the hunk's place before that, and after it. Both empty if nothing is known.
    pub before: String,
    pub after: String,
    /// Where the code is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub went: Option<Went>,
    /// A hunk that might do instead; nobody has checked that it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// What broke a hunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Cause {
    Commit {
        id: String,
        /// The day, in UTC, as 2025-06-30.
        date: String,
        author: String,
        subject: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        link: Option<String>,
        /// The hunk needs this commit, which the other version does not have: it is older, or the
        /// commit is a backport.
        undone: bool,
    },
    /// Without history: the two neighbours among the known versions.
    Versions { fits: SystemdVersion, broken: SystemdVersion },
}

/// A place in this version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Went {
    pub path: String,
    pub function: String,
    /// Its first line, from 1.
    pub line: usize,
}

/// What is asked: one file of a patch, and a version that it does not fit.
pub struct Ask<'a> {
    pub diff: &'a FileDiff,
    pub base: &'a Base,
    pub history: &'a History,
    /// The version that the text was made on, and the one it is carried to.
    pub way: (SystemdVersion, SystemdVersion),
    /// Known versions from the first to the last, with their trees.
    pub versions: &'a [(SystemdVersion, Oid)],
    /// The path and file here, with the patches before; `None` if it is gone.
    pub ours: Option<(&'a str, &'a Content)>,
    /// This version's tree.
    pub tree: Oid,
}

/// Explains each hunk that does not fit.
pub fn explain(repo: &Repository, blobs: &Blobs, ask: &Ask<'_>) -> Vec<Broken> {
    let states = states(repo, blobs, ask);
    let mut found = Vec::new();
    for (index, hunk) in ask.diff.hunks.iter().enumerate() {
        let one = FileDiff { hunks: vec![hunk.clone()], ..ask.diff.clone() };
        let Some(base) = Base::new(&one, ask.base.before.clone()) else { continue };
        let here = ask.ours.map(|(_, file)| file);
        if here.is_some_and(|file| fits(&one, &base, file)) {
            continue;
        }
        let line = apply::sites_at_headers(&one, &base.before).and_then(|s| s.first().copied());
        let line = line.unwrap_or_else(|| apply::first_line(hunk));
        let made_in = apply::functions(hunk, line, base.before.blocks());
        let mut broken = Broken {
            path: ask.diff.path.clone(),
            hunk: index + 1,
            made_in,
            cause: None,
            before: String::new(),
            after: String::new(),
            went: None,
            suggestion: None,
        };
        let commit = blame(repo, blobs, ask, &one, &base, &states, line, &mut broken);
        broken.went = went(repo, blobs, ask, &one, &broken.made_in, commit);
        broken.suggestion = suggestion(repo, blobs, ask, &base, broken.went.as_ref());
        found.push(broken);
    }
    found
}

/// A state of the file between the two versions.
struct At {
    step: Option<Step>,
    version: Option<SystemdVersion>,
    path: String,
    /// `None` if the file is not there.
    file: Option<Arc<Content>>,
}

fn states(repo: &Repository, blobs: &Blobs, ask: &Ask<'_>) -> Vec<At> {
    let path = &ask.diff.path;
    let commits = ask.history.between(ask.way);
    let steps = commits.and_then(|(from, to)| history::steps(repo, blobs, from, to, path));
    if let Some(steps) = steps {
        let state = |step: Step| {
            let file = step.file.as_ref().and_then(|(_, oid)| blobs.get(repo, *oid).ok());
            let path = step.file.as_ref().map_or(path, |f| &f.0).clone();
            At { step: Some(step), version: None, path, file }
        };
        return steps.into_iter().map(state).collect();
    }
    let state = |&(version, tree): &(SystemdVersion, Oid)| {
        let entry = blobs.entry(repo, tree, path).ok().flatten();
        let file = entry.filter(|e| e.is_regular()).and_then(|e| blobs.get(repo, e.oid).ok());
        At { step: None, version: Some(version), path: path.clone(), file }
    };
    ask.versions.iter().map(state).collect()
}

fn fits(diff: &FileDiff, base: &Base, file: &Content) -> bool {
    let file = Arc::new(Content::with_oid(file.oid, file.bytes.clone()));
    let carried = carry::carry(diff, Some(base), &file, &Facts::default());
    carried.is_ok_and(|c| c.outcome.is_applied() || c.outcome == Outcome::AlreadyUpstream)
}

/// The file with the patches before this one, as far as they can be merged.
fn with_earlier(start: Option<&Content>, base: &Base, file: &Arc<Content>) -> Arc<Content> {
    match start {
        Some(start) if start.oid != base.before.oid => {
            match merge::merge(start, &base.before, file) {
                Ok(Merged::Clean(bytes)) => Arc::new(Content::new(bytes)),
                _ => file.clone(),
            }
        }
        _ => file.clone(),
    }
}

/// Finds the step that broke the hunk, and returns its commit.
#[expect(clippy::too_many_arguments, reason = "each is something else")]
fn blame(
    repo: &Repository,
    blobs: &Blobs,
    ask: &Ask<'_>,
    one: &FileDiff,
    base: &Base,
    states: &[At],
    line: usize,
    broken: &mut Broken,
) -> Option<Oid> {
    let start = states.first()?.file.clone();
    let fit = |file: &Option<Arc<Content>>| {
        let Some(file) = file else { return false };
        fits(one, base, &with_earlier(start.as_deref(), base, file))
    };
    // It fits where it was made, and not here: somewhere in between that changes. Bisection finds
    // such a place, whatever lies between.
    let (mut low, mut high) = (0, states.len().checked_sub(1)?);
    if high == 0 || !fit(&states[0].file) || fit(&states[high].file) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fit(&states[middle].file) { low = middle } else { high = middle }
    }
    let (mut before, mut after) = (states[low].file.clone()?, states[high].file.clone());
    let mut commit = None;
    if let Some(step) = &states[high].step {
        commit = step.commit;
        // Of a pull request the commit in it, if one alone makes the difference. On the way back
        // the hunk fits after the commit that it needs.
        let path = &states[if step.undone { high } else { low }].path;
        let inside = commit.map(|merge| history::inside(repo, blobs, merge, path));
        let mut last = None;
        for part in inside.into_iter().flatten() {
            let file = part.file.as_ref().and_then(|(_, oid)| blobs.get(repo, *oid).ok());
            if fit(&file) == step.undone {
                commit = part.commit;
                match (step.undone, last, file) {
                    (false, Some(old), new) => (before, after) = (old, new),
                    (true, Some(old), Some(new)) => (before, after) = (new, Some(old)),
                    _ => {}
                }
                break;
            }
            last = file;
        }
        broken.cause = commit.and_then(|id| cause(repo, ask.history, id, step.undone));
    } else if let (Some(fits), Some(version)) = (states[low].version, states[high].version) {
        broken.cause = Some(Cause::Versions { fits, broken: version });
    }
    let count = one.hunks.first().map_or(0, |h| h.old_side().count());
    let here = Alignment::new(&base.before, &before).image(&(line..line + count));
    match after {
        None => {
            broken.before = text(before.lines(here.start, here.end));
            broken.after = "(the file is gone)\n".into();
        }
        Some(after) => {
            let (old, new) = Alignment::new(&before, &after).around(&here);
            broken.before = text(before.lines(old.start, old.end));
            broken.after = text(after.lines(new.start, new.end));
        }
    }
    commit
}

fn text(lines: &[u8]) -> String {
    let all: Vec<&[u8]> = patch::split_lines(lines).collect();
    let mut text = String::from_utf8_lossy(&all[..all.len().min(MOST_LINES)].concat()).into_owned();
    if all.len() > MOST_LINES {
        text += &format!("(and {} more lines)\n", all.len() - MOST_LINES);
    }
    text
}

/// What is to be said of a commit, which can be read at `link` with its id.
pub fn named(repo: &Repository, link: &str, id: Oid) -> Option<Cause> {
    let history = History { link: Some(link.to_owned()), ..History::default() };
    cause(repo, &history, id, false)
}

fn cause(repo: &Repository, history: &History, id: Oid, undone: bool) -> Option<Cause> {
    let commit = repo.find_commit(id).ok()?;
    let summary = commit.summary_bytes().unwrap_or_default();
    Some(Cause::Commit {
        id: id.to_string(),
        date: day(commit.time().seconds()),
        author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
        subject: String::from_utf8_lossy(summary).into_owned(),
        link: history.link.as_ref().map(|prefix| format!("{prefix}{id}")),
        undone,
    })
}

/// A day of the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn day(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Looks for the hunk's old lines: in other functions of the file, then in the files that the
/// commit has changed as well.
fn went(
    repo: &Repository,
    blobs: &Blobs,
    ask: &Ask<'_>,
    one: &FileDiff,
    made_in: &[String],
    commit: Option<Oid>,
) -> Option<Went> {
    /// Shorter lines, such as `}` and `return r;`, are everywhere.
    const TELLING: usize = 12;
    let hunk = one.hunks.first()?;
    let lines = hunk.lines.iter().filter(|l| l.kind != Kind::Add);
    let wanted: HashSet<&[u8]> =
        lines.map(|l| l.text.trim_ascii()).filter(|l| l.len() >= TELLING).collect();
    let best = |path: &str, file: &Content, skip: bool| {
        let count = |b: &super::blocks::Block| {
            let found = (b.start..=b.end).filter_map(|i| file.line(i)).map(<[u8]>::trim_ascii);
            found.filter(|l| wanted.contains(l)).collect::<HashSet<_>>().len()
        };
        let others = file
            .blocks()
            .iter()
            .filter(|b| !(skip && made_in.iter().any(|name| **name == *b.name)));
        let best = others.map(|b| (count(b), b)).max_by_key(|(n, b)| (*n, usize::MAX - b.start));
        let (n, block) = best?;
        // A function of the same name elsewhere is the one, whatever became of its lines.
        let same = !skip && made_in.iter().any(|name| **name == *block.name);
        (n * 2 > wanted.len() || (same && n > 0)).then(|| Went {
            path: path.to_owned(),
            function: block.name.to_string(),
            line: block.start + 1,
        })
    };
    if wanted.is_empty() {
        return None;
    }
    if let Some((path, file)) = ask.ours {
        let gone = !made_in.iter().any(|name| file.blocks().iter().any(|b| *b.name == **name));
        if let Some(found) = best(path, file, !gone) {
            return Some(found);
        }
        if path != ask.diff.path {
            return Some(Went { path: path.to_owned(), function: String::new(), line: 1 });
        }
    }
    let other = |path: &str| {
        let entry = blobs.entry(repo, ask.tree, path).ok().flatten()?;
        let file = blobs.get(repo, entry.oid).ok()?;
        best(path, &file, false)
    };
    changed_with(repo, commit?)?.iter().filter(|p| **p != ask.diff.path).find_map(|p| other(p))
}

/// The C files that a commit has changed.
pub fn changed_with(repo: &Repository, commit: Oid) -> Option<Vec<String>> {
    let commit = repo.find_commit(commit).ok()?;
    let parent = commit.parent(0).ok()?.tree().ok()?;
    let diff = repo.diff_tree_to_tree(Some(&parent), Some(&commit.tree().ok()?), None).ok()?;
    let paths = diff.deltas().filter_map(|d| Some(d.new_file().path()?.to_str()?.to_owned()));
    Some(paths.filter(|p| p.ends_with(".c") || p.ends_with(".h")).collect())
}

/// A hunk for this version, from whichever deeper method finds one.
fn suggestion(
    repo: &Repository,
    blobs: &Blobs,
    ask: &Ask<'_>,
    base: &Base,
    went: Option<&Went>,
) -> Option<String> {
    let hunks = |path: &str, before: &Content, after: &Content| {
        let diff = patch::diff(path, Some(&before.bytes), 0o100_644, &after.bytes, 3).ok()?;
        Some(String::from_utf8_lossy(&diff.to_bytes()).into_owned())
    };
    if let Some((path, file)) = ask.ours {
        let steps = || {
            deeper::by_steps(repo, blobs, base, ask.history.between(ask.way)?, &ask.diff.path, file)
        };
        if let Some(found) = deeper::by_merge(base, file, path).or_else(steps) {
            return hunks(path, file, &found.after);
        }
    }
    let went = went?;
    let entry = blobs.entry(repo, ask.tree, &went.path).ok().flatten()?;
    let file = match ask.ours {
        Some((path, file)) if path == went.path => file.bytes.clone(),
        _ => blobs.get(repo, entry.oid).ok()?.bytes.clone(),
    };
    let file = Content::new(file);
    let found = deeper::by_function(base, &file, &went.path);
    let after =
        found.map(|f| f.after).or_else(|| deeper::into_function(base, &file, &went.function));
    hunks(&went.path, &file, &*after?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_751_241_600, "2025-06-30"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(super::day(seconds), day);
        }
    }
}
