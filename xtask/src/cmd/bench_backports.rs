// SPDX-License-Identifier: MIT
//! `cargo xtask bench backports`: the maintainers' own backports, carried again and compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use git2::{Oid, Repository, Sort};

use super::Context;
use super::backports_found::{Culprits, Document, GitTally, Grade, Tally, join, rate, text};
use crate::exec::Call;
use crate::fault::{Fault, Status};
use crate::foreign::Trees;
use crate::rebase::{self, Backport, Changes, Method, Outcome, Replayed, Spent};

/// Carry every `(cherry picked from commit …)` of a stable branch again, and compare with what the
/// maintainers made of it
///
/// git merge-tree does the same merges. A tree that is neither git's nor the maintainers' counts as
/// wrong. The figures on time are those of merging alone, with all files read before.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench backports --repo ~/src/systemd-stable --branch v257-stable --last")]
pub struct Args {
    /// A clone with the stable branch and the commits that were picked; it is only read
    #[arg(long, value_name = "PATH")]
    repo: PathBuf,

    /// The stable branch, such as v257-stable; may be given again
    #[arg(long, value_name = "REV", required = true)]
    branch: Vec<String>,

    /// Take the last line that names a commit, not the first: the branch next to this one, which
    /// has fewer conflicts
    #[arg(long)]
    last: bool,

    /// Also name the upstream commit that broke a hunk, in what git leaves as conflict, and say how
    /// long that takes
    #[arg(long)]
    culprits: bool,

    /// Name the commits of this class: a row of the table, or wrong, `resolved wrong`,
    /// `not needed wrong`, other (as git, other than the maintainers), resolved (by any method), lost
    /// (git has it right)
    #[arg(long, value_name = "CLASS")]
    show: Option<String>,
}

/// git's answer: its tree, and whether it is without conflicts.
struct ByGit {
    clean: bool,
    tree: Oid,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let trees = Trees::open(&args.repo)?;
    let mut document: Option<Document> = None;
    let mut shown = String::new();
    let mut asked = Vec::new();
    for branch in &args.branch {
        let step = ui.step(format!("reading {branch}"));
        let (cases, fork) = cases(trees.theirs(), branch, args.last)?;
        step.done(&format!("{} backports", cases.len()));
        let step = ui.step("carrying them");
        let (ours, time, deeper) = rebase::replay_backports(&trees.scratch(), &cases, fork)?;
        let seconds = (time.wall.as_secs_f64(), deeper.as_secs_f64());
        step.done(&format!("{:.2} s to merge, {:.2} s for the rest", seconds.0, seconds.1));
        let step = ui.step("git merge-tree --stdin");
        let git = by_git(&trees.scratch(), &cases)?;
        step.done("");
        if args.culprits {
            let step = ui.step("the commits that broke a hunk");
            let conflict = |git: &Option<ByGit>| git.as_ref().is_some_and(|git| !git.clean);
            let conflicts = cases.iter().zip(&git).filter(|(_, git)| conflict(git));
            let conflicts: Vec<&Backport> = conflicts.map(|(case, _)| case).collect();
            asked.extend(rebase::culprits(&trees.scratch(), &conflicts)?);
            step.done("");
        }
        let part =
            grade(trees.ours(), branch, &cases, &ours, &git, (time, deeper), args, &mut shown)?;
        document = Some(match document {
            None => part,
            Some(all) => join(all, part),
        });
    }
    let mut document = document.context("no branch was named")?;
    document.culprits = Culprits::of(&asked);
    if context.global.json {
        ui.json(&document)?;
    } else {
        ui.result(&format!("{shown}{}", text(&document)));
    }
    let kept = document.kept * 100 >= document.git.identical * 99;
    Ok(if document.wrong == 0 && kept { Status::Yes } else { Status::No })
}

