// SPDX-License-Identifier: MIT
//! What each part is needed for: an image without it, and the checks that fail then.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{Input, words};
use crate::boot::ablation::{Ablation, Answer, Part};
use crate::boot::record::Record;
use crate::boot::verdict::Outcome;
use crate::version::SystemdVersion;

/// What was last seen without a part, by version, each with its run.
type ByVersion<'a> = BTreeMap<SystemdVersion, (&'a Record, &'a Ablation)>;

/// By part: whether it is an entry of the profile, and its name.
pub fn last(records: &[Record]) -> BTreeMap<(bool, &str), ByVersion<'_>> {
    let mut found: BTreeMap<_, ByVersion<'_>> = BTreeMap::new();
    for record in records {
        for a in &record.ablations {
            let part = (a.kind == Part::Entry, a.left_out.as_str());
            found.entry(part).or_default().insert(a.version, (record, a));
        }
    }
    found
}

fn answer(answer: Answer) -> (&'static str, &'static str, &'static str) {
    match answer {
        Answer::Needed => ("✓", "good", "needed"),
        Answer::Dead => ("✗", "bad", "dead"),
        Answer::Unknown => ("?", "warn", "undecided"),
    }
}

/// Without each patch, and each entry of the profile, in turn.
pub fn section(input: &Input<'_>) -> Markup {
    let found = last(input.records);
    let versions: BTreeSet<SystemdVersion> =
        found.values().flat_map(|by| by.keys().copied()).collect();
    html! {
        p.sub { "An image without one part: the part is needed if a check then fails that holds with it." }
        @if found.is_empty() {
            (words::missing("Nothing was left out in a recorded run.", "cargo xtask test-image --ablate"))
        } @else {
            div.scroll tabindex="0" role="group" aria-label="Ablation matrix" {
                table.ablation {
                    thead { tr { th scope="col" { "without" }
                        @for v in &versions { th scope="col" { (v) } } } }
                    @for entries in [false, true] {
                        tbody {
                            @if entries { tr.group { th scope="rowgroup" colspan=(versions.len() + 1) { "entries of the container profile" } } }
                            @for ((_, part), by) in found.iter().filter(|((e, _), _)| *e == entries) {
                                tr data-row data-text=(part) {
                                    th scope="row" {
                                        @if entries { code { (part) } } @else { (input.patch(part)) }
                                    }
                                    @for v in &versions { td { @match by.get(v) {
                                        Some((record, a)) => (lacking(record, a)),
                                        None => span.dim { "·" },
                                    } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What was seen without a part: its answer, and which checks failed.
pub fn lacking(record: &Record, a: &Ablation) -> Markup {
    let failed: Vec<&str> = a
        .checks
        .iter()
        .filter(|c| matches!(c.outcome, Outcome::Fails(_)))
        .map(|c| c.id.as_str())
        .collect();
    html! {
        a href={ "#run-" (record.id) } { (words::badge(answer(a.answer))) }
        @if !failed.is_empty() { br; small { "fails: " (failed.join(", ")) } }
    }
}
