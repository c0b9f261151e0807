// SPDX-License-Identifier: MIT
//! Backports that were made by hand, made again: what the engine is measured by.
//!
//! A commit on a stable branch that says `(cherry picked from commit X)` is a case with an answer:
//! X carried onto the commit's parent should give the commit's own tree.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use git2::{Delta, DiffOptions, Oid, Repository};

use super::attempt::{Known, Origin, SURELY_ALIKE, attempt};
use super::carry::Base;
use super::deeper::Method;
use super::facts::Facts;
use super::history::History;
use super::home;
use super::lines;
use super::objects::{Blobs, HashedHere};
use super::outcome::Outcome;
use super::parallel::in_parallel;
use super::tree::State;
use crate::patch::{self, PatchText};
use crate::version::SystemdVersion;

/// A case: trees before and after, on both sides.
#[derive(Debug, Clone)]
pub struct Backport {
    /// The commit on the stable branch, and the one that it was picked from.
    pub stable: Oid,
    pub picked: Oid,
    pub subject: String,
    /// Trees: before the picked commit, after it, before the stable commit, after it.
    pub base: Oid,
    pub theirs: Oid,
    pub ours: Oid,
    pub truth: Oid,
}

/// What a tree has where another one has something else: mode and blob, or nothing.
pub type Changes = BTreeMap<String, Option<(i32, Oid)>>;

/// What came out.
#[derive(Debug, Clone)]
pub struct Replayed {
    pub outcome: Outcome,
    pub reason: Option<String>,
    /// How the stable tree is changed; `None` if there is no answer.
    pub changes: Option<Changes>,
    /// Files of the picked commit that the stable branch has never had, left out.
    pub absent: Vec<String>,
    /// What found the answer where merging did not; the last in their order if several did.
    pub method: Option<Method>,
}

/// How two trees differ. Renames are removals and additions.
///
/// # Errors
/// A tree cannot be read.
pub fn changes(repo: &Repository, from: Oid, to: Oid) -> Result<Changes, git2::Error> {
    let (from, to) = (repo.find_tree(from)?, repo.find_tree(to)?);
    let mut options = DiffOptions::new();
    options.skip_binary_check(true).include_typechange(true);
    let diff = repo.diff_tree_to_tree(Some(&from), Some(&to), Some(&mut options))?;
    let mut changes = Changes::new();
    for delta in diff.deltas() {
        let file =
            if delta.status() == Delta::Deleted { delta.old_file() } else { delta.new_file() };
        let path = file.path().map(Path::to_string_lossy).unwrap_or_default().into_owned();
        let there = delta.status() != Delta::Deleted;
        changes.insert(path, there.then(|| (i32::from(file.mode()), file.id())));
    }
    Ok(changes)
}

/// Time that merging took: by the clock, and on all processors together.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub wall: Duration,
    pub processor: Duration,
}

/// How the two sides are called here: the order of the two is all that counts.
pub(super) const MADE_ON: SystemdVersion = SystemdVersion::new(2, 0);
pub(super) const HERE: SystemdVersion = SystemdVersion::new(1, 0);

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// All cases, and the time that merging took, without reading objects; then the time of the deeper
/// methods, which are tried on what merging leaves open.
///
/// # Errors
/// The repository cannot be opened. Objects that are missing make a case unreadable.
pub fn replay(
    repository: &Path,
    cases: &[Backport],
    fork: Option<Oid>,
) -> Result<(Vec<Replayed>, Spent, Duration)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut repos = (0..threads)
        .map(|_| Repository::open(repository))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot open {}", repository.display()))?;
    let _hashing = HashedHere::start();
    let (blobs, facts) = (Blobs::default(), Facts::default());
    let loaded: Vec<Loaded> = in_parallel(&mut repos, cases, |repo, case| {
        Ok(load(repo, &blobs, case, fork).unwrap_or_else(|e| Loaded::Unreadable(format!("{e:#}"))))
    })
    .into_iter()
    .collect::<Result<_>>()?;
    let (start, before) = (Instant::now(), processor_time());
    let answers =
        in_parallel(&mut repos, &loaded, |repo, case| merge(repo, &blobs, &facts, case, None));
    let time = Spent { wall: start.elapsed(), processor: processor_time() - before };
    let mut answers: Vec<Replayed> = answers.into_iter().collect::<Result<_>>()?;
    let start = Instant::now();
    let is_open = |a: &Replayed| matches!(a.outcome, Outcome::Conflict | Outcome::NeedsReview);
    let open: Vec<usize> = (0..answers.len()).filter(|&i| is_open(&answers[i])).collect();
    let deeper = in_parallel(&mut repos, &open, |repo, &index| {
        let case = &cases[index];
        let parent = |id: Oid| repo.find_commit(id)?.parent_id(0);
        let commits = [(MADE_ON, parent(case.picked)?), (HERE, parent(case.stable)?)];
        let history = History { commits: commits.into(), link: None };
        merge(repo, &blobs, &facts, &loaded[index], Some(&history))
    });
    for (index, answer) in open.into_iter().zip(deeper) {
        let answer = answer?;
        if answer.changes.is_some() {
            answers[index] = answer;
        }
    }
    Ok((answers, time, start.elapsed()))
}

