// SPDX-License-Identifier: MIT
//! `ci/matrix.json`: what CI runs where, as cells of a matrix.
//!
//! Each cell is one command of this tool, on the newest verified release of each major that the tests
//! boot. So the matrix moves with `patches/sources.lock`, and is written with it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::arch::Arch;
use crate::version::SystemdVersion;

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matrix {
    pub schema: u32,
    /// The command that writes it.
    pub generator: &'static str,
    pub include: Vec<Cell>,
}

/// One job of CI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Unique, and fit for a file's name.
    pub id: String,
    pub systemd: SystemdVersion,
    pub arch: Arch,
    /// Where the containers run: `private`, a Debian suite's guest, or a way to run its engine.
    pub engine: String,
    /// The words after `cargo xtask`.
    pub command: String,
}

/// The guests of the cells.
#[derive(Debug, Clone, Copy)]
pub struct Guests<'a> {
    /// The Debian suites, each with a Docker of its own.
    pub suites: &'a [&'a str],
    /// The one that all releases meet.
    pub usual: &'a str,
    /// What the usual guest is also asked for: a name, and the words for it.
    pub more: &'a [(&'a str, &'a str)],
}

/// The cells for these releases: each on a private engine of each architecture, without each patch in
/// turn, and on the engine of the usual guest. The newest alone meets the older and the newer Docker, other engines and faults.
pub fn matrix(verified: &[SystemdVersion], majors: &[u32], guests: &Guests<'_>) -> Matrix {
    let mut newest: BTreeMap<u32, SystemdVersion> = BTreeMap::new();
    for version in verified.iter().filter(|v| !v.is_candidate() && majors.contains(&v.major)) {
        let known = newest.entry(version.major).or_insert(*version);
        *known = (*known).max(*version);
    }
    let last = newest.values().next_back().copied();
    let mut include = Vec::new();
    for &systemd in newest.values() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            include.push(Cell {
                id: format!("{systemd}-{arch}-private"),
                systemd,
                arch,
                engine: "private".to_owned(),
                command: format!("test-image --engine private --systemd {systemd}"),
            });
        }
        include.push(Cell {
            id: format!("{systemd}-amd64-ablation"),
            systemd,
            arch: Arch::Amd64,
            engine: "private".to_owned(),
            command: format!("test-image --engine private --systemd {systemd} --ablate"),
        });
        let mut guest = |engine: String, words: &str| {
            include.push(Cell {
                id: format!("{systemd}-amd64-{engine}"),
                systemd,
                arch: Arch::Amd64,
                engine,
                command: format!("test-vm {words} --systemd {systemd}"),
            });
        };
        let newest = Some(systemd) == last;
        for suite in guests.suites.iter().filter(|s| **s == guests.usual || newest) {
            guest((*suite).to_owned(), &format!("--guest {suite}"));
        }
        for (name, words) in guests.more.iter().filter(|_| newest) {
            let usual = guests.usual;
            guest(format!("{usual}-{name}"), &format!("--guest {usual} {words}"));
        }
    }
    Matrix { schema: 1, generator: "cargo xtask ci-matrix", include }
}

impl Matrix {
    /// The text of the file.
    ///
    /// # Errors
    /// None that is known.
    pub fn render(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Every `of`-th cell, from the `index`-th on (counted from one).
    pub fn shard(mut self, index: usize, of: usize) -> Matrix {
        let mut place = 0;
        self.include.retain(|_| {
            place += 1;
            (place - 1) % of == index - 1
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Matrix {
        let verified = [(257, 12), (257, 13), (262, 0), (255, 3)]
            .map(|(major, point)| SystemdVersion::new(major, point));
        let guests = Guests {
            suites: &["bookworm", "trixie"],
            usual: "trixie",
            more: &[("podman", "--engine podman")],
        };
        matrix(&verified, &[257, 262], &guests)
    }

    #[test]
    fn the_newest_of_each_major_meets_each_engine() {
        let ids: Vec<String> = all().include.into_iter().map(|c| c.id).collect();
        assert_eq!(
            ids,
            [
                "257.13-amd64-private",
                "257.13-arm64-private",
                "257.13-amd64-ablation",
                "257.13-amd64-trixie",
                "262-amd64-private",
                "262-arm64-private",
                "262-amd64-ablation",
                "262-amd64-bookworm",
                "262-amd64-trixie",
                "262-amd64-trixie-podman",
            ]
        );
        let last = all().include.pop().unwrap();
        assert_eq!(last.command, "test-vm --guest trixie --engine podman --systemd 262");
    }

    #[test]
    fn shards_have_every_cell_once() {
        let mut ids: Vec<String> =
            (1..=3).flat_map(|i| all().shard(i, 3).include).map(|c| c.id).collect();
        ids.sort();
        let mut whole: Vec<String> = all().include.into_iter().map(|c| c.id).collect();
        whole.sort();
        assert_eq!(ids, whole);
    }
}
