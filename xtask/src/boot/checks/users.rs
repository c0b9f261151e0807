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

pub const DYNAMIC_USER: Check = Check {
    id: "services.dynamic-user",
    title: "DynamicUser= gives a service a user of its own",
    modes: &[Mode::Plain, Mode::Writable],
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
        let name = seen.get("said").lines().any(|l| l == "plainboot-dynamic");
        all([
            started(seen),
            same("its exit status", seen.get("status"), "0"),
            Outcome::holds_if(name, || format!("its user: `{}`", shorten(seen.get("said")))),
        ])
    },
    ..BASE
};
