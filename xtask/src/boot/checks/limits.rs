// SPDX-License-Identifier: MIT
//! With a writable cgroup tree, limits are really enforced.

use std::time::Duration;

use anyhow::Result;

use super::{Check, Group, Mode, Outcome, Probe, all, same};
use crate::boot::bench::{Site, Until, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::engine::Start;

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(30),
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
    probe: Probe::Apart(|site, until| {
        in_one_of_its_own(
            site,
            until,
            "limits-memory",
            &site.start(),
            &[
                ("start", "systemctl start plainboot-memory-hog.service"),
                ("result", "systemctl show -P Result plainboot-memory-hog.service"),
                (
                    "went-on",
                    "journalctl --sync; journalctl --no-pager -o cat | grep -c '^plainboot-not-killed'",
                ),
                ("tidy", "systemctl reset-failed plainboot-memory-hog.service"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            booted(seen),
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
    probe: Probe::Apart(|site, until| {
        in_one_of_its_own(
            site,
            until,
            "limits-tasks",
            &site.start(),
            &[
                ("start", "systemctl start plainboot-fork-bomb.service"),
                ("children", "cat /var/lib/plainboot-fork-bomb/children"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            booted(seen),
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

pub const JOINED: Check = Check {
    id: "limits.joined-root",
    title: "what `docker exec` puts into the root group stops no limit",
    cannot: MEMORY.cannot,
    proves: &["0002-cgroup"],
    probe: Probe::Apart(|site, until| {
        // Without these PID 1 turns on no controller at its start, so that each `docker exec` joins the
        // root control group, as it does by chance in the first moments of a container.
        const NO_ACCOUNTING: &str = "mkdir -p /etc/systemd/system.conf.d; \
            printf '%s\\n' '[Manager]' DefaultMemoryAccounting=no DefaultTasksAccounting=no \
            DefaultTasksMax=infinity >/etc/systemd/system.conf.d/accounting.conf";
        let mut start = site.start();
        match start.command.last_mut() {
            Some(script) => *script = format!("{NO_ACCOUNTING}; {script}"),
            None => {
                let script = format!("{NO_ACCOUNTING}; exec /sbin/init");
                start = start.options(&["--systemd=always"]).command(&["sh", "-c", &script]);
            }
        }
        let limit = "systemd-run --quiet --wait --pipe --property=MemoryMax=64M sh -c \
            'cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max'";
        let scripts = [("joined", "cat /proc/self/cgroup"), ("limit", limit)];
        in_one_of_its_own(site, until, "limits-joined-root", &start, &scripts)
    }),
    judge: |seen, _| {
        if booted(seen) == Outcome::Holds && seen.get("joined") != "0::/" {
            let group = seen.get("joined");
            return Outcome::NotTried(format!("the engine put its process into `{group}`"));
        }
        all([booted(seen), same("the limit of 64 MiB", seen.get("limit"), "67108864")])
    },
    ..BASE
};

/// Runs scripts in a container of their own, which is asked from its first moment how its boot goes.
fn in_one_of_its_own(
    site: &Site<'_>,
    until: Until,
    name: &str,
    start: &Start,
    scripts: &[(&str, &str)],
) -> Result<Evidence> {
    let mut seen = Evidence::default();
    let Some(other) = site.boot(name, start, until, &mut seen)? else { return Ok(seen) };
    put_fixtures(&other.container, until)?;
    note(&other.container, until, &mut seen, scripts)?;
    Ok(seen)
}

fn booted(seen: &Evidence) -> Outcome {
    same("its state", seen.get("booted"), "running")
}
