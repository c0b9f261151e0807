// SPDX-License-Identifier: MIT
//! Methods that go further than a merge: by lines that touch, by tokens, through the commits in
//! between, and into the function where it has moved to.
//!
//! Each must pass the checks that a merge passes (as many lines, in the same functions), and its
//! new lines must not use what this version has under another name. What they find is called
//! resolved, carries its evidence, and is not written without asking.

use std::sync::Arc;

use git2::{Oid, Repository};

use super::blocks::{FILE_SCOPE, has_functions};
use super::carry::Base;
use super::clash;
use super::content::Content;
use super::explain;
use super::history;
use super::merge::{self, Merged, Segment};
use super::names::{self, Headers};
use super::objects::{Blobs, Clashes, MergedFile};
use super::renamed;
use super::sorted;
use super::tree::State;

/// Commits that change a file are stepped through one by one up to this many.
const MOST_STEPS: usize = 400;

/// A patched file that a deeper method has found.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub after: Arc<Content>,
    /// Which method, and what it saw.
    pub evidence: String,
    pub method: Method,
}

/// The methods, in the order in which they are tried.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The changes of both sides touch, and do not overlap.
    Lines,
    /// A line that both sides change is merged token by token.
    Tokens,
    /// The patch is carried through each commit that changes the file.
    Steps,
    /// The function has moved, within the file or to another one, and the patch follows it.
    Function,
}

impl Method {
    /// As told in evidence.
    pub fn how(self) -> &'static str {
        match self {
            Method::Lines => "by lines",
            Method::Tokens => "by tokens",
            Method::Steps => "by steps",
            Method::Function => "by function",
        }
    }
}

/// A resolved file, where it is in this version.
pub struct Found {
    pub path: String,
    pub mode: i32,
    pub before: Arc<Content>,
    pub resolved: Resolved,
}

/// What the methods are asked about a version.
pub struct Ask<'a> {
    pub repo: &'a Repository,
    pub blobs: &'a Blobs,
    /// From which commit to which, where that is known.
    pub commits: Option<(Oid, Oid)>,
    /// The tree that the patch was made on.
    pub there: Option<Oid>,
    pub state: &'a State,
}

impl Ask<'_> {
    /// A name in what `after` has more than `ours` that is not known on this version, or is something
    /// else: then the lines fit, and the meaning does not.
    pub fn unknown_name(
        &self,
        base: &Base,
        path: &str,
        ours: &Content,
        after: &Content,
    ) -> Option<String> {
        let declared = |tree| self.blobs.declared(self.repo, tree);
        let both =
            self.there.and_then(|there| Some((declared(there)?, declared(self.state.tree)?)));
        let headers = both.as_ref().map(|(there, here)| Headers { there, here });
        let name = names::unknown(path, (&base.before, base.after()), ours, after, headers)?;
        tracing::debug!(path, name, "the new lines use what is not known here");
        Some(name)
    }
}

/// Tries all methods on a file that `here` is in this version, or that is gone.
pub fn find(
    ask: &Ask<'_>,
    path: &str,
    base: &Base,
    here: Option<(&str, i32, &Arc<Content>)>,
) -> Option<Found> {
    let Ask { repo, blobs, state, .. } = *ask;
    if let Some((here, mode, file)) = here {
        let known = |found: &Resolved| ask.unknown_name(base, here, file, &found.after).is_none();
        let steps = || by_steps(repo, blobs, base, ask.commits?, path, file).filter(known);
        let resolved = by_merge(base, file, here)
            .filter(known)
            .or_else(steps)
            .or_else(|| by_function(base, file, here).filter(known));
        if let Some(resolved) = resolved {
            return Some(Found { path: here.to_owned(), mode, before: file.clone(), resolved });
        }
    }
    // To another file: one that the commit has changed with which the function went.
    let (from, to) = ask.commits?;
    let name = only_function(base)?;
    let steps = history::steps(repo, blobs, from, to, path)?;
    let holds = |step: &history::Step| {
        let file = step.file.as_ref().and_then(|(_, oid)| blobs.get(repo, *oid).ok());
        file.is_some_and(|f| only_block(&f, &name).is_some())
    };
    let left = (1..steps.len()).rev().find(|&i| holds(&steps[i - 1]) && !holds(&steps[i]))?;
    let paths = explain::changed_with(repo, steps[left].commit?)?;
    paths.into_iter().filter(|p| p != path).find_map(|to| {
        let (mode, before) = state.file(repo, blobs, &to).ok()??;
        let resolved = by_function(base, &before, &to)?;
        let name = ask.unknown_name(base, &to, &before, &resolved.after);
        name.is_none().then_some(Found { path: to, mode, before, resolved })
    })
}

