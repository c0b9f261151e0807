// SPDX-License-Identifier: MIT
//! What the checks expect: it depends on the engine and on how the container is run.

use crate::engine::{Facts, Kind};
use crate::version::SystemdVersion;

/// One row of the table: an engine, and a way to run a container on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub name: &'static str,
    /// The effective capabilities of PID 1, as a mask.
    pub capabilities: u64,
    /// 2: a filter.
    pub seccomp_mode: i64,
    /// How /sys/fs/cgroup is mounted.
    pub cgroup: &'static str,
}

/// `docker run` without any option: Docker's 14 default capabilities (the same set since 1.2), its
/// seccomp filter, a read-only cgroup2 tree. Rootless and with userns-remap too: there the mask
/// counts in the container's own user namespace.
pub(super) const DOCKER_PLAIN: Row =
    Row { name: "Docker, plain", capabilities: 0xa804_25fb, seccomp_mode: 2, cgroup: "ro" };

impl Row {
    /// The row of a plain container on this engine; `None` where none has been established.
    pub fn plain(facts: &Facts) -> Option<Row> {
        (facts.kind == Kind::Docker && facts.cgroup_version == 2).then_some(DOCKER_PLAIN)
    }
}

/// What one run's judges compare with.
#[derive(Debug, Clone, Copy)]
pub struct Expect {
    pub row: Row,
    pub version: SystemdVersion,
}
