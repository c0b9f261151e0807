// SPDX-License-Identifier: MIT
//! How a Debian guest runs its engine.

use std::path::Path;

use super::link::Link;
use crate::engine::Cli;

/// One way to run it; the guest's units do what `plainboot.engine=NAME` on the kernel's
/// command line says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Docker as Debian starts it
    #[default]
    Docker,
    /// Docker with --userns-remap: root in a container is another user outside
    DockerUserns,
    /// Docker that a user without rights has started
    DockerRootless,
    /// podman of root
    Podman,
    /// podman of a user without rights
    PodmanRootless,
    /// containerd by its own command line, ctr
    Containerd,
}

/// What is tried of podman: that the container is plain, the boot, a service, the log, each way to
/// end it, and that stock systemd is refused.
const PODMAN: [&str; 13] = [
    "boot.pid1",
    "boot.running",
    "boot.no-flags",
    "boot.no-failed-units",
    "boot.no-tty",
    "boot.machine-id",
    "boot.tty",
    "services.simple",
    "exit.sigterm",
    "exit.sigrtmin+3",
    "exit.systemctl",
    "control.refused",
    "control.same-layers",
];

/// Of root's also limits, where podman itself makes the tree writable, and that stock systemd runs there.
const PODMAN_OF_ROOT: [&str; 4] =
    ["limits.memory", "limits.tasks", "limits.joined-root", "control.writable"];

/// What root has, as the user whom Docker maps root to; see `disk`'s script.
const ROOTLESS: [&str; 7] = [
    "runuser",
    "--user=mapped",
    "--",
    "env",
    "--chdir=/",
    "HOME=/srv/engines/mapped",
    "XDG_RUNTIME_DIR=/run/user/1000",
];

impl Mode {
    /// As on both command lines.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Docker => "docker",
            Mode::DockerUserns => "docker-userns",
            Mode::DockerRootless => "docker-rootless",
            Mode::Podman => "podman",
            Mode::PodmanRootless => "podman-rootless",
            Mode::Containerd => "containerd",
        }
    }

    /// Words for the guest's kernel. containerd runs beside Docker.
    pub fn kernel(self) -> Vec<String> {
        match self {
            Mode::Docker | Mode::Containerd => Vec::new(),
            other => vec![format!("plainboot.engine={}", other.name())],
        }
    }

    /// The checks that are tried unless others are named; `None`: all. The other checks expect Docker
    /// of root, with the tree that is read-only there.
    pub fn checks(self) -> Option<Vec<&'static str>> {
        match self {
            Mode::Docker => None,
            Mode::DockerUserns => Some(vec!["row.userns-remap"]),
            Mode::DockerRootless => Some(vec!["row.rootless"]),
            Mode::Podman => Some([&PODMAN[..], &PODMAN_OF_ROOT].concat()),
            Mode::PodmanRootless => Some(PODMAN.to_vec()),
            Mode::Containerd => Some(vec!["row.containerd"]),
        }
    }

    /// Where its engine listens in the guest; podman has no service.
    pub fn socket(self) -> &'static Path {
        Path::new(match self {
            Mode::DockerRootless => "/run/user/1000/docker.sock",
            _ => "/run/docker.sock",
        })
    }

    /// Its command line, run in the guest by root.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Mode::Docker | Mode::DockerUserns | Mode::Containerd => vec!["docker"],
            Mode::DockerRootless => {
                vec!["env", "DOCKER_HOST=unix:///run/user/1000/docker.sock", "docker"]
            }
            Mode::Podman => vec!["podman"],
            // Where there is no session, nobody else makes its control groups.
            Mode::PodmanRootless => {
                ROOTLESS.into_iter().chain(["podman", "--cgroup-manager=cgroupfs"]).collect()
            }
        }
    }

    /// Its command line, run here: Docker's over the socket, podman's own over there.
    pub fn cli(self, link: &Link) -> Cli {
        match self {
            Mode::Podman | Mode::PodmanRootless => Cli::behind(&link.way(), &self.words()),
            _ => Cli::local("docker", Some(format!("unix://{}", link.socket().display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::boot::checks;

    /// The guest has a unit for each but Debian's own.
    #[test]
    fn each_mode_is_one_of_the_guest_s_units() {
        let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-tests/debian/etc/systemd/system");
        let all: String = std::fs::read_dir(units)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "service"))
            .map(|path| std::fs::read_to_string(Path::new(&path)).unwrap())
            .collect();
        for mode in Mode::value_variants() {
            let word = mode.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word, mode.name());
            let condition = format!("ConditionKernelCommandLine=plainboot.engine={word}\n");
            assert_eq!(all.contains(&condition), !mode.kernel().is_empty(), "{condition}");
        }
    }

    #[test]
    fn what_is_tried_by_a_mode_exists() {
        for mode in Mode::value_variants() {
            for check in mode.checks().unwrap_or_default() {
                assert!(checks::find(check).is_some(), "{}: {check}", mode.name());
            }
        }
    }
}
