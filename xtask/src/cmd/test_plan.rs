// SPDX-License-Identifier: MIT
//! Which commands `cargo xtask test` runs beside lints and tests: the real path.

use crate::arch::Arch;
use crate::skip::Skip;
use crate::sources::Available;
use crate::version::SystemdVersion;

/// A command of this tool, run as its user would, and judged by its status.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// The words after `cargo xtask`.
    pub words: Vec<String>,
    /// A suite for a systemd that nobody has looked at yet: its "no" is shown and counted as
    /// skipped, and does not turn the run red.
    pub early_warning: bool,
}

impl Suite {
    /// Whether it boots a virtual machine, for which much has to be made.
    pub fn boots_a_guest(&self) -> bool {
        self.words.first().is_some_and(|word| word == "test-vm")
    }
}

/// The releases that distributions carry, and that are built and booted in each run.
pub const MAJORS: [u32; 3] = [254, 257, 262];

/// Checks that the run's engine may be unable to try, by its own facts: they need another way to run
/// the engine, or controllers that a host of cgroup v1 keeps. A skip of any other check leaves the
/// run with nothing to say (77).
pub const MAY_SKIP: [&str; 7] = [
    "limits.joined-root",
    "limits.memory",
    "limits.tasks",
    "row.containerd",
    "row.rootless",
    "row.userns-remap",
    "row.writable-cgroups",
];

/// The real path, for what can be had on this machine. Each suite is parsed and dispatched inside
/// this process, so that an interrupt reaches the guards of what it started.
pub fn real_path(available: &[Available]) -> (Vec<Suite>, Vec<Skip>) {
    let suite = |words: &[&str], early_warning| Suite {
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        early_warning,
    };
    let boot = |version: SystemdVersion, early_warning| {
        suite(&["test-image", "--systemd", &version.to_string()], early_warning)
    };
    let released = || available.iter().filter(|a| !a.version.is_candidate()).rev();
    let mut suites = vec![suite(&["rebase-patches", "--check"], false)];
    let mut skips = Vec::new();
    for major in MAJORS {
        match released().find(|a| a.version.major == major && a.locked) {
            Some(verified) => {
                suites.push(boot(verified.version, false));
            }
            None => skips.push(Skip {
                test: format!("test-image of systemd {major}"),
                optional: false,
                reason: "no release that patches/sources.lock knows can be had here".to_owned(),
            }),
        }
    }
    // Of the newest alone, which has every patch: the parts that they test hardly differ between
    // versions. CI's matrix leaves out each patch of all.
    let verified = |a: &&Available| a.locked && MAJORS.contains(&a.version.major);
    if let Some(newest) = released().find(verified) {
        let version = newest.version.to_string();
        suites.push(suite(&["test-image", "--systemd", &version, "--ablate"], false));
        suites.push(suite(&["demo", "--check"], false));
        suites.push(suite(&["test-systemd", &version], false));
        suites.push(suite(&["test-containers", "--systemd", &version], false));
        suites.push(suite(&["test-image", "--systemd", &version, "--services"], false));
        for via in ["copy", "deb"] {
            suites.push(suite(&["test-image", "--systemd", &version, "--via", via], false));
        }
        // Of the guests' checks those that need a tree with every controller, and of the other
        // architecture that it boots at all: each minute by emulation is one of the whole run.
        let vm = ["test-vm", "--systemd", &version, "--only", "boot.running", "exit.sigterm"];
        let limits = ["limits.memory", "limits.tasks", "limits.joined-root"];
        suites.push(suite(&[&vm[..], &limits[..]].concat(), false));
        if let Some(other) = Arch::host().map(Arch::other) {
            suites.push(suite(&[&vm[..], &["--arch", other.name()]].concat(), false));
        }
    }
    // A distribution has moved on: what nobody has carried the series to yet is tried, no more.
    let newest = released().next();
    let moved = MAJORS.iter().filter_map(|m| released().find(|a| a.version.major == *m));
    let mut ahead: Vec<_> = moved.chain(newest).filter(|a| !a.locked).map(|a| a.version).collect();
    ahead.dedup();
    suites.extend(ahead.into_iter().map(|version| boot(version, true)));
    (suites, skips)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::Flags;

    fn listed(version: &str, locked: bool) -> Available {
        Available {
            version: version.parse().unwrap(),
            origin: "Debian".into(),
            also: Vec::new(),
            present: false,
            commit: None,
            tree: None,
            locked,
            booted: Vec::new(),
            refused: None,
        }
    }

    fn lines(available: &[Available]) -> Vec<String> {
        let (suites, skips) = real_path(available);
        let word = |s: &Suite| if s.early_warning { "early" } else { "must" };
        let suites = suites.iter().map(|s| format!("{} {}", word(s), s.words.join(" ")));
        suites.chain(skips.iter().map(|s| format!("skip {}", s.test))).collect()
    }

    #[test]
    fn what_the_lock_knows_must_hold_and_what_is_newer_is_an_early_warning() {
        let all = [("254.26", true), ("257.13", true), ("262", true), ("262.1", false)];
        let seen = lines(&all.map(|(v, locked)| listed(v, locked)));
        let other = Arch::host().unwrap().other();
        assert_eq!(
            seen,
            [
                "must rebase-patches --check",
                "must test-image --systemd 254.26",
                "must test-image --systemd 257.13",
                "must test-image --systemd 262",
                "must test-image --systemd 262 --ablate",
                "must demo --check",
                "must test-systemd 262",
                "must test-containers --systemd 262",
                "must test-image --systemd 262 --services",
                "must test-image --systemd 262 --via copy",
                "must test-image --systemd 262 --via deb",
                "must test-vm --systemd 262 --only boot.running exit.sigterm limits.memory \
                 limits.tasks limits.joined-root",
                &format!(
                    "must test-vm --systemd 262 --only boot.running exit.sigterm --arch {other}"
                ),
                "early test-image --systemd 262.1",
            ]
        );
        let seen = lines(&[listed("257.14", false), listed("263", false)]);
        assert_eq!(
            seen,
            [
                "must rebase-patches --check",
                "early test-image --systemd 257.14",
                "early test-image --systemd 263",
                "skip test-image of systemd 254",
                "skip test-image of systemd 257",
                "skip test-image of systemd 262",
            ]
        );
    }

    #[test]
    fn what_may_be_skipped_exists() {
        for id in MAY_SKIP {
            assert!(crate::boot::checks::find(id).is_some(), "{id}");
        }
    }

    #[test]
    fn every_suite_of_the_real_path_is_a_command_line() {
        let (suites, _) = real_path(&[listed("257.13", true), listed("263", false)]);
        for suite in suites {
            let words = ["cargo xtask"].into_iter().chain(suite.words.iter().map(String::as_str));
            assert!(Flags::try_parse_from(words).is_ok(), "{:?}", suite.words);
        }
    }
}
