// SPDX-License-Identifier: MIT
//! plainboot's library: the stages, and the commands that join them.
//!
//! Data flows one way:
//!
//! ```text
//! sources -> series -> rebase -> render -> build -> image -> boot -> report
//! ```
//!
//! | stage | modules |
//! |---|---|
//! | sources | [`sources`]: providers, the cache repository, the lock; [`nixpkgs`]: its systemd |
//! | series | [`patch`]: git-format patches; [`series`]: `patches/series.toml`; [`foreign`]: series of others |
//! | rebase | [`rebase`]: two methods, landing sites, the fewest variants; [`sites`]: what a refusal reaches |
//! | render | [`render`]: the Nix overlay |
//! | build | [`build`]: meson, ninja, installed trees |
//! | image | [`profile`]: what makes a container image; `bootstrap`: mmdebstrap; [`image`]: layers, archive |
//! | boot | [`vm`]: a guest with an engine; [`engine`]: Docker, the user's, a private or a guest's one; [`boot`]: checks, verdict, record; [`trial`]: programs that use an engine, tried on a real one |
//! | report | [`report`]: counts; what the patches became, kept; the HTML page; a recorded session |
//!
//! Around them: [`cmd`] and [`flags`] (the commands), [`ui`], [`exec`], [`atomic`], [`fault`],
//! [`workspace`] (where things are), [`host`] and [`requirements`] (what the machine has), [`skip`]
//! (tests that could not be tried), [`version`], [`arch`].
//!
//! # Invariants
//! - A stage knows only the types of the stages before it; only [`cmd`] joins stages.
//! - `Err` means *we* broke. A conflict, an upstreamed patch and a failed boot are values.
//! - Only [`ui`] prints; only [`exec`] starts processes. stdout carries a command's result alone.
//! - Files that others read are written through [`atomic`], after the whole step succeeded.
//! - Whatever is started (process, container, mount) belongs to a guard that ends it.

pub mod arch;
pub mod atomic;
pub mod boot;
mod bootstrap;
pub mod build;
pub mod cmd;
pub mod engine;
pub mod exec;
pub mod fault;
pub mod flags;
pub mod foreign;
pub mod host;
pub mod image;
mod names;
pub mod nixpkgs;
pub mod patch;
pub mod profile;
pub mod rebase;
pub mod render;
pub mod report;
pub mod requirements;
pub mod series;
pub mod sites;
pub mod skip;
pub mod sources;
pub mod trial;
pub mod ui;
pub mod version;
pub mod vm;
pub mod workspace;

use fault::Status;

/// Runs one command to its status; prints the error, if there is one.
pub fn run(flags: &flags::Flags) -> Status {
    start_tracing(flags.global.verbose);
    let global = &flags.global;
    let cache = workspace::Cache::locate(global.cache_dir.as_deref()).ok();
    let times = cache.map(|cache| cache.root().join("times.json"));
    let ui = ui::Ui::with(global.quiet, global.verbose > 0, times);
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let whole = (!flags.command.waits_for_the_user()).then(|| ui.whole(&typed.join(" ")));
    let outcome = exec::install_signal_handler().and_then(|()| cmd::dispatch(flags, &ui));
    if let (Some(whole), Ok(_)) = (whole, &outcome) {
        whole.done();
    }
    outcome.unwrap_or_else(|error| {
        ui.error(&error);
        fault::kind_of(&error).into()
    })
}

fn start_tracing(verbosity: u8) {
    let level =
        ["xtask=warn", "xtask=info", "xtask=debug", "xtask=trace"][usize::from(verbosity.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLAINBOOT_LOG")
        .unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}
