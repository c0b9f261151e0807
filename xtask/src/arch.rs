// SPDX-License-Identifier: MIT
//! The processor architectures that images and guests are made for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Named as Docker and Debian name them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    /// That of this machine; `None` where nothing of it is known here.
    pub fn host() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Arch::Amd64),
            "aarch64" => Some(Arch::Arm64),
            _ => None,
        }
    }

    /// The architecture of that name, where something of it is known here.
    pub fn named(name: &str) -> Option<Arch> {
        [Arch::Amd64, Arch::Arm64].into_iter().find(|arch| arch.name() == name)
    }

    /// The one that is not this.
    pub fn other(self) -> Arch {
        match self {
            Arch::Amd64 => Arch::Arm64,
            Arch::Arm64 => Arch::Amd64,
        }
    }

    /// Whether programs for it run on this machine's processor.
    pub fn is_native(self) -> bool {
        Arch::host() == Some(self)
    }

    /// As GNU's tools and Debian's library folders name it.
    pub fn triplet(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64-linux-gnu",
            Arch::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// As the kernel, meson and QEMU name its processors.
    pub fn machine(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64",
            Arch::Arm64 => "aarch64",
        }
    }

    /// The dynamic loader, relative to a root.
    pub fn loader(self) -> &'static str {
        match self {
            Arch::Amd64 => "lib64/ld-linux-x86-64.so.2",
            Arch::Arm64 => "lib/ld-linux-aarch64.so.1",
        }
    }

    /// As images and packages are labelled.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
