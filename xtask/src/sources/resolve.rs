// SPDX-License-Identifier: MIT
//! From what the user typed to versions that can be had.

use anyhow::Result;

use super::provider::{Answer, Freshness};
use super::{OLDEST_MAJOR, Sources};
use crate::fault::Fault;
use crate::version::SystemdVersion;

impl Sources<'_> {
    /// Versions as the user typed them: `257.13`, `v257`, `261-rc2`. The exact version wins; a
    /// bare release number that cannot be had stands for its newest point release that can, which
    /// is noted. Twice the same version is one.
    ///
    /// # Errors
    /// No version at all, or one that nobody has: the error names the nearest that can be had.
    pub fn resolve(&self, wanted: &[String]) -> Result<Vec<SystemdVersion>> {
        let mut versions = Vec::new();
        for text in wanted {
            let exact: SystemdVersion = text.parse()?;
            if exact.major < OLDEST_MAJOR {
                return Err(too_old(text).into());
            }
            let version = self.resolve_one(text, exact)?;
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        Ok(versions)
    }

    fn resolve_one(&self, text: &str, exact: SystemdVersion) -> Result<SystemdVersion> {
        if self.repository.find(exact).is_some() || self.refused.contains_key(&exact) {
            return Ok(exact);
        }
        for freshness in [Freshness::Kept, Freshness::Now] {
            for i in 0..self.providers.len() {
                if self.listing(i, freshness)?.offer(exact).is_some() {
                    return Ok(exact);
                }
            }
            if exact == SystemdVersion::new(exact.major, 0)
                && let Some(newest) = newest_point(exact.major, &self.versions()?)
            {
                self.ui.note(&format!(
                    "{text} cannot be had here; its newest point release {newest} is taken"
                ));
                return Ok(newest);
            }
        }
        Err(self.unknown(text, exact)?.into())
    }

    /// The versions that can be had.
    fn versions(&self) -> Result<Vec<SystemdVersion>> {
        Ok(self.available()?.into_iter().map(|a| a.version).collect())
    }

    /// The error for a version that nobody has.
    pub(super) fn unknown(&self, text: &str, wanted: SystemdVersion) -> Result<Fault> {
        let near = nearest(wanted, &self.versions()?);
        let mut hint = String::new();
        if !near.is_empty() {
            let names: Vec<String> = near.iter().map(ToString::to_string).collect();
            hint = format!("did you mean {}?\n", names.join(", "));
        }
        for (name, listing) in self.answers() {
            let silence = (listing.answer != Answer::Answered).then_some(&listing.said);
            for reason in silence.into_iter().chain(&listing.complaints) {
                hint += &format!("{name}: {reason}\n");
            }
        }
        hint += "cargo xtask sources lists what can be had; other versions come with\n\
                 --systemd-git PATH-OR-URL (a clone of systemd with its tags)";
        Ok(Fault::new(format!("nobody here has systemd {text}")).hint(hint))
    }
}

/// The error for a version that is older than what plainboot supports.
pub(super) fn too_old(version: impl std::fmt::Display) -> Fault {
    Fault::new(format!(
        "systemd {version} is older than {OLDEST_MAJOR}, the oldest that plainboot supports"
    ))
}

/// The newest release of a major that is no candidate.
fn newest_point(major: u32, versions: &[SystemdVersion]) -> Option<SystemdVersion> {
    versions.iter().copied().filter(|v| v.major == major && !v.is_candidate()).max()
}

/// Up to four versions: the neighbours in order, those of the same major first.
fn nearest(wanted: SystemdVersion, versions: &[SystemdVersion]) -> Vec<SystemdVersion> {
    let same: Vec<SystemdVersion> =
        versions.iter().copied().filter(|v| v.major == wanted.major).collect();
    let pool = if same.is_empty() { versions.to_vec() } else { same };
    let at = pool.partition_point(|v| *v < wanted);
    pool[at.saturating_sub(2)..(at + 2).min(pool.len())].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(list: &[&str]) -> Vec<SystemdVersion> {
        list.iter().map(|s| s.parse().unwrap()).collect()
    }

    #[test]
    fn a_bare_major_is_its_newest_release_but_no_candidate() {
        let all = versions(&["256.9", "257-rc1", "257.2", "257.13", "258-rc1"]);
        assert_eq!(newest_point(257, &all), Some(SystemdVersion::new(257, 13)));
        assert_eq!(newest_point(258, &all), None);
    }

    #[test]
    fn the_nearest_are_of_the_same_major_if_there_are_any() {
        let all = versions(&["254.26", "257.1", "257.2", "257.13", "262", "262.1"]);
        let near = |s: &str| nearest(s.parse().unwrap(), &all);
        assert_eq!(near("257.7"), versions(&["257.1", "257.2", "257.13"])[..]);
        assert_eq!(near("260"), versions(&["257.2", "257.13", "262", "262.1"]));
        assert_eq!(near("300"), versions(&["262", "262.1"]));
        assert!(nearest(all[0], &[]).is_empty());
    }
}
