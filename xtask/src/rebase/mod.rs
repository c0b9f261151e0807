// SPDX-License-Identifier: MIT
//! The rebase stage: what becomes of each patch on each version, in memory.
//!
//! Trees are read from a git repository by path; nothing is checked out and no whole tree is
//! merged. A patch counts as applied only if two independent methods agree, and if each change is
//! in the C function that its author put it in. See [`Outcome`] for the answers.

mod align;
mod apply;
mod attempt;
mod backports;
mod bisect;
mod blocks;
mod carry;
mod choose;
mod clash;
mod code;
mod content;
mod cover;
mod culprits;
mod declared;
mod deeper;
mod engine;
mod explain;
mod facts;
#[cfg(test)]
mod fuzz;
mod history;
mod home;
mod lines;
mod merge;
mod names;
mod neighbours;
mod objects;
mod outcome;
mod parallel;
mod patched;
mod recall;
mod record;
mod renamed;
mod resolution;
mod script;
mod settle;
mod solved;
mod sorted;
mod tokens;
mod tree;
mod verify;

pub use backports::{
    Backport, Changes, Replayed, Spent, changes as tree_changes, replay as replay_backports,
};
pub use bisect::{Start, Way, bisect};
pub use choose::distance;
pub use code::of_stage;
pub use content::Content;
pub use culprits::{Asked, culprits};
pub use deeper::{Method, Resolved};
pub use engine::Engine;
pub use explain::{Broken, Cause, Went, named};
pub use facts::Facts;
pub use history::{History, side as pull_request, ways as first_parents};
pub use outcome::{Cell, Collision, FileReport, HunkReport, Outcome};
pub use patched::patched_tree;
pub use recall::{Question, Recalled, recall, remember};
pub use resolution::{Memory, Piece, Resolution, pieces, solved};
pub use settle::{Settled, settle};
pub use solved::{Diffs, Solved, SolvedFile, Target, VersionRun};
pub use tree::State;
pub use verify::verify;
