// SPDX-License-Identifier: MIT
//! How many passed, failed and could not be tried.

use anyhow::{Context, Result};
use regex::Regex;
use serde::Serialize;

use crate::fault::Status;
use crate::skip::Skip;

/// Counts of one stage or of a whole run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// What failed, as far as it is known: names, and of what could not be run also why.
    pub failures: Vec<String>,
    pub skips: Vec<Skipped>,
}

/// A skip, and whether the run may count as good all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    #[serde(flatten)]
    pub skip: Skip,
    pub allowed: bool,
}

impl Tally {
    pub fn passed(count: u64) -> Self {
        Tally { passed: count, ..Tally::default() }
    }

    /// One failure, by its name.
    pub fn failed(name: impl Into<String>) -> Self {
        Tally { failed: 1, failures: vec![name.into()], ..Tally::default() }
    }

    pub fn skipped(skip: Skip, allowed: bool) -> Self {
        Tally { skips: vec![Skipped { skip, allowed }], ..Tally::default() }
    }

    /// Two tallies together.
    #[must_use = "the sum is returned"]
    pub fn and(&self, other: &Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            failures: self.failures.iter().chain(&other.failures).cloned().collect(),
            skips: self.skips.iter().chain(&other.skips).cloned().collect(),
        }
    }

    /// A failure wins over a skip that is not allowed, and that over success. A run in which
    /// nothing passed proves nothing.
    pub fn status(&self) -> Status {
        if self.failed > 0 {
            Status::No
        } else if self.passed == 0 || self.skips.iter().any(|s| !s.allowed) {
            Status::NotTried
        } else {
            Status::Yes
        }
    }

    /// `40 passed, 0 failed, 1 skipped`
    pub fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skips.len())
    }
}

/// Adds up the summaries that the binaries of `cargo test` print. The harness counts a test that
/// skipped itself as passed; ignored ones have no reason but the attribute.
///
/// # Errors
/// More skips were recorded than tests passed: the log is not of this run.
pub fn cargo_summary(output: &str, skips: Vec<Skip>) -> Result<Tally> {
    let summary = Regex::new(
        r"(?m)^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored; \d+ measured",
    )?;
    let mut tally = Tally::default();
    for found in summary.captures_iter(output) {
        let number = |i: usize| found[i].parse::<u64>().context("a count of cargo test");
        tally.passed += number(1)?;
        tally.failed += number(2)?;
    }
    let failed = Regex::new(r"(?m)^test (.+) \.\.\. FAILED$")?;
    tally.failures = failed.captures_iter(output).map(|found| found[1].to_owned()).collect();
    let recorded = u64::try_from(skips.len())?;
    tally.passed = tally
        .passed
        .checked_sub(recorded)
        .with_context(|| format!("{recorded} tests were skipped, but fewer passed"))?;
    let ignored = Regex::new(r"(?m)^test (\S+) \.\.\. ignored(?:, (.*))?$")?;
    let attributes = ignored.captures_iter(output).map(|found| Skip {
        test: found[1].to_owned(),
        reason: found.get(2).map_or("marked #[ignore]", |m| m.as_str()).to_owned(),
        optional: false,
    });
    tally.skips = skips
        .into_iter()
        .chain(attributes)
        .map(|skip| Skipped { allowed: skip.optional, skip })
        .collect();
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 3 tests
test a::one ... ok
test a::two ... ignored, takes an hour
test a::three ... FAILED

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s

running 2 tests
test four ... ok
test five ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.2s
";

    fn skip(test: &str, reason: &str) -> Skip {
        Skip { test: test.into(), reason: reason.into(), optional: false }
    }

    #[test]
    fn a_recorded_skip_is_no_pass() {
        let tally = cargo_summary(OUTPUT, vec![skip("five", "no nix")]).unwrap();
        assert_eq!(tally.line(), "2 passed, 1 failed, 2 skipped");
        assert_eq!(tally.failures, ["a::three"]);
        let skips: Vec<_> = tally.skips.iter().map(|s| s.skip.clone()).collect();
        assert_eq!(skips, [skip("five", "no nix"), skip("a::two", "takes an hour")]);
        assert!(cargo_summary("", vec![skip("five", "no nix")]).is_err());
        let optional = Skip { optional: true, ..skip("five", "no nixpkgs") };
        let tally = cargo_summary(OUTPUT, vec![optional]).unwrap();
        let allowed: Vec<bool> = tally.skips.iter().map(|s| s.allowed).collect();
        assert_eq!(allowed, [true, false]);
    }

    #[test]
    fn the_status_of_a_run() {
        let allowed = Tally::skipped(skip("a", "b"), true);
        let barred = Tally::skipped(skip("a", "b"), false);
        let good = Tally::passed(1);
        assert_eq!(good.status(), Status::Yes);
        assert_eq!(good.and(&allowed).status(), Status::Yes);
        assert_eq!(good.and(&barred).status(), Status::NotTried);
        assert_eq!(good.and(&barred).and(&Tally::failed("x")).status(), Status::No);
        assert_eq!(Tally::default().status(), Status::NotTried);
        assert_eq!(allowed.status(), Status::NotTried);
    }
}
