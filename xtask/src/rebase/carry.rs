// SPDX-License-Identifier: MIT
//! Carrying the changes of one file to another version of it: two methods, one answer.

use std::sync::{Arc, OnceLock};

use super::apply::{self, Applied, Expected, Misfit};
use super::blocks::has_functions;
use super::content::Content;
use super::facts::Facts;
use super::merge::{self, Doubt, Merged};
use super::outcome::{Collision, HunkReport, Outcome};
use super::renamed::is_renamed;
use crate::patch::FileDiff;

/// The file that the patch was made on, before and after the patch.
#[derive(Debug)]
pub struct Base {
    pub before: Arc<Content>,
    /// Made when it is asked for: where nothing has to be merged nobody does.
    after: OnceLock<Arc<Content>>,
    /// What it is made of.
    diff: Option<(FileDiff, Applied)>,
    /// The functions that the hunks are in.
    forward: Expected,
    /// The same for the reverse patch, found when it is asked for.
    reverse: OnceLock<Expected>,
}

impl Base {
    /// `None` if the diff does not apply to `before`.
    pub fn new(diff: &FileDiff, before: Arc<Content>) -> Option<Self> {
        let applied = on_base(diff, &before).ok()?;
        let forward = functions(&applied);
        let diff = Some((diff.clone(), applied));
        Some(Base { before, after: OnceLock::new(), diff, forward, reverse: OnceLock::new() })
    }

    /// As [`Base::new`], where the file after the patch is known. `None` if the diff gives another.
    pub fn between(diff: &FileDiff, before: Arc<Content>, after: Arc<Content>) -> Option<Self> {
        let applied = on_base(diff, &before).ok()?;
        let gives = applied.gives(diff, &before, &after.bytes);
        let (after, forward) = (OnceLock::from(after), functions(&applied));
        gives.then(|| Base { before, after, diff: None, forward, reverse: OnceLock::new() })
    }

    /// The file after the patch.
    pub fn after(&self) -> &Arc<Content> {
        self.after.get_or_init(|| match &self.diff {
            Some((diff, applied)) => Arc::new(applied.content(diff, &self.before)),
            None => self.before.clone(),
        })
    }

    /// The functions that the hunks of the patch are in.
    pub fn functions(&self) -> &Expected {
        &self.forward
    }
}

fn functions(applied: &Applied) -> Expected {
    Expected::Functions(applied.sites.iter().map(|site| site.functions.clone()).collect())
}

/// What became of the file.
#[derive(Debug)]
pub struct Carried {
    pub outcome: Outcome,
    /// The patched file; the file as it was if nothing is to be changed. `None` if unsolved.
    pub after: Option<Arc<Content>>,
    pub reason: Option<String>,
    pub hunks: Vec<HunkReport>,
    pub collisions: Vec<Collision>,
    /// The merge confirmed the result.
    pub cross_checked: bool,
}

/// Carries `diff` to the file `ours`.
///
/// # Errors
/// libgit2 failed (out of memory).
pub fn carry(
    diff: &FileDiff,
    base: Option<&Base>,
    ours: &Arc<Content>,
    facts: &Facts,
) -> Result<Carried, git2::Error> {
    let expected = base.map_or(&Expected::Headers, |b| &b.forward);
    let forward = apply::apply(diff, ours, expected);
    if forward.is_err()
        && let Some(done) = upstream(diff, base, ours)
    {
        return Ok(done);
    }
    if let (Ok(applied), Some(made_on)) = (&forward, base)
        && merge::agrees(diff, &made_on.before, ours, applied, facts)
    {
        return Ok(positioned(diff, applied, base, ours, true));
    }
    let merged = match base {
        Some(b) => Some((b, merge::merge(&b.before, b.after(), ours)?)),
        None => None,
    };
    match (forward, merged) {
        (Ok(applied), None) => Ok(positioned(diff, &applied, None, ours, false)),
        (Ok(applied), Some((_, Merged::Clean(bytes)))) if applied.gives(diff, ours, &bytes) => {
            Ok(positioned(diff, &applied, base, ours, true))
        }
        (Ok(applied), Some((_, other))) => {
            let mut carried = positioned(diff, &applied, base, ours, false);
            let (what, collisions) = match other {
                Merged::Clean(_) => {
                    ("the text applies, but merging gives another file", Vec::new())
                }
                Merged::Conflict { collisions, .. } => {
                    ("the text applies, but merging conflicts", collisions)
                }
            };
            let landing = carried.reason.take().map(|r| format!("; it {r}")).unwrap_or_default();
            carried.outcome = Outcome::NeedsReview;
            carried.after = None;
            carried.reason = Some(format!("{what}{landing}"));
            carried.collisions = collisions;
            Ok(carried)
        }
        (Err(misfit), Some((b, Merged::Clean(bytes)))) => merged_only(diff, misfit, b, bytes, ours),
        (Err(misfit), Some((_, Merged::Conflict { collisions, .. }))) => {
            Ok(unsolved(describe(diff, &misfit), collisions))
        }
        (Err(misfit), None) => {
            let collision = lone_hunk(diff, &misfit);
            Ok(unsolved(describe(diff, &misfit), vec![collision]))
        }
    }
}

