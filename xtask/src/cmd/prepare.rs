// SPDX-License-Identifier: MIT
//! What commands that boot something share: from the names of versions to installed systemds.

mod install;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use git2::{Oid, Repository};

pub use self::install::{
    Flavours, Installed, build, install, install_ahead, install_for, unit_tests,
};
use super::{Context, bisect, rebase_select, rebase_text};
use crate::arch::Arch;
use crate::build::Request;
use crate::fault::{Fault, Status};
use crate::image::Identity;
use crate::rebase::{self, Cell, Engine, Target, VersionRun};
use crate::series::{self, Series};
use crate::sources::{self, Lock, Sources, TreeId};
use crate::version::SystemdVersion;

/// A systemd to be built: a version, and what is applied to it.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub identity: Identity,
    tree: TreeId,
}

impl Recipe {
    fn request(&self, foreign: Option<Arch>) -> Request<'_> {
        let Identity { version, flavour, .. } = &self.identity;
        Request { version: *version, tree: &self.tree.0, flavour, foreign }
    }
}

/// The two systemds of one version.
#[derive(Debug)]
pub struct Pair {
    pub stock: Recipe,
    /// `None` if the series does not fit the version.
    pub patched: Option<Recipe>,
}

impl Pair {
    /// The same under another version: what is built for it, and what is expected of it.
    fn called(mut self, version: SystemdVersion) -> Pair {
        self.stock.identity.version = version;
        self.patched.iter_mut().for_each(|p| p.identity.version = version);
        self
    }
}

/// The sources that commands work on.
pub fn sources<'a>(context: &Context<'a>) -> Result<Sources<'a>> {
    let lock = Lock::load(&context.checkout.lock())?;
    Sources::open(&context.cache, lock, &context.global.into(), context.ui)
}

/// The versions that the user named; without any, the newest one that is in the lock.
pub fn versions(sources: &Sources<'_>, words: &[String]) -> Result<Vec<SystemdVersion>> {
    if !words.is_empty() {
        return sources.resolve(words);
    }
    let available = sources.available()?;
    let newest = available.iter().rev().find(|a| a.locked && a.refused.is_none());
    newest.map(|a| vec![a.version]).ok_or_else(|| {
        Fault::new("no version of patches/sources.lock can be had here")
            .hint("cargo xtask sources says who was asked; --systemd-git PATH names a clone")
            .into()
    })
}

/// Fetches the versions and carries the series to them, in memory. Where a patch does not fit, the
/// reason is shown and the status is no; the other versions go on.
pub fn recipes(
    context: &Context<'_>,
    sources: &Sources<'_>,
    versions: &[SystemdVersion],
) -> Result<(Vec<Pair>, Status)> {
    recipes_of(context, sources, &targets(sources, versions)?)
}

fn targets(sources: &Sources<'_>, versions: &[SystemdVersion]) -> Result<Vec<Target>> {
    let target = |&version| Ok(Target { version, tree: sources.get(version)?.tree.oid()? });
    versions.iter().map(target).collect()
}

/// The same for a revision of the user's clone, or a branch of upstream's, such as its main one.
///
/// # Errors
/// Nobody has the revision, or it does not say which release it is for.
pub fn recipes_at(
    context: &Context<'_>,
    sources: &Sources<'_>,
    revision: &str,
) -> Result<(Vec<Pair>, Status)> {
    let id = match bisect::commit(context, sources, revision) {
        Ok(id) => id,
        // Who names a clone means what is in it: a slip of the finger is no branch of upstream's.
        Err(fault) if sources::Options::from(context.global).names_a_clone() => {
            return Err(fault.into());
        }
        Err(_) => sources.branch(revision, &context.global.into())?,
    };
    let (series, run, at) = carry_commit(context, sources, id)?;
    context.ui.note(&format!("{revision} is {id}, of systemd {at}"));
    let runs = [run];
    for text in rebase_text::problems(&series, &runs, context.global.verbose > 0, context.ui) {
        context.ui.result(&text);
    }
    let [run] = &runs;
    let status = if run.is_settled() { Status::Yes } else { Status::No };
    let mut pair = pair(sources, &series, run)?.called(at);
    // What is built, booted and recorded of it is not the release's.
    for recipe in [Some(&mut pair.stock), pair.patched.as_mut()].into_iter().flatten() {
        recipe.identity.flavour += &format!(", of {revision}");
    }
    Ok((vec![pair], status))
}

