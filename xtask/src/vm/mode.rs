// SPDX-License-Identifier: MIT
//! The engines of a Debian guest, and how each is run in it.

use crate::engine;

/// One engine, and one way to run it; the guest's units do what `plainboot.engine=NAME` on the kernel's
/// command line says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Docker as Debian starts it
    #[default]
    Docker,
    /// Docker with --userns-remap: root in a container is another user outside
    DockerUserns,
    /// Docker of a user without root
    DockerRootless,
    /// Podman of root, through its service
    Podman,
    /// Podman of a user without root, through its service
    PodmanRootless,
}

impl Mode {
    /// As on both command lines.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Docker => "docker",
            Mode::DockerUserns => "docker-userns",
            Mode::DockerRootless => "docker-rootless",
            Mode::Podman => "podman",
            Mode::PodmanRootless => "podman-rootless",
        }
    }

    /// Words for the guest's kernel. `plainboot.other` keeps Docker of root from being started.
    pub fn kernel(self) -> Vec<String> {
        let engine = format!("plainboot.engine={}", self.name());
        match self {
            Mode::Docker => Vec::new(),
            Mode::DockerUserns => vec![engine],
            _ => vec![engine, "plainboot.other".to_owned()],
        }
    }

    /// Where it listens in the guest.
    pub fn socket(self) -> &'static str {
        match self {
            Mode::Docker | Mode::DockerUserns => "/run/docker.sock",
            Mode::DockerRootless => "/run/rootless/docker.sock",
            Mode::Podman => "/run/podman.sock",
            Mode::PodmanRootless => "/run/rootless/podman.sock",
        }
    }

    /// Whose CLI talks to it.
    pub fn kind(self) -> engine::Kind {
        match self {
            Mode::Docker | Mode::DockerUserns | Mode::DockerRootless => engine::Kind::Docker,
            Mode::Podman | Mode::PodmanRootless => engine::Kind::Podman,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::ValueEnum as _;

    use super::*;

    /// The guest has a unit for each but Debian's own, and it opens the socket that is named here.
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
            assert_eq!(all.contains(&condition), *mode != Mode::Docker, "{condition}");
        }
        for mode in [Mode::Podman, Mode::PodmanRootless] {
            assert!(all.contains(&format!("unix://{}", mode.socket())), "{mode:?}");
        }
    }
}