/// Merges the file, and joins what clashes by lines, or tokens.
pub fn by_merge(base: &Base, ours: &Content, path: &str) -> Option<Resolved> {
    if is_prose(path) {
        return None;
    }
    let (bytes, clashes) = merged(path, &base.before, base.after(), ours)?;
    let after = checked(base, ours, path, bytes)?;
    let (method, evidence) = clashes?;
    Some(Resolved { after, evidence: format!("merged {}: {evidence}", method.how()), method })
}

/// True for texts that people wrap anew when they change a word: of the backports' clashes in them
/// lines or tokens solved more in another way than the maintainers than elsewhere.
fn is_prose(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    matches!(name, "NEWS" | "TODO" | "README")
        || [".xml", ".md", ".txt"].iter().any(|kind| name.ends_with(kind))
}

/// Carries the patch through every commit between two commits that changes the file.
pub fn by_steps(
    repo: &Repository,
    blobs: &Blobs,
    base: &Base,
    (from, to): (Oid, Oid),
    path: &str,
    ours: &Content,
) -> Option<Resolved> {
    if is_prose(path) {
        return None;
    }
    let steps = history::steps(repo, blobs, from, to, path)?;
    if steps.len() < 3 || steps.len() > MOST_STEPS {
        return None; // One step is what the merge has tried.
    }
    let state = |step: &history::Step| blobs.get(repo, step.file.as_ref()?.1).ok();
    let mut at = state(&steps[0])?;
    let (mut before, mut after) = (base.before.clone(), base.after().clone());
    for step in &steps[1..] {
        let next = state(step)?;
        // Small steps conflict less; one that does so all the same needs a person.
        let carry =
            |file: &Content| merged_known(blobs, path, &at, file, &next).filter(|m| m.1.is_none());
        let (new_before, _) = carry(&before)?;
        let (new_after, _) = carry(&after)?;
        (before, after) = (new_before, new_after);
        at = next;
    }
    // Patches before this one may have been carried here in another way.
    let (bytes, None) = merged(path, &before, &after, ours)? else { return None };
    let after = checked(base, ours, path, bytes)?;
    let evidence = format!("carried through the {} commits that change {path}", steps.len() - 1);
    Some(Resolved { after, evidence, method: Method::Steps })
}

/// Follows the one function that the patch changes to where it is in `ours`, which may be another
/// file than the patch names. It must be the same, byte for byte: where it has changed as well as
/// moved, the maintainers' own backports were different as often as not.
pub fn by_function(base: &Base, ours: &Content, path: &str) -> Option<Resolved> {
    let name = only_function(base)?;
    let (old, new) = (function(&base.before, &name)?, function(base.after(), &name)?);
    let (start, end) = only_block(ours, &name)?;
    if old != ours.lines(start, end) {
        return None;
    }
    let whole = [ours.lines(0, start), &new, ours.lines(end, ours.len())].concat();
    let after = checked(base, ours, path, whole)?;
    let evidence = format!("{name}() is at line {} of {path}, as it was", start + 1);
    Some(Resolved { after, evidence, method: Method::Function })
}

