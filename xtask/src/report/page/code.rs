// SPDX-License-Identifier: MIT
//! Patches and differences in colours.

use maud::{Markup, html};

use crate::patch::{self, FileDiff, Hunk, Kind, PatchText};

/// A hunk, with its signs: the colours only help to see them. Neighbouring lines of one kind share
/// an element.
pub fn hunk(hunk: &Hunk) -> Markup {
    let count = |lines: usize| if lines == 1 { String::new() } else { format!(",{lines}") };
    html! {
        span.at {
            "@@ -" (hunk.old_start) (count(hunk.old_side().count()))
            " +" (hunk.new_start) (count(hunk.new_side().count())) " @@ "
            (String::from_utf8_lossy(&hunk.section)) "\n"
        }
        (lines(&hunk.lines))
    }
}

fn lines(lines: &[patch::Line]) -> Markup {
    html! {
        @for group in lines.chunk_by(|a, b| a.kind == b.kind) {
            @let (sign, class) = match group[0].kind {
                Kind::Context => (' ', "c"),
                Kind::Remove => ('-', "d"),
                Kind::Add => ('+', "a"),
            };
            span class=(class) {
                @for line in group {
                    (sign) (String::from_utf8_lossy(&line.text))
                    @if !line.text.ends_with(b"\n") { "\n\\ No newline at end of file\n" }
                }
            }
        }
    }
}

/// Lines added and removed by a patch.
pub fn size(text: &PatchText) -> (usize, usize) {
    let all = || text.files.iter().flat_map(|f| &f.hunks).flat_map(|h| &h.lines);
    let count = |kind| all().filter(|l| l.kind == kind).count();
    (count(Kind::Add), count(Kind::Remove))
}

/// A file of a patch.
pub fn file(diff: &FileDiff) -> Markup {
    html! {
        figure.file {
            figcaption { (diff.path) }
            pre.code tabindex="0" role="group" aria-label=(diff.path) {
                @for h in &diff.hunks { (hunk(h)) }
            }
        }
    }
}

/// What turned `before` into `after`, whole, without line numbers.
pub fn change(label: &str, before: &str, after: &str) -> Markup {
    const ALL: u32 = 10_000;
    let hunks = patch::hunks(before.as_bytes(), after.as_bytes(), ALL);
    html! {
        pre.code tabindex="0" role="group" aria-label=(label) {
            @match hunks {
                Ok(hunks) if !hunks.is_empty() => { @for h in &hunks { (lines(&h.lines)) } },
                _ => (after),
            }
        }
    }
}

/// A unified diff that is text already.
pub fn text(label: &str, diff: &str) -> Markup {
    let class = |line: &str| match line.as_bytes().first() {
        Some(b'+') => "a",
        Some(b'-') => "d",
        Some(b'@') => "at",
        _ => "c",
    };
    html! {
        pre.code tabindex="0" role="group" aria-label=(label) {
            @for line in diff.lines().skip_while(|l| !l.starts_with("@@")) {
                span class=(class(line)) { (line) "\n" }
            }
        }
    }
}