/// The patched systemd of a commit; the cells that need a person, where the series does not fit.
///
/// # Errors
/// As [`recipes_at`].
pub fn patched_at(
    context: &Context<'_>,
    sources: &Sources<'_>,
    commit: Oid,
) -> Result<Result<Recipe, Vec<Cell>>> {
    let (series, run, at) = carry_commit(context, sources, commit)?;
    patched_or_open(sources, &series, run, at)
}

/// The same for a release.
///
/// # Errors
/// Nobody has it.
pub fn patched_of(
    context: &Context<'_>,
    sources: &Sources<'_>,
    version: SystemdVersion,
) -> Result<Result<Recipe, Vec<Cell>>> {
    let (series, runs) = carry(context, sources, &targets(sources, &[version])?)?;
    let run = runs.into_iter().next().context("the engine gave no answer")?;
    patched_or_open(sources, &series, run, version)
}

fn patched_or_open(
    sources: &Sources<'_>,
    series: &Series,
    run: VersionRun,
    called: SystemdVersion,
) -> Result<Result<Recipe, Vec<Cell>>> {
    let patched = pair(sources, series, &run)?.called(called).patched;
    Ok(patched.ok_or_else(|| run.cells.into_iter().filter(|c| !c.outcome.is_settled()).collect()))
}

/// Carries the series to a commit, which has one of the known versions only if it is a release: else
/// it stands beside them.
fn carry_commit(
    context: &Context<'_>,
    sources: &Sources<'_>,
    id: Oid,
) -> Result<(Series, VersionRun, SystemdVersion)> {
    let commit = sources.git().find_commit(id)?;
    let tree = commit.tree()?;
    let said = version_said(sources.git(), &tree)
        .ok_or_else(|| Fault::new(format!("commit {id} does not say which systemd it is")))?;
    let release = sources.known().into_iter().find(|a| a.version == said && a.present);
    let released = release.and_then(|r| Some((r.commit?.oid().ok()?, r.tree?.oid().ok()?)));
    let (called, label) = place(said, tree.id(), released, |release| {
        sources.git().graph_descendant_of(id, release).unwrap_or(true)
    });
    let (series, runs) = carry(context, sources, &[Target { version: label, tree: tree.id() }])?;
    let run = runs.into_iter().next().context("the engine gave no answer")?;
    Ok((series, run, called))
}

/// What a commit is called whose sources say the version `said`, and where it stands among the
/// versions: at a release if it is the release, else where no variant can have been made.
fn place(
    said: SystemdVersion,
    tree: Oid,
    released: Option<(Oid, Oid)>,
    is_after: impl FnOnce(Oid) -> bool,
) -> (SystemdVersion, SystemdVersion) {
    /// Upstream makes a few dozen point releases.
    const AFTER_ALL: u32 = 1000;
    match released {
        _ if said.is_candidate() => (said, said),
        Some((_, release)) if release == tree => (said, said),
        // Until 255, sources named the release that they were on the way to.
        Some((commit, _)) if !is_after(commit) => {
            let before = SystemdVersion::candidate(said.major, 0);
            (before, before)
        }
        _ => (said, SystemdVersion::new(said.major, said.point() + AFTER_ALL)),
    }
}

/// What `meson.version` says, or in older sources `meson.build`.
fn version_said(repo: &Repository, tree: &git2::Tree<'_>) -> Option<SystemdVersion> {
    let text = |path: &str| {
        let blob = tree.get_path(Path::new(path)).ok()?.to_object(repo).ok()?;
        Some(String::from_utf8_lossy(blob.as_blob()?.content()).into_owned())
    };
    let said = text("meson.version").or_else(|| {
        let build = text("meson.build")?;
        let line =
            build.lines().find_map(|l| l.trim().strip_prefix("version :").map(str::to_owned));
        Some(line?.trim_matches([' ', '\'', ',']).to_owned())
    })?;
    said.trim().replace("~devel", "~rc0").parse().ok()
}

fn recipes_of(
    context: &Context<'_>,
    sources: &Sources<'_>,
    targets: &[Target],
) -> Result<(Vec<Pair>, Status)> {
    let (series, runs) = carry(context, sources, targets)?;
    for text in rebase_text::problems(&series, &runs, context.global.verbose > 0, context.ui) {
        context.ui.result(&text);
    }
    let all_fit = runs.iter().all(VersionRun::is_settled);
    let pairs = runs.iter().map(|run| pair(sources, &series, run)).collect::<Result<_>>()?;
    Ok((pairs, if all_fit { Status::Yes } else { Status::No }))
}

