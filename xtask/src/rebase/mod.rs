// SPDX-License-Identifier: MIT
//! The rebase stage: what becomes of each patch on each version, in memory.
//!
//! Trees are read from a git repository by path; nothing is checked out and no whole tree is
//! merged. A patch counts as applied only if two independent methods agree, and if each change is
//! in the C function that its author put it in. See [`Outcome`] for the answers.

mod apply;
mod attempt;
mod blocks;
mod carry;
mod content;
mod cover;
mod engine;
mod merge;
mod outcome;
mod patched;
mod settle;
mod tree;
mod verify;

pub use content::Content;
pub use engine::{Engine, Solved, SolvedFile, Target, VersionRun};
pub use outcome::{Cell, Collision, FileReport, HunkReport, Outcome};
pub use patched::patched_tree;
pub use settle::{Settled, settle};
pub use tree::State;
pub use verify::verify;
