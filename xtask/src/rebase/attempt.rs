// SPDX-License-Identifier: MIT
//! One text on one version: every file carried, and the answers put together.

use std::sync::Arc;

use anyhow::Result;
use git2::{Oid, Repository};

use super::apply::Applied;
use super::carry::{self, Base, Carried};
use super::content::Content;
use super::deeper::{self, Found};
use super::facts::Facts;
use super::history::History;
use super::merge;
use super::objects::Blobs;
use super::outcome::{FileReport, Outcome};
use super::parallel::Memo;
use super::solved::SolvedFile;
use super::tree::{State, Unreadable};
use crate::patch::{Change, FileDiff, PatchText};
use crate::version::SystemdVersion;

/// Share of equal lines from which on a moved file is surely the one; a merge alone counts there.
pub(super) const SURELY_ALIKE: f64 = 0.75;

/// A text to carry, with what is known of the version that it was made on.
pub struct Origin {
    pub version: SystemdVersion,
    pub tree: Option<Oid>,
    pub text: PatchText,
    /// One per file of the text.
    pub bases: Vec<Option<Base>>,
}

/// What a text gives on a version.
pub struct Attempt {
    pub outcome: Outcome,
    pub reason: Option<String>,
    pub cross_checked: bool,
    pub reports: Vec<FileReport>,
    pub files: Vec<SolvedFile>,
}

impl Attempt {
    /// The text was not carried here directly but from a version that it had been carried to.
    pub fn by_way_of(mut self, version: SystemdVersion) -> Self {
        let way = format!("carried by way of {version}");
        self.reason = Some(match self.reason {
            Some(reason) => format!("{way}; {reason}"),
            None => way,
        });
        self.outcome = Outcome::Merged;
        self
    }
}

/// What is known of one patch: most versions share blobs.
pub struct Known<'a> {
    facts: &'a Facts,
    /// By origin, file of its text, blob it is carried to.
    carried: Memo<(usize, usize, Oid), Result<Arc<Carried>, String>>,
    /// The same for applying alone, if every hunk lands in its function.
    pub applied: Memo<(usize, usize, Oid), Option<Arc<Applied>>>,
    /// Where to look for deeper answers, and whether to take them.
    pub deeper: Option<(&'a History, bool)>,
}

impl<'a> Known<'a> {
    /// Nothing but facts of runs before.
    pub fn new(facts: &'a Facts) -> Self {
        Known { facts, carried: Memo::default(), applied: Memo::default(), deeper: None }
    }
}

