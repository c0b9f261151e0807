// SPDX-License-Identifier: MIT
//! Every check, once: an id, a title, a time limit, what it proves, how it looks and how it judges.
//!
//! A *probe* talks to the engine and only notes what it sees; a *judge* is a pure function of those
//! notes. So every judgement is tested on transcripts of real boots, and can be repeated from a
//! record.

mod control;
mod exit;
mod faults;
mod journal;
mod limits;
mod logs;
mod made;
mod members;
mod preconditions;
mod prepared;
mod real;
mod reexec;
mod report;
mod restart;
mod rows;
mod services;
mod sessions;
mod start;
mod status;
pub mod table;
mod terminal;
mod tracking;
mod users;

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use real::PACKAGES as REAL_PACKAGES;

use super::bench::{Bench, Site, Until};
use super::evidence::Evidence;
use super::expect::{Expect, Mode};
use super::verdict::Outcome;
use crate::engine::Facts;

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// What records, `series.toml` and `--only` call it.
    pub id: &'static str,
    pub group: Group,
    /// What holds if it passes, in one line.
    pub title: &'static str,
    /// The probe must have all its answers within this time.
    pub timeout: Duration,
    /// Ids of the patches without which it is expected to fail.
    pub proves: &'static [&'static str],
    /// Whether it can look at a main container that has ended.
    pub after_the_end: bool,
    /// Checks that must run before it, since it looks at what they leave.
    pub needs: &'static [&'static str],
    /// The ways to run a container in which it is tried.
    pub modes: &'static [Mode],
    /// Why an engine with these facts cannot try it, if so: the check is then skipped.
    pub cannot: fn(&Facts) -> Option<String>,
    pub probe: Probe,
    pub judge: fn(&Evidence, &Expect) -> Outcome,
}

/// What most checks have in common; each file's own base is made of it.
const BASE: Check = Check {
    id: "",
    group: Group::Boot,
    title: "",
    timeout: Duration::from_secs(20),
    proves: &[],
    after_the_end: false,
    needs: &[],
    modes: &[Mode::Plain],
    cannot: |_| None,
    probe: Probe::Main(|_| Ok(Evidence::default())),
    judge: |_, _| Outcome::Broken("no judge".into()),
};

