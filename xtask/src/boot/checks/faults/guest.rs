// SPDX-License-Identifier: MIT
//! What breaks the machine under a container: its clock, its engine. A machine that others use is not
//! touched, so these are tried in a guest of the harness alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::super::{Check, Outcome, Probe, all, same};
use super::{BASE, ended_in_order, terminate, unit};
use crate::boot::bench::{Until, boot, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::boot::plain_text;
use crate::engine::{Container, Engine, Facts, Kind, Start};
use crate::exec;

pub const CLOCK: Check = Check {
    id: "fault.clock-jump",
    title: "the clock jumps a day on and back: timers go on, it runs",
    cannot: guest_alone,
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image);
        let Some(other) = site.boot("clock", &start, until, &mut seen)? else { return Ok(seen) };
        let tick = format!(
            "{}\nprintf '[Timer]\\nOnCalendar=*:*:*\\nAccuracySec=100ms\\n' \
             >/etc/systemd/system/tick.timer\nsystemctl daemon-reload && systemctl start tick.timer",
            unit("tick", "Type=oneshot\nExecStart=/bin/sh -c 'echo x >>/ticks'")
        );
        note(&other.container, until, &mut seen, &[("start", &tick)])?;
        // Until it has ticked twice more.
        const WAIT: &str = "n() { wc -l </ticks 2>/dev/null || echo 0; }; a=$(n); \
            for i in $(seq 300); do [ $(n) -ge $((a + 2)) ] && echo ticks && exit; sleep 0.1; done; \
            exit 1";
        note(&other.container, until, &mut seen, &[("before", WAIT)])?;
        // The engine's own clock is put right again whatever is seen.
        let jump = |script: &str| -> Result<()> {
            site.engine.shell(script).context("no guest")?.text().map(drop)
        };
        jump("date -s '+1 day'")?;
        let ahead = note(&other.container, until, &mut seen, &[("ahead", WAIT)]);
        jump("date -s '-1 day'")?;
        ahead?;
        let scripts = [("back", WAIT), ("state", "systemctl is-system-running")];
        note(&other.container, until, &mut seen, &scripts)?;
        terminate(&other.container, &mut seen)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("systemctl start", seen.get("start.status"), "0"),
            same("the timer before", seen.get("before"), "ticks"),
            same("the timer a day later", seen.get("ahead"), "ticks"),
            same("the timer when it is back", seen.get("back"), "ticks"),
            same("its state", seen.get("state"), "running"),
            ended_in_order(seen),
        ])
    },
    ..BASE
};

pub const ENGINE_RESTART: Check = Check {
    id: "fault.engine-restart",
    title: "the engine restarts: stopped in order, and started again",
    timeout: Duration::from_secs(90),
    cannot: a_daemon_of_root,
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--restart=always"]);
        let Some(other) = site.boot("engine-restart", &start, until, &mut seen)? else {
            return Ok(seen);
        };
        put_fixtures(&other.container, until)?;
        let start = [("start", "systemctl start plainboot-stop.service")];
        note(&other.container, until, &mut seen, &start)?;
        restart_engine(site.engine, until)?;
        let again = boot(&other.container, until.left())?;
        seen.put("again", &again.state);
        let stopped = other.container.read_file("/var/lib/plainboot-stopped")?;
        seen.put("ExecStop", if stopped.is_some() { "ran" } else { "did not run" });
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("systemctl start", seen.get("start.status"), "0"),
            same("ExecStop=", seen.get("ExecStop"), "ran"),
            same("its state afterwards", seen.get("again"), "running"),
        ])
    },
    ..BASE
};

pub const LIVE_RESTORE: Check = Check {
    id: "fault.live-restore",
    title: "live-restore: it runs on, and no line of its log is lost",
    timeout: Duration::from_secs(90),
    cannot: a_daemon_of_root,
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let beside = |script: &str| -> Result<()> {
            site.engine.shell(script).context("no guest")?.text().map(drop)
        };
        beside(
            "mkdir -p /etc/docker; echo '{\"live-restore\": true}' >/etc/docker/daemon.json; \
             systemctl reload docker",
        )?;
        let start = Start::plain(site.image);
        let Some(other) = site.boot("live-restore", &start, until, &mut seen)? else {
            return Ok(seen);
        };
        let count = format!(
            "{}\nsystemctl daemon-reload && systemctl start count",
            unit(
                "count",
                "ExecStart=/bin/sh -c 'n=0; while :; do n=$((n + 1)); echo counted $n; \
                 sleep 0.2; done'"
            )
        );
        note(&other.container, until, &mut seen, &[("start", &count)])?;
        let began = |other: &Container<'_>| -> Result<String> {
            Ok(other.inspect()?["State"]["StartedAt"].to_string())
        };
        let before = began(&other.container)?;
        restart_engine(site.engine, until)?;
        exec::sleep(other.container.patience(Duration::from_secs(1)))?;
        seen.put("same", before == began(&other.container)?);
        seen.put("running", other.container.state()?.running);
        terminate(&other.container, &mut seen)?;
        seen.put("log", other.container.log()?);
        beside("rm /etc/docker/daemon.json; systemctl reload docker")?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("systemctl start", seen.get("start.status"), "0"),
            same("whether it is the same run", seen.get("same"), "true"),
            same("whether it runs", seen.get("running"), "true"),
            unbroken(seen.get("log")),
            ended_in_order(seen),
        ])
    },
    ..BASE
};

/// `counted 1`, `counted 2`, …: each once, in order.
fn unbroken(log: &str) -> Outcome {
    let numbers: Vec<u64> = log
        .lines()
        .filter_map(|l| plain_text(l).split_once("counted ")?.1.trim().parse().ok())
        .collect();
    let wrong = numbers.iter().zip(1..).find(|(seen, wanted)| **seen != *wanted);
    all([
        Outcome::holds_if(numbers.len() > 5, || format!("{} lines alone", numbers.len())),
        Outcome::holds_if(wrong.is_none(), || format!("(seen, wanted) is {wrong:?}")),
    ])
}

fn guest_alone(facts: &Facts) -> Option<String> {
    (!facts.guest)
        .then(|| "this engine is not the harness' own machine (test-vm brings one)".into())
}

fn a_daemon_of_root(facts: &Facts) -> Option<String> {
    let none = facts.kind != Kind::Docker || facts.rootless;
    let because = || "no daemon of root's runs this engine, which could be restarted".to_owned();
    guest_alone(facts).or_else(|| none.then(because))
}

/// Restarts the guest's Docker and waits until it answers.
fn restart_engine(engine: &Engine, until: Until) -> Result<()> {
    let call = engine.shell("systemctl restart docker").context("no guest")?;
    call.deadline(until.left()).text()?;
    let begin = Instant::now();
    loop {
        let answer = engine.call(["version"]).output();
        if answer.is_ok_and(|a| a.status.success()) {
            return Ok(());
        }
        anyhow::ensure!(begin.elapsed() < until.left(), "the engine does not come back");
        exec::sleep(Duration::from_millis(200))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_doubled_line_is_found() {
        let log = |numbers: &[u32]| -> String {
            numbers.iter().map(|n| format!("[    1.2] sh[40]: counted {n}\n")).collect()
        };
        assert_eq!(unbroken(&log(&[1, 2, 3, 4, 5, 6])), Outcome::Holds);
        for wrong in
            [&[1, 2, 4, 5, 6, 7, 8][..], &[1, 2, 2, 3, 4, 5, 6], &[1, 2], &[2, 3, 4, 5, 6, 7]]
        {
            assert_ne!(unbroken(&log(wrong)), Outcome::Holds, "{wrong:?}");
        }
    }
}