/// Carries every file of a text to a version.
pub fn attempt(
    repo: &Repository,
    blobs: &Blobs,
    known: &Known<'_>,
    origin_index: usize,
    origin: &Origin,
    state: &State,
) -> Result<Attempt> {
    let mut reports = Vec::new();
    let mut files = Vec::new();
    let mut cross_checked = true;
    for (index, diff) in origin.text.files.iter().enumerate() {
        let base = origin.bases[index].as_ref();
        let placed = match place(repo, blobs, origin, diff, base, state) {
            Ok(placed) => placed,
            Err(missing) => return Ok(unreadable(&missing)),
        };
        let (mut path, mut carried) = match &placed {
            Place::There(path, _, content) => {
                let carry = || carry::carry(diff, base, content, known.facts).map(Arc::new);
                let key = (origin_index, index, content.oid);
                let carried = known
                    .carried
                    .get(key, || carry().map_err(|e| e.message().to_owned()))
                    .map_err(anyhow::Error::msg)?;
                let elsewhere = *path != diff.path && carried.outcome == Outcome::Merged;
                let guessed = |base: &&Base| blobs.alike(&base.before, content) < SURELY_ALIKE;
                match base.filter(|base| elsewhere && guessed(base)) {
                    Some(_) => (path.clone(), Arc::new(half_alike(&carried, path))),
                    None => (path.clone(), carried),
                }
            }
            Place::New(_) => (diff.path.clone(), Arc::new(created(diff)?)),
            Place::Nowhere(reason) => {
                (diff.path.clone(), Arc::new(carry::unsolved(reason.clone(), Vec::new())))
            }
            Place::Same(content) => (diff.path.clone(), Arc::new(already(content))),
        };
        let mut placed = placed;
        let mut method = None;
        if let (false, Some((history, accept)), Some(base)) =
            (carried.outcome.is_settled(), known.deeper, base)
        {
            let here = match &placed {
                Place::There(path, mode, content) => Some((path.as_str(), *mode, content)),
                _ => None,
            };
            let commits = history.between((origin.version, state.version));
            let ask = deeper::Ask { repo, blobs, commits, there: origin.tree, state };
            let found = deeper::find(&ask, &diff.path, base, here);
            if let Some(found) = found {
                carried = Arc::new(resolved(base, &found, accept)?);
                method = Some(found.resolved.method);
                path.clone_from(&found.path);
                placed = Place::There(found.path, found.mode, found.before);
            }
        }
        cross_checked &= carried.cross_checked || !carried.outcome.is_applied();
        let moved_to = (path != diff.path).then(|| path.clone());
        if let (true, Some(after)) = (carried.outcome.is_applied(), &carried.after) {
            let (mode, before) = match &placed {
                Place::There(_, mode, content) => (*mode, Some(content.clone())),
                Place::New(mode) => (*mode, None),
                _ => continue,
            };
            files.push(SolvedFile { path, mode, before, after: after.clone() });
        }
        reports.push(FileReport {
            path: diff.path.clone(),
            outcome: match carried.outcome {
                Outcome::Clean if moved_to.is_some() => Outcome::Moved,
                other => other,
            },
            moved_to,
            method,
            reason: carried.reason.clone(),
            hunks: carried.hunks.clone(),
            collisions: carried.collisions.clone(),
        });
    }
    if let (true, Some((history, _))) = (reports.iter().any(|r| r.method.is_some()), known.deeper) {
        let commits = history.between((origin.version, state.version));
        let ask = deeper::Ask { repo, blobs, commits, there: origin.tree, state };
        doubt_the_rest(&ask, origin, &files, &mut reports);
    }
    let (outcome, reason) = together(&reports);
    if !outcome.is_applied() {
        files.clear();
    }
    Ok(Attempt { outcome, reason, cross_checked, reports, files })
}

/// A patch that does not fit by itself was made for other surroundings. So its other files, which do
/// fit, must not use what is not known here either.
fn doubt_the_rest(
    ask: &deeper::Ask<'_>,
    origin: &Origin,
    files: &[SolvedFile],
    reports: &mut [FileReport],
) {
    for (report, base) in reports.iter_mut().zip(&origin.bases) {
        let path = report.moved_to.as_ref().unwrap_or(&report.path);
        let file = files.iter().find(|f| f.path == *path);
        let (None, Some(base), Some(SolvedFile { before: Some(before), after, .. })) =
            (report.method, base, file)
        else {
            continue;
        };
        if let Some(name) = ask.unknown_name(base, path, before, after) {
            report.outcome = Outcome::NeedsReview;
            report.reason = Some(format!("`{name}` is not known here, or is something else"));
        }
    }
}

/// The text does not apply, and that this is the file at all is a guess by its lines.
fn half_alike(carried: &Carried, path: &str) -> Carried {
    let why = carried.reason.as_deref().unwrap_or("the text does not apply");
    Carried {
        outcome: Outcome::NeedsReview,
        after: None,
        reason: Some(format!("{why}; merged into {path}, which is only half alike")),
        hunks: carried.hunks.clone(),
        collisions: Vec::new(),
        cross_checked: false,
    }
}

