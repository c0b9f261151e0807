// SPDX-License-Identifier: MIT
//! Other ways to run the container, each with the verdict that is expected of it.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::start::{judge_boot, with_options};
use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{Site, Until, note, put_fixtures};
use crate::boot::evidence::Evidence;
use crate::boot::plain_text;
use crate::engine::{Kind, Start};

const BASE: Check = Check { group: Group::Rows, after_the_end: true, ..super::BASE };

pub const HOST_CGROUP_NAMESPACE: Check = Check {
    id: "row.host-cgroupns",
    title: "--cgroupns=host: runs, and takes no process for its own",
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--cgroupns=host"]);
        let name = "row-host-cgroupns";
        let Some(other) = site.boot(name, &start, until, &mut seen)? else { return Ok(seen) };
        seen.put("state", seen.get("booted").to_owned());
        let scripts = [
            ("failed", "systemctl --failed --no-legend --plain"),
            ("jobs", "systemctl list-jobs --no-legend --plain"),
            ("mkdir", "d=/sys/fs/cgroup/plainboot-$$; LC_ALL=C mkdir $d && rmdir $d"),
            // The root of the tree is there, with all of the host's processes in it.
            ("groups", "systemctl show -P ControlGroup -- -.slice init.scope"),
            ("processes", "systemctl show -P TasksCurrent -- -.slice"),
        ];
        note(&other.container, until, &mut seen, &scripts)?;
        Ok(seen)
    }),
    judge: |seen, expect| {
        let number = seen.get("processes");
        all([
            judge_boot(seen, expect),
            Outcome::holds_if(seen.get("mkdir").contains("Read-only file system"), || {
                format!("the host's tree can be written: `{}`", shorten(seen.get("mkdir")))
            }),
            same("control groups", seen.get("groups").trim(), ""),
            same("systemctl show", seen.get("groups.status"), "0"),
            same("the processes of the root slice", number, "[not set]"),
        ])
    },
    ..BASE
};

pub const NO_NEW_PRIVILEGES: Check = Check {
    id: "row.no-new-privileges",
    title: "--security-opt no-new-privileges: runs",
    probe: Probe::Apart(|site, until| {
        let options = ["--security-opt", "no-new-privileges"];
        with_options(site, until, "row-no-new-privileges", &options)
    }),
    judge: judge_boot,
    ..BASE
};

pub const READ_ONLY: Check = Check {
    id: "row.read-only",
    title: "--read-only alone: ends at once, and says that it is /run",
    probe: Probe::Apart(|site, until| refused(site, until, "row-read-only", &["--read-only"])),
    judge: |seen, _| ends_with(seen, &["/run", "Read-only file system"]),
    ..BASE
};

pub const READ_ONLY_TMPFS: Check = Check {
    id: "row.read-only-tmpfs",
    title: "--read-only with tmpfs on /run, /tmp and /var: runs",
    probe: Probe::Apart(|site, until| {
        let options = ["--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp", "--tmpfs", "/var"];
        with_options(site, until, "row-read-only-tmpfs", &options)
    }),
    judge: judge_boot,
    ..BASE
};

