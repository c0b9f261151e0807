// SPDX-License-Identifier: MIT
//! `cargo xtask bump-nixpkgs`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Context, prepare, rebase_patches, rebase_select};
use crate::atomic::ChangeSet;
use crate::exec::{self, Call};
use crate::fault::{Fault, Status};
use crate::foreign;
use crate::nixpkgs::{self, Own, Packaging};
use crate::rebase::{Cell, Engine, Target};
use crate::series;

/// Follow a nixpkgs: carry the patches to its systemd, on top of its own patches
///
/// Reads the version and the patches of its systemd, carries this series to that version (as
/// `rebase-patches` does, with overlay and lock), applies nixpkgs' own patches and then these, and
/// says in words fit for a pull request what changed. What was read is kept in nix/nixpkgs.json.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bump-nixpkgs ~/src/nixpkgs      # a folder; needs no network
  cargo xtask bump-nixpkgs nixos-unstable     # a channel or a revision; needs Nix and the network")]
pub struct Args {
    /// A folder, a channel or a revision of nixpkgs
    #[arg(value_name = "REV|CHANNEL|PATH", default_value = "nixos-unstable")]
    nixpkgs: String,

    /// Write nothing; exit 1 if anything on disk would change
    #[arg(long)]
    check: bool,
}

/// `nix/nixpkgs.json`: the nixpkgs that the series was carried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Followed {
    schema: u32,
    /// None if a folder was read.
    revision: Option<String>,
    systemd: String,
    patches: Vec<Own>,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    before: Option<&'a Followed>,
    now: &'a Followed,
    /// nixpkgs' own patches on the release.
    theirs: &'a [Cell],
    /// Ours on top of them; empty if theirs do not apply.
    ours: &'a [Cell],
    pull_request: &'a str,
    changed: bool,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let (root, revision) = find(context, &args.nixpkgs)?;
    let packaging = nixpkgs::read(&root)?;
    let version = packaging.version;
    ui.note(&format!(
        "nixpkgs has systemd {version}, with {} patches of its own",
        packaging.patches.len()
    ));

    // Overlay, variants and lock follow from the version; its own output is not this one's result.
    let aside = ui.aside();
    let rebase = rebase_patches::Args::of(vec![version.to_string()], args.check);
    let carried = rebase_patches::run(&Context { ui: &aside, ..context.clone() }, &rebase)?;

    let step = ui.step("apply nixpkgs' own patches, then these");
    let (theirs, ours) = on_top(context, &root, &packaging)?;
    step.done("");
    let settled = |cells: &[Cell]| cells.iter().all(|c| c.outcome.is_settled());
    let fits = settled(&theirs) && !ours.is_empty() && settled(&ours);

    let file = context.checkout.nix().join("nixpkgs.json");
    let before = load(&file)?;
    let now = Followed {
        schema: 1,
        revision,
        systemd: version.to_string(),
        patches: packaging.patches.clone(),
    };
    let mut change = ChangeSet::default();
    if fits {
        change.put(&file, serde_json::to_string_pretty(&now)? + "\n");
    }
    let changed = !change.drift().is_empty();
    let text = pull_request(before.as_ref(), &now, &theirs, &ours);
    if !args.check {
        change.apply()?;
    }
    if context.global.json {
        ui.json(&Document {
            schema: 1,
            before: before.as_ref(),
            now: &now,
            theirs: &theirs,
            ours: &ours,
            pull_request: &text,
            changed,
        })?;
    } else {
        ui.result(&text);
    }
    let status = if fits && !(args.check && changed) { Status::Yes } else { Status::No };
    Ok(status.and(carried))
}

/// The folder of a nixpkgs, and its revision if it was fetched.
fn find(context: &Context<'_>, named: &str) -> Result<(PathBuf, Option<String>)> {
    let path = Path::new(named);
    if path.is_dir() {
        return Ok((path.to_owned(), None));
    }
    if named.contains('/') || named.starts_with('.') {
        return Err(Fault::new(format!("{named}: no such folder"))
            .hint("name a folder of nixpkgs, a channel such as nixos-unstable, or a revision")
            .into());
    }
    let folder = "cargo xtask bump-nixpkgs FOLDER reads a nixpkgs that is here already";
    if context.global.offline {
        return Err(Fault::cannot_try(format!("--offline: nixpkgs {named} is not fetched"))
            .hint(folder)
            .into());
    }
    if !exec::have("nix") {
        let message = format!("nix is not installed, which fetches nixpkgs {named}");
        return Err(Fault::cannot_try(message).hint(folder).into());
    }
    let step = context.ui.step(format!("fetch nixpkgs {named}"));
    let answer = Call::new("nix")
        .args(["--extra-experimental-features", "nix-command flakes", "flake", "metadata"])
        .args(["--json", &format!("nixpkgs/{named}")])
        .deadline(Duration::from_secs(600))
        .output()?;
    if !answer.status.success() {
        let said = answer.error_text();
        let line = said.lines().find(|l| l.contains("error:")).unwrap_or(&said).trim();
        return Err(Fault::cannot_try(format!("nixpkgs {named} cannot be fetched: {line}"))
            .hint(folder)
            .into());
    }
    #[derive(Deserialize)]
    struct Metadata {
        path: PathBuf,
        revision: Option<String>,
    }
    let metadata: Metadata = serde_json::from_slice(&answer.stdout)?;
    step.done("");
    Ok((metadata.path, metadata.revision))
}

