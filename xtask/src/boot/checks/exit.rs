// SPDX-License-Identifier: MIT
//! How the container ends.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Check, Expect, Group, Outcome, Probe, all, same};
use crate::boot::bench::{Site, Until, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::engine::{Container, Start};

pub const SIGTERM: Check = Check {
    id: "exit.sigterm",
    group: Group::Exit,
    title: "SIGTERM from outside ends it in order, under 10 s, with 0",
    timeout: Duration::from_secs(20),
    proves: &["0005-manager"],
    after_the_end: false,
    // The image's own stop signal is another one and would hide a refused SIGTERM: so it is sent
    // explicitly. Units whose lines `logs.once` looks for are started first.
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        bench.put_fixtures()?;
        bench.note(
            &mut seen,
            &[
                ("output", "systemctl start plainboot-output.service"),
                ("failure", "systemctl start plainboot-failure.service"),
                ("start", "systemctl start plainboot-stop.service"),
            ],
        )?;
        end(&bench.main, &mut seen, |main| main.kill("SIGTERM"))?;
        Ok(seen)
    }),
    judge: |seen, expect| in_order(seen, expect, "0"),
    ..super::BASE
};

/// Ends a container of its own.
const APART: Check = Check {
    group: Group::Exit,
    timeout: Duration::from_secs(30),
    after_the_end: true,
    ..super::BASE
};

pub const POWEROFF_SIGNAL: Check = Check {
    id: "exit.sigrtmin+3",
    title: "SIGRTMIN+3 ends it in order, under 10 s, with 0",
    probe: Probe::Apart(|site, until| {
        ended(site, until, "exit-sigrtmin3", |other| other.kill("SIGRTMIN+3"))
    }),
    judge: |seen, expect| in_order(seen, expect, "0"),
    ..APART
};

pub const SIGINT: Check = Check {
    id: "exit.sigint",
    title: "SIGINT (Ctrl-C at docker run) ends it in order, with 0",
    probe: Probe::Apart(|site, until| {
        ended(site, until, "exit-sigint", |other| other.kill("SIGINT"))
    }),
    judge: |seen, expect| in_order(seen, expect, "0"),
    ..APART
};

pub const SYSTEMCTL: Check = Check {
    id: "exit.systemctl",
    title: "systemctl exit 7 ends it in order, with 7",
    probe: Probe::Apart(|site, until| {
        ended(site, until, "exit-systemctl", |other| {
            // Its own answer may be lost with the container.
            other.shell(until.left(), "systemctl exit 7").map(drop)
        })
    }),
    judge: |seen, expect| in_order(seen, expect, "7"),
    ..APART
};

fn ended(
    site: &Site<'_>,
    until: Until,
    name: &str,
    how: impl FnOnce(&Container<'_>) -> Result<()>,
) -> Result<Evidence> {
    let mut seen = Evidence::default();
    let start = Start::plain(site.image);
    let Some(other) = site.boot(name, &start, until, &mut seen)? else { return Ok(seen) };
    put_fixtures(&other.container, until)?;
    let start = [("start", "systemctl start plainboot-stop.service")];
    note(&other.container, until, &mut seen, &start)?;
    end(&other.container, &mut seen, how)?;
    Ok(seen)
}

/// Notes how the container ends, and whether a service was stopped as it is told to.
fn end(
    container: &Container<'_>,
    seen: &mut Evidence,
    how: impl FnOnce(&Container<'_>) -> Result<()>,
) -> Result<()> {
    let sent = Instant::now();
    how(container)?;
    match container.wait(container.patience(Duration::from_secs(10)))? {
        Some(code) => {
            seen.put("code", code);
            seen.put("ms", sent.elapsed().as_millis());
        }
        None => seen.put("code", "none after 10 s"),
    }
    let stopped = container.read_file("/var/lib/plainboot-stopped")?;
    seen.put("ExecStop", if stopped.is_some() { "ran" } else { "did not run" });
    Ok(())
}

fn in_order(seen: &Evidence, expect: &Expect, code: &str) -> Outcome {
    all([
        same("systemctl start", seen.get("start.status"), "0"),
        same("its exit code", seen.get("code"), code),
        same("ExecStop=", seen.get("ExecStop"), "ran"),
        Outcome::holds_if(expect.in_time(seen.number("ms"), 10_000), || {
            format!("it took {} ms", seen.get("ms"))
        }),
    ])
}
