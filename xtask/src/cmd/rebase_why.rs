// SPDX-License-Identifier: MIT
//! Why a hunk does not fit, as text of at most 80 columns.

use std::fmt::Write as _;

use crate::rebase::{Broken, Cause};
use crate::ui::wrap;

/// Lines of a side or a suggestion that are shown.
const LINES: usize = 16;
const COLUMNS: usize = 74;

/// What is known of a broken hunk. `lines` are left out to tell if two versions have the same
/// problem.
pub fn text(broken: &Broken, lines: bool) -> String {
    let mut text = String::new();
    let made_in = broken.made_in.join(", ");
    match &broken.cause {
        Some(cause @ Cause::Commit { undone, .. }) => {
            let how = if *undone { "needs, and this version lacks" } else { "broken by" };
            let _ = writeln!(text, "    hunk {}, made in {made_in}: {how}", broken.hunk);
            text += &commit(cause, 6);
        }
        Some(Cause::Versions { fits, broken: version }) => {
            let hunk = broken.hunk;
            let _ =
                writeln!(text, "    hunk {hunk}, made in {made_in}: fits {fits}, not {version}");
            let _ =
                writeln!(text, "      (--systemd-git with a clone of upstream names the commit)");
        }
        None => {
            let _ = writeln!(text, "    hunk {}, made in {made_in}: does not fit", broken.hunk);
        }
    }
    side(&mut text, "before", &broken.before);
    side(&mut text, "after", &broken.after);
    if let (Some(went), true) = (&broken.went, lines) {
        let place = match went.function.as_str() {
            "" => went.path.clone(),
            name => format!("{name}, {} line {}", went.path, went.line),
        };
        let _ = writeln!(text, "    the code is now in {place}");
    }
    if let (Some(suggestion), true) = (&broken.suggestion, lines) {
        let _ = writeln!(text, "    --- a suggestion; nobody has checked that it is right");
        let hunks = suggestion.lines().skip_while(|l| !l.starts_with("@@"));
        shown(&mut text, &hunks.collect::<Vec<_>>());
    }
    text
}

/// Who did what when, and where to read it.
pub fn commit(cause: &Cause, indent: usize) -> String {
    let Cause::Commit { id, date, author, subject, link, .. } = cause else {
        return String::new();
    };
    let (short, indent): (String, _) = (id.chars().take(10).collect(), " ".repeat(indent));
    let mut text = format!("{indent}{short} {date} {author}\n");
    wrap(subject, COLUMNS).iter().for_each(|l| text += &format!("{indent}{l}\n"));
    if let Some(link) = link {
        // May be longer than a line: a link that is cut is none.
        text += &format!("{indent}{link}\n");
    }
    text
}

fn side(text: &mut String, title: &str, lines: &str) {
    if !lines.is_empty() {
        let _ = writeln!(text, "    --- {title}");
        shown(text, &lines.lines().collect::<Vec<_>>());
    }
}

fn shown(text: &mut String, lines: &[&str]) {
    for line in lines.iter().take(LINES) {
        let _ = writeln!(text, "    | {line}");
    }
    if lines.len() > LINES {
        let _ = writeln!(text, "    | ... {} more lines", lines.len() - LINES);
    }
}