pub const NO_CAPABILITIES: Check = Check {
    id: "row.no-capabilities",
    title: "--cap-drop=ALL: PID 1 runs; what changes its user fails",
    // dbus, first of all. systemd itself gets on, and says what failed and why.
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--cap-drop=ALL"]);
        let name = "row-no-capabilities";
        let Some(other) = site.boot(name, &start, until, &mut seen)? else { return Ok(seen) };
        let scripts = [
            ("capabilities", "sed -n 's/^CapBnd:\t//p' /proc/1/status"),
            ("dbus", "systemctl is-failed dbus.service"),
            (
                "why",
                "for i in $(seq 20); do \
                 journalctl --no-pager -o cat \
                 | grep -m1 'Failed to drop capabilities: Operation not permitted' && exit; \
                 sleep 0.1; done; exit 1",
            ),
            ("run", "systemctl start plainboot-oneshot.service && echo works"),
        ];
        put_fixtures(&other.container, until)?;
        note(&other.container, until, &mut seen, &scripts)?;
        other.container.kill("SIGTERM")?;
        if let Some(code) = other.container.wait(until.left())? {
            seen.put("code", code);
        }
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("its capabilities", seen.get("capabilities"), "0000000000000000"),
            same("the state", seen.get("booted"), "degraded"),
            same("dbus", seen.get("dbus"), "failed"),
            same("the search for its reason", seen.get("why.status"), "0"),
            same("a service of root", seen.get("run"), "works"),
            same("its exit code", seen.get("code"), "0"),
        ])
    },
    ..BASE
};

pub const FOUR_CAPABILITIES: Check = Check {
    id: "row.four-capabilities",
    title: "CHOWN, SETGID, SETPCAP and SETUID are all it needs to run",
    probe: Probe::Apart(|site, until| {
        let options = [
            "--cap-drop=ALL",
            "--cap-add=CHOWN",
            "--cap-add=SETGID",
            "--cap-add=SETPCAP",
            "--cap-add=SETUID",
        ];
        with_options(site, until, "row-four-capabilities", &options)
    }),
    judge: judge_boot,
    ..BASE
};

pub const INIT: Check = Check {
    id: "row.init",
    title: "--init: ends at once, and says that it must be PID 1",
    proves: &["0007-main-not-pid1"],
    probe: Probe::Apart(|site, until| refused(site, until, "row-init", &["--init"])),
    judge: not_pid1,
    ..BASE
};

pub const SHARED_PID: Check = Check {
    id: "row.shared-pid",
    title: "--pid=container:X: ends at once, says that it must be PID 1",
    proves: &["0007-main-not-pid1"],
    probe: Probe::Apart(|site, until| {
        let first = Start::plain(site.image).command(&["sleep", "infinity"]);
        let first = site.another("row-shared-pid-first", &first)?;
        let option = format!("--pid=container:{}", first.container.id);
        refused(site, until, "row-shared-pid", &[&option])
    }),
    judge: not_pid1,
    ..BASE
};

pub const USER_NAMESPACE: Check = Check {
    id: "row.userns-remap",
    title: "userns-remap: root is another user on the host, and it runs",
    cannot: |facts| {
        (!facts.userns_remap)
            .then(|| "this engine maps no users (dockerd --userns-remap does)".to_owned())
    },
    probe: Probe::Apart(|site, until| shifted(site, until, "row-userns-remap")),
    judge: judge_shifted,
    ..BASE
};

pub const ROOTLESS: Check = Check {
    id: "row.rootless",
    title: "rootless engine: it runs",
    cannot: |facts| (!facts.rootless).then(|| "this engine runs as root".to_owned()),
    probe: Probe::Apart(|site, until| shifted(site, until, "row-rootless")),
    judge: judge_shifted,
    ..BASE
};

pub const WRITABLE_CGROUPS: Check = Check {
    id: "row.writable-cgroups",
    title: "writable-cgroups=true: runs, and units have control groups",
    cannot: |facts| {
        let major = facts.version.split('.').next().and_then(|n| n.parse::<u32>().ok());
        let has = facts.kind == Kind::Docker && major >= Some(28);
        (!has).then(|| format!("{} has no writable-cgroups, Docker 28 has", facts.release()))
    },
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--security-opt=writable-cgroups=true"]);
        let name = "row-writable-cgroups";
        let Some(other) = site.boot(name, &start, until, &mut seen)? else { return Ok(seen) };
        let scripts = [
            ("failed", "systemctl --failed --no-legend --plain"),
            ("capabilities", "sed -n 's/^CapBnd:\t//p' /proc/1/status"),
            ("group", "systemctl show -P ControlGroup dbus.service"),
            ("procs", "grep -c . /sys/fs/cgroup/system.slice/dbus.service/cgroup.procs"),
        ];
        note(&other.container, until, &mut seen, &scripts)?;
        Ok(seen)
    }),
    judge: |seen, expect| {
        all([
            same("its state", seen.get("booted"), "running"),
            same("failed units", seen.get("failed"), ""),
            same(
                "its capabilities",
                seen.get("capabilities"),
                &format!("{:016x}", expect.row.capabilities),
            ),
            same("dbus' control group", seen.get("group"), "/system.slice/dbus.service"),
            same("the processes in it", seen.get("procs"), "1"),
        ])
    },
    ..BASE
};

