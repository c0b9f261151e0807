// SPDX-License-Identifier: MIT
//! How a Debian guest runs its engine.

/// One way to run it; the guest's units do what `plainboot.engine=NAME` on the kernel's
/// command line says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Docker as Debian starts it
    #[default]
    Docker,
    /// Docker with --userns-remap: root in a container is another user outside
    DockerUserns,
}

impl Mode {
    /// As on both command lines.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Docker => "docker",
            Mode::DockerUserns => "docker-userns",
        }
    }

    /// Words for the guest's kernel.
    pub fn kernel(self) -> Vec<String> {
        let engine = format!("plainboot.engine={}", self.name());
        match self {
            Mode::Docker => Vec::new(),
            Mode::DockerUserns => vec![engine],
        }
    }

    /// The check that has this mode for its subject. The other checks expect a tree that is read-only,
    /// as Docker of root gives it.
    pub fn check(self) -> Option<&'static str> {
        match self {
            Mode::Docker => None,
            Mode::DockerUserns => Some("row.userns-remap"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::ValueEnum as _;

    use super::*;

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
            assert_eq!(all.contains(&condition), *mode != Mode::Docker, "{condition}");
        }
    }
}
