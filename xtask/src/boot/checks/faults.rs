// SPDX-License-Identifier: MIT
//! Load, and what breaks around a container or in it: each with what is promised.
//!
//! These run one at a time, since some of them break the engine that all containers are on.

pub mod guest;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{boot, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::boot::plain_text;
use crate::engine::{Container, Start};
use crate::exec;

const BASE: Check = Check {
    group: Group::Faults,
    timeout: Duration::from_secs(60),
    after_the_end: true,
    ..super::BASE
};

/// How many at once, on the 2 GB of a guest.
const MANY: usize = 50;

/// What each container's systemd, journald and dbus take of `fs.inotify.max_user_instances`, which is
/// counted for all of an engine's containers together; Linux' own limit of 128 is reached by 32 of them.
const INOTIFY: usize = 4;

pub const MANY_AT_ONCE: Check = Check {
    id: "fault.fifty-at-once",
    title: "fifty containers at once: each runs, ends with 0, no zombie",
    timeout: Duration::from_secs(180),
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image);
        if let Some(call) = site.engine.shell("sysctl -w fs.inotify.max_user_instances=1024") {
            call.text()?;
        }
        // The same number in every container, since the engine's containers have one owner.
        let first = site.engine.start(&start)?;
        let limit = first.shell(until.left(), "cat /proc/sys/fs/inotify/max_user_instances")?;
        // Where it cannot be read the container does not run, which is seen below.
        let limit = limit.text().parse::<usize>().ok();
        if let Some(limit) = limit.filter(|limit| *limit < MANY * INOTIFY) {
            seen.put("limit", limit);
            return Ok(seen);
        }
        let mut others = vec![first];
        while others.len() < MANY {
            others.push(site.engine.start(&start)?);
        }
        let (mut running, mut zombies) = (0, 0);
        for other in &others {
            let state = boot(other, until.left())?.state;
            running += usize::from(state == "running");
            if state != "running" {
                seen.put("other", format!("{state}: {}", shorten(&other.log()?)));
            }
        }
        for other in &others {
            // A process that ends while it is counted is none.
            let count = "for s in /proc/[0-9]*/stat; do read -r line <$s; \
                case $line in *') Z '*) echo z;; esac; done 2>/dev/null | wc -l";
            zombies += other.shell(until.left(), count)?.text().parse::<usize>().unwrap_or(MANY);
        }
        seen.put("running", running);
        seen.put("zombies", zombies);
        if let Some(call) = site.engine.shell("grep MemAvailable /proc/meminfo") {
            seen.put("memory", call.text()?);
        }
        let ids = others.iter().map(|o| o.id.as_str());
        let stop = site.engine.call(["stop", "--time=120"].into_iter().chain(ids));
        stop.deadline(until.left()).text()?;
        let mut ended = 0;
        for other in &others {
            let state = other.state()?;
            ended += usize::from(!state.running && state.exit_code == 0);
        }
        seen.put("ended", ended);
        Ok(seen)
    }),
    judge: |seen, _| {
        let many = MANY.to_string();
        if let Some(limit) = seen.number("limit") {
            return Outcome::Skipped(format!(
                "its kernel has {limit} inotify instances for all containers, and each needs \
                 {INOTIFY}: sysctl -w fs.inotify.max_user_instances=1024"
            ));
        }
        all([
            Outcome::holds_if(seen.get("running") == many, || {
                let (running, other) = (seen.get("running"), seen.get("other"));
                format!("{running} of {many} are `running`; another one is {}", shorten(other))
            }),
            same("zombies", seen.get("zombies"), "0"),
            same("how many ended with 0", seen.get("ended"), &many),
        ])
    },
    ..BASE
};

