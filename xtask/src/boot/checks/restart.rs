// SPDX-License-Identifier: MIT
//! A container that is started again is a machine that boots again: nothing in /run outlives it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Check, Outcome, Probe, all, same};
use crate::boot::bench::{Other, Site, Until, boot, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::engine::{Container, Start};

const BASE: Check = Check {
    timeout: Duration::from_secs(60),
    after_the_end: true,
    proves: &["0001-mount-setup"],
    ..super::BASE
};

const ROUNDS: [&str; 3] = ["first", "second", "third"];

pub const RESTART: Check = Check {
    id: "boot.restart",
    title: "docker restart, three times: /run is empty, daemons come back",
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let Some(other) = prepare(site, "restart", until, &mut seen)? else { return Ok(seen) };
        for round in ROUNDS {
            note(&other.container, until, &mut seen, &[(&format!("{round}.plant"), PLANT)])?;
            let start = Instant::now();
            other.container.restart()?;
            seen.put(&format!("{round}.ms"), start.elapsed().as_millis());
            look(&other.container, until, &mut seen, round)?;
        }
        Ok(seen)
    }),
    judge: |seen, expect| {
        let rounds = ROUNDS.into_iter().map(|round| {
            let ms = seen.number(&format!("{round}.ms"));
            all([
                came_back(seen, round),
                // The engine kills what has not ended by then.
                Outcome::holds_if(expect.in_time(ms, 10_000), || {
                    format!("the {round} restart took {} ms", seen.get(&format!("{round}.ms")))
                }),
            ])
        });
        all([prepared(seen)].into_iter().chain(rounds))
    },
    ..BASE
};

pub const KILLED: Check = Check {
    id: "boot.killed",
    title: "SIGKILL and docker start: /run is empty, daemons come back",
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let Some(other) = prepare(site, "killed", until, &mut seen)? else { return Ok(seen) };
        note(&other.container, until, &mut seen, &[("again.plant", PLANT)])?;
        other.container.kill("SIGKILL")?;
        if let Some(code) = other.container.wait(until.left())? {
            seen.put("code", code);
        }
        other.container.start_again()?;
        look(&other.container, until, &mut seen, "again")?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            prepared(seen),
            same("its exit code", seen.get("code"), "137"),
            came_back(seen, "again"),
        ])
    },
    ..BASE
};

/// What a boot must not find: a PID file, a secret, and a unit that was made for one boot.
const PLANT: &str = "mkdir /run/plainboot && touch /run/plainboot/secret /run/plainboot.pid && \
    systemd-run --unit=plainboot-transient sleep infinity && \
    test -e /run/systemd/transient/plainboot-transient.service";

/// Boots it with a daemon that starts at boot, and refuses to where its PID file exists.
fn prepare<'a>(
    site: &Site<'a>,
    name: &str,
    until: Until,
    seen: &mut Evidence,
) -> Result<Option<Other<'a>>> {
    let other = site.boot(name, &Start::plain(site.image), until, seen)?;
    if let Some(other) = &other {
        put_fixtures(&other.container, until)?;
        let enable = [("enable", "systemctl enable --now plainboot-forking-pidfile.service")];
        note(&other.container, until, seen, &enable)?;
    }
    Ok(other)
}

fn prepared(seen: &Evidence) -> Outcome {
    all([
        same("the state", seen.get("booted"), "running"),
        same("the daemon's first start", seen.get("enable.status"), "0"),
    ])
}

fn look(container: &Container<'_>, until: Until, seen: &mut Evidence, round: &str) -> Result<()> {
    seen.put(&format!("{round}.state"), boot(container, until.left())?.state);
    let unit = "plainboot-forking-pidfile.service";
    let daemon = format!(
        "pid=$(systemctl show -P MainPID {unit}); \
         [ $pid = $(cat /run/plainboot-forking-pidfile.pid) ] && cat /proc/$pid/comm"
    );
    let scripts = [
        (
            "left",
            "cd /run; for f in plainboot plainboot.pid systemd/transient/plainboot-transient.service; do test ! -e $f || echo $f; done; echo end",
        ),
        ("transient", "systemctl show -P LoadState plainboot-transient.service"),
        ("daemon", daemon.as_str()),
    ];
    let mut now = Evidence::default();
    note(container, until, &mut now, &scripts)?;
    for (name, _) in scripts {
        seen.put(&format!("{round}.{name}"), now.get(name));
    }
    Ok(())
}

fn came_back(seen: &Evidence, round: &str) -> Outcome {
    let get = |name: &str| seen.get(&format!("{round}.{name}"));
    all([
        same("what is put into /run", get("plant.status"), "0"),
        same("the state afterwards", get("state"), "running"),
        same("what is left in /run", get("left"), "end"),
        same("the transient unit", get("transient"), "not-found"),
        same("the daemon", get("daemon"), "sleep"),
    ])
}
