// SPDX-License-Identifier: MIT
//! `cargo xtask resolve`

mod markers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use self::markers::{marked, marker};
use super::{Context, rebase_select, rebase_text};
use crate::atomic::ChangeSet;
use crate::fault::{Fault, Status};
use crate::foreign;
use crate::patch::PatchText;
use crate::rebase::{self, Content, Engine, Memory, Piece, Resolution, Solved, SolvedFile, State};
use crate::series::{self, Patch, Series};
use crate::sources::{Lock, Sources};
use crate::version::SystemdVersion;

/// Solve the conflict of a patch on a version by hand, and remember how
///
/// Writes the conflicted files to a folder. Edit them there, then run the same command with
/// --continue: the patch becomes a variant, the solution is kept in patches/resolutions/, and the
/// other versions that it solves are named. What collides just as it did before, be it of another
/// version, comes solved already.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask resolve 0002-cgroup 263
  cargo xtask resolve 0002-cgroup 263 --continue")]
pub struct Args {
    /// The patch, such as 0002-cgroup
    #[arg(value_name = "PATCH")]
    patch: String,

    /// The version that it conflicts on, such as 258
    #[arg(value_name = "VERSION")]
    version: String,

    /// Take the edited files back
    #[arg(long = "continue")]
    go_on: bool,

    /// Drop the folder and what was edited in it
    #[arg(long, conflicts_with = "go_on")]
    abort: bool,
}

/// Kept in the folder, so that what is taken back belongs to what was written.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Work {
    patch: String,
    version: SystemdVersion,
    /// The variant that was carried.
    base: SystemdVersion,
    /// Path to the blob that the version has there.
    files: BTreeMap<String, String>,
}

const WORK: &str = "resolve.json";
/// Where solutions are kept, below `patches/`.
const RESOLUTIONS: &str = "resolutions";

/// A file of the patch on the version.
struct Conflicted {
    path: String,
    mode: i32,
    before: Arc<Content>,
    pieces: Vec<Piece>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let dir = context.checkout.patches();
    let series = series::load(&dir)?;
    let patch = series.patches.iter().position(|p| p.id == args.patch).ok_or_else(|| {
        let ids: Vec<&str> = series.patches.iter().map(|p| p.id.as_str()).collect();
        Fault::new(format!("no patch `{}`", args.patch)).hint(format!("one of {}", ids.join(", ")))
    })?;
    let version: SystemdVersion = args.version.parse()?;
    let folder = context.cache.root().join("resolve").join(format!("{}-{version}", args.patch));
    if args.abort {
        if folder.join(WORK).is_file() {
            std::fs::remove_dir_all(&folder)?;
        }
        ui.result(&format!("removed {}", folder.display()));
        return Ok(Status::Yes);
    }
    let lock = Lock::load(&context.checkout.lock())?;
    let sources = Sources::open(&context.cache, lock, &context.global.into(), ui)?;
    let mut engine = Engine::open(sources.git().path())?;
    let Some((work, files, text)) = conflict(&sources, &mut engine, &series, patch, version)?
    else {
        ui.result(&format!("{} has nothing to solve on systemd {version}", args.patch));
        return Ok(Status::Yes);
    };
    if args.go_on {
        go_on(context, &sources, &mut engine, &series, patch, &folder, &work, &files, text)
    } else {
        let memory = Memory::load(&dir.join(RESOLUTIONS))?;
        begin(context, &folder, &work, &files, &memory)
    }
}

