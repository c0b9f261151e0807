// SPDX-License-Identifier: MIT
//! With a writable cgroup tree, limits are really enforced.

use std::time::Duration;

use anyhow::Result;

use super::{Check, Group, Mode, Outcome, Probe, all, same};
use crate::boot::bench::{Site, Until, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::exec;

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
        untouched(
            site,
            until,
            "limits-memory",
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
        untouched(
            site,
            until,
            "limits-tasks",
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

/// Runs scripts in a container of their own, in which nobody ran anything before its boot was over.
///
/// The processes of `docker exec` are in the container's root control group until systemd has turned
/// on controllers for the groups below it; after that the engine puts them into PID 1's. As long as
/// there are processes in a group, the kernel refuses to turn on controllers below it (cgroups(7), "no
/// internal processes"). So one who asks a container how its boot goes leaves it without limits, with
/// stock systemd too.
fn untouched(
    site: &Site<'_>,
    until: Until,
    name: &str,
    scripts: &[(&str, &str)],
) -> Result<Evidence> {
    let mut seen = Evidence::default();
    let other = site.another(name, &site.start())?;
    while !other.container.log()?.contains(FINISHED) {
        if until.left() < Duration::from_secs(1) || !other.container.state()?.running {
            seen.put("log", other.container.log()?);
            return Ok(seen);
        }
        exec::sleep(Duration::from_millis(100))?;
    }
    seen.put("booted", "finished");
    put_fixtures(&other.container, until)?;
    note(&other.container, until, &mut seen, scripts)?;
    Ok(seen)
}

/// PID 1's last words about its boot, which journald forwards.
const FINISHED: &str = "Startup finished in ";

fn booted(seen: &Evidence) -> Outcome {
    Outcome::holds_if(seen.get("booted") == "finished", || {
        let last = seen.get("log").lines().last().unwrap_or_default();
        format!("the boot did not come to its end: {last}")
    })
}
