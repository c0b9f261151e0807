// SPDX-License-Identifier: MIT
//! What is known to fail, as data: [`LIST`] names the check, where, why, and what must be seen.
//!
//! So a known failure is neither hidden nor forgotten. If the check fails in another way than the
//! listed one, that is a failure; and so it is if it holds: the entry is then to be removed.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use regex::Regex;
use serde::Deserialize;

use super::evidence::Evidence;
use super::expect::{Expect, ROWS};
use super::verdict::Outcome;
use crate::series::VersionRange;

/// The file, as it is shown to the user.
pub const FILE: &str = "xtask/src/boot/known-to-fail.toml";

const LIST: &str = include_str!("known-to-fail.toml");

/// Every known failure.
#[derive(Debug, Default)]
pub struct KnownFailures(Vec<Entry>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    known: Vec<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    check: String,
    rows: Vec<String>,
    /// All versions, if there are none.
    #[serde(default)]
    versions: Vec<VersionRange>,
    why: String,
    seen: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    check: String,
    rows: Vec<String>,
    versions: Vec<VersionRange>,
    why: String,
    /// What each observation must look like.
    seen: Vec<(String, Regex)>,
}

impl KnownFailures {
    /// The project's own list.
    ///
    /// # Errors
    /// The list is not what it should be; a test sees to that.
    pub fn load() -> Result<KnownFailures> {
        Self::parse(LIST).context(FILE)
    }

    fn parse(text: &str) -> Result<KnownFailures> {
        let document: Document = toml::from_str(text)?;
        let entry = |raw: Raw| {
            let check = raw.check;
            anyhow::ensure!(!raw.seen.is_empty(), "{check}: nothing says how it fails");
            for row in &raw.rows {
                anyhow::ensure!(ROWS.iter().any(|r| r.name == row), "{check}: no row `{row}`");
            }
            let seen = raw.seen.into_iter().map(|(name, pattern)| {
                let regex = Regex::new(&pattern).with_context(|| format!("{check}: {name}"))?;
                anyhow::Ok((name, regex))
            });
            let seen = seen.collect::<Result<_>>()?;
            Ok(Entry { check, rows: raw.rows, versions: raw.versions, why: raw.why, seen })
        };
        document.known.into_iter().map(entry).collect::<Result<_>>().map(KnownFailures)
    }

    /// Each entry as check, rows, versions (empty: all) and reason.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[String], String, &str)> {
        self.0.iter().map(|e| {
            let versions: Vec<String> = e.versions.iter().map(ToString::to_string).collect();
            (e.check.as_str(), e.rows.as_slice(), versions.join(", "), e.why.as_str())
        })
    }

    /// The outcome of a check in the light of the list.
    pub fn weigh(
        &self,
        check: &str,
        expect: &Expect,
        seen: &Evidence,
        outcome: Outcome,
    ) -> Outcome {
        let here = |e: &&Entry| {
            e.check == check
                && e.rows.iter().any(|r| r == expect.row.name)
                && (e.versions.is_empty() || e.versions.iter().any(|v| v.contains(expect.version)))
        };
        let Some(entry) = self.0.iter().find(here) else { return outcome };
        match outcome {
            Outcome::Holds => Outcome::Fails(format!(
                "it holds, and is no longer known to fail: remove it from {FILE}"
            )),
            Outcome::Fails(because) => {
                match entry.seen.iter().find(|(name, regex)| !regex.is_match(seen.get(name))) {
                    None => Outcome::Known(entry.why.clone()),
                    Some((name, regex)) => Outcome::Fails(format!(
                        "not in the known way ({name} is `{}`, not `{regex}`): {because}",
                        super::checks::shorten(seen.get(name))
                    )),
                }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::checks;
    use crate::boot::expect::{DOCKER_PLAIN, DOCKER_WRITABLE};
    use crate::version::SystemdVersion;

    const ONE: &str = r#"
        [[known]]
        check = "services.forking"
        rows = ["Docker, plain"]
        versions = ["254 - 262"]
        why = "because"
        seen = { active = "^inactive$", daemon = "^runs$" }
    "#;

    #[test]
    fn it_must_fail_there_and_in_the_very_way_that_is_listed() {
        let list = KnownFailures::parse(ONE).unwrap();
        let weigh = |row, major, daemon, outcome| {
            let expect = Expect { row, version: SystemdVersion::new(major, 0) };
            let seen = [("active", "inactive"), ("daemon", daemon)].into();
            list.weigh("services.forking", &expect, &seen, outcome)
        };
        let fails = || Outcome::Fails("x".into());
        let known = Outcome::Known("because".into());
        assert_eq!(weigh(DOCKER_PLAIN, 262, "runs", fails()), known);
        assert_eq!(weigh(DOCKER_PLAIN, 263, "runs", fails()), fails());
        assert_eq!(weigh(DOCKER_WRITABLE, 262, "runs", fails()), fails());
        let told = |outcome| match outcome {
            Outcome::Fails(because) => because,
            other => panic!("{other:?}"),
        };
        let other_way = told(weigh(DOCKER_PLAIN, 262, "is gone", fails()));
        assert!(other_way.starts_with("not in the known way (daemon is `is gone`"), "{other_way}");
        let holds = told(weigh(DOCKER_PLAIN, 262, "runs", Outcome::Holds));
        assert!(holds.contains("remove it from"), "{holds}");
        let skipped = Outcome::Skipped("no engine".into());
        assert_eq!(weigh(DOCKER_PLAIN, 262, "runs", skipped.clone()), skipped);
    }

    #[test]
    fn an_entry_that_says_nothing_is_refused() {
        assert!(
            KnownFailures::parse(&ONE.replace("active = \"^inactive$\", daemon = \"^runs$\"", ""))
                .is_err()
        );
        assert!(KnownFailures::parse(&ONE.replace("Docker, plain", "Docker")).is_err());
        assert!(KnownFailures::parse(&ONE.replace("^runs$", "(")).is_err());
    }

    #[test]
    fn the_projects_own_list_names_checks_that_exist() {
        for entry in KnownFailures::load().unwrap().0 {
            let check = checks::find(&entry.check).unwrap_or_else(|| panic!("{}", entry.check));
            assert!(!check.group.is_about_the_proof(), "{}: the proof must hold", entry.check);
            // Where the patch that it proves is not offered.
            let apart = !entry.versions.is_empty();
            assert!(check.proves.is_empty() || apart, "{} proves a patch", entry.check);
        }
    }
}