/// The answer for the patch from those for its files.
fn together(reports: &[FileReport]) -> (Outcome, Option<String>) {
    let named = |r: &FileReport| {
        let path = r.path.rsplit_once('/').map_or(r.path.as_str(), |(_, name)| name);
        r.reason.as_ref().map(|reason| format!("{path}: {reason}"))
    };
    let worst = reports.iter().max_by_key(|r| r.outcome);
    let Some(worst) = worst else {
        return (Outcome::Empty, Some("the patch changes no file".into()));
    };
    let done = |r: &&FileReport| matches!(r.outcome, Outcome::AlreadyUpstream | Outcome::Empty);
    let there: Vec<&str> = reports.iter().filter(done).map(|r| r.path.as_str()).collect();
    if worst.outcome <= Outcome::Empty && !there.is_empty() && there.len() < reports.len() {
        let what = format!("a part of the patch is there already: {}", there.join(", "));
        return (Outcome::PartlyUpstream, Some(what));
    }
    let evidence = reports.iter().find(|r| r.outcome == Outcome::AlreadyUpstream);
    match (worst.outcome, evidence) {
        (Outcome::Empty, Some(upstream)) => (Outcome::AlreadyUpstream, named(upstream)),
        (outcome, _) => {
            let moved = || Some(format!("{} is {} here", worst.path, worst.moved_to.as_ref()?));
            (outcome, named(worst).or_else(moved))
        }
    }
}

enum Place {
    /// Path, mode and content of the file to change.
    There(String, i32, Arc<Content>),
    /// The patch adds the file, with this mode.
    New(i32),
    /// The patch adds the file, and it is there with the very same content.
    Same(Arc<Content>),
    Nowhere(String),
}

fn place(
    repo: &Repository,
    blobs: &Blobs,
    origin: &Origin,
    diff: &FileDiff,
    base: Option<&Base>,
    state: &State,
) -> Result<Place, Unreadable> {
    let here = state.file(repo, blobs, &diff.path)?;
    Ok(match (diff.change, here) {
        (Change::Create { mode }, None) => Place::New(mode),
        (Change::Create { .. }, Some((_, content))) if content.bytes == diff.created() => {
            Place::Same(content)
        }
        (Change::Create { .. }, Some(_)) => {
            Place::Nowhere("the patch adds this file, and it exists with other content".into())
        }
        (Change::Modify { .. }, Some((mode, content))) => {
            Place::There(diff.path.clone(), mode, content)
        }
        (Change::Modify { .. }, None) => {
            let moved = base.zip(origin.tree).and_then(|(base, tree)| {
                state.find_moved(repo, blobs, tree, &diff.path, &base.before)
            });
            match moved {
                Some(path) => match state.file(repo, blobs, &path)? {
                    Some((mode, content)) => Place::There(path, mode, content),
                    None => Place::Nowhere("the file does not exist".into()),
                },
                None => Place::Nowhere("the file does not exist".into()),
            }
        }
    })
}

fn created(diff: &FileDiff) -> Result<Carried, git2::Error> {
    Ok(Carried {
        outcome: Outcome::Clean,
        after: Some(Arc::new(Content::new(diff.created()))),
        reason: None,
        hunks: Vec::new(),
        collisions: Vec::new(),
        cross_checked: true,
    })
}

fn resolved(base: &Base, found: &Found, accept: bool) -> Result<Carried, git2::Error> {
    let after = &found.resolved.after;
    let made = merge::groups(&base.before, base.after());
    let landed = merge::groups(&found.before, after);
    Ok(Carried {
        outcome: if accept { Outcome::Accepted } else { Outcome::Resolved },
        after: Some(after.clone()),
        reason: Some(found.resolved.evidence.clone()),
        hunks: merge::report(&made, &landed),
        collisions: Vec::new(),
        cross_checked: false,
    })
}

fn already(content: &Arc<Content>) -> Carried {
    Carried {
        outcome: Outcome::AlreadyUpstream,
        after: Some(content.clone()),
        reason: Some("the file is there with the same content".into()),
        hunks: Vec::new(),
        collisions: Vec::new(),
        cross_checked: false,
    }
}

fn unreadable(missing: &Unreadable) -> Attempt {
    Attempt {
        outcome: Outcome::Unreadable,
        reason: Some(format!("{} of {}: {}", missing.path, missing.version, missing.why)),
        cross_checked: false,
        reports: Vec::new(),
        files: Vec::new(),
    }
}
