// SPDX-License-Identifier: MIT
//! All that is known, as one HTML page that needs nothing else: no network, no other file.
//!
//! Pure: what is shown comes in as [`Input`]. Text of others (commits, logs, sources) reaches the
//! page through [`maud`], which escapes it; only the style and the script are put in as they are.
//! Every part also works without the script, which filters, unfolds and knows keys.

mod ablation;
mod boots;
mod code;
mod grid;
mod places;
mod problems;
mod story;
mod timeline;
mod trend;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::boot::record::Record;
use crate::rebase::Cell;
use crate::series::Series;
use crate::sites::Review;
use crate::sources::{Lock, TreeId};
use crate::version::SystemdVersion;

/// Nothing is fetched from anywhere, whatever the page's text says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// What the page is made of.
#[derive(Debug)]
pub struct Input<'a> {
    /// Seconds since 1970.
    pub made_s: u64,
    pub series: &'a Series,
    pub lock: &'a Lock,
    /// Oldest version first.
    pub rows: Vec<Row<'a>>,
    /// Verified before, and not to be had here.
    pub kept: &'a [SystemdVersion],
    /// Places that a refusal can reach, as far as somebody must look at them.
    pub sites: &'a Review,
    /// Oldest first.
    pub records: &'a [Record],
    /// Records that could not be read, and why.
    pub unread: &'a [String],
}

/// One version, as the engine has judged it now.
#[derive(Debug)]
pub struct Row<'a> {
    pub version: SystemdVersion,
    /// One per patch of the series.
    pub cells: &'a [Cell],
    /// The tree with all patches; none while an outcome is unsettled.
    pub patched: Option<TreeId>,
}

impl Input<'_> {
    /// How many cells wait for a person.
    pub fn unsettled(&self) -> usize {
        self.rows.iter().flat_map(|r| r.cells).filter(|c| !c.outcome.is_settled()).count()
    }

    /// A release, with a link to its cells if it was judged; records may know others.
    fn release(&self, version: SystemdVersion) -> Markup {
        let judged = self.rows.iter().any(|r| r.version == version);
        html! {
            @if judged { a href={ "#version-" (version) } { (version) } } @else { (version) }
        }
    }

    /// A patch, with a link to its story if the series still has it.
    fn patch(&self, id: &str) -> Markup {
        let there = self.series.patches.iter().any(|p| p.id == id);
        html! { @if there { a href={ "#patch-" (id) } { (id) } } @else { (id) } }
    }
}

/// The whole page.
pub fn html(input: &Input<'_>) -> String {
    let problems = problems::find(input);
    let places = places::find(input.sites);
    let open = problems.len() + places.len();
    let sections = [
        ("attention", "Attention", problems::section(input, &problems, &places)),
        ("grid", "Grid", grid::section(input)),
        ("boots", "Boots", boots::section(input)),
        ("patches", "Patches", story::section(input)),
        ("ablation", "Ablation", ablation::section(input)),
        ("timelines", "Timelines", timeline::section(input)),
        ("trend", "Trend", trend::section(input)),
        ("runs", "Runs", boots::runs(input)),
        ("versions", "Cells", grid::details(input)),
    ];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="cargo xtask report";
                title { "plainboot: " (verdict(input, open)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.bar {
                    a.name href="#top" { "plainboot" }
                    nav aria-label="Sections" {
                        @for (id, title, _) in &sections {
                            a href={ "#" (id) } {
                                (title)
                                @if *id == "attention" && open > 0 { " " span.count { (open) } }
                            }
                        }
                    }
                    form.filter role="search" {
                        label.sr for="filter" { "Filter by version, patch or outcome" }
                        input #filter type="search" placeholder="Filter: 258 conflict cgroup"
                            autocomplete="off" spellcheck="false";
                        output #matches for="filter" {}
                    }
                }
                main #main {
                    (summary(input, open))
                    @for (id, title, body) in &sections {
                        section id=(id) aria-labelledby={ "h-" (id) } {
                            h2 id={ "h-" (id) } { a href={ "#" (id) } { (title) } }
                            (body)
                        }
                    }
                }
                (footer(input))
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    page.into_string()
}

/// The page in one line, for its title and its head.
fn verdict(input: &Input<'_>, problems: usize) -> String {
    match (input.rows.len(), problems) {
        (0, _) => "No release of systemd is here".to_owned(),
        (versions, 0) => {
            format!("{} patches fit {versions} systemd releases", input.series.patches.len())
        }
        (_, 1) => "1 problem needs a person".to_owned(),
        (_, n) => format!("{n} problems need a person"),
    }
}

fn summary(input: &Input<'_>, problems: usize) -> Markup {
    let newest = input.rows.last().map(|r| r.version);
    let proofs = boots::proofs(input);
    let fresh = proofs.iter().filter(|p| p.fresh != Some(false)).count();
    let last = input.records.last();
    let plain = trend::plain(input.records);
    let boot = newest.and_then(|v| plain.iter().rev().find(|p| p.version == v));
    html! {
        div #top .lead {
            h1 class=(if problems > 0 { "bad" } else { "good" }) {
                span.mark aria-hidden="true" { (if problems > 0 { "✗" } else { "✓" }) } " " (verdict(input, problems))
            }
            p.sub {
                "systemd as PID 1 in a plain container. Made " (words::time(input.made_s))
                " by " code { "cargo xtask report" } "."
            }
            dl.figures {
                div { dt { "Newest release" } dd { (newest.map_or("none".into(), |v| v.to_string())) } }
                div { dt { "Releases carried" } dd { (input.rows.len()) } }
                div { dt { "To look at" } dd {
                    @let cells = input.unsettled();
                    a href="#attention" { (cells) " " (if cells == 1 { "cell" } else { "cells" }) }
                    @match input.sites.new.len() {
                        0 => {},
                        1 => small { "1 place" },
                        n => small { (n) " places" },
                    }
                } }
                div { dt { "Proved by a boot" } dd {
                    a href="#boots" { (fresh) " " (if fresh == 1 { "release" } else { "releases" }) }
                    @if fresh < proofs.len() { small { (proofs.len() - fresh) " stale" } }
                } }
                div { dt { "Boot of the newest" } dd {
                    @match boot {
                        Some(p) => { a href="#trend" { (p.ms) " ms" } small { (words::day(p.started_s)) } }
                        None => "not measured",
                    }
                } }
                div { dt { "Last run" } dd {
                    @match last {
                        Some(r) => { a href={ "#run-" (r.id) } { (words::day(r.started_s)) } small { (words::clock(r.started_s)) } }
                        None => "none",
                    }
                } }
            }
        }
    }
}

fn footer(input: &Input<'_>) -> Markup {
    html! {
        footer {
            p {
                (input.series.patches.len()) " patches, " (input.rows.len()) " releases, "
                (input.records.len()) " records. No part of this page comes from a network."
            }
            @if !input.kept.is_empty() {
                p {
                    "Not here, so not judged again: " (words::versions(input.kept)) ". To get them: "
                    (words::command("cargo xtask rebase-patches --systemd-git PATH-OR-URL"))
                }
            }
            @for unread in input.unread { p.bad { "Not read: " (unread) } }
            p.keys {
                kbd { "/" } " filter  " kbd { "n" } " " kbd { "p" } " next, previous problem  "
                kbd { "a" } " all releases  " kbd { "g" } " grid  " kbd { "b" } " boots  "
                kbd { "t" } " top  " kbd { "Esc" } " clear"
            }
        }
    }
}

#[cfg(test)]
mod tests;
