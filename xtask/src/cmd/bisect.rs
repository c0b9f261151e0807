// SPDX-License-Identifier: MIT
//! `cargo xtask bisect`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use git2::Oid;
use serde::Serialize;

use super::{Context, bisect_boot, rebase_select, rebase_why};
use crate::engine::Choice;
use crate::fault::{Fault, Status};
use crate::rebase::{self, Cause, Cell, Engine, Start, Way};
use crate::series::{self, Series};
use crate::sources::{Lock, OLDEST_MAJOR, Source, Sources};
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// Name the first upstream commit at which a patch stops fitting, or lands in another function
///
/// Carries the series from a version that it fits to any commit of the clone that --systemd-git
/// names, such as its main branch: a warning long before the release. Writes nothing.
///
/// With --boot, builds and boots on the way instead, and names the first commit at which patched systemd
/// no longer works in a plain container. Commits that do not build are skipped.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bisect --systemd-git ~/src/systemd
  cargo xtask bisect 0002-cgroup --from 257.13 --to v258 --systemd-git ~/src/systemd
  cargo xtask bisect --boot --from 262 --to main --systemd-git ~/src/systemd
  cargo xtask bisect --boot 0002-cgroup --releases --from 257 --to 262")]
pub struct Args {
    /// Patches to look at, such as 0002-cgroup (default: all)
    #[arg(value_name = "PATCH")]
    pub(super) patches: Vec<String>,

    /// A version that the series fits (default: the newest whose history is here)
    #[arg(long, value_name = "VERSION")]
    pub(super) from: Option<SystemdVersion>,

    /// A branch, tag or commit in the clone (default: main)
    #[arg(long, value_name = "REV")]
    pub(super) to: Option<String>,

    /// Build and boot: the first commit at which the boot fails, or a check that PATCH names
    #[arg(long)]
    pub(super) boot: bool,

    /// Step through the releases between two versions, not through the commits of a clone
    #[arg(long, requires = "boot")]
    pub(super) releases: bool,

    /// The engine to boot on
    #[arg(long, value_enum, requires = "boot")]
    pub(super) engine: Option<Choice>,
}

impl Args {
    /// All patches, from the newest version, to a revision.
    pub fn ahead(to: &str) -> Self {
        Args {
            patches: Vec::new(),
            from: None,
            to: Some(to.to_owned()),
            boot: false,
            releases: false,
            engine: None,
        }
    }

    pub(super) fn to(&self) -> &str {
        self.to.as_deref().unwrap_or("main")
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    from: SystemdVersion,
    from_commit: String,
    to: &'a str,
    to_commit: String,
    /// First parents between the two, and those that change a file of the series.
    commits: usize,
    changing: usize,
    patches: Vec<Row<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct Row<'a> {
    /// The answer at the end.
    at_the_end: &'a Cell,
    /// From where on it needs a person; none if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<First<'a>>,
}

#[derive(Serialize)]
struct First<'a> {
    commit: Option<Cause>,
    there: &'a Cell,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    if args.boot {
        return bisect_boot::run(context, args);
    }
    let ui = context.ui;
    let all = series::load(&context.checkout.patches())?;
    let last = last_of(&all, &args.patches)?;
    // Those after the last one asked for play no part.
    let series = Series { patches: all.patches[..=last].to_vec() };
    let lock = Lock::load(&context.checkout.lock())?;
    let sources = Sources::open(&context.cache, lock, &context.global.into(), ui)?;
    let to = commit(context, &sources, args.to())?;
    let start = start(&sources, &series, args.from)?;
    let mut known: BTreeMap<SystemdVersion, Source> = BTreeMap::new();
    known.insert(start.version, sources.get(start.version)?);
    let targets = rebase_select::targets(&sources, &series, &known)?;

    let step = ui.step(format!("carrying the series from {} to {}", start.version, args.to()));
    let begin = Instant::now();
    let mut engine = Engine::open(sources.git().path())?;
    let link = Some(rebase_select::LINK);
    let way = rebase::bisect(&mut engine, &series, start, &targets, to, link)?;
    let Some(way) = way else {
        return Err(no_way(start.version, args.to()).into());
    };
    let seconds = begin.elapsed().as_secs_f64();
    step.done(&format!("{} commits, {} of them matter", way.commits, way.changing));

    let asked = |cell: &Cell| args.patches.is_empty() || args.patches.contains(&cell.patch);
    let rows: Vec<Row<'_>> = way
        .cells
        .iter()
        .zip(&way.first)
        .filter(|(cell, _)| asked(cell))
        .map(|(cell, first)| Row {
            at_the_end: cell,
            first: first.as_ref().map(|(id, there)| First {
                commit: rebase::named(sources.git(), rebase_select::LINK, *id),
                there,
            }),
        })
        .collect();
    let good = rows.iter().all(|r| r.at_the_end.outcome.is_settled());
    if context.global.json {
        ui.json(&Document {
            schema: 1,
            from: start.version,
            from_commit: start.commit.to_string(),
            to: args.to(),
            to_commit: to.to_string(),
            commits: way.commits,
            changing: way.changing,
            patches: rows,
            seconds,
        })?;
    } else {
        ui.result(&text(&rows, &way, start, args.to(), seconds, ui));
    }
    Ok(if good { Status::Yes } else { Status::No })
}