/// The backports of a branch since it left the main one, and the tree where it left.
fn cases(repo: &Repository, branch: &str, last: bool) -> Result<(Vec<Backport>, Option<Oid>)> {
    let tip = repo
        .revparse_single(branch)
        .and_then(|o| o.peel_to_commit())
        .map_err(|e| {
            Fault::new(format!("`{branch}`: {}", e.message()))
                .hint("`git branch -a` lists branches")
        })?
        .id();
    // The branch leaves the main one at the release that it is named after.
    let release = branch.rsplit('/').next().unwrap_or(branch).trim_end_matches("-stable");
    let fork = repo
        .revparse_single(&format!("refs/tags/{release}"))
        .and_then(|o| o.peel_to_commit())
        .map_err(|e| {
            Fault::new(format!("{branch}: no tag {release} where it starts: {}", e.message()))
                .hint("git fetch --tags")
        })?;
    let mut walk = repo.revwalk()?;
    walk.push(tip)?;
    walk.hide(fork.id())?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    let mut cases = Vec::new();
    for id in walk {
        let Ok(commit) = repo.find_commit(id?) else { continue };
        if commit.parent_count() != 1 {
            continue;
        }
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        let picked: Vec<Oid> = message
            .lines()
            .filter_map(|l| l.trim().strip_prefix("(cherry picked from commit ")?.strip_suffix(')'))
            .filter_map(|id| Oid::from_str(id).ok())
            .collect();
        let there = |id: &&Oid| repo.find_commit(**id).is_ok_and(|c| c.parent_count() == 1);
        let found = if last { picked.iter().rev().find(there) } else { picked.iter().find(there) };
        let Some(&picked) = found else { continue };
        let from = repo.find_commit(picked)?;
        let tree = |c: &git2::Commit<'_>| c.parent(0).map(|p| p.tree_id());
        let (Ok(base), Ok(ours)) = (tree(&from), tree(&commit)) else { continue };
        cases.push(Backport {
            stable: commit.id(),
            picked,
            subject: message.lines().next().unwrap_or_default().to_owned(),
            base,
            theirs: from.tree_id(),
            ours,
            truth: commit.tree_id(),
        });
    }
    if cases.is_empty() {
        return Err(Fault::new(format!(
            "{branch} has no commit that says where it was picked from"
        ))
        .hint("the clone needs the history of the branch and of the main one")
        .into());
    }
    Ok((cases, Some(fork.tree_id())))
}

/// The same merges by git, each given its base.
fn by_git(scratch: &Path, cases: &[Backport]) -> Result<Vec<Option<ByGit>>> {
    let mut answers = Vec::with_capacity(cases.len());
    // One process for all, unless an object is missing: then it ends there, and the next begins
    // after that case.
    while answers.len() < cases.len() {
        let left = &cases[answers.len()..];
        let mut input = String::new();
        for case in left {
            let _ = writeln!(input, "{} -- {}^ {}", parent(case.picked), case.stable, case.picked);
        }
        let answer = Call::new("git")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .args(["-c", "merge.renames=true", "--git-dir"])
            .arg(scratch)
            .args(["merge-tree", "--write-tree", "--no-messages", "--stdin"])
            .deadline(Duration::from_secs(600))
            .input(move |pipe| pipe.write_all(input.as_bytes()))
            .output()?;
        let text = answer.text();
        let mut words = text.split('\0').map(str::trim).filter(|w| !w.is_empty()).peekable();
        let before = answers.len();
        while answers.len() < cases.len()
            && let Some(clean) = words.next()
        {
            let tree = words.next().context("git merge-tree named no tree")?;
            answers.push(Some(ByGit { clean: clean == "1", tree: Oid::from_str(tree)? }));
            while words.next_if(|w| *w != "0" && *w != "1").is_some() {}
        }
        if answers.len() == before || (answer.status.success() && answers.len() < cases.len()) {
            if answer.status.success() {
                return Err(Fault::new("git merge-tree --stdin said less than was asked")
                    .hint("git 2.40 or newer can do this")
                    .into());
            }
            tracing::info!(case = %cases[before].stable, said = %answer.error_text(), "git failed");
            answers.push(None);
        } else if answers.len() < cases.len() {
            answers.push(None);
        }
    }
    answers.truncate(cases.len());
    Ok(answers)
}

fn parent(commit: Oid) -> String {
    format!("{commit}^")
}