/// What collides, and the text that was carried; `None` if the patch has an answer there.
fn conflict(
    sources: &Sources<'_>,
    engine: &mut Engine,
    series: &Series,
    index: usize,
    version: SystemdVersion,
) -> Result<Option<(Work, Vec<Conflicted>, PatchText)>> {
    let patch = &series.patches[index];
    let wanted = BTreeMap::from([(version, sources.get(version)?)]);
    let targets = rebase_select::targets(sources, series, &wanted)?;
    let bases: Vec<SystemdVersion> = targets.iter().map(|t| t.version).collect();
    let runs = engine.run(series, &targets, &bases)?;
    let run_of = |v: SystemdVersion| runs.iter().find(|r| r.version == v);
    let Some(run) = run_of(version) else { return Ok(None) };
    if let Some(open) = run.cells[..index].iter().find(|c| !c.outcome.is_settled()) {
        return Err(Fault::new(format!("{} is open on {version}, and comes first", open.patch))
            .hint(format!("cargo xtask resolve {} {version}", open.patch))
            .into());
    }
    let cell = &run.cells[index];
    if cell.outcome.is_settled() {
        return Ok(None);
    }
    let from = cell.from.ok_or_else(|| {
        Fault::new(format!("{} has no variant to start from", patch.id))
            .hint(format!("write patches/{}", patch.file(version).display()))
    })?;
    let made = run_of(from).and_then(|r| r.solved[index].as_ref()).ok_or_else(|| {
        Fault::new(format!("systemd {from}, which the patch was made on, is not here"))
            .hint("name a clone that has it: --systemd-git PATH")
    })?;
    let mut state = State::new(version, run.state.tree);
    for solved in run.solved[..index].iter().flatten() {
        for file in &solved.files {
            state.touched.insert(file.path.clone(), (file.mode, file.after.clone()));
        }
    }
    let mut files = Vec::new();
    for file in &made.files {
        let moved = cell.files.iter().find(|f| f.path == file.path);
        let path = moved.and_then(|f| f.moved_to.clone()).unwrap_or_else(|| file.path.clone());
        let Some((mode, before)) = read(sources.git(), &state, &path)? else {
            return Err(Fault::new(format!("{path} does not exist in systemd {version}"))
                .hint(format!("write patches/{} by hand", patch.file(version).display()))
                .into());
        };
        let base = file.before.as_ref().map_or(&b""[..], |b| &b.bytes);
        let pieces = rebase::pieces(base, &file.after.bytes, &before.bytes)?;
        files.push(Conflicted { path, mode, before, pieces });
    }
    let work = Work {
        patch: patch.id.clone(),
        version,
        base: from,
        files: files.iter().map(|f| (f.path.clone(), f.before.oid.to_string())).collect(),
    };
    let text = PatchText { message: made.message.clone(), files: Vec::new() };
    Ok(Some((work, files, text)))
}

/// The file at `path`, as the patches before have left it.
fn read(repo: &git2::Repository, state: &State, path: &str) -> Result<Option<(i32, Arc<Content>)>> {
    if let Some(known) = state.touched.get(path) {
        return Ok(Some(known.clone()));
    }
    let Ok(entry) = repo.find_tree(state.tree)?.get_path(Path::new(path)) else { return Ok(None) };
    let blob = repo.find_blob(entry.id())?;
    let content = Content::with_oid(entry.id(), blob.content().to_vec());
    Ok(Some((entry.filemode(), Arc::new(content))))
}

fn begin(
    context: &Context<'_>,
    folder: &Path,
    work: &Work,
    files: &[Conflicted],
    memory: &Memory,
) -> Result<Status> {
    if folder.join(WORK).exists() {
        return Err(Fault::new(format!("{} is there already", folder.display()))
            .hint(format!(
                "go on with it: cargo xtask resolve {0} {1} --continue\n\
                 or drop it: cargo xtask resolve {0} {1} --abort",
                work.patch, work.version
            ))
            .into());
    }
    let mut change = ChangeSet::default();
    let mut text = String::new();
    for file in files {
        let path = folder.join(&file.path);
        let (marked, remembered) = marked(work, &file.pieces, memory);
        let all = file.pieces.iter().filter(|p| matches!(p, Piece::Conflict(_))).count();
        let _ = write!(text, "{}: {} to solve", path.display(), all - remembered.len());
        for (resolution, line) in &remembered {
            let _ = write!(
                text,
                "\n  line {line} is solved as {} was on {}: look at it",
                resolution.patch, resolution.version
            );
        }
        text.push('\n');
        change.put(path, marked);
    }
    // Written last: the folder counts from then on.
    change.put(folder.join(WORK), serde_json::to_string_pretty(work)?);
    change.apply()?;
    let _ = write!(
        text,
        "edit them, then run\n  cargo xtask resolve {} {} --continue",
        work.patch, work.version
    );
    context.ui.result(&text);
    Ok(Status::No)
}

