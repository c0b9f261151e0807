// SPDX-License-Identifier: MIT
//! What the checks expect: it depends on the engine and on how the container is run.

use crate::engine::{Facts, Kind, Start};
use crate::version::SystemdVersion;

/// A way to run a container, in which checks are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `docker run -d IMAGE`
    Plain,
    /// The same, with a cgroup tree that may be written: there systemd behaves as ever.
    Writable,
}

/// One row of the table: an engine, and a way to run a container on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What records and `known-to-fail.toml` call it.
    pub name: &'static str,
    pub mode: Mode,
    /// The effective capabilities of PID 1, as a mask.
    pub capabilities: u64,
    /// 2: a filter.
    pub seccomp_mode: i64,
    /// How /sys/fs/cgroup is mounted.
    pub cgroup: &'static str,
    /// How many times longer things may take than on hardware.
    pub slower: u32,
}

/// `docker run` without any option: Docker's 14 default capabilities (the same set since 1.2), its
/// seccomp filter, a read-only cgroup2 tree. Rootless and with userns-remap too: there the mask
/// counts in the container's own user namespace.
pub(super) const DOCKER_PLAIN: Row = Row {
    name: "Docker, plain",
    mode: Mode::Plain,
    capabilities: 0xa804_25fb,
    seccomp_mode: 2,
    cgroup: "ro",
    slower: 1,
};

/// The same privileges, but for the cgroup tree; see [`UNLOCK`].
pub(super) const DOCKER_WRITABLE: Row =
    Row { name: "Docker, writable cgroup", mode: Mode::Writable, cgroup: "rw", ..DOCKER_PLAIN };

/// `podman run --systemd=false`: podman's 11 default capabilities (since 4.0; Docker's without
/// `AUDIT_WRITE`, `MKNOD` and `NET_RAW`), and else as plain as Docker's.
pub(super) const PODMAN_PLAIN: Row =
    Row { name: "podman, --systemd=false", capabilities: 0x8004_05fb, ..DOCKER_PLAIN };

/// `podman run` without any option: podman sees that systemd is to run, mounts a tmpfs on /run and
/// /tmp, and gives it its part of the cgroup tree to write.
pub(super) const PODMAN_PREPARED: Row =
    Row { name: "podman", mode: Mode::Writable, cgroup: "rw", ..PODMAN_PLAIN };

/// Every row there is, for what names them.
pub const ROWS: [Row; 4] = [DOCKER_PLAIN, DOCKER_WRITABLE, PODMAN_PLAIN, PODMAN_PREPARED];

/// Makes the container's own part of the cgroup tree writable, gives the capability back that this
/// took, and becomes systemd. So the only thing systemd has more than in the plain container is the
/// writable tree; nothing of the host's tree is mounted, and Docker 20.10 can do it too. What the
/// engine refuses ends it with [`NOT_UNLOCKED`].
const UNLOCK: &str = "mount -o remount,rw,bind /sys/fs/cgroup || exit 113; \
    exec setpriv --bounding-set=-sys_admin /sbin/init";

/// The state of a container whose cgroup tree could not be made writable.
pub const NOT_UNLOCKED: &str = "exited 113";

impl Row {
    /// The row of a plain container on this engine; `None` where none has been established.
    pub fn plain(facts: &Facts) -> Option<Row> {
        let row = match facts.kind {
            Kind::Docker => DOCKER_PLAIN,
            Kind::Podman => PODMAN_PLAIN,
        };
        let row = Row { slower: facts.slower(), ..row };
        (facts.cgroup_version == 2).then_some(row)
    }

    /// The row of a container with a writable cgroup tree, or why this engine has none.
    pub fn writable(facts: &Facts) -> Result<Row, String> {
        if facts.kind == Kind::Podman && !facts.rootless {
            return Ok(Row { slower: facts.slower(), ..PODMAN_PREPARED });
        }
        let shifted = if facts.rootless {
            "runs without root"
        } else if facts.userns_remap {
            "maps root to another user"
        } else {
            return Ok(Row { slower: facts.slower(), ..DOCKER_WRITABLE });
        };
        Err(format!("the engine {shifted}, so nothing in a container may make its tree writable"))
    }

    /// How a container of this row is started.
    pub fn start(&self, image: &str, facts: &Facts) -> Start {
        match self.mode {
            Mode::Plain => Start::plain(image),
            Mode::Writable => writable(image, facts),
        }
    }
}

/// A container with a writable cgroup tree, and a plain one's privileges otherwise.
pub fn writable(image: &str, facts: &Facts) -> Start {
    if facts.kind == Kind::Podman {
        return Start::plain(image).prepared();
    }
    let mut start = Start::plain(image).options(&["--cap-add=SYS_ADMIN"]);
    // These would refuse the remount whatever the capability.
    for (module, option) in [
        ("name=apparmor", "--security-opt=apparmor=unconfined"),
        ("name=selinux", "--security-opt=label=disable"),
    ] {
        if facts.security.iter().any(|s| s.starts_with(module)) {
            start = start.options(&[option]);
        }
    }
    start.command(&["sh", "-c", UNLOCK])
}

/// What one run's judges compare with.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    pub row: Row,
    pub version: SystemdVersion,
}

impl Expect {
    /// Whether a time that was seen keeps a promise of `promised` milliseconds, which is made for
    /// hardware.
    pub fn in_time(&self, ms: Option<i64>, promised: i64) -> bool {
        ms.is_some_and(|ms| ms < promised * i64::from(self.row.slower))
    }
}
