// SPDX-License-Identifier: MIT
//! From outcomes to a verdict: pure, so that it can be repeated from a record.

use serde::{Deserialize, Serialize};

use super::checks::Group;
use crate::fault::Status;

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "because", rename_all = "kebab-case")]
#[must_use = "fold it into the verdict of the run"]
pub enum Outcome {
    /// What the title says was seen.
    Holds,
    /// Something else was seen.
    Fails(String),
    /// It fails, in the very way that `known-to-fail.toml` lists, for the reason given there.
    Known(String),
    /// This engine cannot try it, by its own facts: no doubt about what was tried.
    Skipped(String),
    /// It could not be tried, for a reason outside of what it checks.
    NotTried(String),
    /// The harness failed while trying.
    Broken(String),
}

impl Outcome {
    /// `Holds`, or `Fails` with a reason that is only made when it is needed.
    pub fn holds_if(good: bool, because: impl FnOnce() -> String) -> Outcome {
        if good { Outcome::Holds } else { Outcome::Fails(because()) }
    }
}

/// What a whole run says about one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[must_use = "turn it into the status of the run"]
pub enum Verdict {
    /// Every check holds (or fails as it is known to), in a container that was proved to be plain, and stock systemd fails there.
    Proven,
    /// At least one check of systemd's behaviour fails.
    Refuted,
    /// A precondition or the control fails: the other checks prove nothing.
    Unsound,
    /// The harness failed.
    Broken,
    /// Nothing failed, but something was not tried.
    Incomplete,
}

/// Folds outcomes into a verdict. A real failure is reported before doubts about the proof: it
/// stands even where the container had privileges too many.
pub fn verdict<'a>(results: impl IntoIterator<Item = (Group, &'a Outcome)>) -> Verdict {
    let one = |(group, outcome): (Group, &Outcome)| match outcome {
        Outcome::Holds | Outcome::Known(_) | Outcome::Skipped(_) => Verdict::Proven,
        Outcome::Fails(_) if group.is_about_the_proof() => Verdict::Unsound,
        Outcome::Fails(_) => Verdict::Refuted,
        Outcome::NotTried(_) => Verdict::Incomplete,
        Outcome::Broken(_) => Verdict::Broken,
    };
    // Without a check that holds nothing is proved.
    let (mut worst, mut holds) = (Verdict::Proven, false);
    for (group, outcome) in results {
        holds |= *outcome == Outcome::Holds;
        let verdict = one((group, outcome));
        if verdict.weight() > worst.weight() {
            worst = verdict;
        }
    }
    if worst == Verdict::Proven && !holds { Verdict::Incomplete } else { worst }
}

impl Verdict {
    fn weight(self) -> u8 {
        match self {
            Verdict::Refuted => 4,
            Verdict::Unsound => 3,
            Verdict::Broken => 2,
            Verdict::Incomplete => 1,
            Verdict::Proven => 0,
        }
    }

    /// One sentence for the reader.
    pub fn sentence(self) -> &'static str {
        match self {
            Verdict::Proven => "runs in a plain container",
            Verdict::Refuted => "does not work in a plain container",
            Verdict::Unsound => "not proved: a precondition or the control fails",
            Verdict::Broken => "no verdict: the harness failed",
            Verdict::Incomplete => "no verdict: something was not tried",
        }
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Status {
        match verdict {
            Verdict::Proven => Status::Yes,
            Verdict::Refuted => Status::No,
            Verdict::Unsound | Verdict::Broken => Status::Fault,
            Verdict::Incomplete => Status::NotTried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_needs_every_check_and_at_least_one() {
        let fails = Outcome::Fails("x".into());
        let skipped = Outcome::NotTried("x".into());
        let of = |list: &[(Group, &Outcome)]| verdict(list.iter().copied());
        assert_eq!(of(&[]), Verdict::Incomplete);
        assert_eq!(of(&[(Group::Boot, &Outcome::Holds)]), Verdict::Proven);
        for aside in [Outcome::Known("x".into()), Outcome::Skipped("x".into())] {
            assert_eq!(of(&[(Group::Boot, &aside)]), Verdict::Incomplete);
            let both = [(Group::Boot, &Outcome::Holds), (Group::Services, &aside)];
            assert_eq!(of(&both), Verdict::Proven);
        }
        assert_eq!(
            of(&[(Group::Boot, &Outcome::Holds), (Group::Logs, &skipped)]),
            Verdict::Incomplete
        );
        assert_eq!(of(&[(Group::Boot, &skipped), (Group::Logs, &fails)]), Verdict::Refuted);
        assert_eq!(
            of(&[(Group::Boot, &Outcome::Holds), (Group::Precondition, &fails)]),
            Verdict::Unsound
        );
        assert_eq!(of(&[(Group::Boot, &fails), (Group::Control, &fails)]), Verdict::Refuted);
    }
}
