// SPDX-License-Identifier: MIT
//! Which process belongs to which service: systemd asks the cgroup tree, where it may write one.
//!
//! So these are tried in a plain container and in one with a writable tree, where all must hold.

use std::time::Duration;

use super::services::{started, with_units};
use super::{Check, Group, Mode, Outcome, Probe, all, same};
use crate::boot::evidence::Evidence;

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(15),
    modes: &[Mode::Plain, Mode::Writable],
    ..super::BASE
};

/// Says `runs` for each process of a list that lives, and `gone` for others.
pub(super) const STATE: &str = "state() { for p in $(cat $1); do \
    if grep -q '^State:.[^ZX]' /proc/$p/status 2>/dev/null; then echo runs; else echo gone; fi; \
    done; }; ";

pub const CGROUPS: Check = Check {
    id: "services.cgroups",
    title: "PID 1 and each service are in a control group of their own",
    modes: &[Mode::Writable],
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-simple.service"),
                // A host of cgroup v1 shows its hierarchies beside the one that counts.
                ("init", "grep ^0: /proc/1/cgroup"),
                (
                    "service",
                    "grep ^0: /proc/$(systemctl show -P MainPID plainboot-simple.service)/cgroup",
                ),
                ("mount", "grep ' /sys/fs/cgroup ' /proc/1/mountinfo | cut -d' ' -f6"),
                ("stop", "systemctl stop plainboot-simple.service"),
                ("left", "ls -d /sys/fs/cgroup/system.slice/plainboot-simple.service"),
                ("CapEff", "sed -n 's/^CapEff:\t//p' /proc/1/status"),
                ("state", "systemctl is-system-running"),
            ],
        )
    }),
    judge: |seen, expect| {
        let mount = seen.get("mount").split(',').next().unwrap_or_default();
        all([
            started(seen),
            same("its state", seen.get("state"), "running"),
            same("PID 1's group", seen.get("init"), "0::/init.scope"),
            same("its group", seen.get("service"), "0::/system.slice/plainboot-simple.service"),
            Outcome::holds_if(seen.number("left.status").is_some_and(|s| s != 0), || {
                "the group outlives its service".into()
            }),
            same("the tree's mount", mount, expect.row.cgroup),
            same("CapEff", seen.get("CapEff"), &format!("{:016x}", expect.row.capabilities)),
        ])
    },
    ..BASE
};

