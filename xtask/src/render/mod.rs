// SPDX-License-Identifier: MIT
//! What the repository's generated files must contain, as a pure function of the series.
//!
//! Nothing is written here: a renderer returns an [`ChangeSet`](crate::atomic::ChangeSet), which
//! the command applies, or compares with the disk for `--check`. So the writer and the check are
//! one piece of code.

pub mod matrix;
pub mod nix_status;
pub mod overlay;
