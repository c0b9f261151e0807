// SPDX-License-Identifier: MIT
//! A `dockerd` of our own, for a machine without an engine or with one on cgroup v1.
//!
//! It lives in its own mount, network and PID namespaces. The mount namespace gives it a cgroup2
//! tree even where the host mounts cgroup v1; the network namespace keeps its bridge and its
//! firewall rules from the host's; and when the first process of the PID namespace dies, however
//! it dies, the kernel kills all of the daemon's processes and the containers, and their mounts
//! and devices go with the namespaces. So `kill -9` of this program leaves files alone, and those are
//! swept by the next start. Containers have no way to the outside; clients in checks are siblings.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Cli, Facts, find};
use crate::exec::{self, Job, Running};
use crate::fault::Fault;
use crate::ui::Ui;
use crate::workspace::{Cache, CacheLock};

/// Programs that the private engine needs, each with what Debian calls its package.
pub const PROGRAMS: [(&str, &str); 8] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io (docker-cli from Debian 13 on)"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// Starts `dockerd` and cleans up behind it. `$1`: folder; `$2`: cgroup parent.
///
/// It is the first process of its PID namespace: it reaps, turns SIGTERM into an orderly end, and
/// removes the cgroups that belong to it, those of a killed run too. The daemon's runtime state is
/// thrown away first: every process in it is dead.
const SCRIPT: &str = r#"
set -eu
dir=$1 parent=$2
mount --make-rprivate /
umount -R -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs /run
ip link set lo up
sweep() { find "/sys/fs/cgroup/$parent" -depth -type d -exec rmdir {} + 2>/dev/null || true; }
sweep
rm -rf "$dir/exec" "$dir/pid" "$dir/socket"
mkdir -p "$dir/exec" "$dir/data"
pid=
trap '[ -z "$pid" ] || kill -TERM "$pid"' TERM
dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
    --host "unix://$dir/socket" --group root --config-file "$dir/daemon.json" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$parent" &
pid=$!
status=0
wait "$pid" || status=$?
if kill -0 "$pid" 2>/dev/null; then status=0; wait "$pid" || status=$?; fi
sweep
exit "$status"
"#;

/// How long a daemon that runs may stay silent. A first start writes and syncs its databases, which
/// takes long on a disk that others keep busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the daemon is started if its containerd comes too late for it.
const STARTS: u32 = 3;

/// A running private engine; dropping it ends everything in it.
#[derive(Debug)]
pub struct Daemon {
    unshare: Running,
    socket: PathBuf,
    _lock: CacheLock,
}

impl super::Keeper for Daemon {}