/// Puts the changes of the one function that the patch changes into the function `name` of `ours`.
/// Another name means that a person has to judge it: good for a suggestion, no more.
pub fn into_function(base: &Base, ours: &Content, name: &str) -> Option<Arc<Content>> {
    let made_in = only_function(base)?;
    let (old, new) = (function(&base.before, &made_in)?, function(base.after(), &made_in)?);
    let (start, end) = only_block(ours, name)?;
    let here = Content::new(ours.lines(start, end).to_vec());
    let (bytes, _) = merged("a.c", &Content::new(old), &Content::new(new), &here)?;
    let whole = [ours.lines(0, start), &bytes, ours.lines(end, ours.len())].concat();
    (bytes != here.bytes).then(|| Arc::new(Content::new(whole)))
}

/// The function that all changes of the patch are in.
pub fn only_function(base: &Base) -> Option<String> {
    let groups = merge::groups(&base.before, base.after());
    let mut names = groups.iter().flat_map(|g| &g.functions);
    let first = names.next()?;
    (first != FILE_SCOPE && names.all(|n| n == first)).then(|| first.clone())
}

/// The lines of the only block of this name.
fn only_block(file: &Content, name: &str) -> Option<(usize, usize)> {
    let mut blocks = file.blocks().iter().filter(|b| *b.name == *name);
    let block = blocks.next()?;
    blocks.next().is_none().then_some((block.start, block.end + 1))
}

fn function(file: &Content, name: &str) -> Option<Vec<u8>> {
    let (start, end) = only_block(file, name)?;
    Some(file.lines(start, end).to_vec())
}

/// As [`merged`], remembered: the ways to many versions begin with the same commits.
fn merged_known(
    blobs: &Blobs,
    path: &str,
    base: &Content,
    theirs: &Content,
    ours: &Content,
) -> Option<MergedFile> {
    blobs.merged.get((base.oid, theirs.oid, ours.oid), || {
        let (bytes, evidence) = merged(path, base, theirs, ours)?;
        Some((Arc::new(Content::new(bytes)), evidence))
    })
}

/// The merged file, with what the clashes took, if there were any.
fn merged(
    path: &str,
    base: &Content,
    theirs: &Content,
    ours: &Content,
) -> Option<(Vec<u8>, Option<Clashes>)> {
    if let Some(bytes) = merge::apart(base, theirs, ours) {
        return Some((bytes, None));
    }
    let segments = match merge::merge(base, theirs, ours).ok()? {
        Merged::Clean(bytes) => return Some((bytes, None)),
        Merged::Conflict { segments, .. } => segments,
    };
    let mut bytes = Vec::new();
    let (mut evidence, mut method) = (Vec::new(), Method::Lines);
    // Of the next segment's start, what a list above it has taken.
    let mut taken = 0;
    for (at, segment) in segments.iter().enumerate() {
        match segment {
            Segment::Agreed(text) => bytes.extend_from_slice(text.get(taken..)?),
            Segment::Clash { ours, base, theirs } => {
                let below = match segments.get(at + 1) {
                    Some(Segment::Agreed(text)) => text.as_slice(),
                    _ => &[],
                };
                let list = sorted::join(path, &bytes, [base, ours, theirs], below);
                taken = list.as_ref().map_or(0, |list| list.below);
                if let Some(list) = list {
                    bytes.truncate(bytes.len() - list.above);
                    bytes.extend_from_slice(&list.bytes);
                    evidence.push(list.evidence);
                    continue;
                }
                let joined = clash::join(path, [base, ours, theirs])?;
                bytes.extend_from_slice(&joined.bytes);
                evidence.push(joined.evidence);
                method = method.max(joined.method);
            }
        }
    }
    Some((bytes, Some((method, evidence.join("; ")))))
}

/// The patched file, if it passes what a merge must pass.
fn checked(base: &Base, ours: &Content, path: &str, bytes: Vec<u8>) -> Option<Arc<Content>> {
    let after = Content::new(bytes);
    let mut made = merge::groups(&base.before, base.after());
    let mut landed = merge::groups(ours, &after);
    if !has_functions(path) {
        made.iter_mut().chain(&mut landed).for_each(|group| group.functions.clear());
    }
    let same = |old: &str, new: &str| renamed::is_renamed(&base.before, ours, old, new);
    if landed.is_empty() || merge::compare(&made, &landed, same).is_some() {
        return None;
    }
    Some(Arc::new(after))
}
