// SPDX-License-Identifier: MIT
//! `cargo xtask bench rebase`: the matrix of patches and versions, ours and git's way, in one run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use git2::Oid;
use serde::Serialize;

use super::bench_git::{Scratch, Tally, merge_tree, replay};
use super::rebase_select::targets;
use super::{Context, rebase_recall};
use crate::exec;
use crate::fault::{Fault, Status};
use crate::rebase::{self, Engine, Facts, Question, Target, VersionRun};
use crate::series::Series;
use crate::sources::{Lock, OLDEST_MAJOR, Sources};
use crate::version::SystemdVersion;

/// Carry the series to every version that is here, and let git do the same merges
///
/// Tree ids are compared, not only times. Of several rounds the fastest counts, for each contender:
/// what else the machine does can only slow them down.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench rebase --systemd-git ~/src/systemd
  cargo xtask bench rebase --alone                  # without git beside it")]
pub struct Args {
    /// Rounds for each contender
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,

    /// Leave git out: our own stages alone
    #[arg(long)]
    alone: bool,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document {
    schema: u32,
    versions: usize,
    patches: usize,
    /// Patches applied to versions.
    merges: usize,
    threads: usize,
    /// The first run on a machine.
    first: Stages,
    /// A run that carries everything anew, and relies on single checks of the first one.
    again: Stages,
    /// A run that asks the very same as the one before: nothing is carried, the answer is recalled.
    recalled: Stages,
    /// The most memory that this process has held in one whole run, in MiB.
    peak_mib: Option<u64>,
    contenders: Vec<Contender>,
}

/// The most memory that this process has held so far, as the kernel counted it.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// Milliseconds of the fastest round, by stage.
#[derive(Debug, Clone, Copy, Serialize)]
struct Stages {
    carry_ms: f64,
    variants_ms: f64,
    verify_ms: f64,
    total_ms: f64,
    /// Time on all processors together, in the round with the least.
    cpu_ms: f64,
}

/// Another way to do the same.
#[derive(Serialize)]
struct Contender {
    name: &'static str,
    ms: f64,
    /// On all processors together.
    cpu_ms: f64,
    /// How often our first run fits into its time; a later one; one that recalls its answer.
    times_first: f64,
    times_again: f64,
    times_recalled: f64,
    /// As `times_first` and `times_again`, in processor time: what else the machine does counts less.
    times_first_cpu: f64,
    times_again_cpu: f64,
    same_tree: usize,
    other_tree: usize,
    conflicts: usize,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let patches = context.checkout.patches();
    let (series, _) = rebase_recall::load(&patches)?;
    let lock = Lock::load(&context.checkout.lock())?;
    let sources = Sources::open(&context.cache, lock, &context.global.into(), ui)?;
    let mut wanted = BTreeMap::new();
    for known in sources.known() {
        let version = known.version;
        if known.refused.is_none() && version.major >= OLDEST_MAJOR && !version.is_candidate() {
            wanted.insert(version, sources.get(version)?);
        }
    }
    if wanted.is_empty() {
        return Err(Fault::new("no version of systemd is here")
            .hint("--systemd-git PATH names a clone")
            .into());
    }
    let versions: Vec<SystemdVersion> = wanted.keys().copied().collect();
    let targets = targets(&sources, &series, &wanted)?;
    let git = sources.git().path().to_owned();