pub const IN_A_ROW: Check = Check {
    id: "fault.boots-in-a-row",
    title: "200 boots in a row (10 if emulated): each runs, ends with 0",
    timeout: Duration::from_secs(600),
    probe: Probe::Apart(|site, until| {
        let boots = if site.engine.facts.emulated { 10 } else { 200 };
        let (mut good, mut last) = (0, String::new());
        for _ in 0..boots {
            let other = site.engine.start(&Start::plain(site.image))?;
            let booted = boot(&other, until.left())?;
            if !booted.is_over() {
                other.kill("SIGTERM")?;
            }
            let code = other.wait(until.left())?;
            if booted.state == "running" && code == Some(0) {
                good += 1;
            } else {
                last = format!("{}, then {code:?}: {}", booted.state, other.log()?);
            }
        }
        let mut seen = Evidence::default();
        seen.put("boots", boots);
        seen.put("good", good);
        seen.put("other", last);
        Ok(seen)
    }),
    judge: |seen, _| {
        let all_good = seen.get("good") == seen.get("boots") && seen.number("boots") > Some(0);
        Outcome::holds_if(all_good, || {
            let (good, boots) = (seen.get("good"), seen.get("boots"));
            format!("{good} of {boots}; the last other one was {}", shorten(seen.get("other")))
        })
    },
    ..BASE
};

pub const SIGTERM_MID_BOOT: Check = Check {
    id: "fault.sigterm-mid-boot",
    title: "SIGTERM in the middle of the boot: ends under 10 s, with 0",
    probe: Probe::Apart(|site, until| {
        // A job of the boot that goes on for longer than the check.
        let script = format!(
            "{}\nln -s ../slow.service /etc/systemd/system/multi-user.target.wants/; \
             exec /sbin/init",
            unit("slow", "Type=oneshot\nExecStart=/bin/sh -c 'touch /middle; exec sleep 600'")
        );
        let start = Start::plain(site.image).command(&["sh", "-c", &script]);
        let other = site.another("sigterm-mid-boot", &start)?;
        let mut seen = Evidence::default();
        let begin = Instant::now();
        while other.container.read_file("/middle")?.is_none() {
            anyhow::ensure!(begin.elapsed() < until.left(), "the boot never came to its middle");
            exec::sleep(Duration::from_millis(50))?;
        }
        note(&other.container, until, &mut seen, &[("state", "systemctl is-system-running")])?;
        terminate(&other.container, &mut seen)?;
        Ok(seen)
    }),
    judge: |seen, expect| {
        all([
            same("the state before", seen.get("state"), "starting"),
            ended_in_order(seen),
            Outcome::holds_if(expect.in_time(seen.number("ms"), 10_000), || {
                format!("it took {} ms", seen.get("ms"))
            }),
        ])
    },
    ..BASE
};

pub const IGNORES_SIGTERM: Check = Check {
    id: "fault.ignores-sigterm",
    title: "a service ignores SIGTERM: killed after TimeoutStopSec=, 0",
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image);
        let Some(other) = site.boot("ignores-sigterm", &start, until, &mut seen)? else {
            return Ok(seen);
        };
        let stubborn = unit(
            "stubborn",
            "TimeoutStopSec=2\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'",
        );
        let begin = format!("{stubborn}\nsystemctl daemon-reload && systemctl start stubborn");
        note(&other.container, until, &mut seen, &[("start", &begin)])?;
        terminate(&other.container, &mut seen)?;
        seen.put("log", other.container.log()?);
        Ok(seen)
    }),
    judge: |seen, _| {
        let says = |words: &str| seen.get("log").lines().any(|l| plain_text(l).contains(words));
        all([
            same("systemctl start", seen.get("start.status"), "0"),
            ended_in_order(seen),
            Outcome::holds_if(seen.number("ms").is_some_and(|ms| ms >= 2000), || {
                format!("it did not wait: {} ms", seen.get("ms"))
            }),
            Outcome::holds_if(says("State 'stop-sigterm' timed out. Killing."), || {
                "the log does not say that it was killed".to_owned()
            }),
        ])
    },
    ..BASE
};