impl Daemon {
    /// Starts the daemon and waits until it answers (0.3 s once its folder exists).
    ///
    /// # Errors
    /// Not root, a program is missing, another run uses the same cache folder, or the daemon ends
    /// or stays silent for [`PATIENCE`] (the error then carries its last lines).
    pub fn start(cache: &Cache, ui: &Ui) -> Result<(Daemon, Facts)> {
        possible().map_err(Fault::cannot_try)?;
        let lock = cache.lock("engine")?;
        let dir = cache.engine();
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))?;
        let socket = dir.join("socket");
        // sun_path holds 108 bytes with the final zero.
        if socket.as_os_str().len() > 100 {
            return Err(Fault::new(format!("{} is too long for a socket", socket.display()))
                .hint("pass a shorter --cache-dir DIR")
                .into());
        }
        if dir.canonicalize()?.starts_with("/run") {
            return Err(Fault::new(
                "the private engine has a /run of its own, and its folder is there",
            )
            .hint("pass a --cache-dir DIR outside /run")
            .into());
        }
        // An empty configuration of its own keeps the host's /etc/docker/daemon.json out.
        crate::atomic::write(&dir.join("daemon.json"), b"{}\n")?;
        let step = ui.step("start a private engine");
        let mut daemon = Daemon { unshare: spawn(&dir)?, socket, _lock: lock };
        let mut starts = 1;
        let facts = loop {
            if let Some(facts) = daemon.wait_until_it_answers(starts < STARTS)? {
                break facts;
            }
            starts += 1;
            step.detail(&format!("containerd was slower than dockerd waits; start {starts}"));
            daemon.unshare = spawn(&dir)?;
        };
        let again = if starts > 1 { format!(", up at start {starts}") } else { String::new() };
        step.done(&format!("Docker {}, cgroup v{}{again}", facts.version, facts.cgroup_version));
        Ok((daemon, facts))
    }

    /// The daemon's address, as `DOCKER_HOST` takes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// None if the daemon has given up on its containerd and `again` allows for another start.
    fn wait_until_it_answers(&mut self, again: bool) -> Result<Option<Facts>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.unshare.poll()? {
                let log = std::fs::read_to_string(self.unshare.transcript()).unwrap_or_default();
                if again && gave_up_on_containerd(&log) {
                    return Ok(None);
                }
                let failure = self.unshare.failure(&status.to_string());
                return Err(explain(&log).map_or(failure, Into::into));
            }
            if self.socket.exists()
                && let Ok(facts) =
                    find::facts(&Cli::local("docker", Some(self.host())), find::ANSWER)
            {
                return Ok(Some(Facts { private: true, ..facts }));
            }
            if start.elapsed() > PATIENCE {
                let reason = format!("no answer within {} s", PATIENCE.as_secs());
                return Err(self.unshare.failure(&reason));
            }
            exec::sleep(Duration::from_millis(20))?;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // unshare ignores SIGTERM while its child runs, so the child is told. If the kernel does
        // not list children, the kill below ends all the same, only less politely.
        let pid = self.unshare.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        if let Some(first) = children.ok().and_then(|c| c.split(' ').next()?.parse::<i32>().ok())
            && let Some(first) = rustix::process::Pid::from_raw(first)
        {
            let _ = rustix::process::kill_process(first, rustix::process::Signal::TERM);
            let end = Instant::now() + Duration::from_secs(8);
            while Instant::now() < end && matches!(self.unshare.poll(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.unshare.terminate(Duration::ZERO);
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn spawn(dir: &Path) -> Result<Running> {
    Job::new("unshare", &dir.join("dockerd.log"))
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", SCRIPT, "plainboot-engine"])
        .arg(dir)
        .arg(cgroup_parent(dir))
        .spawn()
}

/// `dockerd` gives the containerd it starts 15 s to answer (Docker 20.10), with no setting for it,
/// and ends if that is not enough: with cold programs on a busy disk it was not. It says the same of a
/// containerd that ended, but then also that.
fn gave_up_on_containerd(log: &str) -> bool {
    log.contains("timeout waiting for containerd to start")
        && !log.contains("containerd did not exit successfully")
}

/// Why a private engine cannot be tried here, if so.
pub fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("a private engine needs root".into());
    }
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(p, _)| !exec::have(p)).map(|(p, _)| *p).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("a private engine needs {}", missing.join(", ")))
    }
}

/// One cgroup per cache folder, so that two engines of one machine do not sweep each other.
fn cgroup_parent(dir: &Path) -> String {
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    format!("plainboot-{}", digest.iter().take(4).map(|b| format!("{b:02x}")).collect::<String>())
}

/// A known reason in the daemon's own words.
fn explain(log: &str) -> Option<Fault> {
    let line = |needle: &str| log.lines().rev().find(|l| l.contains(needle)).map(str::to_owned);
    if let Some(line) = line("no space left on device") {
        return Some(
            Fault::new(format!("no space left for the private engine: {line}"))
                .hint("free some space, or pass --cache-dir DIR on a larger disk"),
        );
    }
    if let Some(line) = line("unshare failed").or_else(|| line("permission denied")) {
        return Some(
            Fault::cannot_try(format!("this machine refuses a private engine: {line}"))
                .hint("run on a machine or in a container that may mount and unshare"),
        );
    }
    if gave_up_on_containerd(log) {
        return Some(
            Fault::new(format!(
                "containerd was not up in time for dockerd, {STARTS} times in a row"
            ))
            .hint("the disk may be busy: try again later"),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_machine_are_not_our_faults() {
        let kind = |log: &str| explain(log).map(|f| f.kind);
        assert_eq!(
            kind("unshare: unshare failed: Operation not permitted"),
            Some(crate::fault::Kind::CannotTry)
        );
        assert_eq!(kind("write /x: no space left on device"), Some(crate::fault::Kind::Fault));
        assert_eq!(kind("level=info msg=hello"), None);
    }

    #[test]
    fn a_slow_containerd_is_told_from_a_broken_daemon() {
        assert!(gave_up_on_containerd(
            "level=info msg=\"Starting up\"\n\
             failed to start containerd: timeout waiting for containerd to start"
        ));
        assert!(!gave_up_on_containerd("failed to start daemon: permission denied"));
        assert!(!gave_up_on_containerd(
            "level=error msg=\"containerd did not exit successfully\" error=\"exit status 1\"\n\
             failed to start containerd: timeout waiting for containerd to start"
        ));
    }

    #[test]
    fn engines_of_two_cache_folders_have_two_cgroups() {
        assert_ne!(cgroup_parent(Path::new("/a")), cgroup_parent(Path::new("/b")));
    }
}
