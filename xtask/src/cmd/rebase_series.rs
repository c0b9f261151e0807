// SPDX-License-Identifier: MIT
//! `cargo xtask rebase-series`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::{Context, rebase_text};
use crate::atomic::ChangeSet;
use crate::fault::{Fault, Status};
use crate::foreign::{self, Format, Item, Place, Trees};
use crate::patch::PatchText;
use crate::rebase::{self, Cell, Engine, Outcome, Solved, State, Target, VersionRun};
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// Carry any series of patches to any revisions of any git repository
///
/// The series may be a quilt folder, debian/patches, a folder of git format-patch, a mailbox, or
/// this project's own. Nothing is written into the repository, unless a branch is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask rebase-series --series debian/patches --repo ~/src/systemd \\
      --from v254.26 --to v255 v256 --format quilt --output carried")]
pub struct Args {
    /// The series: a folder of patches, a quilt `series`, debian/patches, or a mailbox
    #[arg(long, value_name = "PATH")]
    series: PathBuf,

    /// The git repository; it is only read
    #[arg(long, value_name = "PATH")]
    repo: PathBuf,

    /// The revision that the series was made on
    #[arg(long, value_name = "REV")]
    from: String,

    /// A revision to carry it to; may be given again. Best in the order of history
    #[arg(long, value_name = "REV", required = true, num_args = 1..)]
    to: Vec<String>,

    /// Another series that is applied first, such as a distribution's own; may be given again
    #[arg(long, value_name = "PATH")]
    on_top_of: Vec<PathBuf>,

    /// Write what was carried, as
    #[arg(long, value_enum, value_name = "FORMAT", requires = "output")]
    format: Option<Format>,

    /// The folder (for a branch, its name) to write to; several revisions get one each below it
    #[arg(long, value_name = "FOLDER-OR-BRANCH", requires = "format")]
    output: Option<String>,

    /// Replace a branch or files that exist
    #[arg(long)]
    replace: bool,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// Names of the patches, in order.
    series: Vec<&'a str>,
    from: &'a str,
    revisions: Vec<Row<'a>>,
    /// Files or branches that were written.
    written: Vec<String>,
    /// Time spent carrying, in seconds.
    seconds: f64,
}

#[derive(Serialize)]
struct Row<'a> {
    revision: &'a str,
    commit: Option<String>,
    /// The tree that the series was carried to: with `--on-top-of`, that with the other series.
    tree: String,
    /// The tree with all patches; none while an outcome is unsettled.
    patched_tree: Option<String>,
    patches: &'a [Cell],
}

/// A patch on a revision, ready to be written.
struct Made<'a> {
    name: &'a str,
    text: PatchText,
    solved: &'a Solved,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let trees = Trees::open(&args.repo)?;
    let names: Vec<String> = std::iter::once(&args.from).chain(&args.to).cloned().collect();
    let mut places = trees.places(&names, !args.on_top_of.is_empty())?;
    let items = foreign::read(&args.series, foreign::release(&args.from))?;
    refuse_existing(args, &trees, &places)?;

    let step = ui.step("carrying the series");
    let start = Instant::now();
    let mut engine = Engine::open(&trees.scratch())?;
    let mut from = places.remove(0);
    for other in &args.on_top_of {
        let base = foreign::read(other, foreign::release(&args.from))?;
        for place in &mut places {
            put_below(&mut engine, &trees, place, other, &base)?;
        }
    }
    if let Some(text) = misfit(&mut engine, &items, &mut from, &places)? {
        ui.result(&text);
        return Ok(Status::No);
    }
    let series = foreign::series(&items, from.label);
    let mut targets: Vec<Target> = Vec::new();
    for place in std::iter::once(&from).chain(&places) {
        if !targets.iter().any(|t| t.version == place.label) {
            targets.push(Target { version: place.label, tree: place.tree });
        }
    }
    let labels: Vec<SystemdVersion> = places.iter().map(|p| p.label).collect();
    let runs = engine.run(&series, &targets, &labels)?;
    let seconds = start.elapsed().as_secs_f64();
    step.done(&format!("{} patches, {} revisions", items.len(), runs.len()));

    // The engine sorts by version; the user gave an order.
    let run_of = |place: &Place| runs.iter().find(|r| r.version == place.label);
    let rows: Vec<(&Place, &VersionRun)> =
        places.iter().filter_map(|p| Some((p, run_of(p)?))).collect();
    let written = write(args, &trees, &items, &rows, &from)?;

    if context.global.json {
        let mut revisions: Vec<Row<'_>> = Vec::new();
        for (place, run) in &rows {
            let patched = run.is_settled().then(|| run.state.write(trees.ours())).transpose()?;
            revisions.push(Row {
                revision: &place.name,
                commit: place.commit.map(|c| c.to_string()),
                tree: place.tree.to_string(),
                patched_tree: patched.map(|t| t.to_string()),
                patches: &run.cells,
            });
        }
        ui.json(&Document {
            schema: 1,
            series: items.iter().map(|i| i.name.as_str()).collect(),
            from: &args.from,
            revisions,
            written,
            seconds,
        })?;
    } else {
        ui.result(&table(&items, &rows, ui));
        if let Some(text) = problems(&rows, ui) {
            ui.result(&text);
        }
        for what in &written {
            ui.result(&format!("wrote {what}"));
        }
        ui.result(&summary(&rows, seconds));
    }
    let outcomes = || runs.iter().flat_map(|r| &r.cells).map(|c| c.outcome);
    let open = outcomes().any(|o| !o.is_settled() && o != Outcome::Unreadable);
    let status = if open { Status::No } else { Status::Yes };
    let unreadable = outcomes().any(|o| o == Outcome::Unreadable);
    Ok(if unreadable { status.and(Status::Fault) } else { status })
}

