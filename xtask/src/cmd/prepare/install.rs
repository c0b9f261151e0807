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

/// Installs these for this machine, each while `work` is busy with the one before it; see [`one_ahead`].
///
/// # Errors
/// Those of `work`; the repository cannot be opened.
pub fn install_ahead(
    context: &Context<'_>,
    sources: &Sources<'_>,
    recipes: Vec<Result<Recipe>>,
    work: impl FnMut(Result<Installed>) -> Result<()>,
) -> Result<()> {
    // Handles of git2 cannot be shared by threads.
    let git = Repository::open(sources.git().path())?;
    let make = move |recipe: Result<Recipe>| install_from(context, &git, &recipe?, None);
    one_ahead(recipes, make, work)
}

/// Makes one thing of each item at the lowest priority, each while `work` is busy with the one before
/// it. `work` gets them in order, and what cannot be made as its error. When it fails no further one is
/// begun; the one under way is still finished.
///
/// # Errors
/// Those of `work`.
fn one_ahead<T: Send, U: Send>(
    items: Vec<T>,
    make: impl Fn(T) -> Result<U> + Send,
    work: impl FnMut(Result<U>) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        // No room: what is made next waits until the one before it was taken.
        let (send, receive) = std::sync::mpsc::sync_channel(0);
        scope.spawn(move || {
            exec::yield_processors();
            // An error is that `work` has ended.
            let _ = items.into_iter().try_for_each(|item| send.send(make(item)));
        });
        receive.into_iter().try_for_each(work)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_is_made_in_order_while_the_one_before_it_is_worked_on() {
        let begun = AtomicUsize::new(0);
        let make = |item: usize| {
            begun.store(item, Ordering::SeqCst);
            anyhow::ensure!(item != 2, "not to be had");
            Ok(item)
        };
        let mut seen = Vec::new();
        one_ahead(vec![1, 2, 3], make, |made| {
            // The next one is begun without being asked for.
            let next = (seen.len() + 2).min(3);
            while begun.load(Ordering::SeqCst) < next {
                std::thread::yield_now();
            }
            seen.push(made.ok());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [Some(1), None, Some(3)]);
    }

    #[test]
    fn after_a_failure_no_further_one_is_begun() {
        let begun = AtomicUsize::new(0);
        let make = |_| Ok(begun.fetch_add(1, Ordering::SeqCst));
        let failed = one_ahead(vec![(); 9], make, |_| anyhow::bail!("no engine"));
        assert_eq!(failed.unwrap_err().to_string(), "no engine");
        assert!(begun.into_inner() <= 2);
    }
}
