// SPDX-License-Identifier: MIT
//! The container really is a plain one. All of it is read from the main container and its PID 1.

use std::time::Duration;

use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::Bench;
use crate::boot::evidence::Evidence;
use crate::engine::Facts;

const BASE: Check =
    Check { group: Group::Precondition, timeout: Duration::from_secs(10), ..super::BASE };

pub const CAPABILITIES: Check = Check {
    id: "plain.capabilities",
    title: "PID 1 has the engine's default capabilities",
    probe: Probe::Main(|bench| status_field(bench, "CapEff")),
    judge: |seen, expect| {
        same("CapEff", seen.get("CapEff"), &format!("{:016x}", expect.row.capabilities))
    },
    ..BASE
};

pub const SECCOMP: Check = Check {
    id: "plain.seccomp",
    title: "PID 1 runs under the engine's seccomp filter",
    probe: Probe::Main(|bench| status_field(bench, "Seccomp")),
    judge: |seen, expect| {
        same("Seccomp", seen.get("Seccomp"), &expect.row.seccomp_mode.to_string())
    },
    ..BASE
};

pub const READ_ONLY: Check = Check {
    id: "plain.cgroup-read-only",
    title: "/sys/fs/cgroup is mounted read-only",
    cannot: mapped,
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        bench.note(&mut seen, &[("mountinfo", "grep ' /sys/fs/cgroup ' /proc/1/mountinfo")])?;
        Ok(seen)
    }),
    judge: |seen, expect| {
        let lines: Vec<&str> = seen.get("mountinfo").lines().collect();
        // Mount options are the sixth field, the type follows the separate dash.
        let of = |line: &str| {
            let options = line.split(' ').nth(5)?.split(',').next()?.to_owned();
            let kind = line.split(" - ").nth(1)?.split(' ').next()?.to_owned();
            Some((options, kind))
        };
        match lines.as_slice() {
            [one] => {
                let (options, kind) = of(one).unwrap_or_default();
                all([same("its type", &kind, "cgroup2"), same("it", &options, expect.row.cgroup)])
            }
            other => Outcome::Fails(format!("{} mounts there", other.len())),
        }
    },
    ..BASE
};

/// Seen of Docker 26.1: where root is mapped, the engine mounts the tree writable.
fn mapped(facts: &Facts) -> Option<String> {
    facts.userns_remap.then(|| {
        "this engine maps root to another user, and gives its containers a writable tree".to_owned()
    })
}

pub const REFUSED: Check = Check {
    id: "plain.refused",
    title: "mkdir in the cgroup tree, mount and unshare are refused",
    cannot: mapped,
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        bench.note(
            &mut seen,
            &[
                ("mkdir", "LC_ALL=C mkdir /sys/fs/cgroup/plainboot"),
                ("mount", "LC_ALL=C mount -t tmpfs tmpfs /tmp"),
                ("unshare", "LC_ALL=C unshare --mount true"),
            ],
        )?;
        Ok(seen)
    }),
    judge: |seen, _| {
        let refused = |name: &str, words: &[&str]| {
            let said = seen.get(name).to_lowercase();
            let status = seen.number(&format!("{name}.status"));
            let good = status.is_some_and(|s| s != 0) && words.iter().any(|w| said.contains(w));
            Outcome::holds_if(good, || format!("{name} was not refused: `{}`", shorten(&said)))
        };
        let not_permitted = ["operation not permitted", "permission denied"];
        // What AppArmor denies mount(8) tries again without writing, and is denied again; seen of
        // podman's profile.
        let denied_twice = ["cannot mount tmpfs read-only"];
        all([
            refused("mkdir", &["read-only file system"]),
            refused("mount", &[&not_permitted[..], &denied_twice].concat()),
            refused("unshare", &not_permitted),
        ])
    },
    ..BASE
};

pub const NO_OPTIONS: Check = Check {
    id: "plain.no-options",
    title: "the engine itself lists no privilege, mount or device",
    probe: Probe::Main(|bench| {
        let inspect = bench.main.inspect()?;
        let mut seen = Evidence::default();
        let host = &inspect["HostConfig"];
        for key in [
            "Privileged",
            "CapAdd",
            "SecurityOpt",
            "Binds",
            "Tmpfs",
            "Devices",
            "Mounts",
            "PidMode",
            "CgroupnsMode",
            "UsernsMode",
            "Init",
            "ReadonlyRootfs",
        ] {
            seen.put(key, &host[key]);
        }
        // As podman calls it.
        if host["CgroupnsMode"].is_null() {
            seen.put("CgroupnsMode", &host["CgroupMode"]);
        }
        seen.put("inspect.Mounts", &inspect["Mounts"]);
        seen.put("Path", inspect["Path"].as_str().unwrap_or_default());
        seen.put("Args", &inspect["Args"]);
        Ok(seen)
    }),
    judge: |seen, _| {
        let empty = |key: &str| {
            let good = ["null", "[]", "{}", "\"\""].contains(&seen.get(key));
            Outcome::holds_if(good, || format!("{key} is {}", shorten(seen.get(key))))
        };
        let lists = ["CapAdd", "SecurityOpt", "Binds", "Tmpfs", "Devices", "Mounts", "UsernsMode"];
        // Docker says nothing of what is private, podman does.
        let private = |key: &str| {
            let good = ["\"private\"", "\"\""].contains(&seen.get(key));
            Outcome::holds_if(good, || format!("{key} is {}", seen.get(key)))
        };
        all([
            same("Privileged", seen.get("Privileged"), "false"),
            same("the command", seen.get("Path"), "/sbin/init"),
        ]
        .into_iter()
        .chain(lists.into_iter().map(empty))
        .chain([own_volumes_alone(seen.get("inspect.Mounts"))])
        .chain(["PidMode", "CgroupnsMode"].map(private)))
    },
    ..BASE
};

/// An image may declare volumes: the engine then makes an empty one for each. Of what the user adds,
/// `Binds` and `Mounts` tell.
fn own_volumes_alone(mounts: &str) -> Outcome {
    let mounts: Option<Vec<serde_json::Value>> = serde_json::from_str(mounts).ok();
    let good = mounts.as_ref().is_some_and(|all| all.iter().all(|one| one["Type"] == "volume"));
    Outcome::holds_if(good, || format!("its mounts are {mounts:?}"))
}

fn status_field(bench: &Bench<'_>, field: &str) -> anyhow::Result<Evidence> {
    let mut seen = Evidence::default();
    let read = format!("sed -n 's/^{field}:[[:space:]]*//p' /proc/1/status");
    bench.note(&mut seen, &[(field, &read)])?;
    Ok(seen)
}