/// Fails before the work is done if its result could not be written.
fn refuse_existing(args: &Args, trees: &Trees, places: &[Place]) -> Result<()> {
    let (Some(format), Some(output)) = (args.format, &args.output) else { return Ok(()) };
    for place in places.iter().skip(1) {
        let target = target(args, output, place);
        let exists = match format {
            Format::Branch => foreign::branch_exists(trees.theirs(), &target),
            Format::Variants => Path::new(output).join("series.toml").exists(),
            _ => std::fs::read_dir(&target).is_ok_and(|mut dir| dir.next().is_some()),
        };
        if exists && !args.replace {
            let what = if format == Format::Branch { "the branch " } else { "" };
            return Err(Fault::new(format!("{what}{target} exists"))
                .hint("name another place with --output, or replace it with --replace")
                .into());
        }
        if format == Format::Branch && place.commit.is_none() {
            return Err(
                Fault::new(format!("{} is a tree: a branch needs a commit", place.name)).into()
            );
        }
        if format == Format::Variants && place.label.is_named() {
            return Err(Fault::new(format!(
                "variants are named by releases of systemd, and {} is none, or not plain \
                 because of --on-top-of",
                place.name
            ))
            .hint("write another --format: quilt, mails or branch")
            .into());
        }
    }
    Ok(())
}

/// Where the result for a revision goes.
fn target(args: &Args, output: &str, place: &Place) -> String {
    if args.to.len() == 1 {
        return output.to_owned();
    }
    format!("{output}/{}", foreign::slug(&place.name))
}

/// Applies another series to a revision, as it is: it was made for it.
fn put_below(
    engine: &mut Engine,
    trees: &Trees,
    place: &mut Place,
    path: &Path,
    items: &[Item],
) -> Result<()> {
    let series = foreign::series(items, place.label);
    let target = Target { version: place.label, tree: place.tree };
    let runs = engine.run(&series, &[target], &[place.label])?;
    let Some(run) = runs.first() else { return Ok(()) };
    if let Some(cell) = run.cells.iter().find(|c| !c.outcome.is_settled()) {
        let reason = cell.reason.clone().unwrap_or_default();
        return Err(Fault::new(format!(
            "--on-top-of {}: {} does not apply to {}: {reason}",
            path.display(),
            cell.patch,
            place.name
        ))
        .hint("carry that series first: --series on it, with --output, then name the result here")
        .into());
    }
    place.tree = run.state.write(trees.ours())?;
    Ok(())
}

/// What does not fit the revision that the series is said to be made on; `None` if all does. If it
/// fits only on top of the other series, that becomes the revision it was made on.
fn misfit(
    engine: &mut Engine,
    items: &[Item],
    from: &mut Place,
    places: &[Place],
) -> Result<Option<String>> {
    let mut fits = |tree: git2::Oid| -> Result<Option<Cell>> {
        let series = foreign::series(items, from.label);
        let target = Target { version: from.label, tree };
        let runs = engine.run(&series, &[target], &[from.label])?;
        let cells = runs.into_iter().flat_map(|r| r.cells);
        Ok(cells.into_iter().find(|c| !c.outcome.is_settled()))
    };
    let Some(open) = fits(from.tree)? else { return Ok(None) };
    let same = places.iter().find(|p| p.name == from.name && p.tree != from.tree);
    if let Some(above) = same
        && fits(above.tree)?.is_none()
    {
        from.tree = above.tree;
        return Ok(None);
    }
    Ok(Some(format!(
        "the series does not fit --from {}: {}\n{}",
        from.name,
        open.patch,
        rebase_text::problem(&open, true)
    )))
}