#[allow(clippy::too_many_arguments, reason = "what one command has at hand")]
fn go_on(
    context: &Context<'_>,
    sources: &Sources<'_>,
    engine: &mut Engine,
    series: &Series,
    index: usize,
    folder: &Path,
    work: &Work,
    files: &[Conflicted],
    mut text: PatchText,
) -> Result<Status> {
    let ui = context.ui;
    let again = format!("cargo xtask resolve {} {}", work.patch, work.version);
    let known: Option<Work> =
        std::fs::read(folder.join(WORK)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match known {
        None => {
            return Err(Fault::new(format!("{} is not there", folder.display()))
                .hint(again)
                .into());
        }
        Some(known) if known != *work => {
            return Err(Fault::new(format!("{} belongs to other sources", folder.display()))
                .hint(format!("{again} --abort"))
                .into());
        }
        Some(_) => {}
    }
    let mut solved = Solved { message: text.message.clone(), files: Vec::new(), applies: None };
    let mut kept: Vec<Resolution> = Vec::new();
    for file in files {
        let path = folder.join(&file.path);
        let fixed = std::fs::read(&path).map_err(|e| {
            Fault::new(format!("cannot read {}: {e}", path.display()))
                .hint(format!("{again} --abort"))
        })?;
        if let Some(line) = marker(&fixed) {
            return Err(Fault::new(format!("{}:{line}: a conflict marker", path.display()))
                .hint(format!("edit it, then run {again} --continue"))
                .into());
        }
        for (conflict, resolved) in rebase::solved(&file.pieces, &fixed).into_iter().flatten() {
            let version = work.version;
            kept.extend(Resolution::new(&work.patch, &file.path, version, &conflict, &resolved));
        }
        if fixed == file.before.bytes {
            continue;
        }
        let before = Some(file.before.as_ref());
        let diff =
            crate::patch::diff(&file.path, before.map(|b| &b.bytes[..]), file.mode, &fixed, 3)?;
        text.files.push(diff);
        solved.files.push(SolvedFile {
            path: file.path.clone(),
            mode: file.mode,
            before: Some(file.before.clone()),
            after: Arc::new(Content::new(fixed)),
        });
    }
    if text.files.is_empty() {
        return Err(Fault::new("the edited files are those of the version: nothing is left")
            .hint("if the patch is not needed there, say so with `needed` in patches/series.toml")
            .into());
    }
    foreign::check(&work.patch, &text, &solved)?;
    let dir = context.checkout.patches();
    let patch = &series.patches[index];
    let mut change = ChangeSet::default();
    change.put(dir.join(patch.file(work.version)), text.to_bytes());
    for resolution in &kept {
        let (name, text) = resolution.file()?;
        change.put(dir.join(RESOLUTIONS).join(name), text);
    }
    let solves = solves(sources, engine, series, patch, work.version, &text)?;
    let root = context.checkout.root().to_owned();
    let written = change.apply()?;
    std::fs::remove_dir_all(folder)?;
    for path in &written {
        ui.result(&format!("wrote {}", shown(&root, path)));
    }
    let whole = files.iter().flat_map(|f| &f.pieces);
    if whole.filter(|p| matches!(p, Piece::Conflict(_))).count() > kept.len() {
        ui.result("more was edited than what collided: only the variant keeps that");
    }
    let others: Vec<SystemdVersion> = solves.into_iter().filter(|v| *v != work.version).collect();
    if others.is_empty() {
        ui.result("it solves no other version that is here");
    } else {
        ui.result(&format!("it solves systemd {} too", rebase_text::names(&others)));
    }
    ui.result(&format!("next: cargo xtask rebase-patches {}", work.version));
    Ok(Status::Yes)
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The versions on which the patch is open now, and has an answer once `text` is its variant for
/// `version`.
fn solves(
    sources: &Sources<'_>,
    engine: &mut Engine,
    series: &Series,
    patch: &Patch,
    version: SystemdVersion,
    text: &PatchText,
) -> Result<Vec<SystemdVersion>> {
    let mut wanted = BTreeMap::new();
    for known in sources.known() {
        let here = known.present && known.refused.is_none() && !known.version.is_candidate();
        if here && patch.needed.contains(known.version) {
            wanted.insert(known.version, sources.get(known.version)?);
        }
    }
    let versions: Vec<SystemdVersion> = wanted.keys().copied().collect();
    let mut settled = |series: &Series| -> Result<Vec<(SystemdVersion, bool)>> {
        let targets = rebase_select::targets(sources, series, &wanted)?;
        let runs = engine.run(series, &targets, &versions)?;
        let cell = |r: &rebase::VersionRun| {
            r.cells.iter().any(|c| c.patch == patch.id && c.outcome.is_settled())
        };
        Ok(runs.iter().map(|r| (r.version, cell(r))).collect())
    };
    let before = settled(series)?;
    let mut new = series.clone();
    for patch in new.patches.iter_mut().filter(|p| p.id == patch.id) {
        patch.variants.retain(|v| v.base != version);
        patch.variants.push(series::Variant {
            base: version,
            ranges: Vec::new(),
            text: text.clone(),
        });
        patch.variants.sort_by_key(|v| v.base);
    }
    let after = settled(&new)?;
    let was = |v: SystemdVersion| before.iter().any(|(w, settled)| *w == v && *settled);
    Ok(after.into_iter().filter(|(v, settled)| *settled && !was(*v)).map(|(v, _)| v).collect())
}
