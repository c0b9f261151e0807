// SPDX-License-Identifier: MIT
//! All processes of a service, not its main process alone: shown, killed, waited for.
//!
//! A control group knows them. Where there is none, 0008-cgroup-mark makes up for it, so all of this
//! is tried in a plain container and in one with a writable tree.

use std::time::Duration;

use super::services::{started, with_units};
use super::tracking::STATE;
use super::{Check, Group, Mode, Outcome, Probe, all, same};
use crate::boot::evidence::Evidence;

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(15),
    modes: &[Mode::Plain, Mode::Writable],
    proves: &["0008-cgroup-mark"],
    ..super::BASE
};

/// Starts the service that leaves two children behind, and waits for them.
const START_FAMILY: (&str, &str) = (
    "start",
    "systemctl start plainboot-family.service && \
     for i in $(seq 50); do sleep 0.05; \
     [ \"$(grep -c . /var/lib/plainboot-family)\" = 2 ] && exit; done; exit 1",
);

/// Ends what a check that failed has left.
const TIDY_FAMILY: (&str, &str) = (
    "tidy",
    "systemctl stop plainboot-family.service; systemctl reset-failed plainboot-family.service; \
     kill -KILL $(cat /var/lib/plainboot-family)",
);

pub const STATUS: Check = Check {
    id: "services.status",
    title: "systemctl status shows and counts all processes of a service",
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                START_FAMILY,
                (
                    "whoami",
                    "for p in $(cat /var/lib/plainboot-family); do systemctl whoami $p; done",
                ),
                (
                    "tree",
                    "systemctl status plainboot-family.service >/tmp/plainboot-status; \
                     for p in $(cat /var/lib/plainboot-family); do \
                     grep -c \"[├└]─ *$p sleep infinity\" /tmp/plainboot-status; done",
                ),
                ("tasks", "systemctl show -P TasksCurrent plainboot-family.service"),
                TIDY_FAMILY,
            ],
        )
    }),
    judge: |seen, expect| {
        let unit = "plainboot-family.service";
        all([
            started(seen),
            same("the unit of its children", seen.get("whoami"), &format!("{unit}\n{unit}")),
            same("how often status shows each child", seen.get("tree"), "1\n1"),
            // A control group without the controller cannot tell the number.
            Outcome::holds_if(
                seen.get("tasks") == "3" || expect.row.mode == Mode::Writable,
                || format!("TasksCurrent is `{}`, not `3`", seen.get("tasks")),
            ),
        ])
    },
    ..BASE
};

