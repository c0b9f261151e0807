// SPDX-License-Identifier: MIT
//! What needs a person: the culprit, both sides, and what to type. The same problem on several
//! versions is shown once.

use maud::{Markup, html};

use super::places::{self, Places};
use super::{Input, Row, code, words};
use crate::patch::Hunk;
use crate::rebase::{Broken, Cause, Cell, Collision, FileReport, Outcome};
use crate::version::SystemdVersion;

/// One problem, and the versions that have it, oldest first.
pub struct Problem<'a> {
    pub cell: &'a Cell,
    pub versions: Vec<SystemdVersion>,
}

/// All problems, newest version first.
pub fn find<'a>(input: &'a Input<'_>) -> Vec<Problem<'a>> {
    let mut found: Vec<Problem<'a>> = Vec::new();
    for row in &input.rows {
        for cell in row.cells.iter().filter(|c| !c.outcome.is_settled()) {
            match found.iter_mut().find(|p| same(p.cell, cell)) {
                Some(problem) => problem.versions.push(row.version),
                None => found.push(Problem { cell, versions: vec![row.version] }),
            }
        }
    }
    found.sort_by(|a, b| b.versions.last().cmp(&a.versions.last()));
    found
}

/// The oldest version with the problem of `cell`, by which its place in the page is called.
pub fn first_with(input: &Input<'_>, row: &Row<'_>, cell: &Cell) -> Option<SystemdVersion> {
    let upto = input.rows.iter().take_while(|r| r.version <= row.version);
    let mut has = upto.filter(|r| r.cells.iter().any(|c| !c.outcome.is_settled() && same(c, cell)));
    has.next().map(|r| r.version)
}

/// Line numbers differ from release to release; the problem is the same.
fn same(a: &Cell, b: &Cell) -> bool {
    let causes = |c: &Cell| -> Vec<(String, usize, String, Option<Cause>)> {
        let key = |x: &Broken| (x.path.clone(), x.hunk, x.after.clone(), commit(x.cause.clone()));
        c.broken.iter().map(key).collect()
    };
    let files = |c: &Cell| -> Vec<(String, Outcome)> {
        let open = c.files.iter().filter(|f| !f.outcome.is_settled());
        open.map(|f| (f.path.clone(), f.outcome)).collect()
    };
    a.patch == b.patch
        && a.outcome == b.outcome
        && a.from == b.from
        && files(a) == files(b)
        && causes(a) == causes(b)
}

/// Two versions are no cause of their own.
fn commit(cause: Option<Cause>) -> Option<Cause> {
    cause.filter(|c| matches!(c, Cause::Commit { .. }))
}

pub fn section(input: &Input<'_>, problems: &[Problem<'_>], places: &[Places]) -> Markup {
    html! {
        @if input.rows.is_empty() {
            p.missing { "Nothing was judged: see the grid." }
        } @else if problems.is_empty() && places.is_empty() {
            p.calm {
                (words::badge(("✓", "good", "nothing"))) " needs a person. To look ahead, at upstream's main branch: "
                (words::command("cargo xtask bisect --systemd-git PATH-OR-URL"))
            }
        } @else {
            ol.index {
                @for p in problems { li { a href={ "#" (id(p)) } {
                    (words::badge((words::mark(p.cell.outcome), words::tone(p.cell.outcome), p.cell.outcome.word())))
                    " " b { (p.cell.patch) } " on " (words::versions(&p.versions))
                    @if let Some(Cause::Commit { subject, .. }) = culprit(p) { ": " (subject) }
                } } }
                @for p in places { li { (places::line(p)) } }
            }
            @for p in problems { (card(input, p)) }
            @for p in places { (places::card(p)) }
        }
    }
}

fn id(p: &Problem<'_>) -> String {
    p.versions.first().map_or(String::new(), |v| format!("problem-{}-{v}", p.cell.patch))
}

fn culprit<'a>(p: &Problem<'a>) -> Option<&'a Cause> {
    p.cell.broken.iter().find_map(|b| b.cause.as_ref())
}

