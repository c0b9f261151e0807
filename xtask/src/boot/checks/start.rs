// SPDX-License-Identifier: MIT
//! The boot itself: of the plain container, and with the options that people use today.

use std::time::Duration;

use anyhow::Result;

use super::{Check, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{Site, Until, boot, note};
use crate::boot::evidence::Evidence;
use crate::engine::Start;

const BASE: Check = Check { proves: &["0001-mount-setup", "0002-cgroup"], ..super::BASE };

pub const PID1: Check = Check {
    id: "boot.pid1",
    title: "PID 1 is systemd, of the version that was built",
    timeout: Duration::from_secs(10),
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        bench.note(
            &mut seen,
            &[
                ("exe", "readlink /proc/1/exe"),
                ("version", "systemctl show --property=Version --value"),
            ],
        )?;
        Ok(seen)
    }),
    judge: |seen, expect| {
        // A build can append to it: `262-1`, `262 (something)`; but 262 is not 262.1.
        let wanted = expect.version.to_string();
        let rest = seen.get("version").strip_prefix(&wanted);
        let version =
            rest.is_some_and(|r| !r.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
        all([
            // Under /usr, or in a package of Nix.
            Outcome::holds_if(seen.get("exe").ends_with("/lib/systemd/systemd"), || {
                format!("/proc/1/exe is `{}`", seen.get("exe"))
            }),
            Outcome::holds_if(version, || {
                format!("it says `{}`, not {wanted}", seen.get("version"))
            }),
        ])
    },
    ..BASE
};

pub const RUNNING: Check = Check {
    id: "boot.running",
    title: "is-system-running says `running`",
    after_the_end: true,
    proves: &["0001-mount-setup", "0002-cgroup", "0004-exec-invoke"],
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        seen.put("state", &bench.booted.state);
        seen.put("ms", bench.booted.elapsed.as_millis());
        if bench.booted.state != "running" {
            seen.put("log", bench.main.log()?);
        }
        Ok(seen)
    }),
    judge: judge_state,
    ..BASE
};

pub const NO_FLAGS: Check = Check {
    id: "boot.no-flags",
    title: "it boots where nothing is mounted on /run, with no option",
    timeout: Duration::from_secs(10),
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        seen.put("state", &bench.booted.state);
        bench.note(&mut seen, &[("mounts", "cut -d' ' -f5 /proc/1/mountinfo")])?;
        seen.put("options", &bench.main.inspect()?["HostConfig"]["Tmpfs"]);
        Ok(seen)
    }),
    judge: |seen, expect| {
        let mounts: Vec<&str> = seen.get("mounts").lines().collect();
        all([
            judge_state(seen, expect),
            Outcome::holds_if(mounts.contains(&"/proc"), || "its mounts are not known".into()),
            Outcome::holds_if(!mounts.contains(&"/run"), || "/run is a mount".into()),
            // podman writes {} for none.
            Outcome::holds_if(["null", "{}"].contains(&seen.get("options")), || {
                format!("--tmpfs is {}", seen.get("options"))
            }),
        ])
    },
    ..BASE
};

pub const MACHINE_ID: Check = Check {
    id: "boot.machine-id",
    title: "two containers of one image have two machine ids",
    proves: &[],
    probe: Probe::Main(|bench| {
        const READ: [(&str, &str); 1] = [("id", "cat /etc/machine-id")];
        let other = bench.site.another("machine-id", &Start::plain(bench.site.image))?;
        let booted = boot(&other.container, bench.until.get().left())?;
        let mut theirs = Evidence::default();
        note(&other.container, bench.until.get(), &mut theirs, &READ)?;
        let mut seen = Evidence::default();
        bench.note(&mut seen, &READ)?;
        seen.put("other.state", booted.state);
        seen.put("other.id", theirs.get("id"));
        Ok(seen)
    }),
    judge: |seen, _| {
        let (one, two) = (seen.get("id"), seen.get("other.id"));
        let valid = |id: &str| {
            let hex = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            let outcome = id.len() == 32 && hex && id.bytes().any(|b| b != b'0');
            Outcome::holds_if(outcome, || format!("`{}` is no machine id", shorten(id)))
        };
        all([valid(one), valid(two), Outcome::holds_if(one != two, || format!("both are {one}"))])
    },
    ..BASE
};