/// How a check looks.
#[derive(Debug, Clone, Copy)]
pub enum Probe {
    /// At the container of each mode; these run one after the other, in the order of [`CHECKS`].
    Main(fn(&Bench<'_>) -> Result<Evidence>),
    /// At containers of its own, in each mode; these run beside the others.
    Apart(fn(&Site<'_>, Until) -> Result<Evidence>),
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The container really is unprivileged.
    Precondition,
    /// Stock systemd runs where it may write control groups, and is refused in a plain container.
    Control,
    Boot,
    Services,
    Logs,
    Exit,
    /// Other ways to run the container, each with what is expected of it.
    Rows,
    /// Load, and what breaks around the container or in it.
    Faults,
}

impl Group {
    /// True for checks of the proof itself rather than of systemd.
    pub fn is_about_the_proof(self) -> bool {
        matches!(self, Group::Precondition | Group::Control)
    }
}

/// All checks, in the order in which they run: the last ones end the main container.
pub const CHECKS: &[&Check] = &[
    &preconditions::CAPABILITIES,
    &preconditions::SECCOMP,
    &preconditions::READ_ONLY,
    &preconditions::REFUSED,
    &preconditions::NO_OPTIONS,
    &start::PID1,
    &start::RUNNING,
    &start::NO_FLAGS,
    &start::NO_FAILED_UNITS,
    &start::INOTIFY,
    &start::LOCK_FOLDER,
    &start::NO_TTY,
    &start::MACHINE_ID,
    &prepared::PREPARED,
    &services::SIMPLE,
    &services::NOTIFY,
    &services::ONESHOT,
    &services::TIMER,
    &services::SOCKET,
    &services::ACCEPT,
    &services::ACCEPT_FAILURE,
    &services::FOLDERS,
    &users::CREDENTIALS,
    &users::PRIVATE_USERS,
    &users::SECCOMP,
    &users::DYNAMIC_USER,
    &users::DYNAMIC_USER_REFUSED,
    &tracking::CGROUPS,
    &tracking::PID_FILE,
    &tracking::PID_FILE_OF_A_USER,
    &tracking::FORKING,
    &tracking::NOTIFY_FROM_A_CHILD,
    &tracking::STOP_ALL,
    &tracking::DELEGATE,
    &tracking::SCOPE,
    &members::STATUS,
    &members::KILL,
    &members::EXIT_TYPE,
    &members::MIXED,
    &members::LOST_MARK,
    &members::THOUSAND,
    &sessions::USER_SERVICE,
    &sessions::SESSION,
    &limits::MEMORY,
    &limits::TASKS,
    &limits::JOINED,
    &report::MATCHES,
    &journal::UNIT,
    &journal::CHILD,
    &exit::SIGTERM,
    &logs::MARKERS,
    &status::ONCE,
    &start::TTY,
    &start::THREE_TMPFS,
    &start::HOST_CGROUP,
    &terminal::RESIZE,
    &reexec::REEXEC,
    &reexec::DAEMON_REEXEC,
    &restart::RESTART,
    &restart::KILLED,
    &journal::STALLED,
    &exit::POWEROFF_SIGNAL,
    &exit::SIGINT,
    &exit::SYSTEMCTL,
    &rows::HOST_CGROUP_NAMESPACE,
    &rows::NO_NEW_PRIVILEGES,
    &rows::READ_ONLY,
    &rows::READ_ONLY_TMPFS,
    &rows::NO_CAPABILITIES,
    &rows::FOUR_CAPABILITIES,
    &rows::INIT,
    &rows::SHARED_PID,
    &rows::WRITABLE_CGROUPS,
    &rows::USER_NAMESPACE,
    &rows::ROOTLESS,
    &rows::CONTAINERD,
    &control::WRITABLE,
    &control::REFUSED,
    &control::SAME_LAYERS,
];

/// The checks of an image that holds real services, in the order in which they run.
pub const REAL: &[&Check] = &[
    &preconditions::CAPABILITIES,
    &preconditions::SECCOMP,
    &preconditions::READ_ONLY,
    &preconditions::REFUSED,
    &preconditions::NO_OPTIONS,
    &start::PID1,
    &real::RUNNING,
    &real::NGINX,
    &real::POSTGRESQL,
    &real::REDIS,
    &real::SSH,
    &real::SESSION,
    &real::STOPPED,
    &real::RESTART,
];

/// The checks of an image that was made elsewhere: those that need nothing in it but systemd and a
/// shell. It has no stock control; the preconditions are the same.
pub const MADE: &[&Check] = &[
    &preconditions::CAPABILITIES,
    &preconditions::SECCOMP,
    &preconditions::READ_ONLY,
    &preconditions::REFUSED,
    &preconditions::NO_OPTIONS,
    &start::PID1,
    &start::RUNNING,
    &start::NO_FLAGS,
    &start::NO_FAILED_UNITS,
    &start::INOTIFY,
    &start::LOCK_FOLDER,
    &start::NO_TTY,
    &start::MACHINE_ID,
    &made::EXIT,
    &start::TTY,
    &start::THREE_TMPFS,
    &made::RESTART,
];

/// Load and faults, in the order in which they run, one at a time. The last ones restart the engine.
pub const FAULTS: &[&Check] = &[
    &preconditions::CAPABILITIES,
    &preconditions::SECCOMP,
    &preconditions::READ_ONLY,
    &preconditions::REFUSED,
    &preconditions::NO_OPTIONS,
    &start::PID1,
    &start::RUNNING,
    &faults::SIGTERM_MID_BOOT,
    &faults::IGNORES_SIGTERM,
    &faults::NO_MEMORY,
    &faults::NO_SPACE,
    &faults::guest::CLOCK,
    &faults::IN_A_ROW,
    &faults::MANY_AT_ONCE,
    &faults::guest::ENGINE_RESTART,
    &faults::guest::LIVE_RESTORE,
];

/// The tables, each with the words that `test-image` takes for it.
pub const TABLES: [(&str, &[&Check]); 4] =
    [("", CHECKS), (" --services", REAL), (" --faults", FAULTS), (" --image IMAGE", MADE)];

/// What is said after the command for that table to be used; with its space, or empty.
pub fn flag(table: &[&Check]) -> &'static str {
    let same = |of: &[&Check]| of.iter().map(|c| c.id).eq(table.iter().map(|c| c.id));
    TABLES.into_iter().find(|(_, of)| same(of)).map_or("", |(flag, _)| flag)
}

/// Every check there is, once.
pub fn every() -> impl Iterator<Item = &'static Check> {
    let of = |table: &'static [&'static Check]| {
        table.iter().copied().filter(|r| CHECKS.iter().all(|c| c.id != r.id))
    };
    CHECKS.iter().copied().chain(of(REAL)).chain(of(MADE)).chain(of(FAULTS))
}

/// What must be said after `cargo xtask` to try a check of a table that holds it. A guest can do all
/// that this machine's engine can of [`FAULTS`], and more.
pub fn tried_by(id: &str) -> Option<String> {
    let (flag, _) = TABLES.into_iter().find(|(_, table)| table.iter().any(|c| c.id == id))?;
    let command = if flag.contains("faults") { "test-vm" } else { "test-image" };
    Some(format!("{command}{flag} --only {id}"))
}

/// The check of that id.
pub fn find(id: &str) -> Option<&'static Check> {
    every().find(|c| c.id == id)
}