fn card(input: &Input<'_>, p: &Problem<'_>) -> Markup {
    let cell = p.cell;
    let open: Vec<&FileReport> = cell.files.iter().filter(|f| !f.outcome.is_settled()).collect();
    let text = format!("{} {} {}", cell.patch, cell.outcome.word(), words::versions(&p.versions));
    html! {
        article.problem id=(id(p)) tabindex="-1" data-row data-text=(text) data-patch=(cell.patch) {
            h3 {
                (words::badge((words::mark(cell.outcome), words::tone(cell.outcome), cell.outcome.word())))
                " " a href={ "#patch-" (cell.patch) } { (cell.patch) } " on systemd " (words::versions(&p.versions))
            }
            @if let Some(from) = cell.from {
                p.sub { "carried from " a href={ "#variant-" (cell.patch) "-" (from) } { "the text made on " (from) } }
            }
            @if let Some(reason) = &cell.reason { p { (reason) } }
            @if !cell.without.is_empty() {
                p.warn { "preliminary: without " (cell.without.join(", ")) }
            }
            @for b in &cell.broken { (broken(b, hunk(input, cell, b))) }
            @for file in &open {
                @if !cell.broken.iter().any(|b| b.path == file.path) {
                    h4 { code { (file.path) } }
                    @if let Some(reason) = &file.reason { p { (reason) } }
                    @if let Some(method) = file.method { p.sub { "found " (method.how()) } }
                    @for c in &file.collisions { (collision(c)) }
                }
            }
            (way_out(p))
        }
    }
}

/// The hunk of the variant that was carried.
fn hunk<'a>(input: &'a Input<'_>, cell: &Cell, b: &Broken) -> Option<&'a Hunk> {
    let patch = input.series.patches.iter().find(|p| p.id == cell.patch)?;
    let variant = patch.variants.iter().find(|v| Some(v.base) == cell.from)?;
    let file = variant.text.files.iter().find(|f| f.path == b.path)?;
    file.hunks.get(b.hunk.checked_sub(1)?)
}

fn broken(b: &Broken, hunk: Option<&Hunk>) -> Markup {
    let made_in = b.made_in.join(", ");
    html! {
        h4 {
            code { (b.path) } ", hunk " (b.hunk)
            @if !made_in.is_empty() { ", made in " code { (made_in) } }
        }
        (cause(b.cause.as_ref()))
        div.sides {
            figure {
                figcaption { "What upstream did there" }
                @if b.before.is_empty() && b.after.is_empty() {
                    p.sub { "not known: the release that the text was made on is not here" }
                } @else {
                    (code::change("Upstream's change", &b.before, &b.after))
                }
            }
            @if let Some(hunk) = hunk {
                figure {
                    figcaption { "What the patch does there" }
                    pre.code tabindex="0" role="group" aria-label="The patch's change" { (code::hunk(hunk)) }
                }
            }
        }
        @if let Some(w) = &b.went {
            p { "The code is now in "
                @if !w.function.is_empty() { code { (w.function) } ", " }
                code { (w.path) } " line " (w.line) "."
            }
        }
        @if let Some(s) = &b.suggestion {
            details {
                summary { "A hunk that might do; nobody has checked that it is right" }
                (code::text("A suggestion", s))
            }
        }
    }
}

fn cause(cause: Option<&Cause>) -> Markup {
    html! { @match cause {
        Some(Cause::Commit { id, date, author, subject, link, undone }) => {
            p.culprit {
                span.role { @if *undone { "Needs, and this release lacks" } @else { "Broken by" } } " "
                @let short = id.get(..10).unwrap_or(id);
                @match link.as_deref().filter(|l| l.starts_with("https://")) {
                    Some(link) => a.commit href=(link) rel="noreferrer" { code { (short) } },
                    None => code { (short) },
                }
                " " b { (subject) } br;
                span.sub { (author) ", " time datetime=(date) { (date) } }
            }
        },
        Some(Cause::Versions { fits, broken }) => {
            p.culprit { "Fits " (fits) ", not " (broken) ". The history in between is not here; a full clone of upstream names the commit: "
                (words::command("cargo xtask report --systemd-git PATH-OR-URL")) }
        },
        None => {},
    } }
}

fn collision(c: &Collision) -> Markup {
    html! {
        p.sub { "line " (c.line) @if !c.function.is_empty() { ", in " code { (c.function) } } }
        div.sides {
            figure {
                figcaption { "This release" }
                @match &c.ours {
                    Some(ours) => (code::change("This release's change", &c.base, ours)),
                    None => p.sub { "nothing to compare: the release that the text was made on is not here" },
                }
            }
            figure {
                figcaption { "The patch" }
                (code::change("The patch's change", &c.base, &c.theirs))
            }
        }
    }
}

fn way_out(p: &Problem<'_>) -> Markup {
    let first = p.versions.first().map(ToString::to_string).unwrap_or_default();
    html! {
        div.next {
            h4 { "What to type" }
            @if p.cell.outcome == Outcome::Resolved {
                p { "To take it: " (words::command(&format!("cargo xtask rebase-patches --accept-resolved {first}"))) }
            }
            p { "To solve it by hand: " (words::command(&format!("cargo xtask resolve {} {first}", p.cell.patch)))
                ", or write " code { "patches/" (p.cell.patch) "/" (first) ".patch" } " and run "
                (words::command(&format!("cargo xtask rebase-patches {first}"))) }
            p { "Then prove it: " (words::command(&format!("cargo xtask test-image --systemd {first}"))) }
        }
    }
}
