// SPDX-License-Identifier: MIT
//! `cargo xtask man`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::Context;
use crate::atomic::ChangeSet;
use crate::fault::Status;
use crate::flags::Flags;

/// Write a man page for each command
///
/// Prints their names. They say what --help says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask man --dir ~/.local/share/man/man1 && man cargo-xtask-status
  cargo xtask man --dir pages")]
pub struct Args {
    /// The folder to write them to
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let mut command = Flags::command();
    command.build();
    let mut pages = ChangeSet::default();
    add(&mut pages, &command, "cargo-xtask", &args.dir)?;
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot create {}", args.dir.display()))?;
    let written = pages.apply()?;
    let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    context.ui.note(&format!("{} pages written", names.len()));
    if context.global.json {
        context.ui.json(&serde_json::json!({ "schema": 1, "pages": names }))?;
    } else {
        context.ui.result(&names.join("\n"));
    }
    Ok(Status::Yes)
}

fn add(pages: &mut ChangeSet, command: &clap::Command, name: &str, dir: &Path) -> Result<()> {
    for inner in command.get_subcommands().filter(|c| c.get_name() != "help") {
        add(pages, inner, &format!("{name}-{}", inner.get_name()), dir)?;
    }
    let mut text = Vec::new();
    // What `man` and `apropos` know it by; "cargo xtask" with its space stays in the synopsis.
    let page =
        Man::new(command.clone().display_name(name)).title(name).source(env!("CARGO_PKG_VERSION"));
    page.render(&mut text)?;
    pages.put(dir.join(format!("{name}.1")), text);
    Ok(())
}
