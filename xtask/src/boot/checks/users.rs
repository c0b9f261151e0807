// SPDX-License-Identifier: MIT
//! Services of other users, and their secrets.

use std::time::Duration;

use super::services::{started, with_units};
use super::{Check, Group, Mode, Outcome, Probe, all, same, shorten};

const BASE: Check =
    Check { group: Group::Services, timeout: Duration::from_secs(15), ..super::BASE };

pub const CREDENTIALS: Check = Check {
    id: "services.credentials",
    title: "credentials reach a user's service, nobody else, and go",
    probe: Probe::Main(|bench| {
        let folder = "/run/credentials/plainboot-credentials.service";
        let other = format!(
            "LC_ALL=C setpriv --reuid=nobody --regid=nogroup --clear-groups cat {folder}/given"
        );
        let owner = format!("LC_ALL=C setpriv --reuid=daemon --clear-groups cat {folder}/given");
        let left = format!("test -e {folder} && echo left || echo removed");
        with_units(
            bench,
            &[
                ("secret", "umask 077; printf two >/etc/plainboot-secret"),
                ("start", "systemctl start plainboot-credentials.service"),
                ("seen", "cat /var/lib/plainboot-credentials/seen"),
                ("owner", &owner),
                ("other", &other),
                ("stop", "systemctl stop plainboot-credentials.service"),
                ("left", &left),
            ],
        )
    }),
    judge: |seen, _| {
        let refused = seen.get("other").contains("Permission denied");
        all([
            started(seen),
            same("what it got", seen.get("seen"), "onetwo"),
            same("what its user reads", seen.get("owner"), "one"),
            Outcome::holds_if(refused && seen.get("other.status") == "1", || {
                format!("another user is not refused: `{}`", shorten(seen.get("other")))
            }),
            same("after the stop the secret", seen.get("left"), "removed"),
        ])
    },
    ..BASE
};

pub const PRIVATE_USERS: Check = Check {
    id: "services.private-users",
    title: "a service that asks for PrivateUsers= runs without it",
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-private-users.service"),
                (
                    "said",
                    "journalctl --sync; journalctl --no-pager -o cat -u plainboot-private-users.service",
                ),
                ("stop", "systemctl stop plainboot-private-users.service"),
            ],
        )
    }),
    judge: |seen, _| {
        let said = seen.get("said").lines().any(|l| l == "plainboot-private-users ran");
        all([
            started(seen),
            Outcome::holds_if(said, || format!("it said `{}`", shorten(seen.get("said")))),
        ])
    },
    ..BASE
};

pub const SECCOMP: Check = Check {
    id: "services.seccomp",
    title: "a user's service runs with a system call filter in force",
    modes: &[Mode::Plain, Mode::Writable],
    proves: &["0010-exec-invoke-seccomp"],
    probe: Probe::Main(|bench| {
        let unit = "plainboot-seccomp.service";
        let start = format!("systemctl start {unit}");
        let said = format!("journalctl --sync; journalctl --no-pager -o cat -u {unit}");
        let tidy = format!("systemctl reset-failed {unit}");
        with_units(bench, &[("start", start.as_str()), ("said", &said), ("tidy", &tidy)])
    }),
    judge: |seen, _| {
        let line = |what: &str| {
            Outcome::holds_if(seen.get("said").lines().any(|l| l.ends_with(what)), || {
                format!("it says `{}`, not `{what}`", shorten(seen.get("said")))
            })
        };
        all([started(seen), line("daemon"), line("Structure needs cleaning")])
    },
    ..BASE
};

pub const DYNAMIC_USER: Check = Check {
    id: "services.dynamic-user",
    title: "DynamicUser= with PrivateMounts=no gives it a user of its own",
    modes: &[Mode::Plain, Mode::Writable],
    proves: &["0009-exec-invoke-namespace"],
    probe: Probe::Main(|bench| {
        let unit = "plainboot-dynamic.service";
        let start = format!("systemctl start {unit}");
        let said = format!("journalctl --sync; journalctl --no-pager -o cat -u {unit}");
        let stop = format!("systemctl stop {unit}; systemctl reset-failed {unit}");
        let status = format!("systemctl show -P ExecMainStatus {unit}");
        with_units(
            bench,
            &[("start", start.as_str()), ("status", &status), ("said", &said), ("stop", &stop)],
        )
    }),
    judge: |seen, _| {
        // The range that systemd takes such users from; see docs/UIDS-GIDS.md of its sources.
        let ids = || seen.get("said").lines().filter_map(|l| l.parse::<u32>().ok());
        all([
            started(seen),
            same("its exit status", seen.get("status"), "0"),
            Outcome::holds_if(ids().any(|id| (61184..=65519).contains(&id)), || {
                format!("its user: `{}`", shorten(seen.get("said")))
            }),
        ])
    },
    ..BASE
};

pub const DYNAMIC_USER_REFUSED: Check = Check {
    id: "services.names-setting",
    title: "a service that takes a mount namespace says which setting does",
    modes: &[Mode::Plain, Mode::Writable],
    proves: &["0009-exec-invoke-namespace"],
    probe: Probe::Main(|bench| {
        let unit = "plainboot-dynamic-state.service";
        let start = format!("systemctl start {unit}");
        // The process is gone before journald can ask whose it was.
        let said = format!(
            "journalctl --sync; journalctl --no-pager -o cat | grep '^{unit}: .* takes a mount'"
        );
        let tidy = format!("systemctl reset-failed {unit}");
        let status = format!("systemctl show -P ExecMainStatus {unit}");
        with_units(
            bench,
            &[("start", start.as_str()), ("status", &status), ("said", &said), ("tidy", &tidy)],
        )
    }),
    judge: |seen, _| {
        let named = seen.get("said").contains("DynamicUser= takes a mount namespace");
        all([
            same("its exit status", seen.get("status"), "226"),
            Outcome::holds_if(named, || format!("it says `{}`", shorten(seen.get("said")))),
        ])
    },
    ..BASE
};