#[allow(clippy::too_many_arguments, reason = "what was found, side by side")]
fn grade(
    repo: &Repository,
    branch: &str,
    cases: &[Backport],
    ours: &[Replayed],
    git: &[Option<ByGit>],
    (time, deeper): (Spent, Duration),
    args: &Args,
    shown: &mut String,
) -> Result<Document> {
    let mut document = Document {
        schema: 1,
        branches: vec![branch.to_owned()],
        cases: cases.len(),
        unreadable: 0,
        git: GitTally::default(),
        ours: BTreeMap::new(),
        kept: 0,
        of_conflicts: BTreeMap::new(),
        wrong: 0,
        resolved: Tally::default(),
        merging_ms: time.wall.as_secs_f64() * 1000.0,
        processor_ms: time.processor.as_secs_f64() * 1000.0,
        deeper_ms: deeper.as_secs_f64() * 1000.0,
        cases_per_second: 0.0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        culprits: None,
    };
    for ((case, ours), git) in cases.iter().zip(ours).zip(git) {
        let (Some(git), false) = (git, ours.outcome == Outcome::Unreadable) else {
            document.unreadable += 1;
            continue;
        };
        let truth = rebase::tree_changes(repo, case.ours, case.truth)?;
        let by_git = rebase::tree_changes(repo, case.ours, git.tree)?;
        let git_right = git.clean && by_git == truth;
        match (git.clean, git_right) {
            (_, true) => document.git.identical += 1,
            (true, false) => document.git.other += 1,
            (false, _) => document.git.conflict += 1,
        }
        let grade = match &ours.changes {
            None => Grade::Open,
            Some(changes) => of(repo, case, changes, &truth, &by_git)?,
        };
        let word = word(ours);
        document.ours.entry(word).or_default().add(grade);
        if git_right && grade == Grade::Identical {
            document.kept += 1;
        }
        if !git.clean {
            document.of_conflicts.entry(word).or_default().add(grade);
        }
        let merged = ours.outcome.is_applied() && ours.method.is_none();
        document.wrong += usize::from(grade == Grade::Wrong && merged);
        if ours.method.is_some() {
            document.resolved.add(grade);
        }
        let class = match grade {
            Grade::Wrong if merged => "wrong",
            Grade::Wrong if ours.method.is_some() => "resolved wrong",
            Grade::Wrong => "not needed wrong",
            Grade::AsGit => "other",
            _ => word,
        };
        let classes = [
            (class, true),
            ("lost", git_right && grade != Grade::Identical),
            ("resolved", ours.method.is_some()),
        ];
        if classes.iter().any(|(class, fits)| *fits && args.show.as_deref() == Some(class)) {
            let reason = ours.reason.clone().unwrap_or_default();
            let git = if git_right {
                "git has it right"
            } else if git.clean {
                "git differs"
            } else {
                "git conflicts"
            };
            let _ = writeln!(
                shown,
                "{} from {}: {}\n  {git}; {word}, {}: {reason}",
                short(case.stable),
                short(case.picked),
                case.subject,
                grade.word()
            );
        }
    }
    document.cases_per_second = rate(&document);
    Ok(document)
}

/// The row of an answer.
fn word(ours: &Replayed) -> &'static str {
    match ours.method {
        None => ours.outcome.word(),
        Some(Method::Lines) => "resolved by lines",
        Some(Method::Tokens) => "resolved by tokens",
        Some(Method::Steps) => "resolved by steps",
        Some(Method::Function) => "resolved by function",
    }
}

fn short(id: Oid) -> String {
    id.to_string()[..12].to_owned()
}

/// Our changes may name files as they are; only what differs counts.
fn of(
    repo: &Repository,
    case: &Backport,
    changes: &Changes,
    truth: &Changes,
    git: &Changes,
) -> Result<Grade> {
    let tree = repo.find_tree(case.ours)?;
    let mut real = changes.clone();
    real.retain(|path, new| {
        let old = tree.get_path(Path::new(path)).ok().map(|e| (e.filemode(), e.id()));
        old != *new
    });
    // A file with git's conflict marks is never as ours.
    let mut paths =
        real.keys().chain(truth.keys()).filter(|path| real.get(*path) != truth.get(*path));
    Ok(match () {
        () if real == *truth => Grade::Identical,
        () if paths.all(|path| real.get(path) == git.get(path)) => Grade::AsGit,
        () => Grade::Wrong,
    })
}
