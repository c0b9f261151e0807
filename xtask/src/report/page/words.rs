// SPDX-License-Identifier: MIT
//! Words, marks and numbers that several parts of the page share.

use maud::{Markup, html};

use crate::boot::verdict::{Outcome as Seen, Verdict};
use crate::rebase::Outcome;
use crate::series::VersionRange;
use crate::version::SystemdVersion;

/// A mark beside the word, since colour alone says nothing to many readers.
pub fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Clean => "✓",
        Outcome::Moved => "↕",
        Outcome::Merged => "⇄",
        Outcome::Accepted => "◉",
        Outcome::AlreadyUpstream => "↑",
        Outcome::Empty => "∅",
        Outcome::NotNeeded => "–",
        Outcome::Resolved => "◐",
        Outcome::PartlyUpstream => "◔",
        Outcome::NeedsReview => "?",
        Outcome::Conflict => "✗",
        Outcome::Unreadable => "!",
    }
}

/// One sentence on each outcome, for the legend.
pub fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Clean => "applies where its headers say",
        Outcome::Moved => "applies at other lines, in the same functions",
        Outcome::Merged => "a three-way merge puts it into the same functions",
        Outcome::Accepted => "found by a deeper method, and accepted",
        Outcome::AlreadyUpstream => "the change is in upstream's sources",
        Outcome::Empty => "merging changes nothing",
        Outcome::NotNeeded => "this release does without it",
        Outcome::Resolved => "a deeper method finds a place; a person has to agree",
        Outcome::PartlyUpstream => "some of it is upstream",
        Outcome::NeedsReview => "something fits, but not beyond doubt",
        Outcome::Conflict => "no method finds a place",
        Outcome::Unreadable => "a source file could not be read",
    }
}

/// The class that colours an outcome.
pub fn tone(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Clean | Outcome::Moved | Outcome::Merged | Outcome::Accepted => "good",
        Outcome::AlreadyUpstream | Outcome::Empty => "warn",
        Outcome::NotNeeded => "dim",
        _ => "bad",
    }
}

/// Mark and class of a check's outcome, and its word.
pub fn seen(outcome: &Seen) -> (&'static str, &'static str, &'static str) {
    match outcome {
        Seen::Holds => ("✓", "good", "holds"),
        Seen::Known(_) => ("≈", "warn", "known to fail"),
        Seen::Fails(_) => ("✗", "bad", "fails"),
        Seen::Broken(_) => ("!", "bad", "harness failed"),
        Seen::Skipped(_) => ("–", "dim", "skipped"),
        Seen::NotTried(_) => ("–", "warn", "not tried"),
    }
}

/// Why a check ended so, if it says.
pub fn because(outcome: &Seen) -> Option<&str> {
    match outcome {
        Seen::Holds => None,
        Seen::Fails(b)
        | Seen::Known(b)
        | Seen::Skipped(b)
        | Seen::NotTried(b)
        | Seen::Broken(b) => Some(b),
    }
}

/// Mark, class and word of a verdict.
pub fn verdict(verdict: Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Proven => ("✓", "good", "proven"),
        Verdict::Refuted => ("✗", "bad", "refuted"),
        Verdict::Unsound => ("!", "bad", "unsound"),
        Verdict::Broken => ("!", "bad", "broken"),
        Verdict::Incomplete => ("–", "warn", "incomplete"),
    }
}

/// A mark and a word in one colour.
pub fn badge((mark, tone, word): (&str, &str, &str)) -> Markup {
    html! { span class={ "badge " (tone) } { span aria-hidden="true" { (mark) } " " (word) } }
}

/// What to type.
pub fn command(text: &str) -> Markup {
    html! { code.cmd { (text) } }
}

/// A box that says what is missing, and what to type to get it.
pub fn missing(what: &str, type_this: &str) -> Markup {
    html! { p.missing { (what) " " (command(type_this)) } }
}

/// `2026-11-21`
pub fn day(seconds: u64) -> String {
    let id = crate::boot::record::stamp(at(seconds));
    format!("{}-{}-{}", &id[..4], &id[4..6], &id[6..8])
}

/// `13:05`
pub fn clock(seconds: u64) -> String {
    let id = crate::boot::record::stamp(at(seconds));
    format!("{}:{}", &id[9..11], &id[11..13])
}

pub fn time(seconds: u64) -> String {
    format!("{} {} UTC", day(seconds), clock(seconds))
}

fn at(seconds: u64) -> std::time::SystemTime {
    // The year 9999 is late enough for a page, and has four digits.
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.min(253_402_300_799))
}

/// `8 s`, `2 min 5 s`
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round();
    if whole < 10.0 {
        format!("{seconds:.1} s")
    } else if whole < 120.0 {
        format!("{whole:.0} s")
    } else {
        format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// Versions in words, runs of a major shortened: `257 - 257.13, 262`.
pub fn versions(versions: &[SystemdVersion]) -> String {
    let span = |group: &[SystemdVersion]| match group {
        [from, .., to] => VersionRange { from: *from, to: *to }.to_string(),
        [one] => one.to_string(),
        [] => String::new(),
    };
    let groups = versions.chunk_by(|a, b| a.major == b.major);
    groups.map(span).collect::<Vec<_>>().join(", ")
}

/// The part of a patch's id that tells it from others: `cgroup` of `0002-cgroup`.
pub fn short(id: &str) -> &str {
    id.split_once('-').map_or(id, |(_, name)| name)
}

/// A name that can be part of an id in the page.
pub fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    text.chars().map(plain).collect()
}
