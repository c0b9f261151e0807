// SPDX-License-Identifier: MIT
//! `cargo xtask ci-matrix`

use std::str::FromStr;

use anyhow::Result;
use clap::ValueEnum as _;

use super::{Context, test_plan};
use crate::atomic::ChangeSet;
use crate::fault::{Fault, Status};
use crate::render::matrix::{self, Guests};
use crate::sources::Lock;
use crate::vm::{Mode, disk};

/// Write ci/matrix.json: what CI runs, on which version, architecture and engine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask ci-matrix
  cargo xtask ci-matrix --shard 2/4")]
pub struct Args {
    /// Write nothing; exit code 1 if the file is not as it would be written
    #[arg(long)]
    check: bool,

    /// Print the I-th of N parts of the matrix instead of writing it
    #[arg(long, value_name = "I/N", conflicts_with = "check")]
    shard: Option<Shard>,
}

/// One of several equal parts.
#[derive(Debug, Clone, Copy)]
struct Shard {
    index: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Shard, String> {
        let parsed =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
            _ => Err("expected I/N with 1 <= I <= N, such as 1/4".to_owned()),
        }
    }
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let lock = Lock::load(&context.checkout.lock())?;
    let whole = of(&lock);
    if whole.include.is_empty() {
        return Err(Fault::new(format!("{} has no release", context.checkout.lock().display()))
            .hint("cargo xtask rebase-patches")
            .into());
    }
    if let Some(Shard { index, of }) = args.shard {
        context.ui.json(&whole.shard(index, of))?;
        return Ok(Status::Yes);
    }
    let path = context.checkout.matrix();
    let mut change = ChangeSet::default();
    change.put(&path, whole.render()?);
    let drift = change.drift();
    if args.check {
        for file in &drift {
            context.ui.result(&format!("not as it would be written: {}", file.display()));
        }
        return Ok(if drift.is_empty() { Status::Yes } else { Status::No });
    }
    change.apply()?;
    if context.global.json {
        context.ui.json(&whole)?;
    } else {
        let cells = whole.include.len();
        context.ui.result(&format!("{}: {cells} cells", path.display()));
    }
    Ok(Status::Yes)
}

/// The matrix for the releases of a lock.
pub fn of(lock: &Lock) -> matrix::Matrix {
    let verified: Vec<_> = lock.iter().map(|entry| entry.version).collect();
    // Docker as it comes is each suite's own cell.
    let modes = Mode::value_variants().iter().filter(|mode| **mode != Mode::default());
    let words = modes.map(|mode| (mode.name(), format!("--engine {}", mode.name())));
    let words: Vec<_> = words.chain([("faults", "--faults".to_owned())]).collect();
    let more: Vec<_> = words.iter().map(|(name, words)| (*name, words.as_str())).collect();
    let guests = Guests { suites: &disk::SUITES, usual: disk::SUITE, more: &more };
    matrix::matrix(&verified, &test_plan::MAJORS, &guests)
}
