// SPDX-License-Identifier: MIT
//! `cargo xtask sources`

use anyhow::Result;

use super::Context;
use crate::fault::Status;

/// List the systemd versions that can be had here, and where each comes from
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_context: &Context<'_>, _args: &Args) -> Result<Status> {
    Ok(Status::Yes)
}
