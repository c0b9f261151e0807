// SPDX-License-Identifier: MIT
//! Is each part still needed? Without one patch, or one entry of the profile, a check that names it
//! must fail. What nothing misses is dead.
//!
//! A failure proves something only if the same check holds with nothing left out, in the same run
//! and tried the same way: so each check is compared with that one.

use serde::{Deserialize, Serialize};

use super::record::CheckRecord;
use super::verdict::Outcome;
use crate::fault::Status;
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// What was seen of a system without one of its parts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ablation {
    pub version: SystemdVersion,
    pub kind: Part,
    /// The patch's id, or the profile's entry.
    pub left_out: String,
    /// The checks that name it.
    pub checks: Vec<CheckRecord>,
    pub answer: Answer,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Patch,
    /// An entry of `nix/profile.json`.
    Entry,
}

impl Part {
    /// Where what is dead is to be removed from.
    fn file(self) -> &'static str {
        match self {
            Part::Patch => "patches/series.toml",
            Part::Entry => "nix/profile.json",
        }
    }
}

/// What follows for the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A check fails without it.
    Needed,
    /// All its checks hold without it: nothing misses it.
    Dead,
    /// None of its checks fails, but not all could be tried, or do not hold with it either.
    Unknown,
}

impl Ablation {
    /// Judges the checks of a part that was left out, against `whole`: the same checks with nothing
    /// left out. No checks at all prove nothing.
    pub fn new(
        version: SystemdVersion,
        kind: Part,
        left_out: &str,
        mut checks: Vec<CheckRecord>,
        whole: &[CheckRecord],
    ) -> Self {
        for check in &mut checks {
            let with = whole.iter().find(|w| w.id == check.id && w.row == check.row);
            if with.is_none_or(|w| w.outcome != Outcome::Holds) {
                let because = "it does not hold with nothing left out either".to_owned();
                check.outcome = Outcome::NotTried(because);
            }
        }
        let any = |wanted: fn(&Outcome) -> bool| checks.iter().any(|c| wanted(&c.outcome));
        let answer = if any(|o| matches!(o, Outcome::Fails(_))) {
            Answer::Needed
        } else if checks.is_empty() || any(|o| !matches!(o, Outcome::Holds)) {
            Answer::Unknown
        } else {
            Answer::Dead
        };
        Ablation { version, kind, left_out: left_out.to_owned(), checks, answer }
    }

    pub fn status(&self) -> Status {
        match self.answer {
            Answer::Needed => Status::Yes,
            Answer::Dead => Status::No,
            Answer::Unknown => Status::Fault,
        }
    }
}

/// The matrix of parts and checks of one version, 80 columns wide but for the reasons.
pub fn table(ablations: &[Ablation], ui: &Ui) -> String {
    let mut out = String::new();
    for kind in [Part::Patch, Part::Entry] {
        let rows: Vec<&Ablation> = ablations.iter().filter(|a| a.kind == kind).collect();
        if !rows.is_empty() {
            out += &matrix(kind, &rows, ui);
        }
    }
    out
}

fn matrix(kind: Part, rows: &[&Ablation], ui: &Ui) -> String {
    let mut ids: Vec<&str> = Vec::new();
    for check in rows.iter().flat_map(|a| &a.checks) {
        if !ids.contains(&check.id.as_str()) {
            ids.push(&check.id);
        }
    }
    let letters = || (b'a'..=b'z').chain(b'A'..=b'Z').map(char::from);
    let what = match kind {
        Part::Patch => "each patch",
        Part::Entry => "each entry of the profile",
    };
    let title = format!("systemd {} without {what} in turn:", rows[0].version);
    let width = rows.iter().map(|a| a.left_out.chars().count()).max().unwrap_or(0);
    let width = width.max(title.len().saturating_sub(2));
    // The columns stand as far apart as a terminal of 80 leaves room for.
    let room = 80_usize.saturating_sub(width + "     not decided".len());
    let gap = " ".repeat((room / ids.len().max(1)).saturating_sub(1).min(2));
    let mut out = title.clone() + &" ".repeat(width + 2 - title.len());
    for (letter, _) in letters().zip(&ids) {
        out += &format!("{gap}{letter}");
    }
    out.push('\n');
    for row in rows {
        out += &format!("  {:<width$}", row.left_out);
        for id in &ids {
            let outcome = row.checks.iter().find(|c| c.id == **id).map(|c| &c.outcome);
            let (mark, tone) = glyph(outcome);
            out += &format!("{gap}{}", ui.paint(tone, mark));
        }
        let (word, tone) = match row.answer {
            Answer::Needed => ("needed", Tone::Good),
            Answer::Dead => ("dead", Tone::Bad),
            Answer::Unknown => ("not decided", Tone::Bad),
        };
        out += &format!("   {}\n", ui.paint(tone, word));
    }
    for (letter, id) in letters().zip(&ids) {
        out += &format!("  {letter} {id}\n");
    }
    out += "  ✗ fails without it, and holds with it   ✓ holds all the same   – not tried\n";
    for row in rows {
        out += &reasons(row);
    }
    out
}

