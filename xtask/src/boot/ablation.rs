// SPDX-License-Identifier: MIT
//! Is each patch still needed? The series without one patch must fail a check that names it.

use serde::{Deserialize, Serialize};

use super::record::CheckRecord;
use super::verdict::Outcome;
use crate::fault::Status;
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// What was seen of the series without one patch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ablation {
    pub version: SystemdVersion,
    /// The patch that was left out.
    pub patch: String,
    /// The checks that `series.toml` names for it.
    pub checks: Vec<CheckRecord>,
    pub answer: Answer,
}

/// What follows for the patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A check fails without it.
    Needed,
    /// All its checks hold without it: nothing misses it.
    Dead,
    /// None of its checks fails, but not all could be tried.
    Unknown,
}

impl Ablation {
    /// Judges the checks of a patch that was left out. No checks at all prove nothing.
    pub fn new(version: SystemdVersion, patch: &str, checks: Vec<CheckRecord>) -> Self {
        let any = |wanted: fn(&Outcome) -> bool| checks.iter().any(|c| wanted(&c.outcome));
        let answer = if any(|o| matches!(o, Outcome::Fails(_))) {
            Answer::Needed
        } else if checks.is_empty() || any(|o| !matches!(o, Outcome::Holds)) {
            Answer::Unknown
        } else {
            Answer::Dead
        };
        Ablation { version, patch: patch.to_owned(), checks, answer }
    }

    pub fn status(&self) -> Status {
        match self.answer {
            Answer::Needed => Status::Yes,
            Answer::Dead => Status::No,
            Answer::Unknown => Status::Fault,
        }
    }
}

/// The matrix of patches and checks of one version.
pub fn table(ablations: &[Ablation], ui: &Ui) -> String {
    let mut out = String::new();
    if let Some(first) = ablations.first() {
        out += &format!("systemd {} without one patch:\n", first.version);
    }
    for ablation in ablations {
        let (word, tone) = match ablation.answer {
            Answer::Needed => ("needed", Tone::Good),
            Answer::Dead => ("dead: nothing misses it", Tone::Bad),
            Answer::Unknown => ("not decided", Tone::Bad),
        };
        out += &format!("  without {:<18} {}\n", ablation.patch, ui.paint(tone, word));
        for check in &ablation.checks {
            let seen = match &check.outcome {
                Outcome::Holds => "holds all the same".to_owned(),
                Outcome::Fails(because) => format!("fails: {because}"),
                Outcome::Known(because) => format!("fails as known: {because}"),
                Outcome::Skipped(because) => format!("skipped: {because}"),
                Outcome::NotTried(because) => format!("not tried: {because}"),
                Outcome::Broken(because) => format!("the harness failed: {because}"),
            };
            out += &format!("      {:<20} {seen}\n", check.id);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::checks::Group;

    fn checks(outcomes: &[Outcome]) -> Vec<CheckRecord> {
        let one = |outcome: &Outcome| CheckRecord {
            id: "boot.running".into(),
            group: Group::Boot,
            row: "Docker, plain".into(),
            title: "it runs".into(),
            outcome: outcome.clone(),
            ms: 1,
            evidence: Default::default(),
        };
        outcomes.iter().map(one).collect()
    }

    #[test]
    fn one_failing_check_proves_the_need_and_holding_ones_disprove_it() {
        let fails = || Outcome::Fails("exited 255".into());
        let gone = || Outcome::NotTried("gone".into());
        for (outcomes, answer, status) in [
            (vec![Outcome::Holds, fails()], Answer::Needed, Status::Yes),
            (vec![gone(), fails()], Answer::Needed, Status::Yes),
            (vec![Outcome::Holds], Answer::Dead, Status::No),
            (vec![Outcome::Holds, gone()], Answer::Unknown, Status::Fault),
            (vec![], Answer::Unknown, Status::Fault),
        ] {
            let seen = Ablation::new(SystemdVersion::new(262, 0), "0001-x", checks(&outcomes));
            assert_eq!((seen.answer, seen.status()), (answer, status), "{outcomes:?}");
        }
    }
}