pub const PID_FILE: Check = Check {
    id: "services.forking-pidfile",
    title: "a forking service is its PID file's process, and ends with it",
    probe: Probe::Main(|bench| {
        let stop = "systemctl stop plainboot-forking-pidfile.service";
        let unit = "plainboot-forking-pidfile.service";
        let start = format!("systemctl start {unit}");
        let show = format!("systemctl show -P MainPID {unit}");
        let active = format!("systemctl is-active {unit}");
        let file = "cat /run/plainboot-forking-pidfile.pid";
        let killed = format!(
            "kill -KILL $({file}); \
             for i in $(seq 50); do s=$({active}); [ $s = active ] || break; sleep 0.05; done; \
             echo $s"
        );
        let again = format!("systemctl reset-failed {unit}; {start}");
        with_units(
            bench,
            &[
                ("start", start.as_str()),
                ("active", &active),
                ("file", file),
                ("main", &show),
                ("killed", &killed),
                ("again", &again),
                ("stop", stop),
                ("left", "test -e /run/plainboot-forking-pidfile.pid && echo left || echo removed"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("it", seen.get("active"), "active"),
            process(seen, "file"),
            same("its main process", seen.get("main"), seen.get("file")),
            same("after its process was killed it", seen.get("killed"), "failed"),
            same("its second start", seen.get("again.status"), "0"),
            same("its stop", seen.get("stop.status"), "0"),
            same("after its stop the PID file", seen.get("left"), "removed"),
        ])
    },
    ..BASE
};

pub const FORKING: Check = Check {
    id: "services.forking",
    title: "a forking service without a PID file is its daemon",
    proves: &["0008-cgroup-mark"],
    probe: Probe::Main(|bench| {
        let daemon = format!("{STATE} state /var/lib/plainboot-forking");
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-forking.service"),
                ("active", "systemctl is-active plainboot-forking.service"),
                ("file", "cat /var/lib/plainboot-forking"),
                ("main", "systemctl show -P MainPID plainboot-forking.service"),
                ("daemon", &daemon),
                ("stop", "systemctl stop plainboot-forking.service"),
                ("after", &daemon),
                ("tidy", "kill -KILL $(cat /var/lib/plainboot-forking)"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("it", seen.get("active"), "active"),
            same("its daemon", seen.get("daemon"), "runs"),
            process(seen, "file"),
            same("its main process", seen.get("main"), seen.get("file")),
            same("after its stop the daemon", seen.get("after"), "gone"),
        ])
    },
    ..BASE
};

pub const PID_FILE_OF_A_USER: Check = Check {
    id: "services.forking-user",
    title: "a PID file of the service's own user is believed",
    probe: Probe::Main(|bench| {
        let unit = "plainboot-forking-user.service";
        let start = format!("systemctl start {unit}");
        let active = format!("systemctl is-active {unit}");
        let main = format!("systemctl show -P MainPID {unit}");
        let said = format!(
            "journalctl --sync; journalctl --no-pager -o cat | grep '^{unit}: New main PID'"
        );
        let stop = format!("systemctl stop {unit}; systemctl reset-failed {unit}");
        with_units(
            bench,
            &[
                ("start", start.as_str()),
                ("active", &active),
                ("file", "cat /run/plainboot-forking-user/pid"),
                ("main", &main),
                ("said", &said),
                ("stop", &stop),
                // Where it was refused, its daemon runs on.
                (
                    "tidy",
                    "for p in /proc/[0-9]*; do \
                    [ \"$(stat -c %U $p) $(cat $p/comm)\" != 'daemon sleep' ] || kill -KILL ${p#/proc/}; \
                    done",
                ),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("it", seen.get("active"), "active"),
            process(seen, "file"),
            same("its main process", seen.get("main"), seen.get("file")),
        ])
    },
    ..BASE
};

pub const NOTIFY_FROM_A_CHILD: Check = Check {
    id: "services.notify-child",
    title: "NotifyAccess=all takes a child's word",
    proves: &["0008-cgroup-mark"],
    probe: Probe::Main(|bench| {
        let unit = "plainboot-notify-child.service";
        let start = format!("systemctl start {unit}");
        let active = format!("systemctl is-active {unit}");
        let result = format!("systemctl show -P Result {unit}");
        let stop = format!("systemctl stop {unit}; systemctl reset-failed {unit}");
        with_units(
            bench,
            &[
                ("start", start.as_str()),
                ("active", &active),
                ("result", &result),
                // The unit may be active before its child has noted that it was heard.
                (
                    "sent",
                    "for i in $(seq 50); do [ -s /var/lib/plainboot-notify-child ] && break; \
                     sleep 0.05; done; cat /var/lib/plainboot-notify-child",
                ),
                ("stop", &stop),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("what the child's message ends with", seen.get("sent"), "0"),
            same("it", seen.get("active"), "active"),
            same("its result", seen.get("result"), "success"),
        ])
    },
    ..BASE
};

pub const STOP_ALL: Check = Check {
    id: "services.descendants",
    title: "the stop of a service leaves no descendant of it",
    proves: &["0008-cgroup-mark"],
    probe: Probe::Main(|bench| {
        let children = format!("{STATE} state /var/lib/plainboot-family");
        with_units(
            bench,
            &[
                (
                    "start",
                    "systemctl start plainboot-family.service && \
                     for i in $(seq 50); do sleep 0.05; \
                     [ \"$(grep -c . /var/lib/plainboot-family)\" = 2 ] && exit; done; exit 1",
                ),
                ("before", &children),
                ("stop", "systemctl stop plainboot-family.service"),
                ("after", &children),
                ("tidy", "kill -KILL $(cat /var/lib/plainboot-family)"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("the state of its children before the stop", seen.get("before"), "runs\nruns"),
            same("the stop", seen.get("stop.status"), "0"),
            same("the state of its children after the stop", seen.get("after"), "gone\ngone"),
        ])
    },
    ..BASE
};

pub const DELEGATE: Check = Check {
    id: "services.delegate",
    title: "a service with Delegate=yes is reloaded and stopped",
    probe: Probe::Main(|bench| {
        let unit = "plainboot-delegate.service";
        let start = format!("systemctl start {unit}");
        let reload = format!("systemctl reload {unit}");
        let stop = format!("systemctl stop {unit}");
        let state = format!("systemctl is-active {unit}; systemctl show -P Result {unit}");
        with_units(
            bench,
            &[
                ("start", start.as_str()),
                ("reload", &reload),
                ("stop", &stop),
                ("state", &state),
                ("ran", "cd /var/lib && ls -d plainboot-delegate-*"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("the reload", seen.get("reload.status"), "0"),
            same("the stop", seen.get("stop.status"), "0"),
            same("its state and result", seen.get("state"), "inactive\nsuccess"),
            same(
                "what ran",
                seen.get("ran"),
                "plainboot-delegate-reloaded\nplainboot-delegate-stopped",
            ),
        ])
    },
    ..BASE
};

pub const SCOPE: Check = Check {
    id: "services.scope",
    title: "systemd-run --scope runs a command in a scope",
    proves: &["0008-cgroup-mark"],
    probe: Probe::Main(|bench| {
        let run = "systemd-run --scope --unit=plainboot-scope \
                   sh -c 'systemctl is-active plainboot-scope.scope'";
        // PID 1's line is in the journal a moment after systemd-run has ended.
        let said = "for i in $(seq 20); do \
                    journalctl --no-pager -o cat | grep '^plainboot-scope.scope: Failed to ' && exit; \
                    systemctl is-failed --quiet plainboot-scope.scope || exit; sleep 0.1; done";
        // The process of the first is that of the second.
        let moved = "systemd-run --scope --unit=plainboot-first \
                     systemd-run --scope --unit=plainboot-second \
                     sh -c 'for i in $(seq 20); do \
                     systemctl is-active --quiet plainboot-first.scope || break; sleep 0.1; done; \
                     systemctl is-active plainboot-first.scope plainboot-second.scope'";
        let left = "for i in $(seq 20); do \
                    systemctl is-active --quiet plainboot-second.scope || break; sleep 0.1; done; \
                    systemctl is-active plainboot-first.scope plainboot-second.scope";
        let tidy = "systemctl reset-failed plainboot-scope.scope";
        let mut seen = Evidence::default();
        let all = [("run", run), ("said", said), ("tidy", tidy), ("moved", moved), ("left", left)];
        bench.note(&mut seen, &all)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        let last = |name: &str, lines: usize| {
            let said: Vec<&str> = seen.get(name).lines().collect();
            said[said.len().saturating_sub(lines)..].join(", ")
        };
        all([
            same("its exit status", seen.get("run.status"), "0"),
            same("the scope", &last("run", 1), "active"),
            same("one left for another, and that", &last("moved", 2), "inactive, active"),
            same("both in the end", &last("left", 2), "inactive, inactive"),
        ])
    },
    ..BASE
};

/// The observation is the id of a process, and not of PID 1.
fn process(seen: &Evidence, name: &str) -> Outcome {
    Outcome::holds_if(seen.number(name).is_some_and(|pid| pid > 1), || {
        format!("`{}` is no process of a service", seen.get(name))
    })
}