/// Writes what is asked for, for the revisions where every patch has an answer. All texts are
/// proved before the first is written.
fn write(
    args: &Args,
    trees: &Trees,
    items: &[Item],
    rows: &[(&Place, &VersionRun)],
    from: &Place,
) -> Result<Vec<String>> {
    let (Some(format), Some(output)) = (args.format, &args.output) else { return Ok(Vec::new()) };
    let settled: Vec<&(&Place, &VersionRun)> = rows.iter().filter(|r| r.1.is_settled()).collect();
    let mut diffs = rebase::Diffs::new();
    let mut all: Vec<(&Place, &VersionRun, Vec<Made<'_>>)> = Vec::new();
    for (place, run) in settled {
        let mut made = Vec::new();
        for (item, solved) in items.iter().zip(&run.solved) {
            let Some(solved) = solved else { continue };
            let text = solved.text(&mut diffs)?;
            foreign::check(&item.name, &text, solved)?;
            made.push(Made { name: &item.name, text, solved });
        }
        all.push((place, run, made));
    }
    let mut written = Vec::new();
    if format == Format::Variants {
        let runs: Vec<&VersionRun> = all.iter().map(|a| a.1).collect();
        let change = foreign::variants(Path::new(output), items, from.label, &runs)?;
        return Ok(names(change.apply()?));
    }
    let mut change = ChangeSet::default();
    for (place, run, made) in &all {
        let target = target(args, output, place);
        if let (Format::Branch, Some(onto)) = (format, place.commit) {
            let patches: Vec<_> = made.iter().map(|m| (m.name, &m.text, m.solved)).collect();
            let state = State::new(run.version, run.state.tree);
            let repo = trees.theirs();
            let tip = foreign::write_branch(repo, &target, onto, state, &patches, args.replace)?;
            written.push(format!("branch {target}, {} commits, {tip}", patches.len()));
        } else {
            let patches: Vec<_> = made.iter().map(|m| (m.name, &m.text)).collect();
            change.append(foreign::change_set(format, Path::new(&target), &patches));
        }
    }
    written.extend(names(change.apply()?));
    Ok(written)
}

fn names(paths: Vec<PathBuf>) -> Vec<String> {
    paths.iter().map(|p| p.display().to_string()).collect()
}

/// Rows of patches, columns of revisions, at most 80 wide.
fn table(items: &[Item], rows: &[(&Place, &VersionRun)], ui: &Ui) -> String {
    const COLUMNS: usize = 3;
    const NAME: usize = 42;
    const WIDTH: usize = 12;
    let cut = |text: &str, width: usize| -> String {
        let count = text.chars().count();
        if count <= width {
            return text.to_owned();
        }
        let tail: String = text.chars().skip(count - width + 1).collect();
        format!("…{tail}")
    };
    let mut text = String::new();
    for (block, rows) in rows.chunks(COLUMNS).enumerate() {
        if block > 0 {
            text.push('\n');
        }
        let mut line = format!("{:<NAME$}", "PATCH");
        for (place, _) in rows {
            let name = place
                .name
                .strip_prefix("refs/")
                .map_or(place.name.as_str(), |name| name.rsplit('/').next().unwrap_or(name));
            let _ = write!(line, "{:<WIDTH$}", cut(name, WIDTH - 1));
        }
        let _ = writeln!(text, "{}", line.trim_end());
        for (index, item) in items.iter().enumerate() {
            let mut line = format!("{:<NAME$}", cut(&item.name, NAME - 1));
            for cell in rows.iter().filter_map(|(_, run)| run.cells.get(index)) {
                let word = cell.outcome.word();
                line += &ui.paint(rebase_text::tone(cell.outcome), word);
                line += &" ".repeat(WIDTH.saturating_sub(word.len()));
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

/// Every answer that needs a person; `None` if there is none.
fn problems(rows: &[(&Place, &VersionRun)], ui: &Ui) -> Option<String> {
    let mut text = String::new();
    for (place, run) in rows {
        for cell in run.cells.iter().filter(|c| !c.outcome.is_settled()) {
            let head = format!("{} on {}", cell.patch, place.name);
            let _ = writeln!(text, "{}", ui.paint(Tone::Bad, &head));
            text += &rebase_text::problem(cell, true);
        }
        if !run.is_settled() {
            let _ = writeln!(text, "nothing is written for {}", place.name);
        }
    }
    (!text.is_empty()).then_some(text)
}

fn summary(rows: &[(&Place, &VersionRun)], seconds: f64) -> String {
    let mut counts: std::collections::BTreeMap<Outcome, usize> = Default::default();
    for cell in rows.iter().flat_map(|(_, run)| &run.cells) {
        *counts.entry(cell.outcome).or_default() += 1;
    }
    let patches = rows.first().map_or(0, |(_, run)| run.cells.len());
    let counts: Vec<String> = counts.iter().map(|(o, n)| format!("{n} {}", o.word())).collect();
    format!("{patches} patches x {} revisions: {} ({seconds:.2} s)", rows.len(), counts.join(", "))
}
