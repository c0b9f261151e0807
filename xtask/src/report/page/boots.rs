// SPDX-License-Identifier: MIT
//! Builds and boots: version × architecture × engine; and all runs.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{Input, Row, words};
use crate::boot::record::{CheckRecord, Record, Subject};
use crate::boot::verdict::{Outcome, Verdict};
use crate::version::SystemdVersion;

/// A proof in the lock.
pub struct Proof {
    pub version: SystemdVersion,
    /// Architecture and engine.
    pub place: String,
    /// The series still gives the tree that was booted; `None` if that is not known here.
    pub fresh: Option<bool>,
}

pub fn proofs(input: &Input<'_>) -> Vec<Proof> {
    let mut all = Vec::new();
    for entry in input.lock.iter() {
        let row = input.rows.iter().find(|r| r.version == entry.version);
        let now = row.and_then(|r| r.patched.as_ref());
        for booted in &entry.booted {
            all.push(Proof {
                version: entry.version,
                place: format!("{}, {}", booted.arch, booted.engine),
                fresh: match (row, now) {
                    (Some(_), Some(tree)) => Some(*tree == booted.patched),
                    (Some(_), None) => Some(false),
                    (None, _) => None,
                },
            });
        }
    }
    all
}

/// The newest boot of a version at each place.
struct Boot<'a> {
    record: &'a Record,
    subject: &'a Subject,
}

fn place(record: &Record) -> String {
    let emulated = if record.engine.emulated { ", emulated" } else { "" };
    format!("{}, {}{emulated}", record.engine.arch(), record.engine.release())
}

/// By version and place the newest complete run of the patched image, or else the newest of all.
fn newest<'a>(records: &'a [Record]) -> BTreeMap<(SystemdVersion, String), Boot<'a>> {
    let mut found: BTreeMap<_, Boot<'a>> = BTreeMap::new();
    for record in records {
        for subject in record.subjects.iter().filter(|s| s.flavour == "patched") {
            let key = (subject.version, place(record));
            let keeps = found.get(&key).is_some_and(|b| b.subject.complete && !subject.complete);
            if !keeps {
                found.insert(key, Boot { record, subject });
            }
        }
    }
    found
}

/// For the grid: how the last boot of a version ended, anywhere.
pub fn short(input: &Input<'_>, row: &Row<'_>) -> Markup {
    let boots = newest(input.records);
    let mine = boots.iter().filter(|((v, _), _)| *v == row.version).map(|(_, b)| b);
    let last = mine.max_by_key(|b| (b.subject.complete, b.record.started_s));
    let locked = proofs(input).into_iter().find(|p| p.version == row.version);
    html! {
        @match (last, locked) {
            (Some(b), _) => {
                @let (mark, tone, word) = words::verdict(b.subject.verdict);
                a href={ "#run-" (b.record.id) } class=(tone) title={ "last run: " (b.subject.verdict.sentence()) } {
                    span.m aria-hidden="true" { (mark) } " " span.w { (word) }
                }
            },
            (None, Some(p)) => {
                @let stale = p.fresh == Some(false);
                a href="#boots" class=(if stale { "warn" } else { "good" }) title=(p.place) {
                    span.m aria-hidden="true" { (if stale { "≠" } else { "✓" }) } " "
                    span.w { (if stale { "stale" } else { "in the lock" }) }
                }
            },
            (None, None) => span.dim title={ "cargo xtask test-image --systemd " (row.version) } {
                span.m aria-hidden="true" { "·" } span.sr { "not booted" }
            },
        }
    }
}

pub fn section(input: &Input<'_>) -> Markup {
    let boots = newest(input.records);
    let proofs = proofs(input);
    let places: BTreeSet<String> = boots
        .keys()
        .map(|(_, place)| place.clone())
        .chain(proofs.iter().map(|p| p.place.clone()))
        .collect();
    let newest = input.rows.last().map(|r| r.version);
    let versions: BTreeSet<SystemdVersion> =
        boots.keys().map(|k| k.0).chain(proofs.iter().map(|p| p.version)).chain(newest).collect();
    html! {
        p.sub {
            "The newest run of each patched release at each place. A proof in the lock is stale once "
            "the series gives another tree."
        }
        @if input.records.is_empty() {
            (words::missing("No run was recorded in this cache.", "cargo xtask test-image"))
        }
        @if places.is_empty() {} @else {
            div.scroll tabindex="0" role="group" aria-label="Boots by release and engine" {
                table.boots {
                    thead { tr {
                        th scope="col" { "systemd" }
                        th scope="col" { "built in" }
                        @for p in &places { th scope="col" { (p) } }
                    } }
                    tbody { @for v in versions.iter().rev() {
                        tr data-row data-text={ (v) } {
                            th scope="row" { (input.release(*v)) }
                            td { (built(input, *v)) }
                            @for place in &places {
                                @let boot = boots.get(&(*v, place.clone()));
                                @let proof = proofs.iter().find(|p| p.version == *v && p.place == *place);
                                @let elsewhere = places.iter().any(|p| {
                                    boots.contains_key(&(*v, p.clone()))
                                        || proofs.iter().any(|x| x.version == *v && x.place == *p)
                                });
                                td { (cell(*v, boot, proof, elsewhere)) }
                            }
                        }
                    } }
                }
            }
        }
    }
}

