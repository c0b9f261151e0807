// SPDX-License-Identifier: MIT
//! The answer of the last run, for a run that asks the same.
//!
//! The question is a hash over everything that decides: the code of this stage with the versions of
//! all libraries, every byte of the series, the tree of every version. Only an answer that leaves
//! nothing to do is kept: all patches settled, every variant as it is on disk and read back. A file
//! that was cut or changed holds no answer.

use git2::Oid;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::code;
use super::engine::Engine;
use super::outcome::{Cell, Outcome};
use super::settle::Settled;
use super::solved::{Target, VersionRun};
use super::tree::State;
use crate::series::Series;
use crate::version::SystemdVersion;

/// What is asked, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question([u8; 32]);

/// An answer from before.
#[derive(Debug)]
pub struct Recalled {
    /// Without the contents of files: see [`VersionRun::patched`].
    pub runs: Vec<VersionRun>,
    /// The variants, all as they are on disk.
    pub settled: Vec<Settled>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    versions: Vec<Version>,
    /// By patch: no smaller set of variants covers the versions.
    minimal: Vec<bool>,
}

#[derive(Serialize, Deserialize)]
struct Version {
    version: SystemdVersion,
    tree: String,
    patched: String,
    cells: Vec<Cell>,
}

/// Before the question and the hash of the answer.
const MAGIC: &[u8] = b"plainboot answer 1\n";

impl Question {
    /// `series` is a hash of all files that the series was read from; the others are as
    /// [`Engine::run`] and [`settle`](super::settle) take them.
    pub fn new(
        series: &[u8; 32],
        targets: &[Target],
        wanted: &[SystemdVersion],
        kept: &[SystemdVersion],
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(code::of_stage());
        hash.update(series);
        for target in targets {
            hash.update(format!("target {} {}\n", target.version, target.tree));
        }
        for (what, versions) in [("wanted", wanted), ("kept", kept)] {
            for version in versions {
                hash.update(format!("{what} {version}\n"));
            }
        }
        Question(hash.finalize().into())
    }
}

/// The answer in `file`, if it is the one to this question.
pub fn recall(file: &[u8], question: Question, series: &Series) -> Option<Recalled> {
    let rest = file.strip_prefix(MAGIC)?.strip_prefix(&question.0)?;
    let (hash, body) = rest.split_at_checked(32)?;
    if Sha256::digest(body).as_slice() != hash {
        return None;
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let runs = answer.versions.into_iter().map(|v| {
        Some(VersionRun {
            version: v.version,
            state: State::new(v.version, Oid::from_str(&v.tree).ok()?),
            cells: v.cells,
            solved: Vec::new(),
            patched: Some(Oid::from_str(&v.patched).ok()?),
        })
    });
    let settled = series.patches.iter().zip(answer.minimal).map(|(patch, minimal)| Settled {
        id: patch.id.clone(),
        variants: patch.variants.clone(),
        added: Vec::new(),
        removed: Vec::new(),
        minimal,
    });
    Some(Recalled { runs: runs.collect::<Option<_>>()?, settled: settled.collect() })
}

/// What to keep for [`recall`]; `None` if the answer leaves something to do, or rests on what the
/// question does not name.
///
/// # Errors
/// A folder of a version cannot be read.
pub fn remember(
    question: Question,
    engine: &Engine,
    series: &Series,
    runs: &[VersionRun],
    settled: &[Settled],
) -> anyhow::Result<Option<Vec<u8>>> {
    let on_disk = series.patches.iter().zip(settled).all(|(patch, set)| {
        let same = |(a, b): (&crate::series::Variant, &crate::series::Variant)| {
            a.base == b.base && a.ranges == b.ranges
        };
        set.added.is_empty()
            && set.variants.len() == patch.variants.len()
            && set.variants.iter().zip(&patch.variants).all(same)
    });
    let whole = |cell: &Cell| {
        let told = |f: &super::FileReport| f.method.is_none() && f.collisions.is_empty();
        cell.outcome.is_settled()
            && cell.outcome != Outcome::Accepted
            && cell.broken.is_empty()
            && cell.files.iter().all(told)
    };
    if !on_disk || !runs.iter().flat_map(|r| &r.cells).all(whole) {
        return Ok(None);
    }
    let mut versions = Vec::with_capacity(runs.len());
    for run in runs {
        versions.push(Version {
            version: run.version,
            tree: run.state.tree.to_string(),
            patched: engine.patched_tree(run)?.to_string(),
            cells: run.cells.clone(),
        });
    }
    let minimal = settled.iter().map(|s| s.minimal).collect();
    let body = serde_json::to_vec(&Answer { versions, minimal })?;
    let hash = Sha256::digest(&body);
    Ok(Some([MAGIC, &question.0, hash.as_slice(), &body].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(version: SystemdVersion) -> Target {
        Target { version, tree: Oid::from_str(&"12".repeat(20)).unwrap() }
    }

    #[test]
    fn only_the_same_question_and_an_untouched_file_have_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(dir.path()).unwrap();
        let engine = Engine::open(dir.path()).unwrap();
        let version = SystemdVersion::new(257, 3);
        let patched = Oid::from_str(&"34".repeat(20)).unwrap();
        let cell = |outcome| Cell {
            patch: "0001-a".into(),
            outcome,
            from: Some(version),
            cross_checked: true,
            reason: Some("b".into()),
            files: Vec::new(),
            broken: Vec::new(),
            without: Vec::new(),
            rivals: vec![version],
        };
        let mut runs = vec![VersionRun {
            version,
            state: State::new(version, target(version).tree),
            cells: vec![cell(Outcome::Moved)],
            solved: Vec::new(),
            patched: Some(patched),
        }];
        let series = Series { patches: Vec::new() };
        let ask = |hash: u8, kept: &[SystemdVersion]| {
            Question::new(&[hash; 32], &[target(version)], &[version], kept)
        };
        let question = ask(1, &[]);
        let keep = |runs: &[VersionRun]| remember(question, &engine, &series, runs, &[]).unwrap();
        let file = keep(&runs).unwrap();
        let found = recall(&file, question, &series).unwrap();
        assert_eq!(found.runs[0].patched, Some(patched));
        assert_eq!(format!("{:?}", found.runs[0].cells), format!("{:?}", runs[0].cells));

        for other in [ask(2, &[]), ask(1, &[version])] {
            assert!(recall(&file, other, &series).is_none());
        }
        assert!(recall(&file[..file.len() - 1], question, &series).is_none());
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(recall(&changed, question, &series).is_none(), "byte {at}");
        }
        for outcome in [Outcome::Conflict, Outcome::Accepted, Outcome::NeedsReview] {
            runs[0].cells = vec![cell(outcome)];
            assert!(keep(&runs).is_none());
        }
    }
}
