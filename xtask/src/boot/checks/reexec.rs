// SPDX-License-Identifier: MIT
//! Reexecution, asked for by SIGTERM from inside of the container as ever or by systemctl, loses
//! nothing.

use std::time::Duration;

use super::services::started;
use super::{Check, Group, Mode, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{note, put_fixtures};
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
        let mut seen = Evidence::default();
        let start = Start::plain(site.image);
        let Some(other) = site.boot("reexec", &start, until, &mut seen)? else { return Ok(seen) };
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

/// Every service that runs, with its main process.
const MAIN_PIDS: &str = "systemctl list-units --type=service --state=running --plain --no-legend \
    | while read unit rest; do echo $unit $(systemctl show -P MainPID $unit); done | sort";

pub const DAEMON_REEXEC: Check = Check {
    id: "boot.daemon-reexec",
    group: Group::Boot,
    title: "systemctl daemon-reexec keeps every service's main process",
    timeout: Duration::from_secs(30),
    after_the_end: true,
    modes: &[Mode::Plain, Mode::Writable],
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let Some(other) = site.boot("daemon-reexec", &site.start(), until, &mut seen)? else {
            return Ok(seen);
        };
        put_fixtures(&other.container, until)?;
        let units = "plainboot-simple.service plainboot-forking-pidfile.service \
                     plainboot-delegate.service";
        let scripts = [
            ("start", format!("systemctl start {units}")),
            ("before", MAIN_PIDS.to_owned()),
            ("reexec", "systemctl daemon-reexec".to_owned()),
            ("after", MAIN_PIDS.to_owned()),
            ("state", "systemctl is-system-running".to_owned()),
            // PID 1 and journald still know where the engine's log is.
            ("said", "echo plainboot-reexecuted | systemd-cat".to_owned()),
            ("stop", format!("systemctl stop {units}")),
            ("left", format!("systemctl is-active {units}")),
            ("flushed", "journalctl --sync".to_owned()),
        ];
        let scripts: Vec<(&str, &str)> = scripts.iter().map(|(n, s)| (*n, s.as_str())).collect();
        note(&other.container, until, &mut seen, &scripts)?;
        let log = other.container.log()?;
        let about = |l: &&str| l.contains("plainboot-reexecuted") || l.contains(": Reexecuting.");
        seen.put("log", log.lines().filter(about).collect::<Vec<_>>().join("\n"));
        Ok(seen)
    }),
    judge: |seen, _| {
        let before = seen.get("before");
        let ours = ["dbus", "plainboot-simple", "plainboot-forking-pidfile", "systemd-journald"];
        let has_process = |name: &&str| {
            let line = before.lines().find(|l| l.starts_with(&format!("{name}.service ")));
            let pid = line.and_then(|l| l.split(' ').nth(1)).and_then(|p| p.parse::<u32>().ok());
            pid.is_some_and(|p| p > 1)
        };
        let without: Vec<&str> = ours.into_iter().filter(|name| !has_process(name)).collect();
        let count = |what: &str| seen.get("log").lines().filter(|l| l.contains(what)).count();
        all([
            same("the state before", seen.get("booted"), "running"),
            started(seen),
            Outcome::holds_if(without.is_empty(), || {
                format!("without a main process: {}", without.join(", "))
            }),
            same("systemctl daemon-reexec", seen.get("reexec.status"), "0"),
            Outcome::holds_if(seen.get("after") == before, || {
                let after = shorten(seen.get("after"));
                format!("main processes: {after}, before: {}", shorten(before))
            }),
            same("the state after", seen.get("state"), "running"),
            same("the stop", seen.get("stop.status"), "0"),
            same("then they", seen.get("left"), "inactive\ninactive\ninactive"),
            same("its own line in the engine's log", &count(": Reexecuting.").to_string(), "1"),
            same("a later line there", &count("plainboot-reexecuted").to_string(), "1"),
        ])
    },
    ..super::BASE
};
