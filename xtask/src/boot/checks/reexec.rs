// SPDX-License-Identifier: MIT
//! SIGTERM from inside of the container means what it always did: reexecute, and lose nothing.

use std::time::Duration;

use super::{Check, Group, Outcome, Probe, all, same};
use crate::boot::bench::{boot, note};
use crate::boot::evidence::Evidence;
use crate::engine::Start;

/// In this order; the file in /run must outlive PID 1's second start, as it would on a tmpfs.
const SCRIPTS: [(&str, &str); 5] = [
    ("before", "touch /run/plainboot-reexec; systemctl show --property=MainPID --value dbus"),
    (
        "reexecuted",
        "kill -TERM 1; said() { journalctl --output=cat _PID=1 | grep -c '^Reexecuting'; }; \
         for i in $(seq 50); do [ \"$(said)\" = 0 ] || break; sleep 0.1; done; said",
    ),
    // Nobody answers for a moment; the check's own time limit ends the wait.
    (
        "state",
        "until systemctl show --property=Version >/dev/null 2>&1; do sleep 0.1; done; \
         systemctl is-system-running --wait",
    ),
    ("after", "systemctl show --property=MainPID --value dbus"),
    ("kept", "ls /run/plainboot-reexec"),
];

pub const REEXEC: Check = Check {
    id: "boot.reexec",
    group: Group::Boot,
    title: "SIGTERM from inside reexecutes; services and /run survive",
    timeout: Duration::from_secs(20),
    proves: &[],
    after_the_end: true,
    probe: Probe::Apart(|site, until| {
        let other = site.another("reexec", &Start::plain(site.image))?;
        let booted = boot(&other.container, until.left())?;
        let mut seen = Evidence::default();
        seen.put("booted", booted.state);
        note(&other.container, until, &mut seen, &SCRIPTS)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        let pid = seen.get("before");
        all([
            same("the state before", seen.get("booted"), "running"),
            Outcome::holds_if(pid.parse::<u32>().is_ok_and(|p| p > 1), || {
                format!("the service's main process is `{pid}`")
            }),
            same("the count of reexecutions", seen.get("reexecuted"), "1"),
            same("the state after", seen.get("state"), "running"),
            same("the main process after", seen.get("after"), pid),
            same("the file in /run", seen.get("kept"), "/run/plainboot-reexec"),
        ])
    },
    ..super::BASE
};
