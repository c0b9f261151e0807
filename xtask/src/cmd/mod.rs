// SPDX-License-Identifier: MIT
//! One file per command. A command joins stages and reports; it holds no logic of its own.

mod ablate;
mod backports_found;
pub mod bench;
mod bench_backports;
mod bench_boot;
mod bench_git;
mod bench_rebase;
pub mod bisect;
mod bisect_boot;
pub mod build_image;
pub mod bump_nixpkgs;
pub mod ci_matrix;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod explain;
mod explain_words;
pub mod man;
pub mod new_release;
pub mod nix_status;
mod prepare;
pub mod range_diff;
pub mod rebase_patches;
mod rebase_recall;
mod rebase_select;
pub mod rebase_series;
mod rebase_sites;
mod rebase_text;
mod rebase_why;
pub mod report;
pub mod resolve;
pub mod run;
pub mod sources;
pub mod status;
mod status_known;
pub mod test;
pub mod test_containers;
pub mod test_image;
mod test_nixos;
mod test_plan;
pub mod test_systemd;
pub mod test_vm;

use anyhow::Result;

use crate::fault::{Fault, Status};
use crate::flags::{Command, Flags, Global};
use crate::ui::Ui;
use crate::workspace::{Cache, Checkout};

/// What a command gets to work with.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    pub ui: &'a Ui,
    pub checkout: Checkout,
    pub cache: Cache,
    pub global: &'a Global,
}

/// Runs the command that the flags name.
pub fn dispatch(flags: &Flags, ui: &Ui) -> Result<Status> {
    if let Some(instead) = flags.command.instead_of_a_document().filter(|_| flags.global.json) {
        let fault = Fault::new(format!("{instead}, and has no document for --json"));
        return Err(fault.hint("leave out --json").into());
    }
    let context = Context {
        ui,
        checkout: Checkout::find()?,
        cache: Cache::locate(flags.global.cache_dir.as_deref())?,
        global: &flags.global,
    };
    match &flags.command {
        Command::Bench(args) => bench::run(&context, args),
        Command::Bisect(args) => bisect::run(&context, args),
        Command::CiMatrix(args) => ci_matrix::run(&context, args),
        Command::Completions(args) => completions::run(&context, args),
        Command::Man(args) => man::run(&context, args),
        Command::Demo(args) => demo::run(&context, args),
        Command::Doctor(args) => doctor::run(&context, args),
        Command::BumpNixpkgs(args) => bump_nixpkgs::run(&context, args),
        Command::NixStatus(args) => nix_status::run(&context, args),
        Command::Test(args) => test::run(&context, args),
        Command::RangeDiff(args) => range_diff::run(&context, args),
        Command::RebasePatches(args) => rebase_patches::run(&context, args),
        Command::RebaseSeries(args) => rebase_series::run(&context, args),
        Command::Report(args) => report::run(&context, args),
        Command::Resolve(args) => resolve::run(&context, args),
        Command::Explain(args) => explain::run(&context, args),
        Command::Run(args) => run::run(&context, args),
        Command::NewRelease(args) => new_release::run(&context, args),
        Command::Status(args) => status::run(&context, args),
        Command::Sources(args) => sources::run(&context, args),
        Command::TestContainers(args) => test_containers::run(&context, args),
        Command::TestImage(args) => test_image::run(&context, args),
        Command::BuildImage(args) => build_image::run(&context, args),
        Command::TestVm(args) => test_vm::run(&context, args),
        Command::TestSystemd(args) => test_systemd::run(&context, args),
    }
}
