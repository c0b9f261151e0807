// SPDX-License-Identifier: MIT
//! From recipes to installed systemds.

use std::path::{Path, PathBuf};

use anyhow::Result;
use git2::Repository;

use super::super::Context;
use super::{Recipe, carry, pair, targets, versions};
use crate::arch::Arch;
use crate::build;
use crate::exec;
use crate::image::Identity;
use crate::sources::{Sources, write_tree};

/// An installed systemd, ready to become a layer of an image.
#[derive(Debug, Clone)]
pub struct Installed {
    pub identity: Identity,
    pub tree: PathBuf,
}

/// What of each version a run will boot.
#[derive(Debug, Clone, Copy)]
pub struct Flavours {
    pub stock: bool,
    pub patched: bool,
}

/// Builds what a run of these versions will boot, so that asking for it later costs nothing. Versions
/// that the series does not fit are left to that run, which reports them.
pub fn build(
    context: &Context<'_>,
    words: &[String],
    flavours: Flavours,
    arch: Option<Arch>,
) -> Result<()> {
    let sources = super::sources(context)?;
    let versions = versions(&sources, words)?;
    let (series, runs) = carry(context, &sources, &targets(&sources, &versions)?)?;
    for run in &runs {
        let pair = pair(&sources, &series, run)?;
        let stock = Some(&pair.stock).filter(|_| flavours.stock);
        let patched = pair.patched.as_ref().filter(|_| flavours.patched);
        for recipe in stock.into_iter().chain(patched) {
            install_for(context, &sources, recipe, arch)?;
        }
    }
    Ok(())
}

/// Builds and installs a systemd for this machine, or finds it built.
pub fn install(context: &Context<'_>, sources: &Sources<'_>, recipe: &Recipe) -> Result<Installed> {
    install_for(context, sources, recipe, None)
}

/// Builds and installs a systemd for an architecture (`None`: this machine's), or finds it built.
pub fn install_for(
    context: &Context<'_>,
    sources: &Sources<'_>,
    recipe: &Recipe,
    arch: Option<Arch>,
) -> Result<Installed> {
    install_from(context, sources.git(), recipe, arch)
}

fn install_from(
    context: &Context<'_>,
    git: &Repository,
    recipe: &Recipe,
    arch: Option<Arch>,
) -> Result<Installed> {
    let write = |dir: &Path| write_sources(context, git, recipe, dir);
    let foreign = arch.filter(|arch| !arch.is_native());
    let built = build::build(&context.cache, context.ui, &recipe.request(foreign), write)?;
    Ok(Installed { identity: recipe.identity.clone(), tree: built.install })
}

/// Installs these for this machine, each while `work` is busy with the one before it; the compilers take
/// only processors that `work` does not want. It gets them in order, and what cannot be had or built as
/// its error; when it fails, nothing more is built.
///
/// # Errors
/// Those of `work`; the repository cannot be opened.
pub fn install_ahead(
    context: &Context<'_>,
    sources: &Sources<'_>,
    recipes: Vec<Result<Recipe>>,
    mut work: impl FnMut(Result<Installed>) -> Result<()>,
) -> Result<()> {
    // Handles of git2 cannot be shared by threads.
    let git = Repository::open(sources.git().path())?;
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::sync_channel(0);
        scope.spawn(move || {
            exec::yield_processors();
            for recipe in recipes {
                let made = recipe.and_then(|r| install_from(context, &git, &r, None));
                if send.send(made).is_err() {
                    break;
                }
            }
        });
        receive.into_iter().try_for_each(&mut work)
    })
}

/// Builds and runs systemd's own unit tests.
pub fn unit_tests(
    context: &Context<'_>,
    sources: &Sources<'_>,
    recipe: &Recipe,
) -> Result<build::Endings> {
    let write = |dir: &Path| write_sources(context, sources.git(), recipe, dir);
    build::unit_tests(&context.cache, context.ui, &recipe.request(None), write)
}

fn write_sources(
    context: &Context<'_>,
    git: &Repository,
    recipe: &Recipe,
    dir: &Path,
) -> Result<()> {
    let report = write_tree(git, &recipe.tree, dir)?;
    if let Some(first) = report.missing.first() {
        let more = report.missing.len();
        let text = "files that the build does not read are empty, since the clone lacks them";
        context.ui.note(&format!("{more} {text}: {}, …", first.path));
    }
    Ok(())
}