fn glyph(outcome: Option<&Outcome>) -> (&'static str, Tone) {
    match outcome {
        None => ("·", Tone::Dim),
        Some(Outcome::Holds) => ("✓", Tone::Warn),
        Some(Outcome::Fails(_)) => ("✗", Tone::Good),
        Some(Outcome::Broken(_)) => ("!", Tone::Bad),
        Some(Outcome::Known(_) | Outcome::Skipped(_) | Outcome::NotTried(_)) => ("–", Tone::Warn),
    }
}

/// Why, for each part: the first failure, or else whatever kept it from an answer.
fn reasons(row: &Ablation) -> String {
    let said = |check: &CheckRecord| match &check.outcome {
        Outcome::Holds => None,
        Outcome::Fails(because) => Some(format!("{}: {because}", check.id)),
        Outcome::Known(because) => Some(format!("{} fails as known: {because}", check.id)),
        Outcome::Skipped(because) => Some(format!("{} skipped: {because}", check.id)),
        Outcome::NotTried(because) => Some(format!("{} not tried: {because}", check.id)),
        Outcome::Broken(because) => Some(format!("{}: the harness failed: {because}", check.id)),
    };
    let name = &row.left_out;
    match row.answer {
        Answer::Needed => {
            let first = row.checks.iter().find(|c| matches!(c.outcome, Outcome::Fails(_)));
            first.and_then(said).map_or(String::new(), |text| format!("  {name}: {text}\n"))
        }
        Answer::Dead => format!(
            "  {name}: all that name it hold without it: remove it from {}, or name a check that \
             fails without it\n",
            row.kind.file()
        ),
        Answer::Unknown if row.checks.is_empty() => format!(
            "  {name}: no check names it in {}: without one it cannot be proved\n",
            row.kind.file()
        ),
        Answer::Unknown => {
            row.checks.iter().filter_map(said).map(|text| format!("  {name}: {text}\n")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::checks::Group;

    fn one(id: &str, outcome: &Outcome) -> CheckRecord {
        CheckRecord {
            id: id.into(),
            group: Group::Boot,
            row: "Docker, plain".into(),
            title: "it runs".into(),
            outcome: outcome.clone(),
            ms: 1,
            evidence: Default::default(),
        }
    }

    fn fails() -> Outcome {
        Outcome::Fails("exited 255".into())
    }

    fn left_out(name: &str, with: &[Outcome], without: &[Outcome]) -> Ablation {
        let ids = ["boot.running", "logs.once"];
        let records = |outcomes: &[Outcome]| -> Vec<CheckRecord> {
            ids.iter().zip(outcomes).map(|(id, o)| one(id, o)).collect()
        };
        let version = SystemdVersion::new(262, 0);
        Ablation::new(version, Part::Patch, name, records(without), &records(with))
    }

    #[test]
    fn one_failing_check_proves_the_need_and_holding_ones_disprove_it() {
        let gone = || Outcome::NotTried("gone".into());
        let both = [Outcome::Holds, Outcome::Holds];
        for (without, answer, status) in [
            (vec![Outcome::Holds, fails()], Answer::Needed, Status::Yes),
            (vec![gone(), fails()], Answer::Needed, Status::Yes),
            (vec![Outcome::Holds], Answer::Dead, Status::No),
            (vec![Outcome::Holds, gone()], Answer::Unknown, Status::Fault),
            (vec![], Answer::Unknown, Status::Fault),
        ] {
            let seen = left_out("0001-x", &both, &without);
            assert_eq!((seen.answer, seen.status()), (answer, status), "{without:?}");
        }
    }

    /// A check that could not hold, such as one whose units nobody started, misses every part.
    #[test]
    fn a_check_that_fails_with_everything_in_place_proves_nothing() {
        for with in [vec![fails()], vec![]] {
            let seen = left_out("0001-x", &with, &[fails()]);
            assert_eq!(seen.answer, Answer::Unknown, "{with:?}");
        }
    }

    #[test]
    fn the_matrix_for_the_reader() {
        let both = [Outcome::Holds, Outcome::Holds];
        let all = [
            left_out("0001-mount-setup", &both, &[fails(), Outcome::NotTried("gone".into())]),
            left_out("0002-dead", &both, &[Outcome::Holds]),
            left_out("0003-main", &[Outcome::Holds, fails()], &[Outcome::Holds, fails()]),
        ];
        insta::assert_snapshot!(table(&all, &Ui::new(true)));
    }

    #[test]
    fn many_checks_still_fit_a_terminal_and_none_is_left_out() {
        let ids: Vec<String> = (0..28).map(|i| format!("boot.check-{i}")).collect();
        let records = |o: &Outcome| ids.iter().map(|id| one(id, o)).collect::<Vec<_>>();
        let version = SystemdVersion::new(262, 0);
        let row = Ablation::new(
            version,
            Part::Patch,
            "0009-exec-invoke-namespace",
            records(&fails()),
            &records(&Outcome::Holds),
        );
        let text = table(&[row], &Ui::new(true));
        let matrix = text.lines().take(2);
        assert!(matrix.clone().all(|l| l.chars().count() <= 80), "{text}");
        assert_eq!(matrix.last().map(|l| l.matches('✗').count()), Some(28), "{text}");
        assert!(text.contains("  B boot.check-27\n"), "{text}");
    }
}
