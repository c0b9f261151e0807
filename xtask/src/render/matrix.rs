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
    /// Where the containers run: `private` or a Debian suite's guest.
    pub engine: String,
    /// The words after `cargo xtask`.
    pub command: String,
}

/// The cells for these releases: each on a private engine of each architecture, and on the engine of
/// each guest, where the newest alone meets the older and the newer Docker.
pub fn matrix(verified: &[SystemdVersion], majors: &[u32], guests: &[&str], guest: &str) -> Matrix {
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
        for suite in guests.iter().filter(|s| **s == guest || Some(systemd) == last) {
            include.push(Cell {
                id: format!("{systemd}-amd64-{suite}"),
                systemd,
                arch: Arch::Amd64,
                engine: (*suite).to_owned(),
                command: format!("test-vm --guest {suite} --systemd {systemd}"),
            });
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
        matrix(&verified, &[257, 262], &["bookworm", "trixie"], "trixie")
    }

    #[test]
    fn the_newest_of_each_major_meets_each_engine() {
        let ids: Vec<String> = all().include.into_iter().map(|c| c.id).collect();
        assert_eq!(
            ids,
            [
                "257.13-amd64-private",
                "257.13-arm64-private",
                "257.13-amd64-trixie",
                "262-amd64-private",
                "262-arm64-private",
                "262-amd64-bookworm",
                "262-amd64-trixie",
            ]
        );
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
