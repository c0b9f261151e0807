// SPDX-License-Identifier: MIT
//! Services of each kind do what they do on a machine.

use std::time::Duration;

use anyhow::Result;

use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::Bench;
use crate::boot::evidence::Evidence;

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(15),
    proves: &["0002-cgroup"],
    ..super::BASE
};

pub const SIMPLE: Check = Check {
    id: "services.simple",
    title: "a simple service runs, and stops when told to",
    probe: Probe::Main(|bench| {
        // The start of such a service does not wait for execve(), before which it is "(sleep)".
        let main = "pid=$(systemctl show -P MainPID plainboot-simple.service); \
            for i in $(seq 50); do read -r comm </proc/$pid/comm; \
            [ \"$comm\" = '(sleep)' ] || break; sleep 0.05; done; echo \"$comm\"";
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-simple.service"),
                ("active", "systemctl is-active plainboot-simple.service"),
                ("main", main),
                ("stop", "systemctl stop plainboot-simple.service"),
                ("after", "systemctl is-active plainboot-simple.service"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("after its start it", seen.get("active"), "active"),
            same("its main process", seen.get("main"), "sleep"),
            same("after its stop it", seen.get("after"), "inactive"),
        ])
    },
    ..BASE
};

pub const NOTIFY: Check = Check {
    id: "services.notify",
    title: "a notify service is started once its main process says so",
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-notify.service"),
                ("active", "systemctl is-active plainboot-notify.service"),
            ],
        )
    }),
    judge: |seen, _| all([started(seen), same("it", seen.get("active"), "active")]),
    ..BASE
};

pub const ONESHOT: Check = Check {
    id: "services.oneshot",
    title: "a oneshot service has done its work when its start returns",
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-oneshot.service"),
                ("file", "test -f /var/lib/plainboot-oneshot && echo there"),
                ("active", "systemctl is-active plainboot-oneshot.service"),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("its file", seen.get("file"), "there"),
            same("it", seen.get("active"), "active"),
        ])
    },
    ..BASE
};

pub const TIMER: Check = Check {
    id: "services.timer",
    title: "a timer starts its service",
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("before", "test -e /var/lib/plainboot-timer && echo there || echo none"),
                ("start", "systemctl start plainboot-timer.timer"),
                (
                    "after",
                    "for i in $(seq 100); do \
                     if [ -f /var/lib/plainboot-timer ]; then echo there; exit; fi; \
                     sleep 0.05; done; echo none",
                ),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            same("before the start its file", seen.get("before"), "none"),
            started(seen),
            same("its file", seen.get("after"), "there"),
        ])
    },
    ..BASE
};

pub const SOCKET: Check = Check {
    id: "services.socket",
    title: "a client from outside starts a socket's service",
    probe: Probe::Main(|bench| client(bench, "listen", 7101)),
    judge: |seen, _| all([connected(seen), same("its text", seen.get("text"), "inherited")]),
    ..BASE
};

pub const ACCEPT: Check = Check {
    id: "services.accept",
    title: "an Accept=yes service talks to its client",
    probe: Probe::Main(|bench| client(bench, "accept", 7102)),
    judge: |seen, _| all([connected(seen), same("its text", seen.get("text"), "accepted")]),
    ..BASE
};

pub const ACCEPT_FAILURE: Check = Check {
    id: "services.accept-failure",
    title: "an Accept=yes service that fails writes 0 bytes to its client",
    proves: &["0003-main"],
    probe: Probe::Main(|bench| {
        let mut seen = client(bench, "broken", 7103)?;
        // PID 1 notices the end of its child, and journald takes the line, a moment later.
        let failed = "for i in $(seq 50); do \
            journalctl --no-pager -o cat | grep -m1 'plainboot-broken@.*status=217/USER' && exit; \
            sleep 0.05; done; exit 1";
        bench.note(&mut seen, &[("failed", failed)])?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            connected(seen),
            same("its text", seen.get("text"), ""),
            same("the number of bytes it got", seen.get("bytes"), "0"),
            Outcome::holds_if(seen.number("failed.status") == Some(0), || {
                "the service did not fail the way it is made to".into()
            }),
        ])
    },
    ..BASE
};

pub const FOLDERS: Check = Check {
    id: "services.directories",
    title: "Runtime-, State-, Cache- and LogsDirectory= are made and owned",
    proves: &["0004-exec-invoke"],
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("start", "systemctl start plainboot-folders.service"),
                (
                    "owners",
                    "cd / && stat -c '%U %n' run/plainboot-folders/file \
                     var/lib/plainboot-folders/file var/cache/plainboot-folders/file \
                     var/log/plainboot-folders/file",
                ),
                ("stop", "systemctl stop plainboot-folders.service"),
                (
                    "left",
                    "cd / && ls -d run/plainboot-folders var/lib/plainboot-folders 2>/dev/null",
                ),
            ],
        )
    }),
    judge: |seen, _| {
        let owners = "daemon run/plainboot-folders/file\ndaemon var/lib/plainboot-folders/file\n\
                      daemon var/cache/plainboot-folders/file\n\
                      daemon var/log/plainboot-folders/file";
        all([
            started(seen),
            same("what it wrote", seen.get("owners"), owners),
            same("what is left after its stop", seen.get("left"), "var/lib/plainboot-folders"),
        ])
    },
    ..BASE
};

/// Runs scripts where the test units are in place.
pub(super) fn with_units(bench: &Bench<'_>, scripts: &[(&str, &str)]) -> Result<Evidence> {
    let mut seen = Evidence::default();
    bench.put_fixtures()?;
    bench.note(&mut seen, scripts)?;
    Ok(seen)
}

/// `systemctl start` said yes.
pub(super) fn started(seen: &Evidence) -> Outcome {
    let status = seen.get("start.status");
    Outcome::holds_if(status == "0", || {
        format!("systemctl start ends with `{status}`: {}", shorten(seen.get("start")))
    })
}

/// The socket was started, and a client's connection was taken and closed by the other side.
fn connected(seen: &Evidence) -> Outcome {
    let client = |name| same(&format!("the client's {name}"), seen.get(name), "0");
    all([started(seen), client("connect.status"), client("closed")])
}

/// Starts a socket unit and connects from a sibling container, which keeps what it gets until the
/// other side closes.
fn client(bench: &Bench<'_>, unit: &str, port: u16) -> Result<Evidence> {
    let start = format!("systemctl start plainboot-{unit}.socket");
    let mut seen = with_units(bench, &[("start", &start)])?;
    let address = bench.main.address()?;
    let connect = format!(
        "bash -c 'exec 3<>/dev/tcp/{address}/{port} || exit 1; \
         timeout 5 cat <&3 >/tmp/got; echo $? >/tmp/closed'"
    );
    let scripts = [
        ("connect", connect.as_str()),
        ("closed", "cat /tmp/closed"),
        ("bytes", "wc -c </tmp/got"),
        ("text", "cat /tmp/got"),
        ("tidy", "rm -f /tmp/got /tmp/closed"),
    ];
    crate::boot::bench::note(bench.client()?, bench.until.get(), &mut seen, &scripts)?;
    Ok(seen)
}
