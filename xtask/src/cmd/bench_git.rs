// SPDX-License-Identifier: MIT
//! git's way to carry a series to many versions, to be measured beside ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use git2::{Oid, Repository};

use crate::exec::Call;
use crate::fault::Fault;
use crate::rebase::{self, State, VersionRun};
use crate::version::SystemdVersion;

/// The same merges as commits in a repository of their own, so that git can do them.
pub struct Scratch {
    dir: tempfile::TempDir,
    merges: Vec<Merge>,
    replays: Vec<Replay>,
}

/// One patch onto one version, on top of the patches before it.
struct Merge {
    base: Oid,
    ours: Oid,
    theirs: Oid,
    tree: Oid,
}

/// The whole series of one version onto another one.
struct Replay {
    from: Oid,
    branch: String,
    onto: Oid,
    tree: Oid,
}

#[derive(Debug, Clone, Copy)]
pub struct Tally {
    pub time: Duration,
    /// On all processors together, git's own processes.
    pub cpu: Duration,
    pub same: usize,
    pub other: usize,
    pub conflicts: usize,
}

impl Tally {
    /// The shorter of two rounds with the same answers.
    pub fn least(self, other: Tally) -> Tally {
        let (time, cpu) = (self.time.min(other.time), self.cpu.min(other.cpu));
        Tally { time, cpu, ..self }
    }
}

/// Processor time of all processes that this one has started and that have ended, as the kernel
/// counts it, in hundredths of a second.
fn of_children() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in brackets may hold anything; `cutime` and `cstime` are the 16th and 17th field.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(13).take(2).map(str::parse::<u64>);
    let ticks = ticks.sum::<Result<u64, _>>().context("/proc/self/stat")?;
    Ok(Duration::from_millis(ticks * 10))
}

impl Scratch {
    /// `trees` are what the runs came to by our own account.
    pub fn make(git: &Path, runs: &[VersionRun], trees: &[Oid]) -> Result<Scratch> {
        let dir = tempfile::Builder::new().prefix("plainboot-bench-").tempdir()?;
        let repo = Repository::init_bare(dir.path())?;
        let objects = format!("{}\n", git.join("objects").display());
        crate::atomic::write(&dir.path().join("objects/info/alternates"), objects.as_bytes())?;
        let repo = Repository::open_bare(repo.path())?;
        // Per version: its commit, and one more for each patch.
        let mut chains: BTreeMap<SystemdVersion, Vec<Oid>> = BTreeMap::new();
        for (run, ours) in runs.iter().zip(trees) {
            let mut state = State::new(run.version, run.state.tree);
            let mut chain = vec![commit(&repo, run.state.tree, None)?];
            for solved in &run.solved {
                for file in solved.iter().flat_map(|s| &s.files) {
                    state.touched.insert(file.path.clone(), (file.mode, file.after.clone()));
                }
                let tree = state.write(&repo)?;
                chain.push(commit(&repo, tree, chain.last().copied())?);
            }
            let written = state.write(&repo)?;
            anyhow::ensure!(written == *ours, "{}: git makes another tree of it", run.version);
            chains.insert(run.version, chain);
        }
        let tree = |id: Oid| repo.find_commit(id).map(|c| c.tree_id());
        let mut merges = Vec::new();
        let mut replays = Vec::new();
        let mut bases: Vec<SystemdVersion> = Vec::new();
        for run in runs {
            let here = &chains[&run.version];
            for (index, cell) in run.cells.iter().enumerate() {
                let made = cell.from.and_then(|v| chains.get(&v));
                let (true, Some(made)) = (cell.outcome.is_applied(), made) else { continue };
                merges.push(Merge {
                    base: made[index],
                    ours: here[index],
                    theirs: made[index + 1],
                    tree: tree(here[index + 1])?,
                });
                bases.extend(cell.from);
            }
        }
        bases.sort();
        bases.dedup();
        let whole = |v: &SystemdVersion| runs.iter().any(|r| r.version == *v && r.is_settled());
        bases.retain(whole);
        for base in &bases {
            let last = chains[base].last().copied().context("empty chain")?;
            repo.reference(&format!("refs/heads/from-{base}"), last, false, "bench")?;
        }
        for run in runs.iter().filter(|r| r.is_settled()) {
            let others = bases.iter().filter(|b| **b != run.version);
            let Some(near) = others.min_by_key(|b| rebase::distance(**b, run.version)) else {
                continue;
            };
            let here = &chains[&run.version];
            replays.push(Replay {
                from: chains[near][0],
                branch: format!("refs/heads/from-{near}"),
                onto: here[0],
                tree: tree(here[here.len() - 1])?,
            });
        }
        Ok(Scratch { dir, merges, replays })
    }