/// The functions that the hunks are in, in the file that the patch was made on.
pub fn expected(diff: &FileDiff, before: &Content) -> Expected {
    match on_base(diff, before) {
        Ok(applied) => functions(&applied),
        Err(_) => Expected::Headers,
    }
}

/// Applies the patch to the file it was made on. Its lines may have moved there too, if a patch
/// before it in the series was edited.
pub fn on_base(diff: &FileDiff, before: &Content) -> Result<Applied, Misfit> {
    apply::apply_at_headers(diff, before)
        .map_or_else(|| apply::apply(diff, before, &Expected::Headers), Ok)
}

/// The text applies; it counts if every hunk is in its function, which may have another name here.
fn positioned(
    diff: &FileDiff,
    applied: &Applied,
    base: Option<&Base>,
    ours: &Content,
    cross_checked: bool,
) -> Carried {
    let expected = base.map_or(&Expected::Headers, |b| &b.forward);
    let renamed = |made: &[String], here: &[String]| {
        let same = |(made, here): (&String, &String)| {
            made == here || base.is_some_and(|b| is_renamed(&b.before, ours, made, here))
        };
        made.len() == here.len() && made.iter().zip(here).all(same)
    };
    let mut hunks = Vec::with_capacity(applied.sites.len());
    let (mut reason, mut moved) = (None, false);
    for (index, (hunk, site)) in diff.hunks.iter().zip(&applied.sites).enumerate() {
        let made_in = match expected {
            Expected::Functions(of) => of.get(index).filter(|f| **f != site.functions).cloned(),
            Expected::Headers => None,
        };
        let other = has_functions(&diff.path) && !expected.holds(index, hunk, ours, site);
        let astray = other && !made_in.as_ref().is_some_and(|made| renamed(made, &site.functions));
        moved |= other;
        if astray && reason.is_none() {
            let here = site.functions.join(", ");
            let made = made_in.as_ref().map_or_else(
                || String::from_utf8_lossy(&hunk.section).into_owned(),
                |f| f.join(", "),
            );
            reason = Some(format!("lands in {here}, was made in {made}"));
        }
        let (line_old, line_new) = (apply::first_line(hunk) + 1, site.line + 1);
        hunks.push(HunkReport {
            functions: site.functions.clone(),
            made_in: made_in.unwrap_or_default(),
            line_old,
            line_new,
            offset: line_new.cast_signed() - line_old.cast_signed(),
        });
    }
    let outcome = match &reason {
        Some(_) => Outcome::NeedsReview,
        None if moved || hunks.iter().any(|h| h.offset != 0) => Outcome::Moved,
        None => Outcome::Clean,
    };
    let after = match reason {
        Some(_) => None,
        None => Some(Arc::new(applied.content(diff, ours))),
    };
    Carried { outcome, after, reason, hunks, collisions: Vec::new(), cross_checked }
}