    let input = Input { git: &git, patches: &patches, series: &series, targets: &targets };
    let (mut first, mut again, mut recalled): (Option<Stages>, Option<Stages>, Option<Stages>) =
        (None, None, None);
    let (mut runs, mut trees, mut peak) = (Vec::new(), Vec::new(), None);
    let step = ui.step("our way");
    for _ in 0..args.rounds.max(1) {
        let round = ours(&input, &versions, Facts::default())?;
        // Later rounds hold the answers of the one before, too.
        peak = peak.or_else(peak_mib);
        first = Some(first.map_or(round.stages, |best| best.least(round.stages)));
        let anew = ours(&input, &versions, round.facts)?;
        anyhow::ensure!(anew.trees == round.trees, "carried anew, a tree is another one");
        again = Some(again.map_or(anew.stages, |best| best.least(anew.stages)));
        let stages = from_memory(&input, &versions, &round.runs)?;
        recalled = Some(recalled.map_or(stages, |best| best.least(stages)));
        (runs, trees) = (round.runs, round.trees);
    }
    step.done("");
    let ((first, again), recalled) = first.zip(again).zip(recalled).context("no round was run")?;
    let mut contenders = Vec::new();
    if !args.alone {
        let scratch = Scratch::make(&git, &runs, &trees)?;
        type Way = fn(&Scratch) -> Result<Tally>;
        let ways: [(&'static str, Way); 2] =
            [("git merge-tree --stdin", merge_tree), ("git replay, one a version", replay)];
        for (name, way) in ways {
            let step = ui.step(name);
            let mut best: Option<Tally> = None;
            for _ in 0..args.rounds.max(1) {
                exec::check_interrupt()?;
                let tally = way(&scratch)?;
                best = Some(best.map_or(tally, |best| best.least(tally)));
            }
            step.done("");
            let Some(tally) = best else { continue };
            let (ms, cpu_ms) = (milliseconds(tally.time), milliseconds(tally.cpu));
            contenders.push(Contender {
                name,
                ms,
                cpu_ms,
                times_first: ms / first.total_ms,
                times_again: ms / again.total_ms,
                times_recalled: ms / recalled.total_ms,
                times_first_cpu: cpu_ms / first.cpu_ms,
                times_again_cpu: cpu_ms / again.cpu_ms,
                same_tree: tally.same,
                other_tree: tally.other,
                conflicts: tally.conflicts,
            });
        }
    }
    let merges = runs.iter().flat_map(|r| &r.cells).filter(|c| c.outcome.is_applied()).count();
    let document = Document {
        schema: 2,
        versions: versions.len(),
        patches: series.patches.len(),
        merges,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        first,
        again,
        recalled,
        peak_mib: peak,
        contenders,
    };
    if context.global.json {
        ui.json(&document)?;
    } else {
        ui.result(&text(&document));
    }
    Ok(Status::Yes)
}

impl Stages {
    fn least(self, other: Stages) -> Stages {
        let cpu_ms = self.cpu_ms.min(other.cpu_ms);
        let best = if self.total_ms <= other.total_ms { self } else { other };
        Stages { cpu_ms, ..best }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

struct Input<'a> {
    git: &'a Path,
    patches: &'a Path,
    series: &'a Series,
    targets: &'a [Target],
}

/// What one whole run gave.
struct Round {
    stages: Stages,
    facts: Facts,
    runs: Vec<VersionRun>,
    /// The patched tree of each.
    trees: Vec<Oid>,
}

/// One whole run, which opens the repository anew: of runs before it has the facts, if given any.
fn ours(input: &Input<'_>, versions: &[SystemdVersion], facts: Facts) -> Result<Round> {
    let Input { git, patches, series, targets } = *input;
    let (start, cpu) = (Instant::now(), processor_time());
    let mut engine = Engine::open(git)?.knowing(facts);
    let runs = engine.run(series, targets, versions)?;
    // What git is asked for as well: the tree of each version.
    let trees = engine.patched_trees(&runs)?;
    let carried = start.elapsed();
    let verified: Vec<&VersionRun> = runs.iter().filter(|r| r.is_settled()).collect();
    rebase::settle(series, &verified, &[], &[])?;
    let chosen = start.elapsed();
    // A version for which a variant would first have to be written cannot be read back.
    let on_disk = |run: &&VersionRun| {
        let applied = series.patches.iter().zip(&run.solved).filter(|(_, s)| s.is_some());
        applied.into_iter().all(|(p, _)| p.variant_for(run.version).is_some())
    };
    let on_disk: Vec<&VersionRun> = verified.into_iter().filter(on_disk).collect();
    rebase::verify(&mut engine, patches, &|path| std::fs::read(path), &on_disk)?;
    let total = start.elapsed();
    let stages = Stages {
        carry_ms: milliseconds(carried),
        variants_ms: milliseconds(chosen - carried),
        verify_ms: milliseconds(total - chosen),
        total_ms: milliseconds(total),
        cpu_ms: milliseconds(processor_time() - cpu),
    };
    let facts = engine.facts().to_bytes().unwrap_or_default();
    Ok(Round { stages, facts: Facts::from_bytes(&facts), runs, trees })
}

/// A run that has been asked the same before, as far as the answer: from reading the series on.
fn from_memory(
    input: &Input<'_>,
    versions: &[SystemdVersion],
    runs: &[VersionRun],
) -> Result<Stages> {
    let Input { git, patches, targets, .. } = *input;
    let engine = Engine::open(git)?;
    let (series, hash) = rebase_recall::load(patches)?;
    let verified: Vec<&VersionRun> = runs.iter().filter(|r| r.is_settled()).collect();
    let settled = rebase::settle(&series, &verified, &[], &[])?;
    let question = Question::new(&hash, targets, versions, &[]);
    let kept = rebase::remember(question, &engine, &series, runs, &settled)?;
    let file = kept.ok_or_else(|| {
        Fault::new("an answer that leaves something to do is not kept, so none can be recalled")
            .hint("cargo xtask rebase-patches writes what is missing")
    })?;
    let (start, cpu) = (Instant::now(), processor_time());
    let (series, hash) = rebase_recall::load(patches)?;
    let question = Question::new(&hash, targets, versions, &[]);
    let answer = rebase::recall(&file, question, &series).context("the answer is not known")?;
    let total = milliseconds(start.elapsed());
    let cpu_ms = milliseconds(processor_time() - cpu);
    for (now, before) in answer.runs.iter().zip(runs) {
        let same = engine.patched_tree(now)? == engine.patched_tree(before)?;
        anyhow::ensure!(same && answer.runs.len() == runs.len(), "{}: another tree", now.version);
    }
    Ok(Stages { carry_ms: total, variants_ms: 0.0, verify_ms: 0.0, total_ms: total, cpu_ms })
}

fn text(d: &Document) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} patches x {} versions: {} applied, on {} threads",
        d.patches, d.versions, d.merges, d.threads
    );
    let ours = [
        ("ours, the first run", &d.first),
        ("ours, carried anew", &d.again),
        ("ours, asked again", &d.recalled),
    ];
    for (name, s) in ours {
        let _ = writeln!(
            text,
            "  {name:<26}{:>7.0} ms   carry {:.0}, choose {:.0}, verify {:.0}; processor {:.0}",
            s.total_ms, s.carry_ms, s.variants_ms, s.verify_ms, s.cpu_ms
        );
    }
    if let Some(mib) = d.peak_mib {
        let _ = writeln!(text, "  memory at its most: {mib} MiB");
    }
    for c in &d.contenders {
        let _ = writeln!(
            text,
            "  {:<26}{:>7.0} ms   processor {:.0}; trees: {} same, {} other, {} conflicts",
            c.name, c.ms, c.cpu_ms, c.same_tree, c.other_tree, c.conflicts
        );
        let _ = writeln!(
            text,
            "  {:<29}the time of {:.1} first runs, {:.1} anew, {:.0} asked again; processor {:.1}, {:.1}",
            "",
            c.times_first,
            c.times_again,
            c.times_recalled,
            c.times_first_cpu,
            c.times_again_cpu
        );
    }
    text
}