pub const NO_FAILED_UNITS: Check = Check {
    id: "boot.no-failed-units",
    title: "no failed unit, no waiting job",
    timeout: Duration::from_secs(10),
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        bench.note(&mut seen, &UNITS)?;
        Ok(seen)
    }),
    judge: judge_units,
    ..BASE
};

/// inotify(7): `max_user_instances` is 128 on a usual machine, for all containers of one user
/// together, and their root is mostly the machine's.
const INOTIFY_INSTANCES: u64 = 128;

pub const INOTIFY: Check = Check {
    id: "boot.inotify",
    title: "thirty containers fit into root's 128 inotify instances",
    proves: &[],
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        // What belongs to another user counts for that one, and cannot be read here.
        let holders = "for fd in /proc/[0-9]*/fd/*; do \
            [ \"$(readlink $fd)\" = anon_inode:inotify ] || continue; \
            pid=${fd#/proc/}; cat /proc/${pid%%/*}/comm; done";
        bench.note(&mut seen, &[("holders", holders)])?;
        Ok(seen)
    }),
    judge: |seen, _| {
        let holders = seen.get("holders");
        let count = holders.lines().count() as u64;
        all([
            // PID 1 itself has one at the least, or the probe is blind.
            Outcome::holds_if(holders.lines().any(|l| l == "systemd"), || {
                format!("PID 1 is not among the holders: {}", shorten(holders))
            }),
            Outcome::holds_if(count * 30 <= INOTIFY_INSTANCES, || {
                format!("a container has {count}: {}", shorten(holders))
            }),
        ])
    },
    ..BASE
};

pub const LOCK_FOLDER: Check = Check {
    id: "boot.lock-folder",
    title: "/run/lock is there, for everybody to write",
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        bench.note(&mut seen, &[("folder", "stat -c '%A %U' /run/lock")])?;
        Ok(seen)
    }),
    judge: |seen, _| same("/run/lock", seen.get("folder"), "drwxrwxrwt root"),
    ..BASE
};

pub const NO_TTY: Check = Check {
    id: "boot.no-tty",
    title: "without a tty, the engine's log shows the boot",
    proves: &["0003-main"],
    timeout: Duration::from_secs(10),
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        seen.put("Tty", &bench.main.inspect()?["Config"]["Tty"]);
        let console = "test -e /dev/console && echo there || echo none";
        bench.note(&mut seen, &[("console", console)])?;
        seen.put("state", &bench.booted.state);
        seen.put("log", bench.main.log()?);
        Ok(seen)
    }),
    judge: |seen, expect| {
        let banner = format!("systemd {}", expect.version);
        let log = seen.get("log");
        let shown = log.contains(&banner) && log.contains("running in system mode");
        all([
            same("Tty", seen.get("Tty"), "false"),
            same("/dev/console", seen.get("console"), "none"),
            same("the state", seen.get("state"), "running"),
            Outcome::holds_if(shown, || format!("no line of PID 1 in its log: `{}`", shorten(log))),
        ])
    },
    ..BASE
};

pub const TTY: Check = Check {
    id: "boot.tty",
    title: "it also boots with -t",
    after_the_end: true,
    probe: Probe::Apart(|site, until| with_options(site, until, "tty", &["--tty"])),
    judge: judge_boot,
    ..BASE
};

pub const THREE_TMPFS: Check = Check {
    id: "boot.three-tmpfs",
    title: "it also boots with tmpfs on /run, /run/lock and /tmp",
    after_the_end: true,
    proves: &["0002-cgroup"],
    probe: Probe::Apart(|site, until| {
        let options = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"];
        with_options(site, until, "three-tmpfs", &options)
    }),
    judge: judge_boot,
    ..BASE
};