/// The checks of a table that `wanted` selects and those that they need, in the table's order.
pub fn choose(table: &[&'static Check], wanted: &dyn Fn(&Check) -> bool) -> Vec<&'static Check> {
    let needed: Vec<&str> =
        table.iter().filter(|c| wanted(c)).flat_map(|c| c.needs).copied().collect();
    table.iter().copied().filter(|c| wanted(c) || needed.contains(&c.id)).collect()
}

/// Compares text with text, for judges.
fn same(what: &str, seen: &str, wanted: &str) -> Outcome {
    Outcome::holds_if(seen == wanted, || format!("{what} is `{}`, not `{wanted}`", shorten(seen)))
}

/// The first outcome that does not hold.
fn all(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    outcomes.into_iter().find(|o| *o != Outcome::Holds).unwrap_or(Outcome::Holds)
}

/// One line of at most 160 characters.
pub fn shorten(text: &str) -> String {
    let line = text.lines().collect::<Vec<_>>().join(" / ");
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn expect() -> Expect {
        Expect {
            row: super::super::expect::DOCKER_PLAIN,
            version: crate::version::SystemdVersion::new(262, 0),
        }
    }

    #[test]
    fn ids_are_unique_and_titles_fit_a_terminal() {
        for (i, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[i + 1..].iter().all(|c| c.id != check.id), "{} twice", check.id);
            assert!(check.title.len() <= 62, "{}: {}", check.id, check.title.len());
            assert!(check.id.len() <= 24, "{}", check.id);
        }
    }

    #[test]
    fn what_a_check_needs_runs_before_it() {
        let place = |id: &str| CHECKS.iter().position(|c| c.id == id);
        for check in CHECKS {
            for need in check.needs {
                assert!(place(need) < place(check.id), "{} needs {need}", check.id);
                assert!(place(need).is_some(), "{} needs {need}", check.id);
            }
        }
        let chosen = choose(CHECKS, &|c| c.id == "logs.once");
        assert_eq!(chosen.iter().map(|c| c.id).collect::<Vec<_>>(), ["exit.sigterm", "logs.once"]);
    }

    /// The series names checks for each patch, and the profile for its entries: they exist, and
    /// those of a patch say so themselves.
    #[test]
    fn the_series_and_the_profile_name_checks_that_exist() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
        let series: toml::Value = toml::from_str(&read("patches/series.toml")).unwrap();
        let empty = Vec::new();
        let patches = series.get("patch").and_then(toml::Value::as_array).unwrap_or(&empty);
        for patch in patches {
            let id = patch["id"].as_str().unwrap();
            for name in patch["checks"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                let check = find(name).unwrap_or_else(|| panic!("{id} names {name}"));
                assert!(check.proves.contains(&id), "{name} does not prove {id}");
            }
        }
        let profile = crate::profile::Profile::parse(&read("nix/profile.json")).unwrap();
        for name in profile.checks() {
            assert!(find(name).is_some(), "the profile names {name}");
        }
    }

    /// A check that holds without having seen anything would prove nothing.
    #[test]
    fn no_check_holds_on_nothing() {
        for check in every() {
            let outcome = (check.judge)(&Evidence::default(), &expect());
            assert_ne!(outcome, Outcome::Holds, "{}", check.id);
        }
    }
}