fn carry(
    context: &Context<'_>,
    sources: &Sources<'_>,
    wanted: &[Target],
) -> Result<(Series, Vec<VersionRun>)> {
    let series = series::load(&context.checkout.patches())?;
    let step = context.ui.step("carry the patches");
    let targets = rebase_select::with_bases(sources, &series, wanted)?;
    let versions: Vec<SystemdVersion> = wanted.iter().map(|t| t.version).collect();
    let start = Instant::now();
    let runs = Engine::open(sources.git().path())?.run(&series, &targets, &versions)?;
    step.done(&rebase_text::summary(&runs, start.elapsed().as_secs_f64()));
    Ok((series, runs))
}

fn pair(sources: &Sources<'_>, series: &Series, run: &VersionRun) -> Result<Pair> {
    let recipe = |flavour: &str, patches: Vec<String>, tree: TreeId| Recipe {
        identity: Identity {
            version: run.version,
            flavour: flavour.to_owned(),
            patches,
            tree: Some(tree.0.clone()),
        },
        tree,
    };
    let patched = if run.is_settled() {
        let applied = series.patches.iter().zip(&run.cells);
        let ids = applied.filter(|(_, c)| c.outcome.is_applied()).map(|(p, _)| p.id.clone());
        Some(recipe("patched", ids.collect(), run.state.write(sources.git())?.into()))
    } else {
        None
    };
    Ok(Pair { stock: recipe("stock", Vec::new(), run.state.tree.into()), patched })
}

/// The recipe with one patch of the series left out, and those that require it.
///
/// # Errors
/// The variants on disk do not give the patched tree: the series was not carried to this version.
pub fn without(
    sources: &Sources<'_>,
    series: &Series,
    pair: &Pair,
    patched: &Recipe,
    id: &str,
) -> Result<Recipe> {
    let version = patched.identity.version;
    let tree = |ids: &[&str]| {
        rebase::patched_tree(sources.git(), series, pair.stock.tree.oid()?, version, ids)
    };
    let all: Vec<&str> = patched.identity.patches.iter().map(String::as_str).collect();
    if tree(&all)? != patched.tree.oid()? {
        return Err(Fault::new(format!("the variants in patches/ are not for systemd {version}"))
            .hint(format!("cargo xtask rebase-patches {version}"))
            .into());
    }
    let left_out = series.with_dependents(id);
    let rest: Vec<&str> = all.into_iter().filter(|p| !left_out.contains(p)).collect();
    let tree: TreeId = tree(&rest)?.into();
    let identity = Identity {
        flavour: format!("without {id}"),
        patches: rest.into_iter().map(str::to_owned).collect(),
        tree: Some(tree.0.clone()),
        version,
    };
    Ok(Recipe { identity, tree })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::Flags;
    use crate::ui::Ui;
    use crate::workspace::{Cache, Checkout};

    #[test]
    fn a_revision_keeps_its_name_and_one_that_the_clone_lacks_is_asked_of_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("patches")).unwrap();
        std::fs::write(dir.path().join("patches/series.toml"), "schema = 1\n").unwrap();
        let git = git2::Repository::init_bare(dir.path().join("clone")).unwrap();
        let mut tree = git.treebuilder(None).unwrap();
        tree.insert("meson.version", git.blob(b"257.13\n").unwrap(), 0o100_644).unwrap();
        let tree = git.find_tree(tree.write().unwrap()).unwrap();
        let who = git2::Signature::new("a", "a@b", &git2::Time::new(0, 0)).unwrap();
        git.commit(Some("refs/heads/v257-stable"), &who, &who, "a", &tree, &[]).unwrap();
        let clone = dir.path().join("clone").display().to_string();
        let words = ["cargo xtask", "--offline", "--systemd-git", &clone, "status"];
        let flags = Flags::try_parse_from(words).unwrap();
        let ui = Ui::new(true);
        let context = Context {
            ui: &ui,
            checkout: Checkout::at(dir.path()),
            cache: Cache::locate(Some(&dir.path().join("cache"))).unwrap(),
            global: &flags.global,
        };
        let options = (&flags.global).into();
        let sources = Sources::open(&context.cache, Lock::default(), &options, &ui).unwrap();
        let error = recipes_at(&context, &sources, "mian").unwrap_err();
        assert_eq!(format!("{error:#}"), "no commit `mian` is here");
        let (pairs, _) = recipes_at(&context, &sources, "v257-stable").unwrap();
        let named = |recipe: &Recipe| {
            let Identity { version, flavour, .. } = &recipe.identity;
            format!("{version} ({flavour})")
        };
        assert_eq!(named(&pairs[0].stock), "257.13 (stock, of v257-stable)");
        let patched = pairs[0].patched.as_ref().unwrap();
        assert_eq!(named(patched), "257.13 (patched, of v257-stable)");
    }
}