    fn git(&self) -> Call {
        // Nothing of the user's configuration, such as a merge driver, takes part.
        Call::new("git")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_COMMITTER_NAME", "bench")
            .env("GIT_COMMITTER_EMAIL", "bench@localhost")
            .arg("-C")
            .arg(self.dir.path())
            .deadline(Duration::from_secs(300))
    }
}

fn commit(repo: &Repository, tree: Oid, parent: Option<Oid>) -> Result<Oid> {
    let who = git2::Signature::new("bench", "bench@localhost", &git2::Time::new(0, 0))?;
    let parent = parent.map(|p| repo.find_commit(p)).transpose()?;
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    Ok(repo.commit(None, &who, &who, "bench", &repo.find_tree(tree)?, &parents)?)
}

/// All merges in one process, each given its base, as fast as git can be told to.
pub fn merge_tree(scratch: &Scratch) -> Result<Tally> {
    let mut input = String::new();
    for merge in &scratch.merges {
        let _ = writeln!(input, "{} -- {} {}", merge.base, merge.ours, merge.theirs);
    }
    let args = ["merge-tree", "--write-tree", "--no-messages", "--stdin"];
    let (start, before) = (Instant::now(), of_children()?);
    let call = scratch.git().args(args).input(move |pipe| pipe.write_all(input.as_bytes()));
    let answer = call.output()?;
    let time = start.elapsed();
    let cpu = of_children()?.saturating_sub(before);
    let mut tally = Tally { time, cpu, same: 0, other: 0, conflicts: 0 };
    if !answer.status.success() {
        return Err(Fault::new(format!("git merge-tree --stdin: {}", answer.error_text()))
            .hint("git 2.40 or newer can do this; --alone leaves git out")
            .into());
    }
    let text = answer.text();
    let mut words = text.split('\0').map(str::trim).filter(|w| !w.is_empty()).peekable();
    for merge in &scratch.merges {
        let clean = words.next().context("git merge-tree said less than was asked")? == "1";
        let tree = words.next().context("git merge-tree named no tree")?;
        match (clean, tree == merge.tree.to_string()) {
            (true, true) => tally.same += 1,
            (true, false) => tally.other += 1,
            (false, _) => tally.conflicts += 1,
        }
        // The conflicting files, until the next merge begins.
        while words.next_if(|w| *w != "0" && *w != "1").is_some() {}
    }
    Ok(tally)
}

/// One `git replay` of the patches for each version, from the nearest version of a variant.
pub fn replay(scratch: &Scratch) -> Result<Tally> {
    let zero = Duration::ZERO;
    let mut tally = Tally { time: zero, cpu: zero, same: 0, other: 0, conflicts: 0 };
    let before = of_children()?;
    let repo = Repository::open_bare(scratch.dir.path())?;
    for replay in &scratch.replays {
        let range = format!("{}..{}", replay.from, replay.branch);
        let start = Instant::now();
        let args = ["replay", "--onto", &replay.onto.to_string(), &range];
        let answer = scratch.git().args(args).output()?;
        tally.time += start.elapsed();
        match answer.status.code() {
            Some(0) => {}
            Some(1) => {
                tally.conflicts += 1;
                continue;
            }
            _ => {
                return Err(Fault::new(format!("git replay: {}", answer.error_text()))
                    .hint("git 2.44 or newer can do this; --alone leaves git out")
                    .into());
            }
        }
        // `update refs/heads/… <new> <old>`
        let text = answer.text();
        let new = text.split(' ').nth(2).context("git replay named no commit")?;
        let same = repo.find_commit(Oid::from_str(new)?)?.tree_id() == replay.tree;
        *(if same { &mut tally.same } else { &mut tally.other }) += 1;
    }
    tally.cpu = of_children()?.saturating_sub(before);
    Ok(tally)
}
