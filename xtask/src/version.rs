// SPDX-License-Identifier: MIT
//! A systemd version as upstream tags it: `v257`, `v257.13`, `v261-rc2`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// A systemd version. Ordered as upstream orders its releases: `257-rc1 < 257 < 257.1 < 258-rc1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SystemdVersion {
    /// The release: 257 in 257.13.
    pub major: u32,
    /// Release candidates sort before the release itself.
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stage {
    Candidate(u32),
    /// The point release on the stable branch; 0 is the release itself.
    Point(u32),
    /// Any revision of any repository, by its place among those of a run.
    Named(u32, &'static str),
}

impl SystemdVersion {
    /// The version `major.point`; a `point` of 0 is the release itself.
    pub const fn new(major: u32, point: u32) -> Self {
        SystemdVersion { major, stage: Stage::Point(point) }
    }

    /// A release candidate; before the first, 0 stands for what is on the way to it.
    pub const fn candidate(major: u32, number: u32) -> Self {
        SystemdVersion { major, stage: Stage::Candidate(number) }
    }

    /// A revision of any repository that stands where a version would: carrying patches needs an
    /// order and a name, and no more. `place` is its place in the order. The name lives as long
    /// as the program, so that versions stay small values.
    pub fn named(place: u32, name: &str) -> Self {
        SystemdVersion { major: 0, stage: Stage::Named(place, name.to_owned().leak()) }
    }

    /// True for a revision that is no release of systemd.
    pub fn is_named(self) -> bool {
        matches!(self.stage, Stage::Named(..))
    }

    /// Upstream's tag name, such as `v257.13` or `v261-rc2`.
    pub fn tag(self) -> String {
        format!("v{self}")
    }

    /// Reads a tag name; `None` for a tag that names no systemd release.
    pub fn from_tag(tag: &str) -> Option<Self> {
        tag.strip_prefix('v')?.parse().ok()
    }

    /// The number on the stable branch: 13 in 257.13, 0 for a release and its candidates. For a
    /// revision that is no release, its place.
    pub fn point(self) -> u32 {
        match self.stage {
            Stage::Point(n) | Stage::Named(n, _) => n,
            Stage::Candidate(_) => 0,
        }
    }

    /// True for `261-rc2` and the like.
    pub fn is_candidate(self) -> bool {
        matches!(self.stage, Stage::Candidate(_))
    }
}

impl fmt::Display for SystemdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Stage::Candidate(n) => write!(f, "{}-rc{n}", self.major),
            Stage::Point(0) => write!(f, "{}", self.major),
            Stage::Point(n) => write!(f, "{}.{n}", self.major),
            Stage::Named(_, name) => f.write_str(name),
        }
    }
}

impl FromStr for SystemdVersion {
    type Err = Fault;

    /// Reads `257`, `v257.13`, `261-rc2` and Debian's spelling `261~rc2`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let bad = || {
            Fault::new(format!("`{text}` is not a systemd version"))
                .hint("versions look like 257, 257.13 or 261-rc2")
        };
        let number = |s: &str| -> Result<u32, Fault> {
            if s.is_empty() || s.len() > 6 || !s.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            s.parse().map_err(|_| bad())
        };
        let s = text.strip_prefix('v').unwrap_or(text);
        let (major, stage) =
            if let Some((major, rc)) = s.split_once("-rc").or_else(|| s.split_once("~rc")) {
                (major, Stage::Candidate(number(rc)?))
            } else if let Some((major, point)) = s.split_once('.') {
                (major, Stage::Point(number(point)?))
            } else {
                (s, Stage::Point(0))
            };
        Ok(SystemdVersion { major: number(major)?, stage })
    }
}

impl From<SystemdVersion> for String {
    fn from(v: SystemdVersion) -> String {
        v.to_string()
    }
}

impl TryFrom<String> for SystemdVersion {
    type Error = Fault;
    fn try_from(s: String) -> Result<Self, Fault> {
        s.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(s: &str) -> SystemdVersion {
        s.parse().unwrap()
    }

    #[test]
    fn upstream_order() {
        let sorted =
            ["254", "256.17", "257-rc1", "257", "257.2", "257.13", "258-rc4", "258"].map(v);
        assert!(sorted.is_sorted());
        assert!(v("261~rc2") == v("v261-rc2"));
    }

    #[test]
    fn round_trip_and_tags() {
        for s in ["257", "257.13", "261-rc2"] {
            assert_eq!(v(s).to_string(), s);
            assert_eq!(SystemdVersion::from_tag(&v(s).tag()), Some(v(s)));
        }
        assert_eq!(SystemdVersion::from_tag("systemd-257"), None);
    }

    #[test]
    fn named_revisions_keep_their_order_and_name() {
        let (a, b) = (SystemdVersion::named(0, "main"), SystemdVersion::named(1, "abc"));
        assert!(a < b && a.is_named() && b < v("254"));
        assert_eq!(b.to_string(), "abc");
    }

    #[test]
    fn nonsense_is_refused() {
        for s in ["", "v", "25x", "257.", ".1", "257.1.2", "-rc1", "257-rc", "99999999999", "+257"]
        {
            assert!(s.parse::<SystemdVersion>().is_err(), "{s:?} was taken");
        }
    }
}