pub const HOST_CGROUP: Check = Check {
    id: "boot.host-cgroup",
    title: "it also boots with --tmpfs /run and the host's cgroup tree",
    after_the_end: true,
    proves: &[],
    probe: Probe::Apart(|site, until| {
        let bind = ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup"];
        let options = ["--tmpfs", "/run", "--cgroupns=host"];
        with_options(site, until, "host-cgroup", &[options.as_slice(), bind.as_slice()].concat())
    }),
    judge: judge_boot,
    ..BASE
};

/// A container with options of `docker run`, to be judged by [`judge_boot`].
pub(super) fn with_options(
    site: &Site<'_>,
    until: Until,
    name: &str,
    options: &[&str],
) -> Result<Evidence> {
    let mut seen = Evidence::default();
    let other = site.another(name, &Start::plain(site.image).options(options))?;
    let booted = boot(&other.container, until.left())?;
    seen.put("state", &booted.state);
    seen.put("ms", booted.elapsed.as_millis());
    if booted.state == "running" || booted.state == "degraded" {
        note(&other.container, until, &mut seen, &UNITS)?;
    } else {
        seen.put("log", other.container.log()?);
    }
    Ok(seen)
}

const UNITS: [(&str, &str); 2] = [
    ("failed", "systemctl --failed --no-legend --plain"),
    ("jobs", "systemctl list-jobs --no-legend --plain"),
];

fn judge_state(seen: &Evidence, _: &super::Expect) -> Outcome {
    let state = seen.get("state");
    Outcome::holds_if(state == "running", || {
        let log = seen.get("log");
        let last = log.lines().rev().find(|l| l.contains("Failed") || l.contains("ailed to"));
        let last = last.or_else(|| log.lines().last()).map(super::super::plain_text);
        match last.filter(|l| !l.is_empty()) {
            Some(line) => format!("{state}: `{}`", shorten(&line)),
            None if state.starts_with("exited") => format!("{state}, with nothing in its log"),
            None => format!("it is `{state}`"),
        }
    })
}

fn judge_units(seen: &Evidence, _: &super::Expect) -> Outcome {
    let none = |what: &str, name: &str| {
        let asked = seen.number(&format!("{name}.status")) == Some(0);
        let text = seen.get(name);
        // `list-jobs --no-legend` of older versions still says that there are none.
        let empty = text.is_empty() || text.starts_with("No jobs");
        Outcome::holds_if(asked && empty, || match text {
            "" => format!("systemctl does not tell about {what}"),
            text => format!("{what}: {}", shorten(text)),
        })
    };
    all([none("failed units", "failed"), none("waiting jobs", "jobs")])
}

pub(super) fn judge_boot(seen: &Evidence, expect: &super::Expect) -> Outcome {
    all([judge_state(seen, expect), judge_units(seen, expect)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::expect::{DOCKER_PLAIN, Expect};
    use crate::version::SystemdVersion;

    fn expect() -> Expect {
        Expect { row: DOCKER_PLAIN, version: SystemdVersion::new(262, 0) }
    }

    #[test]
    fn degraded_is_not_running() {
        let outcome = judge_state(&[("state", "degraded")].into(), &expect());
        assert_eq!(outcome, Outcome::Fails("it is `degraded`".into()));
    }

    #[test]
    fn another_point_release_is_another_version() {
        let judge = |version: &str| {
            let seen = [("exe", "/usr/lib/systemd/systemd"), ("version", version)].into();
            (PID1.judge)(&seen, &expect())
        };
        assert_eq!(judge("262"), Outcome::Holds);
        assert_eq!(judge("262-1~deb13u1"), Outcome::Holds);
        for other in ["262.1", "261", "2620", ""] {
            assert_ne!(judge(other), Outcome::Holds, "{other}");
        }
    }

    #[test]
    fn a_command_that_failed_is_not_an_empty_list() {
        let seen = [("failed", ""), ("failed.status", "1"), ("jobs", ""), ("jobs.status", "0")];
        assert_ne!(judge_units(&seen.into(), &expect()), Outcome::Holds);
    }
}