/// Only the merge succeeds; it counts if its changes are in the functions they were made in.
fn merged_only(
    diff: &FileDiff,
    misfit: Misfit,
    base: &Base,
    bytes: Vec<u8>,
    ours: &Arc<Content>,
) -> Result<Carried, git2::Error> {
    if bytes == ours.bytes {
        return Ok(Carried {
            outcome: Outcome::Empty,
            after: Some(ours.clone()),
            reason: Some("merging the patch leaves the file as it is".into()),
            hunks: Vec::new(),
            collisions: Vec::new(),
            cross_checked: false,
        });
    }
    let after = Arc::new(Content::new(bytes));
    let mut made = merge::groups(&base.before, base.after());
    let mut landed = merge::groups(ours, &after);
    if !has_functions(&diff.path) {
        made.iter_mut().chain(&mut landed).for_each(|group| group.functions.clear());
    }
    let renamed = |old: &str, new: &str| is_renamed(&base.before, ours, old, new);
    let doubt = match merge::compare(&made, &landed, renamed) {
        None if merge::disputed(&base.before, base.after(), ours, &after.bytes) => {
            Some(Doubt::Elsewhere("another way to compare the files gives another merge".into()))
        }
        doubt => doubt,
    };
    let hunks = merge::report(&made, &landed);
    let why = format!("hunk {} does not apply: {}", misfit.hunk + 1, misfit.reason);
    Ok(match doubt {
        None => Carried {
            outcome: Outcome::Merged,
            after: Some(after),
            reason: Some(why),
            hunks,
            collisions: Vec::new(),
            cross_checked: false,
        },
        Some(doubt) => Carried {
            outcome: match doubt {
                Doubt::Partly(_) => Outcome::PartlyUpstream,
                Doubt::Elsewhere(_) => Outcome::NeedsReview,
            },
            after: None,
            reason: Some(format!("{why}; merged, {doubt}")),
            hunks,
            collisions: Vec::new(),
            cross_checked: false,
        },
    })
}

/// The reverse applies: what the patch wants is there already.
fn upstream(diff: &FileDiff, base: Option<&Base>, ours: &Arc<Content>) -> Option<Carried> {
    let reverse = diff.reversed();
    let of_base = |b: &Base| b.reverse.get_or_init(|| expected(&reverse, b.after())).clone();
    let expected = base.map_or(Expected::Headers, of_base);
    let expected = &expected;
    let applied = apply::apply(&reverse, ours, expected).ok()?;
    let mut hunks = Vec::new();
    for (index, (hunk, site)) in reverse.hunks.iter().zip(&applied.sites).enumerate() {
        if !expected.holds(index, hunk, ours, site) {
            return None;
        }
        let (line_old, line_new) = (apply::first_line(hunk) + 1, site.line + 1);
        hunks.push(HunkReport {
            functions: site.functions.clone(),
            made_in: Vec::new(),
            line_old,
            line_new,
            offset: line_new.cast_signed() - line_old.cast_signed(),
        });
    }
    let all = hunks.len();
    let lines: Vec<String> = hunks.iter().map(|h| h.line_new.to_string()).collect();
    Some(Carried {
        outcome: Outcome::AlreadyUpstream,
        after: Some(ours.clone()),
        reason: Some(format!(
            "the reverse of {all} of {all} hunks applies, at line {}",
            lines.join(", ")
        )),
        hunks,
        collisions: Vec::new(),
        cross_checked: false,
    })
}

fn describe(diff: &FileDiff, misfit: &Misfit) -> String {
    format!("hunk {} of {} does not apply: {}", misfit.hunk + 1, diff.hunks.len(), misfit.reason)
}

/// The hunk itself, where there is no base and so nothing to merge.
fn lone_hunk(diff: &FileDiff, misfit: &Misfit) -> Collision {
    let text = |lines: Vec<&[u8]>| String::from_utf8_lossy(&lines.concat()).into_owned();
    diff.hunks.get(misfit.hunk).map_or_else(
        || Collision {
            line: 0,
            function: String::new(),
            ours: None,
            base: String::new(),
            theirs: String::new(),
        },
        |hunk| Collision {
            line: hunk.old_start,
            function: String::from_utf8_lossy(&hunk.section).into_owned(),
            ours: None,
            base: text(hunk.old_side().collect()),
            theirs: text(hunk.new_side().collect()),
        },
    )
}

/// No place was found.
pub fn unsolved(reason: String, collisions: Vec<Collision>) -> Carried {
    Carried {
        outcome: Outcome::Conflict,
        after: None,
        reason: Some(reason),
        hunks: Vec::new(),
        collisions,
        cross_checked: false,
    }
}
