// SPDX-License-Identifier: MIT
//! Places in systemd's sources that a refused control group or mount can reach.
//!
//! A series can apply cleanly and still be wrong: v258 brought an assertion on the control group
//! path, patches made for v257 applied, and every service with a state directory crashed. So the
//! places are listed for each version, and one that its predecessor did not have needs a person who
//! looks at it: an entry in `patches/sites.toml` that says why it does no harm.
//!
//! A place is known by its file, its function and its text, never by its line.

mod acknowledged;
mod read;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use acknowledged::{Acknowledged, Entry};
pub use read::{Reader, line_of};

use crate::version::SystemdVersion;

/// A place in the sources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Site {
    pub file: String,
    /// The enclosing function or table.
    pub function: String,
    /// The assertion, the called function, or the mount; `#2` is the second of its kind there.
    pub what: String,
}

/// Sites of one version.
pub type Sites = BTreeSet<Site>;

/// A site that is new in a version and that nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSite {
    pub version: SystemdVersion,
    /// The version that it was compared with; none for the first of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<SystemdVersion>,
    #[serde(flatten)]
    pub site: Site,
}

/// What a person must look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Sites without an entry, by version.
    pub new: Vec<NewSite>,
    /// Entries for a version that was read and has no such new site.
    pub stale: Vec<Stale>,
    /// Versions whose sites could not be read, with the reason.
    pub unread: Vec<(SystemdVersion, String)>,
}

/// An entry of `sites.toml` that says something untrue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    #[serde(flatten)]
    pub site: Site,
    pub since: SystemdVersion,
    pub why: String,
}

impl Review {
    /// The versions that have a site nobody has looked at.
    pub fn versions(&self) -> BTreeSet<SystemdVersion> {
        self.new.iter().map(|n| n.version).collect()
    }

    /// True if nothing is left to look at.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.stale.is_empty() && self.unread.is_empty()
    }
}

/// Compares each version with its predecessor. `needs` says whether a version has the patch that an
/// entry names as the one that handles the site.
pub fn review(
    versions: &BTreeMap<SystemdVersion, Sites>,
    acknowledged: &Acknowledged,
    needs: &dyn Fn(&str, SystemdVersion) -> bool,
) -> Review {
    let mut review = Review::default();
    let mut used: BTreeSet<(&Site, SystemdVersion)> = BTreeSet::new();
    for (&version, sites) in versions {
        let before = predecessor(versions, version);
        let old = before.and_then(|v| versions.get(&v));
        for site in sites.iter().filter(|s| old.is_none_or(|old| !old.contains(s))) {
            // Seen for the first time here: it came at this version, or at one after the
            // predecessor that is not here; not at a point release that this one is no child of.
            let fits = |since: SystemdVersion| {
                let child =
                    |b: SystemdVersion| since.major == version.major || since.major > b.major;
                since <= version && before.is_none_or(|b| since > b && child(b))
            };
            let entry = acknowledged.get(site);
            let since = entry.and_then(|e| e.since.iter().rev().find(|s| fits(**s)));
            let handled = entry.and_then(|e| e.handled_by.as_deref());
            match since {
                Some(since) if handled.is_none_or(|id| needs(id, version)) => {
                    used.extend(acknowledged.key(site).map(|site| (site, *since)));
                }
                _ => review.new.push(NewSite { version, before, site: site.clone() }),
            }
        }
    }
    for (site, entry) in acknowledged.iter() {
        for &since in entry.since.iter().filter(|s| versions.contains_key(s)) {
            if !used.contains(&(site, since)) {
                let why = match versions.get(&since).is_some_and(|sites| sites.contains(site)) {
                    true => "it was there before".to_owned(),
                    false => format!("{since} has no such site"),
                };
                let listed = review.new.iter().any(|n| n.version == since && n.site == *site);
                if !listed {
                    review.stale.push(Stale { site: site.clone(), since, why });
                }
            }
        }
    }
    review
}

