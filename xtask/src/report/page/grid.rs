// SPDX-License-Identifier: MIT
//! Patch × version: what became of each, newest version first, and the places of every hunk.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Input, Row, problems, words};
use crate::rebase::{Cell, FileReport, Outcome};

pub fn section(input: &Input<'_>) -> Markup {
    let patches = &input.series.patches;
    let used: BTreeSet<Outcome> =
        input.rows.iter().flat_map(|r| r.cells).map(|c| c.outcome).collect();
    let rows: Vec<&Row<'_>> = input.rows.iter().rev().collect();
    html! {
        @if rows.is_empty() {
            (words::missing(
                "No release of systemd is in the cache.", "cargo xtask rebase-patches"))
        } @else {
            div.tools {
                button #all type="button" aria-pressed="false" {
                    "Show all " (rows.len()) " releases"
                }
                ul.legend {
                    @for outcome in &used {
                        li { (words::badge((
                            words::mark(*outcome), words::tone(*outcome), outcome.word()
                        ))) " " (words::meaning(*outcome)) }
                    }
                }
            }
            div.scroll tabindex="0" role="group" aria-label="Outcomes by release and patch" {
                table.grid {
                    caption.sr { "What became of each patch on each release" }
                    thead { tr {
                        th scope="col" { "systemd" }
                        @for p in patches {
                            th scope="col" data-patch=(p.id) {
                                a href={ "#patch-" (p.id) } title=(p.title) {
                                    span.num { (&p.id[..4]) } " " (words::short(&p.id))
                                }
                            }
                        }
                        th scope="col" { "boot" }
                    } }
                    @for major in rows.chunk_by(|a, b| a.version.major == b.version.major) {
                        tbody {
                            @for (index, row) in major.iter().enumerate() {
                                (line(input, row, index, major))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn line(input: &Input<'_>, row: &Row<'_>, index: usize, major: &[&Row<'_>]) -> Markup {
    // The newest of a major speaks for those before it, unless one of them waits for a person in
    // another way.
    let told = |a: &Cell, b: &Cell| a.outcome.is_settled() || a.outcome == b.outcome;
    let speaks = |newest: &Row<'_>| row.cells.iter().zip(newest.cells).all(|(a, b)| told(a, b));
    let unseen = input.sites.new.iter().any(|new| new.version == row.version);
    let minor = index > 0 && speaks(major[0]) && !unseen;
    let hidden = major.len() - 1;
    let text = |cells: &[Cell]| {
        cells
            .iter()
            .map(|c| c.outcome.word())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    html! {
        tr .minor[minor] data-row data-text={ (row.version) " " (text(row.cells)) } {
            th scope="row" {
                a href={ "#version-" (row.version) } { (row.version) }
                @if index == 0 && hidden > 0 { " " small.more { "+" (hidden) } }
                @if unseen {
                    " " a href={ "#" (super::places::id(row.version)) }
                        title="nobody has looked at places that a refusal can reach here" { "?" }
                }
            }
            @for cell in row.cells {
                @let outcome = cell.outcome;
                td class=(words::tone(outcome)) data-patch=(cell.patch) {
                    a href=(target(input, row, cell)) title=(title(cell)) {
                        span.m aria-hidden="true" { (words::mark(outcome)) } " "
                        span.w { (outcome.word()) }
                    }
                }
            }
            td.boot { (super::boots::short(input, row)) }
        }
    }
}

/// Where a cell leads: what needs a person leads to the problem.
fn target(input: &Input<'_>, row: &Row<'_>, cell: &Cell) -> String {
    if cell.outcome.is_settled() {
        return format!("#{}", id(cell, row));
    }
    let first = problems::first_with(input, row, cell).unwrap_or(row.version);
    format!("#problem-{}-{first}", cell.patch)
}

fn id(cell: &Cell, row: &Row<'_>) -> String {
    format!("cell-{}-{}", cell.patch, row.version)
}

fn title(cell: &Cell) -> String {
    let from = cell.from.map(|v| format!(", variant {v}")).unwrap_or_default();
    let reason = cell.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
    format!("{}{from}{reason}", words::meaning(cell.outcome))
}

/// Each cell in full, folded by version.
pub fn details(input: &Input<'_>) -> Markup {
    html! {
        p.sub { "Where every hunk lands, release by release: the function, and by how many lines it moved." }
        @for row in input.rows.iter().rev() {
            details.version id={ "version-" (row.version) } data-row
                data-text=(row.version) {
                summary {
                    b { (row.version) } " "
                    span.tally { (tally(row)) }
                    @if let Some(tree) = &row.patched { " " code.tree title="the tree with all patches" { (tree.short()) } }
                }
                div.scroll tabindex="0" role="group" aria-label={ "Cells of " (row.version) } {
                table.cells {
                    thead { tr {
                        th scope="col" { "patch" } th scope="col" { "outcome" }
                        th scope="col" { "variant" } th scope="col" { "lands in" }
                    } }
                    tbody { @for cell in row.cells { (full(row, cell)) } }
                }
                }
            }
        }
    }
}

fn full(row: &Row<'_>, cell: &Cell) -> Markup {
    let o = cell.outcome;
    html! {
        tr id=(id(cell, row)) data-patch=(cell.patch) {
            th scope="row" { a href={ "#patch-" (cell.patch) } { (cell.patch) } }
            td { (words::badge((words::mark(o), words::tone(o), o.word()))) }
            td { @if let Some(v) = cell.from { a href={ "#variant-" (cell.patch) "-" (v) } { (v) } } }
            td {
                @if let Some(reason) = &cell.reason { p.reason { (reason) } }
                @if !cell.files.is_empty() { ul { @for f in &cell.files { li { (lands(f)) } } } }
                @if !cell.cross_checked && o.is_applied() {
                    p.warn { "not cross-checked: the release that the text was made on is not here" }
                }
            }
        }
    }
}

fn lands(file: &FileReport) -> Markup {
    html! {
        code.path { (file.path) }
        @if let Some(to) = &file.moved_to { " → " code.path { (to) } }
        @for (i, h) in file.hunks.iter().enumerate() {
            (if i == 0 { ": " } else { ", " })
            (if h.functions.is_empty() { "top level".to_owned() } else { h.functions.join(" + ") })
            @if h.offset != 0 { " " span.off { (format!("{:+}", h.offset)) } }
        }
        @if let Some(reason) = &file.reason { " " em { (reason) } }
    }
}

/// `5 clean, 2 moved`
fn tally(row: &Row<'_>) -> String {
    let mut outcomes: Vec<Outcome> = row.cells.iter().map(|c| c.outcome).collect();
    outcomes.sort();
    let groups = outcomes.chunk_by(|a, b| a == b);
    groups.map(|g| format!("{} {}", g.len(), g[0].word())).collect::<Vec<_>>().join(", ")
}