fn cell(
    version: SystemdVersion,
    boot: Option<&Boot<'_>>,
    proof: Option<&Proof>,
    elsewhere: bool,
) -> Markup {
    html! {
        @if let Some(Boot { record, subject }) = boot {
            a href={ "#run-" (record.id) } { (words::badge(words::verdict(subject.verdict))) }
            " " b { (subject.boot.answer_ms) " ms" }
            br;
            small { (tally(&subject.checks)) @if !subject.complete { " (a choice)" }
                "; " (words::duration(record.seconds)) "; " (words::day(record.started_s)) }
        }
        @if let Some(p) = proof {
            @if boot.is_some() { br; }
            @match p.fresh {
                Some(true) => small { (words::badge(("✓", "good", "proof in the lock"))) },
                Some(false) => small { (words::badge(("≠", "warn", "proof is stale"))) " "
                    (words::command(&format!("cargo xtask test-image --systemd {version} --record"))) },
                None => small { "proof in the lock" },
            }
        }
        @if boot.is_none() && proof.is_none() {
            @if elsewhere { span.dim title="not tried here" { "·" } }
            @else { small { (words::command(&format!("cargo xtask test-image --systemd {version}"))) } }
        }
    }
}

/// How long building a version took when it was last built in full or in part.
fn built(input: &Input<'_>, version: SystemdVersion) -> Markup {
    let step = |flavour: &str| {
        let title = format!("build systemd {version} ({flavour})");
        let all = input.records.iter().rev().flat_map(|r| &r.steps);
        all.filter(|s| s.title == title).map(|s| s.seconds).next()
    };
    html! {
        @match (step("stock"), step("patched")) {
            (None, None) => small.dim { "not recorded" },
            (stock, patched) => {
                @if let Some(s) = stock { (words::duration(s)) " stock" br; }
                @if let Some(s) = patched { (words::duration(s)) " patched" }
            },
        }
    }
}

/// `60 hold, 9 known`
fn tally(checks: &[CheckRecord]) -> String {
    let words: Vec<&str> = checks.iter().map(|c| words::seen(&c.outcome).2).collect();
    let mut parts = Vec::new();
    for (word, plural) in [
        ("holds", "hold"),
        ("fails", "fail"),
        ("harness failed", "broken"),
        ("known to fail", "known"),
        ("not tried", "not tried"),
        ("skipped", "skipped"),
    ] {
        let count = words.iter().filter(|w| **w == word).count();
        if count > 0 {
            parts.push(format!("{count} {plural}"));
        }
    }
    parts.join(", ")
}

/// Every record, newest first; what does not simply hold is told.
pub fn runs(input: &Input<'_>) -> Markup {
    html! {
        @if input.records.is_empty() {
            (words::missing("No run was recorded in this cache.", "cargo xtask test-image"))
        } @else {
            p.sub { "Transcripts are in the cache, under " code { "runs/" } " and the run's name." }
            @for record in input.records.iter().rev() { (run(record)) }
        }
    }
}

fn run(record: &Record) -> Markup {
    let subjects = &record.subjects;
    let worst = subjects.iter().find(|s| s.verdict != Verdict::Proven).or(subjects.first());
    let mut names: Vec<String> =
        subjects.iter().map(|s| format!("{} {}", s.version, s.flavour)).collect();
    names.dedup();
    html! {
        details.run id={ "run-" (record.id) } data-row data-text={ (names.join(" ")) " " (worst.map_or("", |s| words::verdict(s.verdict).2)) } {
            summary {
                span.when { (words::day(record.started_s)) " " (words::clock(record.started_s)) } " "
                @if let Some(s) = worst { (words::badge(words::verdict(s.verdict))) " " }
                span.names { (names.join("; ")) }
                @if !record.ablations.is_empty() { " " small { "+ " (record.ablations.len()) " ablations" } }
                " " small.place { (place(record)) ", " (words::duration(record.seconds)) }
            }
            @for s in subjects {
                h3 { "systemd " (s.version) " (" (s.flavour) "): " (s.verdict.sentence()) }
                p.sub {
                    (tally(&s.checks)) @if !s.complete { ", a choice of checks" } "; boot "
                    (s.boot.state) " after " (s.boot.answer_ms) " ms, docker run " (s.boot.start_ms) " ms"
                    @if let Some(ms) = s.boot.userspace_ms { ", PID 1 counts " (ms) " ms" }
                    "; kernel " (record.engine.kernel)
                }
                (checks(s.checks.iter().filter(|c| c.outcome != Outcome::Holds)))
                @let held = s.checks.iter().filter(|c| c.outcome == Outcome::Holds).count();
                @if held > 0 {
                    details { summary { (held) " hold" }
                        (checks(s.checks.iter().filter(|c| c.outcome == Outcome::Holds)))
                    }
                }
            }
            @if !record.steps.is_empty() {
                details { summary { "Steps" }
                    table.plain { tbody { @for step in &record.steps {
                        tr { td { (step.title) } td.n { (words::duration(step.seconds)) } }
                    } } }
                }
            }
        }
    }
}

fn checks<'a>(checks: impl Iterator<Item = &'a CheckRecord>) -> Markup {
    let checks: Vec<&CheckRecord> = checks.collect();
    html! { @if !checks.is_empty() {
        ul.checks { @for c in checks { li {
            (words::badge(words::seen(&c.outcome))) " " code { (c.id) } " " (c.title)
            @if c.row != "Docker, plain" { " " small { "(" (c.row) ")" } }
            " " small { (c.ms) " ms" }
            @if let Some(because) = words::because(&c.outcome) { div.because { (because) } }
        } } }
    } }
}
