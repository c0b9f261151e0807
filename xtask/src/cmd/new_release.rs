// SPDX-License-Identifier: MIT
//! `cargo xtask new-release`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser as _;
use serde::Serialize;

use super::rebase_patches::{self, Carried};
use super::status_known::Known;
use super::{Context, status};
use crate::atomic;
use crate::fault::{Fault, Status};
use crate::flags::Flags;
use crate::nixpkgs;
use crate::rebase::{Outcome, VersionRun};
use crate::series;
use crate::sources::{Booted, Lock, Sources};
use crate::version::SystemdVersion;

/// Follow upstream: ask what is new, carry the patches there, prove it, and write the pull request
///
/// Writes the patches' variants, the overlay, the lock and a line of CHANGELOG.md, builds and boots
/// each new version, and prints the text of a pull request. Where a patch does not fit it says what a
/// person has to do, and exits with 1; run it again after that.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask new-release --check           # only ask: is there anything, and does it fit?
  cargo xtask new-release > pull-request.md
  cargo xtask new-release --nixpkgs ~/src/nixpkgs
  cargo xtask new-release 263 --no-boot")]
pub struct Args {
    /// The versions (default: those newer than what is carried)
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,

    /// Also ask this nixpkgs which systemd it has
    #[arg(long, value_name = "PATH", conflicts_with = "versions")]
    nixpkgs: Option<PathBuf>,

    /// Write nothing and boot nothing; exit 1 if there is a new release
    #[arg(long)]
    check: bool,

    /// Carry the patches, and leave building and booting to others (CI)
    #[arg(long)]
    no_boot: bool,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    new: Vec<SystemdVersion>,
    /// All patches fit all of them.
    fits: bool,
    /// Files that were written, or would be.
    changed: Vec<String>,
    pull_request: Option<String>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let wanted = wanted(context, args)?;
    let mut document = Document {
        schema: 1,
        new: wanted.clone(),
        fits: true,
        changed: Vec::new(),
        pull_request: None,
    };
    if wanted.is_empty() {
        if context.global.json {
            ui.json(&document)?;
        } else {
            ui.result("nothing is new");
        }
        return Ok(Status::Yes);
    }
    // Its table is for the reader of the progress, and not this command's result.
    let aside = ui.aside();
    let inner = Context { ui: &aside, ..context.clone() };
    let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    ui.note(&format!("new: {}", names.join(" ")));
    let carried =
        rebase_patches::carry(&inner, &rebase_patches::Args::of(names.clone(), args.check))?;
    let new: Vec<&VersionRun> =
        carried.runs.iter().filter(|r| wanted.contains(&r.version)).collect();
    document.fits = new.iter().all(|r| r.is_settled() && !carried.unseen.contains(&r.version));
    document.changed.clone_from(&carried.changed);
    remember(context, &new, &carried.unseen)?;
    if !document.fits {
        return by_hand(context, &document, &new, &carried.unseen);
    }
    if args.check {
        if context.global.json {
            ui.json(&document)?;
        } else {
            let fits = if names.len() == 1 { "fits" } else { "fit" };
            ui.result(&format!("{} {fits}: cargo xtask new-release", names.join(", ")));
        }
        return Ok(Status::No);
    }
    let status = if args.no_boot { Status::Yes } else { boot(&inner, &names)? };
    let log = context.checkout.root().join("CHANGELOG.md");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if let Some(text) = noted(&text, &names) {
        atomic::write(&log, text.as_bytes())?;
        document.changed.push("CHANGELOG.md".to_owned());
    }
    let lock = Lock::load(&context.checkout.lock())?;
    let mut text = pull_request(&new, &carried, &lock);
    if let Some(root) = &args.nixpkgs {
        let theirs = nixpkgs::read(root)?;
        let (version, own) = (theirs.version, theirs.patches.len());
        let _ = write!(
            text,
            "\nnixpkgs has systemd {version}, with {own} patches of its own: `cargo xtask \
             bump-nixpkgs {}` puts the series on top of them.\n",
            root.display()
        );
    }
    if context.global.json {
        document.pull_request = Some(text);
        ui.json(&document)?;
    } else {
        ui.result(&text);
    }
    Ok(status)
}

fn wanted(context: &Context<'_>, args: &Args) -> Result<Vec<SystemdVersion>> {
    let lock = Lock::load(&context.checkout.lock())?;
    let sources = Sources::open(&context.cache, lock, &context.global.into(), context.ui)?;
    if !args.versions.is_empty() {
        return sources.resolve(&args.versions);
    }
    let step = context.ui.step("ask who has releases of systemd");
    sources.refresh()?;
    let known = sources.available()?;
    let newer = status::newer(&sources, &known);
    step.done(&format!("{} known, {} new", known.len(), newer.len()));
    let mut wanted: BTreeSet<SystemdVersion> = newer.iter().map(|n| n.version).collect();
    if let Some(root) = &args.nixpkgs {
        let theirs = nixpkgs::read(root)?.version;
        context.ui.note(&format!("nixpkgs has systemd {theirs}"));
        if sources.lock().get(theirs).is_none() {
            wanted.insert(theirs);
        }
    }
    Ok(wanted.into_iter().collect())
}

/// Keeps the answer for `status`, which works out nothing.
fn remember(context: &Context<'_>, new: &[&VersionRun], unseen: &[SystemdVersion]) -> Result<()> {
    // Read anew: carrying may have written variants.
    let series = series::load(&context.checkout.patches())?;
    let mut answers = Known::open(&context.cache, &context.checkout.patches(), &series);
    for run in new {
        let cells = run.cells.iter().filter(|c| !c.outcome.is_settled());
        let mut waiting: Vec<String> =
            cells.map(|c| format!("{}: {}", c.patch, c.outcome.word())).collect();
        if unseen.contains(&run.version) {
            waiting.push("a refusal can reach new places".to_owned());
        }
        answers.judge(&run.state.tree.to_string(), waiting);
    }
    Ok(())
}

