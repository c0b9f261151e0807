// SPDX-License-Identifier: MIT
//! How the container ends.

use std::time::Duration;

use super::{Check, Group, Outcome, Probe, all, same};
use crate::boot::evidence::Evidence;

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
        let sent = std::time::Instant::now();
        bench.main.kill("SIGTERM")?;
        match bench.main.wait(Duration::from_secs(10))? {
            Some(code) => {
                seen.put("code", code);
                seen.put("ms", sent.elapsed().as_millis());
            }
            None => seen.put("code", "none after 10 s"),
        }
        let stopped = bench.main.read_file("/var/lib/plainboot-stopped")?;
        seen.put("ExecStop", if stopped.is_some() { "ran" } else { "did not run" });
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("systemctl start", seen.get("start.status"), "0"),
            same("its exit code", seen.get("code"), "0"),
            same("ExecStop=", seen.get("ExecStop"), "ran"),
            Outcome::holds_if(seen.number("ms").is_some_and(|ms| ms < 10_000), || {
                format!("it took {} ms", seen.get("ms"))
            }),
        ])
    },
    ..super::BASE
};
