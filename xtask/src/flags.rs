// SPDX-License-Identifier: MIT
//! The command line. The doc comments are the help text.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cmd;

/// systemd as PID 1 in a plain `docker run IMAGE`: the patches, the overlay, and the proof.
///
/// Exit codes: 0 yes; 1 the answer is no; 2 wrong usage or a fault of the tool or the machine;
/// 77 it could not be tried here.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
pub struct Flags {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Folder for sources, builds and images (default: $XDG_CACHE_HOME/plainboot)
    #[arg(long, global = true, value_name = "DIR", env = "PLAINBOOT_CACHE")]
    pub cache_dir: Option<PathBuf>,

    /// Also take systemd versions from this git clone (path, also a damaged or partial one) or URL
    #[arg(long, global = true, value_name = "PATH-OR-URL", env = "PLAINBOOT_SYSTEMD_GIT")]
    pub systemd_git: Option<String>,

    /// Ask no network: use what the cache and --systemd-git hold
    #[arg(long, global = true, env = "PLAINBOOT_OFFLINE")]
    pub offline: bool,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// Show results and errors, no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Show what is done (-v) and every child process (-vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Status(cmd::status::Args),
    Explain(cmd::explain::Args),
    Run(cmd::run::Args),
    Doctor(cmd::doctor::Args),
    Test(cmd::test::Args),
    Sources(cmd::sources::Args),
    TestImage(cmd::test_image::Args),
    TestContainers(cmd::test_containers::Args),
    TestVm(cmd::test_vm::Args),
    CiMatrix(cmd::ci_matrix::Args),
    TestSystemd(cmd::test_systemd::Args),
    BuildImage(cmd::build_image::Args),
    RebasePatches(cmd::rebase_patches::Args),
    RebaseSeries(cmd::rebase_series::Args),
    Resolve(cmd::resolve::Args),
    RangeDiff(cmd::range_diff::Args),
    Bisect(cmd::bisect::Args),
    NewRelease(cmd::new_release::Args),
    Report(cmd::report::Args),
    BumpNixpkgs(cmd::bump_nixpkgs::Args),
    NixStatus(cmd::nix_status::Args),
    Bench(cmd::bench::Args),
    Demo(cmd::demo::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
}

impl Command {
    /// What it gives instead of a document, if it has none for `--json`.
    pub fn instead_of_a_document(&self) -> Option<&'static str> {
        match self {
            Command::Run(_) => Some("`run` gives a shell"),
            Command::Completions(_) => Some("`completions` prints a script"),
            Command::Resolve(_) => Some("`resolve` writes files for an editor"),
            _ => None,
        }
    }

    /// Its time is the user's, who works in a shell or looks at containers: it says nothing of the next
    /// one.
    pub fn waits_for_the_user(&self) -> bool {
        match self {
            Command::Run(_) => true,
            Command::TestImage(args) => args.keep,
            _ => false,
        }
    }
}