pub const CONTAINERD: Check = Check {
    id: "row.containerd",
    title: "containerd alone (ctr): runs once it mounts a cgroup tree",
    timeout: Duration::from_secs(60),
    // ctr comes with containerd, and only root may use it.
    cannot: |facts| {
        (!facts.guest || facts.kind != Kind::Docker || facts.rootless).then(|| {
            "containerd is not the harness' own here (test-vm --engine containerd brings one)"
                .to_owned()
        })
    },
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let script = CTR.replace("IMAGE", site.image);
        let call = site.engine.shell(&script).context("no guest")?.deadline(until.left());
        let said = call.text()?;
        for (name, value) in said.lines().filter_map(|l| l.strip_prefix('@')?.split_once('=')) {
            seen.put(name, value);
        }
        seen.put("said", said);
        Ok(seen)
    }),
    judge: |seen, expect| {
        all([
            same("its state", seen.get("state"), "running"),
            same("failed units", seen.get("failed"), ""),
            same(
                "its capabilities",
                seen.get("capabilities"),
                &format!("{:016x}", expect.row.capabilities),
            ),
            same("its seccomp mode", seen.get("seccomp"), &expect.row.seccomp_mode.to_string()),
            same("its cgroup tree", seen.get("cgroup"), "ro"),
            same("its exit code", seen.get("code"), "0"),
            same("its exit code without a cgroup tree", seen.get("bare"), "255"),
            Outcome::holds_if(
                seen.get("why").starts_with("Failed to mount cgroup2 (type cgroup2)"),
                || format!("without a cgroup tree it says `{}`", shorten(seen.get("why"))),
            ),
        ])
    },
    ..BASE
};

/// A container without Docker: its image is Docker's, handed over; its output a file; `ctr` ends
/// with its exit code. By itself ctr (1.7) mounts no cgroup tree, as every other client of containerd
/// does, and nobody in the container may.
const CTR: &str = r#"
cd /srv/engines
ctr() { command ctr --namespace plainboot "$@"; }
docker save IMAGE | ctr images import - >/dev/null || exit 1
image=$(ctr images list --quiet | tail -n 1)
ctr run --rm --seccomp "$image" bare >bare.log 2>&1 </dev/null
echo "@bare=$?"
echo "@why=$(grep -m 1 cgroup2 bare.log)"
ctr run --seccomp --mount type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:noexec:nodev \
    "$image" row >row.log 2>&1 </dev/null &
pid=$!
n=0
inside() { n=$((n + 1)); ctr task exec --exec-id "e$n" row sh -c "$1" </dev/null; }
for i in $(seq 600); do
    state=$(inside 'systemctl is-system-running --wait' 2>/dev/null)
    case $state in running|degraded|maintenance) break;; esac
    kill -0 $pid 2>/dev/null || break
    sleep 0.2
done
echo "@state=$state"
echo "@failed=$(inside 'systemctl --failed --no-legend --plain' | tr '
' ' ')"
echo "@capabilities=$(inside "sed -n 's/^CapEff:.//p' /proc/1/status")"
echo "@seccomp=$(inside "sed -n 's/^Seccomp:.//p' /proc/1/status")"
echo "@cgroup=$(inside "grep ' /sys/fs/cgroup ' /proc/1/mountinfo | cut -d' ' -f6 | cut -d, -f1")"
ctr task kill --signal SIGTERM row
wait $pid
echo "@code=$?"
cat row.log
ctr task delete --force row >/dev/null 2>&1
ctr container delete row >/dev/null 2>&1
true
"#;

