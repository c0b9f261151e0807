// SPDX-License-Identifier: MIT
//! Ranges of systemd versions, as `series.toml` spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::version::SystemdVersion;

/// An inclusive range, `257 - 257.13`, or a single version, `262`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VersionRange {
    pub from: SystemdVersion,
    pub to: SystemdVersion,
}

impl VersionRange {
    pub fn contains(&self, version: SystemdVersion) -> bool {
        self.from <= version && version <= self.to
    }

    pub fn overlaps(&self, other: &VersionRange) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{} - {}", self.from, self.to)
        }
    }
}

impl FromStr for VersionRange {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (from, to) = text.split_once(" - ").unwrap_or((text, text));
        let range = VersionRange { from: from.parse()?, to: to.parse()? };
        if range.from > range.to {
            return Err(Fault::new(format!("the range `{text}` ends before it begins")));
        }
        Ok(range)
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> String {
        range.to_string()
    }
}

impl TryFrom<String> for VersionRange {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

/// An end of the range on which a patch is needed. `258` means all of that major, candidates and
/// point releases too; `258.2` means that release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Bound {
    Major(u32),
    Exact(SystemdVersion),
}

impl Bound {
    /// The range that starts here holds `version`, if nothing ends it.
    pub fn at_or_before(self, version: SystemdVersion) -> bool {
        match self {
            Bound::Major(major) => major <= version.major,
            Bound::Exact(bound) => bound <= version,
        }
    }

    /// The range that ends here holds `version`, if it began before.
    pub fn at_or_after(self, version: SystemdVersion) -> bool {
        match self {
            Bound::Major(major) => version.major <= major,
            Bound::Exact(bound) => version <= bound,
        }
    }
}

impl TryFrom<String> for Bound {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        let version: SystemdVersion = text.parse()?;
        let major = version == SystemdVersion::new(version.major, 0);
        Ok(if major { Bound::Major(version.major) } else { Bound::Exact(version) })
    }
}

/// Ranges over the versions that `mine` accepts, out of `all` (sorted). A range ends before a
/// version that is not accepted, and before a major of which no version is known: there lies code
/// that nobody has verified.
pub fn runs(all: &[SystemdVersion], mine: impl Fn(SystemdVersion) -> bool) -> Vec<VersionRange> {
    let mut ranges: Vec<VersionRange> = Vec::new();
    let mut open = false;
    for &version in all {
        if !mine(version) {
            open = false;
            continue;
        }
        match ranges.last_mut() {
            Some(last) if open && version.major <= last.to.major + 1 => last.to = version,
            _ => ranges.push(VersionRange { from: version, to: version }),
        }
        open = true;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(s: &str) -> SystemdVersion {
        s.parse().unwrap()
    }

    fn shown(all: &[&str], mine: &[&str]) -> String {
        let all: Vec<_> = all.iter().map(|s| v(s)).collect();
        let found = runs(&all, |x| mine.iter().any(|m| v(m) == x));
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn runs_stop_at_strangers_and_at_unknown_majors() {
        let all = ["256.1", "257", "257.13", "258", "262"];
        assert_eq!(shown(&all, &all), "256.1 - 258, 262");
        assert_eq!(shown(&all, &["256.1", "257.13", "258"]), "256.1, 257.13 - 258");
        assert_eq!(shown(&all, &["257"]), "257");
        assert_eq!(shown(&all, &[]), "");
    }

    #[test]
    fn bounds_take_whole_majors_or_exact_versions() {
        let bound = |s: &str| Bound::try_from(s.to_owned()).unwrap();
        assert!(bound("258").at_or_before(v("258-rc1")));
        assert!(!bound("258.1").at_or_before(v("258")));
        assert!(bound("260").at_or_after(v("260.4")));
        assert!(!bound("260.2").at_or_after(v("260.4")));
    }

    #[test]
    fn ranges_read_back_and_refuse_nonsense() {
        for s in ["258 - 261.2", "262"] {
            assert_eq!(s.parse::<VersionRange>().unwrap().to_string(), s);
        }
        for s in ["", "262 - 258", "258-261", "258 - ", "258 - 259 - 260"] {
            assert!(s.parse::<VersionRange>().is_err(), "{s} was taken");
        }
    }
}