/// The version that another one was made from: on a stable branch the release before, for a new
/// major the first of the major before, since that is where the branch left.
fn predecessor(
    versions: &BTreeMap<SystemdVersion, Sites>,
    version: SystemdVersion,
) -> Option<SystemdVersion> {
    let below = || versions.keys().copied().filter(|v| *v < version);
    let same = below().rfind(|v| v.major == version.major);
    let major = below().map(|v| v.major).max();
    let lowest = || {
        let of_major = |v: &SystemdVersion| Some(v.major) == major;
        // The release itself rather than its candidates.
        below().filter(of_major).find(|v| !v.is_candidate()).or_else(|| below().find(of_major))
    };
    same.or_else(lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> SystemdVersion {
        text.parse().unwrap()
    }

    fn site(what: &str) -> Site {
        Site { file: "src/core/a.c".into(), function: "f".into(), what: what.into() }
    }

    fn versions(list: &[(&str, &[&str])]) -> BTreeMap<SystemdVersion, Sites> {
        let sites = |names: &[&str]| names.iter().map(|n| site(n)).collect();
        list.iter().map(|(v, names)| (version(v), sites(names))).collect()
    }

    fn entries(list: &[(&str, &[&str])]) -> Acknowledged {
        let mut text = String::from("schema = 1\n");
        for (what, since) in list {
            text += &format!(
                "[[site]]\nfile = \"src/core/a.c\"\nfunction = \"f\"\nwhat = \"{what}\"\n\
                 since = {since:?}\nwhy = \"x\"\n"
            );
        }
        Acknowledged::parse(&text).unwrap()
    }

    fn shown(review: &Review) -> Vec<String> {
        let before = |n: &NewSite| n.before.map(|b| b.to_string()).unwrap_or_default();
        let new =
            review.new.iter().map(|n| format!("{} <{} {}", n.version, before(n), n.site.what));
        let stale = review.stale.iter().map(|s| format!("stale {} {}", s.since, s.site.what));
        new.chain(stale).collect()
    }

    #[test]
    fn a_site_is_news_once_and_again_when_it_comes_back() {
        let list = versions(&[
            ("254", &["a"]),
            ("254.1", &["a", "b"]),
            ("255", &["a"]),
            ("256", &["a", "b"]),
            ("256.1", &["a", "b", "c"]),
        ]);
        let all = |_: &str, _| true;
        let none = review(&list, &Acknowledged::default(), &all);
        assert_eq!(shown(&none), ["254 < a", "254.1 <254 b", "256 <255 b", "256.1 <256 c"]);
        let known = entries(&[("a", &["254"]), ("b", &["254.1"]), ("c", &["256.1"])]);
        assert_eq!(shown(&review(&list, &known, &all)), ["256 <255 b"]);
        let known = entries(&[("a", &["254"]), ("b", &["254.1", "256"]), ("c", &["256.1"])]);
        assert!(review(&list, &known, &all).is_empty());
        // A backport to the branch before says nothing about this one.
        let list = versions(&[("255", &[]), ("255.1", &["b"]), ("256", &["b"])]);
        let known = entries(&[("b", &["255.1"])]);
        assert_eq!(shown(&review(&list, &known, &all)), ["256 <255 b"]);
    }

    #[test]
    fn versions_that_are_not_here_are_no_news() {
        let known = entries(&[("a", &["254"]), ("b", &["256.5"])]);
        let all = |_: &str, _| true;
        let far = versions(&[("254", &["a"]), ("262", &["a", "b"])]);
        assert!(review(&far, &known, &all).is_empty());
        let alone = versions(&[("262", &["a", "b"])]);
        assert!(review(&alone, &known, &all).is_empty());
        // The entry is for a version above: here the site is older than it says.
        let early = versions(&[("254", &["a", "b"]), ("256.5", &["a", "b"])]);
        assert_eq!(shown(&review(&early, &known, &all)), ["254 < b", "stale 256.5 b"]);
    }

    #[test]
    fn an_entry_without_its_site_and_one_without_its_patch_do_not_count() {
        let list = versions(&[("254", &["a"]), ("255", &[])]);
        let known = entries(&[("a", &["254"]), ("b", &["255"])]);
        assert_eq!(shown(&review(&list, &known, &|_, _| true)), ["stale 255 b"]);
        let text = "schema = 1\n[[site]]\nfile = \"src/core/a.c\"\nfunction = \"f\"\n\
                    what = \"a\"\nsince = [\"254\"]\nhandled-by = \"0001-x\"\nwhy = \"x\"\n";
        let known = Acknowledged::parse(text).unwrap();
        assert_eq!(shown(&review(&list, &known, &|_, _| false)), ["254 < a"]);
        assert!(review(&list, &known, &|_, _| true).is_empty());
    }
}