/// A case with everything that it needs in memory.
enum Loaded {
    Unreadable(String),
    Case {
        base: Oid,
        ours: Oid,
        /// Where the sides differ by whole files alone, as any merge decides it.
        whole: Changes,
        absent: Vec<String>,
        /// A renamed file is only half alike.
        guessed: bool,
        /// Removed here, changed there, and the like.
        clash: Option<String>,
        /// Path, mode, before and after of files whose lines are to be merged.
        text: Vec<(String, i32, Option<Oid>, Oid)>,
        /// The same of files that are the same on both sides before, which need no merging.
        same: Vec<(String, i32, Option<Oid>, Oid)>,
    },
}

fn load(repo: &Repository, blobs: &Blobs, case: &Backport, fork: Option<Oid>) -> Result<Loaded> {
    let mut whole = Changes::new();
    let (mut absent, mut clash, mut text) = (Vec::new(), None, Vec::new());
    let mut same = Vec::new();
    let mut guessed = false;
    let entry = |tree: Oid, path: &str| -> Result<Option<(i32, Oid)>> {
        let entry = blobs.entry(repo, tree, path).map_err(|m| anyhow::anyhow!("{m}"))?;
        Ok(entry.map(|e| (e.mode, e.oid)))
    };
    let changed = changes(repo, case.base, case.theirs)?;
    for (path, theirs) in changed.clone() {
        let (base, ours) = (entry(case.base, &path)?, entry(case.ours, &path)?);
        if ours == base {
            if let (Some(b), Some(t)) = (base, theirs)
                && is_file(b)
                && is_file(t)
                && b.0 == t.0
                && [b.1, t.1].iter().all(|oid| repo.odb().is_ok_and(|odb| odb.exists(*oid)))
            {
                same.push((path.clone(), t.0, Some(b.1), t.1));
            }
            whole.insert(path, theirs);
            continue;
        }
        if ours == theirs {
            continue;
        }
        match (base, ours, theirs) {
            (Some(b), None, Some(t)) if is_file(b) && is_file(t) => {
                for oid in [b.1, t.1] {
                    blobs.get(repo, oid).map_err(|why| anyhow::anyhow!("blob {oid}: {why}"))?;
                }
                match renamed(repo, blobs, case, b.1)? {
                    Some((path, mode, share)) => {
                        guessed |= share < SURELY_ALIKE;
                        text.push((path, mode, Some(b.1), t.1));
                    }
                    None if fork.is_some_and(|f| matches!(entry(f, &path), Ok(None))) => {
                        let read = |oid| blobs.get(repo, oid).map_err(anyhow::Error::msg);
                        let (before, after) = (read(b.1)?, read(t.1)?);
                        let trees = (case.base, case.ours);
                        let homes = home::find(repo, blobs, trees, &path, &before, &after)?;
                        match homes.as_slice() {
                            [] => match home::traces(repo, blobs, trees.1, &path, &before, &after)?
                            {
                                Some(file) => {
                                    clash = Some(format!("{path}: lines of it are in {file} here"));
                                }
                                None => absent.push(path),
                            },
                            // Two changes of one file are not put together here.
                            [(home, mode)] if !changed.contains_key(home) => {
                                text.push((home.clone(), *mode, Some(b.1), t.1));
                            }
                            [(home, _), ..] => {
                                clash = Some(format!("{path}: the code is in {home} here"));
                            }
                        }
                    }
                    None => clash = Some(format!("{path}: the branch has removed it")),
                }
            }
            (Some(_), None, None) => {}
            (Some(b), o, Some(t)) if is_file(b) && is_file(t) && b.0 == t.0 => {
                for (_, oid) in [Some(b), o.filter(|o| is_file(*o)), Some(t)].into_iter().flatten()
                {
                    blobs.get(repo, oid).map_err(|why| anyhow::anyhow!("blob {oid}: {why}"))?;
                }
                text.push((path, t.0, Some(b.1), t.1));
            }
            (None, _, Some(t)) if is_file(t) => {
                blobs.get(repo, t.1).map_err(|why| anyhow::anyhow!("blob {}: {why}", t.1))?;
                text.push((path, t.0, None, t.1));
            }
            _ => clash = Some(format!("{path}: removed or of another kind on one side")),
        }
    }
    Ok(Loaded::Case { base: case.base, ours: case.ours, whole, absent, clash, text, same, guessed })
}

