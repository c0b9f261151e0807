// SPDX-License-Identifier: MIT
//! Which variant covers which version: texts are kept where they fit, made where none does.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use git2::Oid;

use super::apply::{self, Expected};
use super::carry;
use super::content::Content;
use super::cover::{self, Candidate};
use super::solved::{Solved, VersionRun};
use crate::fault::Fault;
use crate::patch::{Change, FileDiff, PatchText};
use crate::series::{Patch, Series, Variant, VersionRange, runs};
use crate::version::SystemdVersion;

/// The variants of one patch after the run.
#[derive(Debug)]
pub struct Settled {
    pub id: String,
    /// Sorted by base.
    pub variants: Vec<Variant>,
    /// Bases of the variants that are new.
    pub added: Vec<SystemdVersion>,
    /// Bases of the variants that nothing needs any more.
    pub removed: Vec<SystemdVersion>,
    /// The search for the smallest set was exhaustive.
    pub minimal: bool,
}

/// Chooses the variants of every patch for the versions of `verified`.
///
/// `kept` are versions that were verified before and are not available here: what they use stays.
/// `strangers` are known versions that are not verified: no range may reach over them.
///
/// # Errors
/// libgit2 failed; or the harness has a fault: a text made on a version does not apply to it.
pub fn settle(
    series: &Series,
    verified: &[&VersionRun],
    kept: &[SystemdVersion],
    strangers: &[SystemdVersion],
) -> Result<Vec<Settled>> {
    if let Some(run) = verified.iter().find(|run| run.patched.is_some()) {
        anyhow::bail!("the files of systemd {} are not known, only its answer", run.version);
    }
    let patch = |(index, patch): (usize, &Patch)| {
        let solved: Vec<(SystemdVersion, &Solved)> = verified
            .iter()
            .filter_map(|run| Some((run.version, run.solved.get(index)?.as_ref()?)))
            .collect();
        // Versions that need no such patch end a range just as unverified ones do not: nobody
        // looks them up. Only those where the patch is upstream or empty do.
        let apart = verified.iter().filter(|run| {
            run.cells.get(index).is_some_and(|c| {
                use super::Outcome::{AlreadyUpstream, Empty};
                matches!(c.outcome, AlreadyUpstream | Empty)
            })
        });
        let apart: Vec<SystemdVersion> =
            apart.map(|r| r.version).chain(strangers.iter().copied()).collect();
        settle_patch(patch, &solved, kept, &apart, strangers)
    };
    // The patches do not depend on each other any more.
    std::thread::scope(|scope| {
        let patch = &patch;
        let threads: Vec<_> =
            series.patches.iter().enumerate().map(|p| scope.spawn(move || patch(p))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Settled>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

fn settle_patch(
    patch: &Patch,
    solved: &[(SystemdVersion, &Solved)],
    kept: &[SystemdVersion],
    apart: &[SystemdVersion],
    strangers: &[SystemdVersion],
) -> Result<Settled> {
    let mut table = Table::new(solved);
    let mut texts: Vec<(SystemdVersion, PatchText)> = Vec::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    // A text whose own version is unsolved is somebody's work in progress.
    let unsolved = |base| strangers.contains(&base);
    let holds_kept = |v: &Variant, k: &SystemdVersion| v.ranges.iter().any(|r| r.contains(*k));
    for variant in &patch.variants {
        candidates.push(Candidate {
            covers: table.covered(variant.base, &variant.text),
            exists: true,
            forced: unsolved(variant.base) || kept.iter().any(|k| holds_kept(variant, k)),
        });
        texts.push((variant.base, variant.text.clone()));
    }
    make_candidates(patch, solved, &mut table, &mut texts, &mut candidates)?;
    let cover = cover::smallest(&candidates, solved.len()).ok_or_else(|| {
        Fault::new(format!("{}: a text made on a version does not apply there", patch.id))
            .hint("this is a fault of plainboot; please report it with the output of -v")
    })?;

    let old = |v: SystemdVersion| patch.variant_for(v).map(|x| x.base);
    let assigned = assign(solved, &texts, &candidates, &cover.chosen, &old);
    let mut known: Vec<SystemdVersion> = solved
        .iter()
        .map(|s| s.0)
        .chain(kept.iter().copied())
        .chain(apart.iter().copied())
        .collect();
    known.sort();
    known.dedup();
    let ranges = |index: usize| -> Vec<VersionRange> {
        let base = texts[index].0;
        runs(&known, |version| match solved.iter().position(|s| s.0 == version) {
            Some(at) => assigned.get(at) == Some(&index),
            None => kept.contains(&version) && old(version) == Some(base),
        })
    };
    let mut variants: Vec<Variant> = Vec::new();
    let mut added = Vec::new();
    for &index in &cover.chosen {
        let ranges = ranges(index);
        if ranges.is_empty() && !unsolved(texts[index].0) {
            continue;
        }
        let (base, text) = texts[index].clone();
        if !candidates[index].exists {
            added.push(base);
        }
        variants.push(Variant { base, ranges, text });
    }
    variants.sort_by_key(|v| v.base);
    let stays = |base| variants.iter().any(|v| v.base == base);
    let removed = patch.variants.iter().map(|v| v.base).filter(|b| !stays(*b)).collect();
    Ok(Settled { id: patch.id.clone(), variants, added, removed, minimal: cover.minimal })
}

/// Adds the texts that versions would get if each had its own. Most are equal but for line
/// numbers: those are made once. From the newest version on, as that is the one to live with.
fn make_candidates(
    patch: &Patch,
    solved: &[(SystemdVersion, &Solved)],
    table: &mut Table<'_>,
    texts: &mut Vec<(SystemdVersion, PatchText)>,
    candidates: &mut Vec<Candidate>,
) -> Result<()> {
    let mut made: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    let taken: BTreeSet<SystemdVersion> = patch.variants.iter().map(|v| v.base).collect();
    let mut diffs = HashMap::new();
    for (at, (version, truth)) in solved.iter().enumerate().rev() {
        // Where an existing text applies as it is, the text made there would be the same one.
        let fits = |(base, candidate): (&SystemdVersion, &Candidate)| {
            candidate.exists && Some(*base) == truth.applies && candidate.covers.contains(&at)
        };
        if texts.iter().map(|t| &t.0).zip(candidates.iter()).any(fits) {
            continue;
        }
        let text = truth.text(&mut diffs)?;
        let key = shape(&text);
        let equal = made.entry(key).or_default();
        if equal.iter().any(|&i| candidates[i].covers.contains(&at)) {
            continue;
        }
        // Two texts cannot have one file name. The existing text of this base then does not fit
        // its own version, so the new one takes its place.
        if taken.contains(version) {
            let fits = texts
                .iter()
                .zip(candidates.iter())
                .any(|((base, _), c)| base == version && c.exists && c.covers.contains(&at));
            if fits {
                continue;
            }
            for i in 0..candidates.len() {
                if candidates[i].exists && texts[i].0 == *version {
                    if candidates[i].forced {
                        return Err(stale(patch, *version).into());
                    }
                    candidates[i].covers.clear();
                }
            }
        }
        equal.push(candidates.len());
        candidates.push(Candidate {
            covers: table.covered(*version, &text),
            exists: false,
            forced: false,
        });
        texts.push((*version, text));
    }
    Ok(())
}

fn stale(patch: &Patch, base: SystemdVersion) -> Fault {
    Fault::new(format!(
        "patches/{} no longer applies to its own version, and a version that is not available here \
         needs it as it is",
        patch.file(base).display()
    ))
    .hint("run the command where all versions of patches/sources.lock are available")
}

/// A text without its line numbers.
fn shape(text: &PatchText) -> Vec<u8> {
    let mut key = Vec::new();
    for file in &text.files {
        key.extend_from_slice(file.path.as_bytes());
        for hunk in &file.hunks {
            let mut hunk = hunk.clone();
            (hunk.old_start, hunk.new_start) = (0, 0);
            hunk.section.clear();
            hunk.write(&mut key);
        }
    }
    key
}

/// For each version the candidate that it uses: as few changes of variant as possible when walking
/// up the versions; where there is a choice, the variant that was made there or assigned before.
fn assign(
    solved: &[(SystemdVersion, &Solved)],
    texts: &[(SystemdVersion, PatchText)],
    candidates: &[Candidate],
    chosen: &BTreeSet<usize>,
    old: &dyn Fn(SystemdVersion) -> Option<SystemdVersion>,
) -> Vec<usize> {
    let covers = |i: usize, at: usize| candidates[i].covers.contains(&at);
    let mut assigned: Vec<usize> = Vec::new();
    for (at, (version, _)) in solved.iter().enumerate() {
        let reach = |i: usize| (at..solved.len()).take_while(|&x| covers(i, x)).count();
        let own = chosen.iter().find(|&&i| texts[i].0 == *version && covers(i, at));
        let last = assigned.last().copied().filter(|&i| covers(i, at));
        let best = || {
            let takers = chosen.iter().filter(|&&i| covers(i, at));
            takers.max_by_key(|&&i| (Some(texts[i].0) == old(*version), reach(i), i))
        };
        if let Some(&index) = own.or(last.as_ref()).or_else(best) {
            assigned.push(index);
        }
    }
    assigned
}

/// Strict application of texts to versions, remembered by blob.
struct Table<'a> {
    solved: &'a [(SystemdVersion, &'a Solved)],
    texts: usize,
    /// By text, its file, and the file before and after.
    memo: HashMap<(usize, usize, Oid, Oid), bool>,
}

impl<'a> Table<'a> {
    fn new(solved: &'a [(SystemdVersion, &'a Solved)]) -> Self {
        Table { solved, texts: 0, memo: HashMap::new() }
    }

    /// The versions to which the text made on `base` applies strictly, in the same functions, and
    /// gives what was solved there, also with tools that take the nearest site.
    fn covered(&mut self, base: SystemdVersion, text: &PatchText) -> BTreeSet<usize> {
        self.texts += 1;
        let made_on = self.solved.iter().find(|s| s.0 == base).map(|s| s.1);
        let expected = |diff: &FileDiff| {
            let file = made_on.and_then(|s| s.files.iter().find(|f| f.path == diff.path));
            file.and_then(|f| f.before.as_ref())
                .map_or(Expected::Headers, |before| carry::expected(diff, before))
        };
        let expected: Vec<Expected> = text.files.iter().map(expected).collect();
        (0..self.solved.len()).filter(|&at| self.covers(text, &expected, at)).collect()
    }

    fn covers(&mut self, text: &PatchText, expected: &[Expected], at: usize) -> bool {
        let truth = &self.solved[at].1.files;
        truth.len() == text.files.len()
            && text.files.iter().zip(expected).enumerate().all(|(index, (diff, expected))| {
                let Some(file) = truth.iter().find(|f| f.path == diff.path) else { return false };
                let Some(before) = &file.before else {
                    return matches!(diff.change, Change::Create { .. })
                        && diff.created() == file.after.bytes;
                };
                let key = (self.texts, index, before.oid, file.after.oid);
                let gives = || strictly_gives(diff, before, expected, &file.after);
                *self.memo.entry(key).or_insert_with(gives)
            })
    }
}

/// True if strict application gives `after`: every hunk in its function, and where tools that take
/// the nearest site would put it too.
fn strictly_gives(diff: &FileDiff, before: &Content, expected: &Expected, after: &Content) -> bool {
    let applied =
        apply::apply_at_headers(diff, before).or_else(|| apply::apply(diff, before, expected).ok());
    applied.is_some_and(|applied| {
        let mut hunks = diff.hunks.iter().zip(&applied.sites).enumerate();
        hunks.all(|(i, (h, site))| site.nearest && expected.holds(i, h, before, site))
            && applied.gives(diff, before, &after.bytes)
    })
}
