// SPDX-License-Identifier: MIT
//! What `cargo xtask bisect --boot` says: the lines of a step, the document, and the text for the reader.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::super::rebase_why;
use crate::boot::search::Left;
use crate::rebase::Cause;
use crate::ui::wrap;

const COLUMNS: usize = 76;

/// The document of `--json`.
#[derive(Debug, Serialize)]
pub struct Document {
    pub schema: u32,
    pub from: String,
    pub to: String,
    /// What had to hold.
    pub checks: Vec<String>,
    /// Candidates after `from`, up to `to`.
    pub candidates: usize,
    /// In the order in which they were built and booted.
    pub tried: Vec<Tried>,
    /// None if the last one works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<FirstBad>,
    pub seconds: f64,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Tried {
    pub what: String,
    pub answer: Answer,
    /// What failed, or why it was skipped.
    pub why: Vec<String>,
    pub seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Good,
    Bad,
    Skipped,
}

#[derive(Debug, Serialize)]
pub struct FirstBad {
    /// The release, or the commit's id.
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Cause>,
    /// The checks that fail there, and how.
    pub failed: Vec<String>,
    /// Those right before it that could not be tried: each of them may be the first.
    pub untried: Vec<Untried>,
}

#[derive(Debug, Serialize)]
pub struct Untried {
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Cause>,
    pub why: String,
}

/// The line before a step.
pub fn announced(step: usize, title: &str, left: Option<Left>, each_s: f64) -> String {
    let cut: String = format!("step {step}: {title}").chars().take(COLUMNS).collect();
    let Some(Left { candidates, trials }) = left else {
        return format!("{cut}\n  an end of the range, which has to be known");
    };
    let time = Duration::from_secs_f64(each_s * f64::from(trials)).as_secs().div_ceil(60);
    let (may, steps) = match (candidates, trials) {
        (1, _) => ("1 other may be the first".to_owned(), "the last step"),
        (n, 1) => (format!("{n} others may be the first"), "the last step"),
        (n, _) => (format!("{n} others may be the first"), "steps"),
    };
    let left = if trials == 1 { steps.to_owned() } else { format!("about {trials} {steps}") };
    format!("{cut}\n  {may}; {left} of {each_s:.0} s, {time} min in all")
}

pub fn said(answer: Answer, why: &[String]) -> String {
    match answer {
        Answer::Good => "good".into(),
        Answer::Bad => format!("bad: {}", why.join("; ")),
        Answer::Skipped => format!("skipped: {}", why.join("; ")),
    }
}

pub fn text(document: &Document) -> String {
    let mut text = String::new();
    let checks = format!("checked: {}", document.checks.join(", "));
    wrap(&checks, COLUMNS).iter().for_each(|line| text += &format!("{line}\n"));
    let listed = |text: &mut String, what: &str, commit: Option<&Cause>| match commit {
        Some(commit) => *text += &rebase_why::commit(commit, 4),
        None => *text += &format!("    systemd {what}\n"),
    };
    if let Some(first) = &document.first {
        text += match first.untried.as_slice() {
            [] => "the first bad one:\n",
            _ => "the first bad one that could be tried:\n",
        };
        listed(&mut text, &first.what, first.commit.as_ref());
        for failed in &first.failed {
            wrap(failed, COLUMNS - 2).iter().for_each(|line| text += &format!("  {line}\n"));
        }
        if !first.untried.is_empty() {
            text += "each of these may be the first, and cannot be tried:\n";
        }
        for untried in &first.untried {
            listed(&mut text, &untried.what, untried.commit.as_ref());
            wrap(&untried.why, COLUMNS - 4)
                .iter()
                .for_each(|line| text += &format!("    {line}\n"));
        }
    } else {
        let _ = writeln!(text, "{} works", document.to);
    }
    let skipped = document.tried.iter().filter(|t| t.answer == Answer::Skipped).count();
    let short = |what: &str| what.chars().take(10).collect::<String>();
    let _ = writeln!(
        text,
        "{} candidates from {} to {}: {} built and booted, {skipped} skipped ({:.0} s)",
        document.candidates,
        short(&document.from),
        short(&document.to),
        document.tried.len() - skipped,
        document.seconds
    );
    text
}

#[cfg(test)]
mod tests {
    use super::super::BOOTS;
    use super::*;

    #[test]
    fn the_text_fits_80_columns_and_says_what_is_left() {
        let cause = |id: &str, subject: &str| Cause::Commit {
            id: id.repeat(40),
            date: "2026-11-21".into(),
            author: "A. Author".into(),
            subject: subject.into(),
            link: None,
            undone: false,
        };
        let tried = |answer| Tried { what: "a".repeat(40), answer, why: Vec::new(), seconds: 70.0 };
        let document = Document {
            schema: 1,
            from: "262".into(),
            to: "c".repeat(40),
            checks: vec![BOOTS.into(), "cgroup.delegation".into()],
            candidates: 12,
            tried: vec![tried(Answer::Bad), tried(Answer::Good), tried(Answer::Skipped)],
            first: Some(FirstBad {
                what: "a".repeat(40),
                commit: Some(cause("a", "core: refuse to start at all")),
                failed: vec![format!("{BOOTS}: the container is gone {}", "and gone ".repeat(12))],
                untried: vec![Untried {
                    what: "b".repeat(40),
                    commit: Some(cause("b", "core: does not compile")),
                    why: "it does not build: ninja failed".into(),
                }],
            }),
            seconds: 210.0,
        };
        let text = text(&document);
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let left = |candidates, trials| Some(Left { candidates, trials });
        let announced = |left| announced(3, &"core: x".repeat(20), left, 70.0);
        for (left, wanted) in [
            (left(12, 4), "12 others may be the first; about 4 steps of 70 s, 5 min in all"),
            (left(1, 1), "1 other may be the first; the last step of 70 s, 2 min in all"),
            (None, "an end of the range, which has to be known"),
        ] {
            let said = announced(left);
            assert_eq!(said.lines().nth(1).unwrap().trim(), wanted);
            assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        }
    }
}
