// SPDX-License-Identifier: MIT
//! With a writable cgroup tree, limits are really enforced.

use std::time::Duration;

use super::services::with_units;
use super::{Check, Group, Mode, Outcome, Probe, all, same};

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(20),
    modes: &[Mode::Writable],
    ..super::BASE
};

pub const MEMORY: Check = Check {
    id: "limits.memory",
    title: "MemoryMax= kills what takes more",
    cannot: |facts| {
        (!facts.memory_limit)
            .then(|| "this engine's cgroup v2 tree has no memory controller".to_owned())
    },
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-memory-hog.service"),
                ("result", "systemctl show -P Result plainboot-memory-hog.service"),
                ("went-on", "journalctl --no-pager -o cat | grep -c '^plainboot-not-killed'"),
                ("tidy", "systemctl reset-failed plainboot-memory-hog.service"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            same("its result", seen.get("result"), "oom-kill"),
            same("how often it got its memory", seen.get("went-on"), "0"),
        ])
    },
    ..BASE
};

pub const TASKS: Check = Check {
    id: "limits.tasks",
    title: "TasksMax= stops a fork bomb",
    cannot: |facts| {
        (!facts.pids_limit)
            .then(|| "this engine's cgroup v2 tree has no pids controller".to_owned())
    },
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-fork-bomb.service"),
                ("children", "cat /var/lib/plainboot-fork-bomb/children"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            same("its start", seen.get("start.status"), "0"),
            // The limit of 20 counts the parent too.
            Outcome::holds_if(
                seen.number("children").is_some_and(|n| (1..20).contains(&n)),
                || format!("it has `{}` children", seen.get("children")),
            ),
        ])
    },
    ..BASE
};
