// SPDX-License-Identifier: MIT
//! The journal knows who said what, and nobody waits for who reads the engine's log.

use std::time::{Duration, Instant};

use super::services::{started, with_units};
use super::{Check, Group, Mode, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::engine::Start;

const BASE: Check = Check {
    group: Group::Logs,
    timeout: Duration::from_secs(15),
    modes: &[Mode::Plain, Mode::Writable],
    ..super::BASE
};

pub const UNIT: Check = Check {
    id: "logs.unit",
    title: "journalctl -u shows a unit's words, its start and its stop",
    proves: &[],
    probe: Probe::Main(|bench| with_units(bench, &talk())),
    judge: |seen, _| {
        let lines: Vec<&str> = seen.get("unit").lines().collect();
        let once = |what: &str, line: &str| {
            let count = lines.iter().filter(|l| **l == line).count();
            Outcome::holds_if(count == 1, || {
                format!("{what} is there {count} times: {}", shorten(seen.get("unit")))
            })
        };
        all([
            started(seen),
            same("journalctl", seen.get("unit.status"), "0"),
            once("its start", "Started plainboot-talk.service."),
            once("its output", "plainboot-stdout"),
            once("its message to syslog", "plainboot-syslog"),
            once("its stop", "Stopped plainboot-talk.service."),
        ])
    },
    ..BASE
};

pub const CHILD: Check = Check {
    id: "logs.unit-child",
    title: "journalctl -u shows what a unit's child says in both protocols",
    proves: &["0008-cgroup-mark"],
    probe: Probe::Main(|bench| with_units(bench, &talk())),
    judge: |seen, _| {
        let count = |name: &str, word: &str| {
            seen.get(name).lines().filter(|l| *l == word).count().to_string()
        };
        all([
            started(seen),
            same("how often the journal has the one", &count("all", "plainboot-syslog-child"), "1"),
            same("how often the unit's part has it", &count("unit", "plainboot-syslog-child"), "1"),
            same(
                "how often the journal has the other",
                &count("all", "plainboot-native-child"),
                "1",
            ),
            same("how often the unit's part has it", &count("unit", "plainboot-native-child"), "1"),
        ])
    },
    ..BASE
};

/// Each time from its own start on, so that the two checks do not see each other.
fn talk() -> [(&'static str, &'static str); 5] {
    [
        ("since", "date +%s.%N >/var/lib/plainboot-since; sleep 0.01"),
        ("start", "systemctl start plainboot-talk.service"),
        // What came by another way than stdout may come a moment later.
        (
            "said",
            "for i in $(seq 50); do \
             journalctl --no-pager -o cat --since=@$(cat /var/lib/plainboot-since) \
             | grep -qx plainboot-native-child && exit; sleep 0.05; done; exit 1",
        ),
        (
            "unit",
            "systemctl stop plainboot-talk.service; journalctl --sync; \
             journalctl --no-pager -o cat -u plainboot-talk.service \
             --since=@$(cat /var/lib/plainboot-since)",
        ),
        ("all", "journalctl --no-pager -o cat --since=@$(cat /var/lib/plainboot-since)"),
    ]
}

pub const STALLED: Check = Check {
    id: "logs.stalled-reader",
    title: "with a reader that has stopped, systemctl answers within 1 s",
    timeout: Duration::from_secs(30),
    modes: &[Mode::Plain],
    proves: &[],
    after_the_end: true,
    // Docker hands the container's output to its log and to every attached client in turn, through
    // a buffer of 1 MB each. So a client that has stopped holds back everything, once that buffer,
    // its connection and the container's pipe are full; `blocked` shows that they are.
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image);
        let Some(other) = site.boot("stalled-reader", &start, until, &mut seen)? else {
            return Ok(seen);
        };
        let container = &other.container;
        put_fixtures(container, until)?;
        let reader = container.attach(&site.dir.join("stalled-reader/attached.txt"))?;
        // The client is there once it has shown something.
        let hello = [("hello", "systemctl start plainboot-output.service")];
        let shown = Instant::now();
        loop {
            note(container, until, &mut seen, &hello)?;
            let text = std::fs::read_to_string(reader.transcript()).unwrap_or_default();
            if text.contains("plainboot-marker-output") {
                break;
            }
            anyhow::ensure!(
                shown.elapsed() < container.patience(Duration::from_secs(5)),
                "the client shows nothing"
            );
            crate::exec::sleep(Duration::from_millis(50))?;
        }
        reader.pause()?;
        let scripts = [
            ("blocked", FILL),
            ("flood", "systemctl start plainboot-flood.service"),
            ("answer", TIMED_ANSWER),
            ("after", TIMED_START),
            (
                "journal",
                "for i in $(seq 50); do \
                 n=$(journalctl --no-pager -o cat -u plainboot-flood.service \
                 | grep -c '^plainboot-flood x'); [ $n = 1000 ] && break; sleep 0.1; done; echo $n",
            ),
        ];
        note(container, until, &mut seen, &scripts)?;
        reader.resume()?;
        let log = Instant::now();
        let mut text = String::new();
        while log.elapsed() < container.patience(Duration::from_secs(5))
            && !text.contains("plainboot-resumed")
        {
            // Each start says it again, until the first one that comes through.
            note(
                container,
                until,
                &mut seen,
                &[("resume", "echo plainboot-resumed | systemd-cat")],
            )?;
            text = container.log()?;
        }
        seen.put("log.bytes", text.len());
        let kept = |l: &&str| l.contains("plainboot-resumed") || l.contains("not forwarded");
        seen.put("log", text.lines().filter(kept).take(5).collect::<Vec<_>>().join("\n"));
        Ok(seen)
    }),
    judge: |seen, expect| {
        let fast = |name: &str| {
            Outcome::holds_if(expect.in_time(seen.number(name), 1000), || {
                format!("{name}: `{}`, not a time under 1000 ms", seen.get(name))
            })
        };
        all([
            same("the state before", seen.get("booted"), "running"),
            same("writing until nobody reads", seen.get("blocked.status"), "124"),
            same("the service with much output", seen.get("flood.status"), "0"),
            fast("answer"),
            fast("after"),
            same("lines in the journal", seen.get("journal"), "1000"),
            Outcome::holds_if(seen.get("log").contains("plainboot-resumed"), || {
                "the log does not go on when the reader does".into()
            }),
            Outcome::holds_if(seen.get("log").contains("not forwarded"), || {
                "the log does not say how much it lacks".into()
            }),
        ])
    },
    ..BASE
};

/// Writes 8 MB to the container's log, which takes a moment where it is read, and here never ends.
const FILL: &str = "timeout 2 perl -e 'print \"plainboot-fill \", \"x\" x 1000, \"\\n\" for 1 .. 8000' \
    >/proc/1/fd/2";

/// How long a command takes, in milliseconds.
const TIMED_ANSWER: &str = "a=$(date +%s%3N); systemctl is-system-running >/dev/null && \
    systemctl list-units >/dev/null && echo $(($(date +%s%3N) - a))";
const TIMED_START: &str = "a=$(date +%s%3N); systemctl start plainboot-after.service && \
    echo $(($(date +%s%3N) - a))";
