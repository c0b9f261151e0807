// SPDX-License-Identifier: MIT
//! `cargo xtask bench`

use anyhow::Result;

use super::{Context, bench_backports, bench_boot, bench_rebase};
use crate::fault::Status;

/// Measure, against other tools on the same input
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench boot --load
  cargo xtask bench rebase --systemd-git ~/src/systemd
  cargo xtask bench backports --repo ~/src/systemd-stable --branch v257-stable")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Boot(bench_boot::Args),
    Backports(bench_backports::Args),
    Rebase(bench_rebase::Args),
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    match &args.what {
        What::Boot(args) => bench_boot::run(context, args),
        What::Backports(args) => bench_backports::run(context, args),
        What::Rebase(args) => bench_rebase::run(context, args),
    }
}