pub const KILL: Check = Check {
    id: "services.kill",
    title: "systemctl kill reaches all processes of a service",
    probe: Probe::Main(|bench| {
        let children = format!("{STATE} state /var/lib/plainboot-family");
        // A signal is not waited for.
        let after = format!(
            "{STATE} for i in $(seq 20); do s=$(state /var/lib/plainboot-family); \
             echo $s | grep -q runs || break; sleep 0.05; done; echo \"$s\""
        );
        with_units(
            bench,
            &[
                START_FAMILY,
                ("before", &children),
                ("kill", "systemctl kill --signal=KILL plainboot-family.service"),
                ("after", &after),
                TIDY_FAMILY,
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("the state of its children before", seen.get("before"), "runs\nruns"),
            same("systemctl kill", seen.get("kill.status"), "0"),
            same("the state of its children after", seen.get("after"), "gone\ngone"),
        ])
    },
    ..BASE
};

pub const EXIT_TYPE: Check = Check {
    id: "services.exit-type",
    title: "ExitType=cgroup: a service ends with the last of its processes",
    probe: Probe::Main(|bench| {
        let unit = "plainboot-exit-type.service";
        let start = format!("systemctl start {unit}");
        // Its main process has ended once PID 1 does not know of one.
        let active = format!(
            "for i in $(seq 50); do \
             [ -s /var/lib/plainboot-exit-type ] && [ $(systemctl show -P MainPID {unit}) = 0 ] \
             && break; sleep 0.05; done; systemctl is-active {unit}"
        );
        let after = format!(
            "kill $(cat /var/lib/plainboot-exit-type); \
             for i in $(seq 50); do s=$(systemctl is-active {unit}); [ $s = active ] || break; \
             sleep 0.05; done; echo $s"
        );
        let tidy = format!("systemctl stop {unit}; systemctl reset-failed {unit}");
        with_units(
            bench,
            &[("start", start.as_str()), ("active", &active), ("after", &after), ("tidy", &tidy)],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("after its main process it", seen.get("active"), "active"),
            same("after its last process it", seen.get("after"), "inactive"),
        ])
    },
    ..BASE
};

pub const MIXED: Check = Check {
    id: "services.mixed",
    title: "KillMode=mixed: SIGTERM for the main one, SIGKILL for the rest",
    probe: Probe::Main(|bench| {
        let child = format!("{STATE} state /var/lib/plainboot-mixed");
        with_units(
            bench,
            &[
                (
                    "start",
                    "systemctl start plainboot-mixed.service && \
                     for i in $(seq 50); do [ -s /var/lib/plainboot-mixed ] && exit; sleep 0.05; \
                     done; exit 1",
                ),
                ("before", &child),
                ("stop", "systemctl stop plainboot-mixed.service"),
                ("result", "systemctl show -P Result plainboot-mixed.service"),
                ("after", &child),
                ("tidy", "kill -KILL $(cat /var/lib/plainboot-mixed)"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("the state of its child before", seen.get("before"), "runs"),
            same("the stop", seen.get("stop.status"), "0"),
            same("its result", seen.get("result"), "success"),
            same("the state of its child after", seen.get("after"), "gone"),
        ])
    },
    ..BASE
};

pub const LOST_MARK: Check = Check {
    id: "services.lost-mark",
    title: "a process that lost its mark is of its parent's service",
    probe: Probe::Main(|bench| {
        let child = format!("{STATE} state /var/lib/plainboot-lost");
        with_units(
            bench,
            &[
                (
                    "start",
                    "systemctl start plainboot-lost.service && \
                     for i in $(seq 50); do [ -s /var/lib/plainboot-lost ] && exit; sleep 0.05; \
                     done; exit 1",
                ),
                ("whoami", "systemctl whoami $(cat /var/lib/plainboot-lost)"),
                ("stop", "systemctl stop plainboot-lost.service"),
                ("after", &child),
                ("tidy", "kill -KILL $(cat /var/lib/plainboot-lost)"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("the unit of its child", seen.get("whoami"), "plainboot-lost.service"),
            same("the stop", seen.get("stop.status"), "0"),
            same("the state of its child after", seen.get("after"), "gone"),
        ])
    },
    ..BASE
};

pub const THOUSAND: Check = Check {
    id: "services.thousand",
    title: "the stop of a service ends all of its thousand processes",
    timeout: Duration::from_secs(60),
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                (
                    "start",
                    "systemctl start plainboot-thousand.service && \
                     for i in $(seq 400); do [ -s /var/lib/plainboot-thousand ] && exit; \
                     sleep 0.05; done; exit 1",
                ),
                (
                    "stop",
                    "a=$(date +%s%3N); systemctl stop plainboot-thousand.service && \
                     echo $(($(date +%s%3N) - a))",
                ),
                ("result", "systemctl show -P Result plainboot-thousand.service"),
                (
                    "left",
                    "n=0; for p in /proc/[0-9]*; do \
                     tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^sleep infinity' && \
                     systemctl whoami ${p#/proc/} 2>/dev/null | grep -q thousand && n=$((n + 1)); \
                     done; echo $n",
                ),
                (
                    "last",
                    "state=$(cut -d' ' -f3 /proc/$(cat /var/lib/plainboot-thousand)/stat \
                     2>/dev/null); echo ${state:-gone}",
                ),
            ],
        )
    }),
    judge: |seen: &Evidence, _| {
        all([
            started(seen),
            same("the stop", seen.get("stop.status"), "0"),
            same("its result", seen.get("result"), "success"),
            same("processes of it that are left", seen.get("left"), "0"),
            same("the last one", seen.get("last"), "gone"),
        ])
    },
    ..BASE
};