/// Says what a person has to do, patch by patch.
fn by_hand(
    context: &Context<'_>,
    document: &Document,
    new: &[&VersionRun],
    unseen: &[SystemdVersion],
) -> Result<Status> {
    if context.global.json {
        context.ui.json(document)?;
        return Ok(Status::No);
    }
    let mut text = String::new();
    for run in new {
        for cell in run.cells.iter().filter(|c| !c.outcome.is_settled()) {
            let _ = writeln!(text, "{} on {}: {}", cell.patch, run.version, cell.outcome.word());
            let next = match cell.outcome {
                Outcome::Resolved => {
                    format!("cargo xtask rebase-patches {} --accept-resolved", run.version)
                }
                _ => format!("cargo xtask resolve {} {}", cell.patch, run.version),
            };
            let _ = writeln!(text, "  next: {next}");
        }
        if unseen.contains(&run.version) {
            let _ = writeln!(
                text,
                "{}: a refusal can reach new places in the sources, listed above\n  \
                 next: read them, and say in patches/sites.toml why they do no harm",
                run.version
            );
        }
    }
    let names: Vec<String> = new.iter().map(|run| run.version.to_string()).collect();
    let _ = writeln!(text, "then:   cargo xtask new-release {}", names.join(" "));
    context.ui.result(&text);
    Ok(Status::No)
}

/// Builds, boots and records, by the command that does so.
fn boot(context: &Context<'_>, names: &[String]) -> Result<Status> {
    let words = ["cargo xtask", "test-image", "--record", "--systemd"];
    let words = words.into_iter().chain(names.iter().map(String::as_str));
    let mut flags = Flags::try_parse_from(words).map_err(|e| Fault::new(e.to_string()))?;
    flags.global.cache_dir = Some(context.cache.root().to_owned());
    flags.global.systemd_git.clone_from(&context.global.systemd_git);
    flags.global.offline = context.global.offline;
    super::dispatch(&flags, context.ui)
}

/// The changelog with a line for the versions; none if it has it.
fn noted(text: &str, names: &[String]) -> Option<String> {
    let line = format!("- Carried to systemd {}.", names.join(", "));
    let (head, rest) = text.split_once("## Unreleased\n")?;
    let (unreleased, older) = match rest.find("\n## ") {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if unreleased.lines().any(|l| l == line) {
        return None;
    }
    let unreleased = match unreleased.split_once("### Changed\n") {
        Some((before, changed)) => format!("{before}### Changed\n{line}\n{changed}"),
        None => format!("{}\n\n### Changed\n{line}\n", unreleased.trim_end()),
    };
    Some(format!("{head}## Unreleased\n{unreleased}{older}"))
}

/// What a reviewer wants to know, in Markdown.
fn pull_request(new: &[&VersionRun], carried: &Carried, lock: &Lock) -> String {
    let names: Vec<String> = new.iter().map(|r| r.version.to_string()).collect();
    let mut text = format!("# Carry the patches to systemd {}\n", names.join(", "));
    for run in new {
        let _ = writeln!(text, "\n## {}\n", run.version);
        let _ = writeln!(text, "| patch | outcome | from the variant of |\n|---|---|---|");
        for cell in &run.cells {
            let from = cell.from.map_or_else(|| "-".to_owned(), |v| v.to_string());
            let _ = writeln!(text, "| `{}` | {} | {from} |", cell.patch, cell.outcome.word());
        }
        let booted = lock.get(run.version).map(|l| l.booted.as_slice()).unwrap_or_default();
        let _ = match booted {
            [] => writeln!(text, "\nNot built and booted yet."),
            all => {
                let places: Vec<String> = all
                    .iter()
                    .map(|Booted { arch, engine, .. }| format!("{engine}, {arch}"))
                    .collect();
                writeln!(
                    text,
                    "\nBuilt, booted, and proved to run in a plain container: {}.",
                    places.join("; ")
                )
            }
        };
    }
    // Written now, or before by a person for one of these versions.
    let written = carried.changed.iter().filter(|f| f.ends_with(".patch")).cloned();
    let own = new.iter().flat_map(|run| {
        let made_here = run.cells.iter().filter(|c| c.from == Some(run.version));
        made_here.map(|c| format!("patches/{}/{}.patch", c.patch, run.version))
    });
    let patches: BTreeSet<String> = written.chain(own).collect();
    if patches.is_empty() {
        text += "\nNo patch had to change: the variants that are there cover it.\n";
    } else {
        let list: String = patches.iter().map(|f| format!("- `{f}`\n")).collect();
        let _ = write!(text, "\nVariants made for these versions, to review:\n\n{list}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changelog_gets_one_line_once() {
        let names = ["263".to_owned(), "262.1".to_owned()];
        let old = "# C\n\n## Unreleased\n\n### Added\n- a\n\n## 1.0\n\n### Changed\n- b\n";
        let new = noted(old, &names).unwrap();
        assert_eq!(
            new,
            "# C\n\n## Unreleased\n\n### Added\n- a\n\n### Changed\n- Carried to systemd 263, 262.1.\n\
             \n## 1.0\n\n### Changed\n- b\n"
        );
        assert_eq!(noted(&new, &names), None);
        let more = noted(&new, &names[..1]).unwrap();
        assert!(
            more.contains("### Changed\n- Carried to systemd 263.\n- Carried to systemd 263, ")
        );
        assert_eq!(noted("no such section", &names), None);
    }
}