/// The file of the stable branch that became the one with the content `base` on the main branch:
/// one that is not there any more, the most alike, and half of it at least.
fn renamed(
    repo: &Repository,
    blobs: &Blobs,
    case: &Backport,
    base: Oid,
) -> Result<Option<(String, i32, f64)>> {
    const ALIKE: f64 = 0.5;
    let content = blobs.get(repo, base).map_err(|why| anyhow::anyhow!("blob {base}: {why}"))?;
    let mut best: Option<(f64, String, i32)> = None;
    // From the picked commit's side: what it has not is what was removed or renamed.
    for (path, entry) in changes(repo, case.base, case.ours)? {
        let Some((mode, oid)) = entry.filter(|e| is_file(*e)) else { continue };
        if blobs.entry(repo, case.base, &path).map_err(|m| anyhow::anyhow!("{m}"))?.is_some() {
            continue;
        }
        // One that cannot be read is none that can be patched.
        let Ok(there) = blobs.get(repo, oid) else { continue };
        if there.len() * 2 < content.len() || content.len() * 2 < there.len() {
            continue;
        }
        let share = blobs.alike(&content, &there);
        // What is half alike counts only if the text itself applies; the engine says so of moved
        // files, but here the path is found first.
        if share >= ALIKE && best.as_ref().is_none_or(|b| share > b.0) {
            best = Some((share, path, mode));
        }
    }
    Ok(best.map(|(share, path, mode)| (path, mode, share)))
}

fn is_file(entry: (i32, Oid)) -> bool {
    entry.0 & 0o170_000 == 0o100_000
}

fn merge(
    repo: &Repository,
    blobs: &Blobs,
    facts: &Facts,
    case: &Loaded,
    history: Option<&History>,
) -> Result<Replayed> {
    let (base, ours, whole, absent, clash, text, same, guessed) = match case {
        Loaded::Unreadable(why) => {
            return Ok(Replayed {
                outcome: Outcome::Unreadable,
                reason: Some(why.clone()),
                changes: None,
                absent: Vec::new(),
                method: None,
            });
        }
        Loaded::Case { base, ours, whole, absent, clash, text, same, guessed } => {
            (*base, *ours, whole, absent, clash, text, same, *guessed)
        }
    };
    let open = |outcome, reason| {
        let absent = absent.clone();
        Replayed { outcome, reason, changes: None, absent, method: None }
    };
    if clash.is_some() {
        return Ok(open(Outcome::Conflict, clash.clone()));
    }
    let (mut files, mut bases) = (Vec::new(), Vec::new());
    // The deeper methods look at the whole patch.
    let same = same.iter().filter(|_| history.is_some());
    for (path, mode, before, after) in text.iter().chain(same) {
        let read = |oid: Oid| blobs.get(repo, oid).map_err(|why| anyhow::anyhow!("{oid}: {why}"));
        let before = before.map(read).transpose()?;
        let after = read(*after)?;
        let diff = match &before {
            Some(before) => lines::diff(path, *mode, before, &after),
            None => patch::diff(path, None, *mode, &after.bytes, 3)?,
        };
        bases.push(match before {
            Some(before) => Base::between(&diff, before, after),
            None => None,
        });
        files.push(diff);
    }
    let mut changes = whole.clone();
    let mut outcome = Outcome::Clean;
    let (mut reason, mut method) = (None, None);
    if !files.is_empty() {
        let text = PatchText { message: Vec::new(), files };
        let origin = Origin { version: MADE_ON, tree: Some(base), text, bases };
        let mut known = Known::new(facts);
        // What they find is taken, to be judged.
        known.deeper = history.map(|history| (history, true));
        let state = State::new(HERE, ours);
        let attempt = attempt(repo, blobs, &known, 0, &origin, &state)?;
        method = attempt.reports.iter().filter_map(|r| r.method).max();
        (outcome, reason) = (attempt.outcome, attempt.reason);
        if guessed && outcome == Outcome::Merged {
            return Ok(open(Outcome::NeedsReview, reason));
        }
        let there = matches!(outcome, Outcome::AlreadyUpstream | Outcome::Empty);
        if !outcome.is_applied() && !there {
            return Ok(open(outcome, reason));
        }
        for file in attempt.files {
            changes.insert(file.path, Some((file.mode, file.after.oid)));
        }
    }
    if !absent.is_empty() && changes.is_empty() {
        let why = format!("the branch has never had {}, and no other file", absent.join(", "));
        return Ok(open(Outcome::Conflict, Some(why + " is changed")));
    }
    // Two doubts at once are too many.
    if !absent.is_empty() && method.is_some() {
        return Ok(open(Outcome::NeedsReview, reason));
    }
    // An answer of its own: the rest may want something else without these.
    if !absent.is_empty() {
        outcome = Outcome::NotNeeded;
        reason = Some(format!("the branch has never had {}", absent.join(", ")));
    }
    Ok(Replayed { outcome, reason, changes: Some(changes), absent: absent.clone(), method })
}