/// A container that is expected to end by itself.
fn refused(site: &Site<'_>, until: Until, name: &str, options: &[&str]) -> Result<Evidence> {
    let other = site.another(name, &Start::plain(site.image).options(options))?;
    let mut seen = Evidence::default();
    let ended = other.container.wait(until.left())?;
    seen.put("state", ended.map_or("it runs on".to_owned(), |code| format!("exited {code}")));
    seen.put("log", other.container.log()?);
    Ok(seen)
}

/// It has ended with an error, and one line has all the words of the reason.
fn ends_with(seen: &Evidence, words: &[&str]) -> Outcome {
    let code = seen.get("state").strip_prefix("exited ").and_then(|c| c.parse::<i64>().ok());
    let log = seen.get("log");
    let says = log.lines().map(plain_text).any(|l| words.iter().all(|w| l.contains(w)));
    all([
        Outcome::holds_if(code.is_some_and(|c| c != 0), || {
            format!("its end: `{}`", seen.get("state"))
        }),
        Outcome::holds_if(says, || {
            let last = log.lines().rev().map(plain_text).find(|l| !l.is_empty());
            format!("no line says why; the last is `{}`", shorten(&last.unwrap_or_default()))
        }),
    ])
}

/// One clear sentence, and nothing else.
fn not_pid1(seen: &Evidence, _: &super::Expect) -> Outcome {
    all([
        ends_with(seen, &["Not PID 1 of this container"]),
        Outcome::holds_if(seen.get("log").lines().count() == 1, || {
            format!("it says more: `{}`", shorten(seen.get("log")))
        }),
    ])
}

fn shifted(site: &Site<'_>, until: Until, name: &str) -> Result<Evidence> {
    let mut seen = Evidence::default();
    let start = Start::plain(site.image);
    let Some(other) = site.boot(name, &start, until, &mut seen)? else { return Ok(seen) };
    note(&other.container, until, &mut seen, &[("map", "cat /proc/1/uid_map")])?;
    Ok(seen)
}

fn judge_shifted(seen: &Evidence, _: &super::Expect) -> Outcome {
    // Inside, outside, how many.
    let first = seen.get("map").lines().next().unwrap_or_default();
    let outside = first.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    all([
        same("the state", seen.get("booted"), "running"),
        Outcome::holds_if(outside.is_some_and(|uid| uid > 0), || {
            format!("root is not mapped: `{first}`")
        }),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_must_name_the_reason_in_one_line() {
        let judge = |state, log| ends_with(&[("state", state), ("log", log)].into(), &["PID 1"]);
        let clear = "systemd must be PID 1 of the container\n";
        assert_eq!(judge("exited 1", clear), Outcome::Holds);
        assert_ne!(judge("exited 0", clear), Outcome::Holds);
        assert_ne!(judge("it runs on", clear), Outcome::Holds);
        let unclear = "Explicit --user argument required to run as user manager.\n";
        assert!(
            matches!(judge("exited 1", unclear), Outcome::Fails(b) if b.contains("the last is `Expl"))
        );
    }

    #[test]
    fn a_user_that_is_mapped_to_itself_is_not_mapped() {
        let judge = |map| {
            let expect = super::super::tests::expect();
            judge_shifted(&[("booted", "running"), ("map", map)].into(), &expect)
        };
        assert_eq!(judge("         0     100000      65536"), Outcome::Holds);
        assert_ne!(judge("         0          0 4294967295"), Outcome::Holds);
        assert_ne!(judge(""), Outcome::Holds);
    }
}