pub const NO_MEMORY: Check = Check {
    id: "fault.no-memory",
    title: "no memory left inside: the hog dies, PID 1 and others go on",
    cannot: |facts| {
        (!facts.memory_limit)
            .then(|| "this engine's cgroup v2 tree has no memory controller".into())
    },
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--memory=128m"]);
        let Some(other) = site.boot("no-memory", &start, until, &mut seen)? else {
            return Ok(seen);
        };
        put_fixtures(&other.container, until)?;
        let hog = unit("hog", "Type=exec\nExecStart=/usr/bin/tail /dev/zero");
        let eat = format!("{hog}\nsystemctl daemon-reload && systemctl start hog");
        let scripts = [
            ("before", "systemctl show -P MainPID dbus.service"),
            ("start", eat.as_str()),
            (
                "hog",
                "for i in $(seq 200); do systemctl is-active --quiet hog || break; sleep 0.1; done; \
                 systemctl is-failed hog; systemctl show -P ExecMainStatus hog",
            ),
            ("after", "systemctl show -P MainPID dbus.service"),
            ("works", "systemctl start plainboot-oneshot.service && echo works"),
        ];
        note(&other.container, until, &mut seen, &scripts)?;
        terminate(&other.container, &mut seen)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        let same_bus = !seen.get("before").is_empty() && seen.get("before") == seen.get("after");
        all([
            same("the boot", seen.get("booted"), "running"),
            same("systemctl start", seen.get("start.status"), "0"),
            // SIGKILL, by the kernel.
            same("the hog", seen.get("hog"), "failed\n9"),
            Outcome::holds_if(same_bus, || "dbus is another process now".to_owned()),
            same("another service", seen.get("works"), "works"),
            ended_in_order(seen),
        ])
    },
    ..BASE
};

pub const NO_SPACE: Check = Check {
    id: "fault.no-space",
    title: "no space left in /run: services go on, and recover with it",
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        // Bounded, so that nobody else's disk is filled; systemd keeps its state there.
        let start = Start::plain(site.image).options(&["--tmpfs=/run:size=8m,mode=755"]);
        let Some(other) = site.boot("no-space", &start, until, &mut seen)? else {
            return Ok(seen);
        };
        put_fixtures(&other.container, until)?;
        let scripts = [
            ("fill", "LC_ALL=C dd if=/dev/zero of=/run/fill bs=4k"),
            ("active", "systemctl is-active dbus.service plainboot-none.service"),
            ("again", "systemctl restart dbus.service"),
            ("free", "rm /run/fill"),
            ("works", "systemctl start plainboot-oneshot.service && echo works"),
            (
                "journal",
                "echo 'space again' | systemd-cat -t after; for i in $(seq 50); do \
                 journalctl -t after -o cat --no-pager | grep -x 'space again' && exit; \
                 sleep 0.1; done; exit 1",
            ),
        ];
        note(&other.container, until, &mut seen, &scripts)?;
        terminate(&other.container, &mut seen)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("the boot", seen.get("booted"), "running"),
            Outcome::holds_if(seen.get("fill").contains("No space left on device"), || {
                format!("/run was not filled: `{}`", shorten(seen.get("fill")))
            }),
            same("dbus, and a unit that is not there", seen.get("active"), "active\ninactive"),
            same("a restart of dbus, without space", seen.get("again.status"), "0"),
            same("a service, with space again", seen.get("works"), "works"),
            same("the journal, with space again", seen.get("journal"), "space again"),
            ended_in_order(seen),
        ])
    },
    ..BASE
};

/// A shell command that writes a service.
fn unit(name: &str, service: &str) -> String {
    format!(
        "cat >/etc/systemd/system/{name}.service <<'END'\n[Service]\n{service}\nEND\n\
         mkdir -p /etc/systemd/system/multi-user.target.wants"
    )
}

/// Ends a container by SIGTERM and notes its exit code and the time.
fn terminate(container: &Container<'_>, seen: &mut Evidence) -> Result<()> {
    let sent = Instant::now();
    container.kill("SIGTERM")?;
    match container.wait(container.patience(Duration::from_secs(30)))? {
        Some(code) => {
            seen.put("code", code);
            seen.put("ms", sent.elapsed().as_millis());
        }
        None => seen.put("code", "none after 30 s"),
    }
    Ok(())
}

fn ended_in_order(seen: &Evidence) -> Outcome {
    same("its exit code", seen.get("code"), "0")
}