/// nixpkgs' own patches on the release, and ours on top.
fn on_top(
    context: &Context<'_>,
    root: &Path,
    packaging: &Packaging,
) -> Result<(Vec<Cell>, Vec<Cell>)> {
    let sources = prepare::sources(context)?;
    let version = packaging.version;
    let tree = sources.get(version)?.tree.oid()?;
    let mut theirs = Vec::new();
    for own in &packaging.patches {
        let text = foreign::one(&own.path(root), 1)?;
        theirs.push(foreign::Item { name: own.name.clone(), text });
    }
    let mut engine = Engine::open(sources.git().path())?;
    let mut base = tree;
    let mut cells = Vec::new();
    if !theirs.is_empty() {
        let series = foreign::series(&theirs, version);
        let runs = engine.run(&series, &[Target { version, tree }], &[version])?;
        let Some(run) = runs.into_iter().next() else { return Ok((cells, Vec::new())) };
        if run.is_settled() {
            base = run.state.write(sources.git())?;
        }
        let settled = run.is_settled();
        cells = run.cells;
        if !settled {
            return Ok((cells, Vec::new()));
        }
    }
    let ours = series::load(&context.checkout.patches())?;
    let targets = rebase_select::with_bases(&sources, &ours, &[Target { version, tree: base }])?;
    let runs = engine.run(&ours, &targets, &[version])?;
    Ok((cells, runs.into_iter().flat_map(|r| r.cells).collect()))
}

fn load(file: &Path) -> Result<Option<Followed>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Fault::new(format!("cannot read {}: {e}", file.display())).into()),
    };
    let followed: Followed = serde_json::from_str(&text).map_err(|e| {
        Fault::new(format!("{}: {e}", file.display()))
            .hint("remove the file; bump-nixpkgs writes it anew")
    })?;
    Ok(Some(followed))
}

/// What changed, for whoever reviews it. Markdown.
fn pull_request(
    before: Option<&Followed>,
    now: &Followed,
    theirs: &[Cell],
    ours: &[Cell],
) -> String {
    let open = |cells: &[Cell]| -> Vec<String> {
        let open = cells.iter().filter(|c| !c.outcome.is_settled());
        open.map(|c| {
            let reason = c.reason.as_deref().unwrap_or("no reason is known");
            format!("- `{}`: {}, {reason}", c.patch, c.outcome.word())
        })
        .collect()
    };
    let mut text = match before {
        Some(b) if b.systemd != now.systemd => {
            format!("# Follow nixpkgs from systemd {} to {}\n", b.systemd, now.systemd)
        }
        _ => format!("# Follow nixpkgs with systemd {}\n", now.systemd),
    };
    if let Some(revision) = &now.revision {
        text += &format!("\nnixpkgs {revision}.\n");
    }
    let names =
        |f: &Followed| -> Vec<String> { f.patches.iter().map(|p| p.name.clone()).collect() };
    let mut lines = Vec::new();
    match before {
        Some(b) => {
            let (old, new) = (names(b), names(now));
            lines.extend(new.iter().filter(|n| !old.contains(n)).map(|n| format!("- new: `{n}`")));
            lines.extend(old.iter().filter(|n| !new.contains(n)).map(|n| format!("- gone: `{n}`")));
            let same =
                |p: &&Own| b.patches.iter().any(|o| o.name == p.name && o.sha256 != p.sha256);
            lines.extend(
                now.patches.iter().filter(same).map(|p| format!("- new text: `{}`", p.name)),
            );
            if lines.is_empty() {
                lines.push("- as before".to_owned());
            }
        }
        None => lines.push(format!("- {}, seen for the first time", now.patches.len())),
    }
    text += &format!("\nnixpkgs' own patches:\n{}\n", lines.join("\n"));
    let (bad, worse) = (open(theirs), open(ours));
    if !bad.is_empty() {
        text += &format!("\n**They do not all apply to the release:**\n{}\n", bad.join("\n"));
    } else if !worse.is_empty() {
        text += &format!("\n**On top of them, these do not fit:**\n{}\n", worse.join("\n"));
        text += &format!(
            "\nEach fits the release alone. Write patches/ID/{}.patch so that it fits both, with \
             less context where they touch, and run the command again.\n",
            now.systemd
        );
    } else {
        let moved = ours.iter().filter(|c| c.outcome.word() != "clean" && c.outcome.is_applied());
        let moved: Vec<&str> = moved.map(|c| c.patch.as_str()).collect();
        let applied = ours.iter().filter(|c| c.outcome.is_applied()).count();
        let these = match applied {
            1 => "1 patch of plainboot applies".to_owned(),
            many => format!("{many} patches of plainboot apply"),
        };
        text += &format!("\nOn top of them, {these} without fuzz");
        text += &match moved.is_empty() {
            true => ", where they say.\n".to_owned(),
            false => format!("; at other lines: {}.\n", moved.join(", ")),
        };
        text += "\nRebuilt: `systemd-plainboot` and the images that use it; with \
                 `overlays/replace.nix`, all that links to systemd.\n";
    }
    text
}
