// SPDX-License-Identifier: MIT
//! Services of each kind do what they do on a machine.

use std::time::Duration;

use anyhow::Result;

use super::{Check, Group, Outcome, all, same, shorten};
use crate::boot::bench::Bench;
use crate::boot::evidence::Evidence;
use crate::engine::Start;

const BASE: Check = Check {
    id: "",
    group: Group::Services,
    title: "",
    timeout: Duration::from_secs(15),
    proves: &["0002-cgroup"],
    after_the_end: false,
    probe: |_| Ok(Evidence::default()),
    judge: |_, _| Outcome::Broken("no judge".into()),
};

pub const SIMPLE: Check = Check {
    id: "service.simple",
    title: "a simple service runs, and stops when told to",
    probe: |bench| {
        let mut seen = Evidence::default();
        bench.put_fixtures()?;
        bench.note(&mut seen, "start", "systemctl start plainboot-simple.service")?;
        bench.note(&mut seen, "active", "systemctl is-active plainboot-simple.service")?;
        let main =
            "cat /proc/$(systemctl show --property=MainPID --value plainboot-simple.service)/comm";
        bench.note(&mut seen, "main", main)?;
        bench.note(&mut seen, "stop", "systemctl stop plainboot-simple.service")?;
        bench.note(&mut seen, "after", "systemctl is-active plainboot-simple.service")?;
        Ok(seen)
    },
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
    id: "service.notify",
    title: "a notify service is started once its main process says so",
    probe: |bench| {
        let mut seen = Evidence::default();
        bench.put_fixtures()?;
        bench.note(&mut seen, "start", "systemctl start plainboot-notify.service")?;
        bench.note(&mut seen, "active", "systemctl is-active plainboot-notify.service")?;
        Ok(seen)
    },
    judge: |seen, _| all([started(seen), same("it", seen.get("active"), "active")]),
    ..BASE
};

pub const ONESHOT: Check = Check {
    id: "service.oneshot",
    title: "a oneshot service has done its work when its start returns",
    probe: |bench| {
        let mut seen = Evidence::default();
        bench.put_fixtures()?;
        bench.note(&mut seen, "start", "systemctl start plainboot-oneshot.service")?;
        bench.note(&mut seen, "file", "test -f /var/lib/plainboot-oneshot && echo there")?;
        bench.note(&mut seen, "active", "systemctl is-active plainboot-oneshot.service")?;
        Ok(seen)
    },
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
    id: "service.timer",
    title: "a timer starts its service",
    probe: |bench| {
        let mut seen = Evidence::default();
        bench.put_fixtures()?;
        bench.note(
            &mut seen,
            "before",
            "test -e /var/lib/plainboot-timer && echo there || echo none",
        )?;
        bench.note(&mut seen, "start", "systemctl start plainboot-timer.timer")?;
        let wait = "for i in $(seq 100); do [ -f /var/lib/plainboot-timer ] && exec echo there; sleep 0.05; done; echo none";
        bench.note(&mut seen, "after", wait)?;
        Ok(seen)
    },
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
    id: "service.socket",
    title: "a client from outside starts a socket's service",
    probe: |bench| client(bench, "listen", 7101),
    judge: |seen, _| {
        all([
            started(seen),
            connected(seen),
            same("the client's text", seen.get("text"), "inherited"),
        ])
    },
    ..BASE
};

pub const ACCEPT: Check = Check {
    id: "service.accept",
    title: "an Accept=yes service talks to its client",
    probe: |bench| client(bench, "accept", 7102),
    judge: |seen, _| {
        all([
            started(seen),
            connected(seen),
            same("the client's text", seen.get("text"), "accepted"),
        ])
    },
    ..BASE
};

pub const ACCEPT_FAILURE: Check = Check {
    id: "service.accept-failure",
    title: "an Accept=yes service that fails writes 0 bytes to its client",
    proves: &["0003-main"],
    probe: |bench| {
        let mut seen = client(bench, "broken", 7103)?;
        let failed = "journalctl --no-pager -o cat | grep -c 'plainboot-broken@.*status=217/USER'";
        bench.note(&mut seen, "failed", failed)?;
        Ok(seen)
    },
    judge: |seen, _| {
        all([
            started(seen),
            connected(seen),
            same("the client's text", seen.get("text"), ""),
            same("the number of its bytes", seen.get("bytes"), "0"),
            Outcome::holds_if(seen.number("failed").is_some_and(|n| n > 0), || {
                "the service did not fail the way it is made to".into()
            }),
        ])
    },
    ..BASE
};

pub const FOLDERS: Check = Check {
    id: "service.directories",
    title: "Runtime-, State-, Cache- and LogsDirectory= are made and owned",
    proves: &["0004-exec-invoke"],
    probe: |bench| {
        let mut seen = Evidence::default();
        bench.put_fixtures()?;
        bench.note(&mut seen, "start", "systemctl start plainboot-folders.service")?;
        let owners = "cd / && stat -c '%U %n' run/plainboot-folders/file var/lib/plainboot-folders/file \
             var/cache/plainboot-folders/file var/log/plainboot-folders/file";
        bench.note(&mut seen, "owners", owners)?;
        bench.note(&mut seen, "stop", "systemctl stop plainboot-folders.service")?;
        bench.note(
            &mut seen,
            "left",
            "cd / && ls -d run/plainboot-folders var/lib/plainboot-folders 2>/dev/null",
        )?;
        Ok(seen)
    },
    judge: |seen, _| {
        let owners = "daemon run/plainboot-folders/file\ndaemon var/lib/plainboot-folders/file\n\
                      daemon var/cache/plainboot-folders/file\ndaemon var/log/plainboot-folders/file";
        all([
            started(seen),
            same("what it wrote", seen.get("owners"), owners),
            same("what is left after its stop", seen.get("left"), "var/lib/plainboot-folders"),
        ])
    },
    ..BASE
};

fn started(seen: &Evidence) -> Outcome {
    let status = seen.get("start.status");
    Outcome::holds_if(status == "0", || {
        format!("systemctl start ends with `{status}`: {}", shorten(seen.get("start")))
    })
}

fn connected(seen: &Evidence) -> Outcome {
    same("the client's connection", seen.get("connection"), "made")
}

/// Starts a socket unit and connects from a sibling container of the same image, which counts what
/// it gets until the other side closes.
fn client(bench: &Bench<'_>, unit: &str, port: u16) -> Result<Evidence> {
    let mut seen = Evidence::default();
    bench.put_fixtures()?;
    bench.note(&mut seen, "start", &format!("systemctl start plainboot-{unit}.socket"))?;
    let address = bench.main.address()?;
    let script = format!(
        "exec 3<>/dev/tcp/{address}/{port} || exit 1; echo made; \
         timeout 5 cat <&3 >/tmp/got; echo $?; wc -c </tmp/got; cat /tmp/got"
    );
    let start = Start::plain(bench.image).command(&["bash", "-c", &script]);
    let sibling = bench.another(&format!("client-{unit}"), &start)?;
    let ended = sibling.container.wait(bench.left())?;
    let log = sibling.container.log()?;
    let mut lines = log.lines();
    seen.put("client.status", ended.map_or("timeout".to_owned(), |c| c.to_string()));
    seen.put("connection", lines.next().unwrap_or_default());
    seen.put("closed", if lines.next() == Some("0") { "by the service" } else { "by the client" });
    seen.put("bytes", lines.next().unwrap_or_default().trim());
    seen.put("text", lines.collect::<Vec<_>>().join("\n"));
    Ok(seen)
}
