// SPDX-License-Identifier: MIT
//! Records of runs, counted and shown.

pub mod carried;
pub mod page;
pub mod recording;
pub mod tally;
