// SPDX-License-Identifier: MIT
//! Of an image that was made elsewhere, by NixOS or by its user. All that these need in it is systemd
//! and what a shell brings; units are made by systemd itself, whatever folders the image has for them.

use std::time::{Duration, Instant};

use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{boot, note};
use crate::boot::evidence::Evidence;
use crate::boot::plain_text;
use crate::engine::Start;

pub const RESTART: Check = Check {
    id: "made.restart",
    title: "docker restart: /run is emptied, it runs again",
    timeout: Duration::from_secs(60),
    after_the_end: true,
    proves: &["0001-mount-setup"],
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image);
        let Some(other) = site.boot("restart", &start, until, &mut seen)? else { return Ok(seen) };
        let plant = "mkdir /run/plainboot && touch /run/plainboot/secret && \
                     systemd-run --quiet --unit=plainboot-transient sleep infinity";
        note(&other.container, until, &mut seen, &[("plant", plant)])?;
        other.container.restart()?;
        seen.put("again", boot(&other.container, until.left())?.state);
        let scripts = [
            ("left", "test ! -e /run/plainboot && echo nothing"),
            ("transient", "systemctl show -P LoadState plainboot-transient.service"),
        ];
        note(&other.container, until, &mut seen, &scripts)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("the state", seen.get("booted"), "running"),
            same("what is put into /run", seen.get("plant.status"), "0"),
            same("the state afterwards", seen.get("again"), "running"),
            same("left in /run", seen.get("left"), "nothing"),
            same("the transient unit", seen.get("transient"), "not-found"),
        ])
    },
    ..super::BASE
};

pub const EXIT: Check = Check {
    id: "made.exit",
    group: Group::Exit,
    title: "SIGTERM ends it in order, and the log tells all of it once",
    timeout: Duration::from_secs(20),
    proves: &["0003-main", "0005-manager", "0006-journald"],
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        let output = "systemd-run --quiet --wait --unit=plainboot-output \
                      sh -c 'echo plainboot-marker-output'";
        let stop = "systemd-run --quiet --unit=plainboot-stop \
                    --property=\"ExecStop=$(command -v touch) /var/lib/plainboot-stopped\" \
                    sleep infinity";
        bench.note(&mut seen, &[("output", output), ("stop", stop)])?;
        let sent = Instant::now();
        bench.main.kill("SIGTERM")?;
        match bench.main.wait(bench.main.patience(Duration::from_secs(10)))? {
            Some(code) => seen.put("code", code),
            None => seen.put("code", "none after 10 s"),
        }
        seen.put("ms", sent.elapsed().as_millis());
        let stopped = bench.main.read_file("/var/lib/plainboot-stopped")?;
        seen.put("ExecStop", if stopped.is_some() { "ran" } else { "did not run" });
        seen.put("log", bench.main.log()?);
        Ok(seen)
    }),
    judge: |seen, expect| {
        let log: Vec<String> = seen.get("log").lines().map(plain_text).collect();
        let once = ["running in system mode", "plainboot-marker-output", "Exiting container."];
        // The command line of a unit is told too, when it is started.
        let told = once.map(|words| {
            let hits = log.iter().filter(|l| l.contains(words) && !l.contains("sh -c")).count();
            Outcome::holds_if(hits == 1, || format!("its log has `{words}` {hits} times"))
        });
        all([
            same("a service's end", seen.get("output.status"), "0"),
            same("a service's start", seen.get("stop.status"), "0"),
            same("its exit code", seen.get("code"), "0"),
            same("ExecStop=", seen.get("ExecStop"), "ran"),
            Outcome::holds_if(expect.in_time(seen.number("ms"), 10_000), || {
                format!("it took {} ms", shorten(seen.get("ms")))
            }),
        ]
        .into_iter()
        .chain(told))
    },
    ..super::BASE
};