/// The index of the last patch that was asked for.
fn last_of(series: &Series, asked: &[String]) -> Result<usize, Fault> {
    let indices = asked.iter().map(|id| series.index_of(id)).collect::<Result<Vec<_>, _>>()?;
    let none = || Fault::new("patches/series.toml names no patch");
    indices.into_iter().max().or(series.patches.len().checked_sub(1)).ok_or_else(none)
}

pub(super) fn no_way(from: SystemdVersion, to: &str) -> Fault {
    Fault::new(format!("no history leads from {from} to {to}"))
        .hint("--systemd-git must name a clone with its history: git fetch --unshallow")
}

/// The version to start from, with its commit.
pub(super) fn start(
    sources: &Sources<'_>,
    series: &Series,
    from: Option<SystemdVersion>,
) -> Result<Start, anyhow::Error> {
    let fits = |v: SystemdVersion| {
        series.patches.iter().all(|p| !p.needed.contains(v) || p.variant_for(v).is_some())
    };
    let mut known: Vec<SystemdVersion> = sources
        .known()
        .into_iter()
        .filter(|a| a.refused.is_none() && a.version.major >= OLDEST_MAJOR)
        .map(|a| a.version)
        .filter(|v| from.is_none_or(|from| from == *v) && fits(*v))
        .collect();
    known.sort();
    for version in known.into_iter().rev() {
        let source = sources.get(version)?;
        if source.has_upstream_commit {
            return Ok(Start { version, commit: source.tip.oid()? });
        }
    }
    let what = from.map_or("no version".to_owned(), |v| format!("systemd {v} is not one"));
    Err(Fault::new(format!("{what} that the series fits and whose history is here"))
        .hint("--systemd-git PATH names a clone with its tags and history")
        .into())
}

/// A revision of the user's clone, else of the cache repository.
pub(super) fn commit(
    context: &Context<'_>,
    sources: &Sources<'_>,
    rev: &str,
) -> Result<Oid, Fault> {
    let find = |repo: &git2::Repository| -> Option<Oid> {
        let names = [rev.to_owned(), format!("v{rev}"), format!("refs/plainboot/v{rev}")];
        let find = |name: &String| repo.revparse_single(name).ok()?.peel_to_commit().ok();
        names.iter().find_map(find).map(|c| c.id())
    };
    let clone = context.global.systemd_git.as_deref();
    let clone = clone.and_then(|path| git2::Repository::open(path).ok());
    clone.as_ref().and_then(&find).or_else(|| find(sources.git())).ok_or_else(|| {
        Fault::new(format!("no commit `{rev}` is here"))
            .hint("--systemd-git PATH names a clone that has it")
    })
}

fn text(rows: &[Row<'_>], way: &Way, start: Start, to: &str, seconds: f64, ui: &Ui) -> String {
    let mut text = String::new();
    let width = rows.iter().map(|row| row.at_the_end.patch.len() + 2).max().unwrap_or_default();
    for Row { at_the_end: cell, first } in rows {
        let tone = if cell.outcome.is_settled() { Tone::Good } else { Tone::Bad };
        let word = ui.paint(tone, cell.outcome.word());
        let _ = writeln!(text, "{:<width$}{word}", cell.patch);
        let Some(First { commit, there }) = first else {
            if !cell.outcome.is_settled() {
                let _ = writeln!(text, "  {}", cell.reason.as_deref().unwrap_or_default());
            }
            continue;
        };
        let _ = writeln!(text, "  {} from this commit on:", there.outcome.word());
        if let Some(commit) = commit {
            text += &rebase_why::commit(commit, 4);
        }
        if let Some(reason) = &there.reason {
            let _ = writeln!(text, "  {reason}");
        }
        for broken in &there.broken {
            let _ = writeln!(text, "  {}", broken.path);
            text += &rebase_why::text(broken, true);
        }
    }
    let open = rows.iter().filter(|r| !r.at_the_end.outcome.is_settled()).count();
    let _ = writeln!(
        text,
        "{} patches from {} to {to}: {open} need a person; {} commits, {} of them change a file \
         of the series ({seconds:.2} s)",
        rows.len(),
        start.version,
        way.commits,
        way.changing
    );
    text
}
