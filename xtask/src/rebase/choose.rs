// SPDX-License-Identifier: MIT
//! Which variant of a patch is carried to a version.

use std::sync::Arc;

use anyhow::Result;
use git2::Repository;

use super::apply::{self, Expected};
use super::attempt::{Attempt, Known, Origin, attempt};
use super::carry::Base;
use super::objects::Blobs;
use super::outcome::Outcome;
use super::tree::State;
use crate::series::Patch;
use crate::version::SystemdVersion;

/// The variant, what it gives, and the variants that apply as well with another result.
pub type Choice<'a> = (Option<&'a Origin>, Attempt, Vec<SystemdVersion>);

/// Tries the variants and takes the best answer; among equals the one listed first: the variant
/// made on this version, the one assigned to it, then the nearest.
pub fn choose<'a>(
    repo: &Repository,
    blobs: &Blobs,
    known: &Known<'_>,
    patch: &Patch,
    origins: &'a [Origin],
    state: &State,
) -> Result<Choice<'a>> {
    let version = state.version;
    let assigned = patch.variant_for(version).map(|v| v.base);
    let mut order: Vec<usize> = (0..origins.len()).collect();
    order.sort_by_key(|&i| {
        let base = origins[i].version;
        (base != version, Some(base) != assigned, distance(base, version))
    });
    let mut attempts: Vec<(usize, Attempt)> = Vec::new();
    for &index in &order {
        let attempt = attempt(repo, blobs, known, index, &origins[index], state)?;
        // Applying and the reverse applying are both facts about the text: the nearest wins.
        let done = attempt.outcome <= Outcome::Moved || attempt.outcome == Outcome::AlreadyUpstream;
        attempts.push((index, attempt));
        if done {
            break;
        }
    }
    let weight = |o: Outcome| match o {
        Outcome::Clean | Outcome::Moved | Outcome::AlreadyUpstream => 0,
        other => other as usize,
    };
    // Of several conflicts the one with the least left to do.
    let open = |a: &Attempt| -> usize {
        let files = a.reports.iter().filter(|r| !r.outcome.is_settled());
        files.map(|r| 1 + r.collisions.len()).sum()
    };
    let rank = |a: &Attempt| (weight(a.outcome), open(a));
    let Some(best) = (0..attempts.len()).min_by_key(|&i| rank(&attempts[i].1)) else {
        let attempt = Attempt {
            outcome: Outcome::Conflict,
            reason: Some("the patch has no variant yet".into()),
            cross_checked: false,
            reports: Vec::new(),
            files: Vec::new(),
        };
        return Ok((None, attempt, Vec::new()));
    };
    let (index, best) = attempts.swap_remove(best);
    let rivals = order.iter().filter(|&&i| i != index && best.outcome.is_applied());
    let rivals = rivals.filter(|&&i| is_rival(repo, blobs, known, (i, &origins[i]), &best, state));
    let rivals = rivals.map(|&i| origins[i].version).collect();
    Ok((Some(&origins[index]), best, rivals))
}

/// True if the text applies strictly as well, in its functions, and gives other files than `best`.
fn is_rival(
    repo: &Repository,
    blobs: &Blobs,
    known: &Known<'_>,
    (origin_index, origin): (usize, &Origin),
    best: &Attempt,
    state: &State,
) -> bool {
    let mut differs = origin.text.files.len() != best.files.len();
    for (index, (diff, base)) in origin.text.files.iter().zip(&origin.bases).enumerate() {
        let Ok(Some((_, here))) = state.file(repo, blobs, &diff.path) else { return false };
        let expected = base.as_ref().map_or(&Expected::Headers, Base::functions);
        let key = (origin_index, index, here.oid);
        let applied = known.applied.get(key, || {
            let applied = apply::apply(diff, &here, expected).ok()?;
            let mut sites = diff.hunks.iter().zip(&applied.sites).enumerate();
            let holds = sites.all(|(i, (hunk, site))| expected.holds(i, hunk, &here, site));
            holds.then(|| Arc::new(applied))
        });
        let Some(applied) = applied else { return false };
        let ours = best.files.iter().find(|f| f.path == diff.path);
        differs |= ours.is_none_or(|f| !applied.gives(diff, &here, &f.after.bytes));
    }
    differs
}

/// How far two versions are apart: by major release, then by point release.
pub fn distance(a: SystemdVersion, b: SystemdVersion) -> (u32, u32) {
    (a.major.abs_diff(b.major), a.point().abs_diff(b.point()))
}
