// SPDX-License-Identifier: MIT
//! What `cargo xtask bench backports` found: the document of `--json`, and the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::rebase::Asked;

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// The maintainers' tree.
    Identical,
    /// Every file that is not as the maintainers' is as git merges it: they edited it by hand.
    AsGit,
    /// Neither git's nor the maintainers'.
    Wrong,
    /// No tree: a person is asked.
    Open,
}

impl Grade {
    pub fn word(self) -> &'static str {
        match self {
            Grade::Identical => "right",
            Grade::AsGit => "as git",
            Grade::Wrong => "wrong",
            Grade::Open => "open",
        }
    }
}

#[derive(Serialize)]
pub struct Document {
    pub schema: u32,
    pub branches: Vec<String>,
    /// Commits that name another one.
    pub cases: usize,
    pub unreadable: usize,
    pub git: GitTally,
    /// Outcome to numbers by grade.
    pub ours: BTreeMap<&'static str, Tally>,
    /// Of what git merges to the maintainers' tree: how many are that here, too.
    pub kept: usize,
    /// What git leaves as conflict, by our outcome.
    pub of_conflicts: BTreeMap<&'static str, Tally>,
    pub wrong: usize,
    /// What the deeper methods found.
    pub resolved: Tally,
    pub merging_ms: f64,
    /// On all processors together: what else the machine does counts less here.
    pub processor_ms: f64,
    /// The deeper methods, on what merging leaves open.
    pub deeper_ms: f64,
    pub cases_per_second: f64,
    pub threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprits: Option<Culprits>,
}

/// How long naming the commit that broke a hunk took, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Culprits {
    pub hunks: usize,
    pub named: usize,
    pub median_ms: f64,
    /// Nineteen of twenty took less.
    pub p95_ms: f64,
    pub most_ms: f64,
}

impl Culprits {
    pub fn of(asked: &[Asked]) -> Option<Culprits> {
        let mut times: Vec<f64> = asked.iter().map(|a| a.time.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 100).copied();
        Some(Culprits {
            hunks: asked.len(),
            named: asked.iter().filter(|a| a.named).count(),
            median_ms: at(50)?,
            p95_ms: at(95)?,
            most_ms: times.last().copied()?,
        })
    }
}

#[derive(Default, Serialize)]
pub struct GitTally {
    pub identical: usize,
    pub other: usize,
    pub conflict: usize,
}

#[derive(Debug, Default, Clone, Serialize)]
pub struct Tally {
    pub identical: usize,
    pub as_git: usize,
    pub wrong: usize,
    pub open: usize,
}

impl Tally {
    pub fn add(&mut self, grade: Grade) {
        match grade {
            Grade::Identical => self.identical += 1,
            Grade::AsGit => self.as_git += 1,
            Grade::Wrong => self.wrong += 1,
            Grade::Open => self.open += 1,
        }
    }

    pub fn join(&mut self, other: &Tally) {
        self.identical += other.identical;
        self.as_git += other.as_git;
        self.wrong += other.wrong;
        self.open += other.open;
    }

    pub fn sum(&self) -> usize {
        self.identical + self.as_git + self.wrong + self.open
    }
}

pub fn rate(document: &Document) -> f64 {
    document.cases as f64 * 1000.0 / document.merging_ms.max(0.001)
}

pub fn join(mut a: Document, b: Document) -> Document {
    a.branches.extend(b.branches);
    a.cases += b.cases;
    a.unreadable += b.unreadable;
    a.git.identical += b.git.identical;
    a.git.other += b.git.other;
    a.git.conflict += b.git.conflict;
    let add = |to: &mut BTreeMap<&'static str, Tally>, from: BTreeMap<&'static str, Tally>| {
        for (word, tally) in from {
            to.entry(word).or_default().join(&tally);
        }
    };
    a.resolved.join(&b.resolved);
    add(&mut a.ours, b.ours);
    add(&mut a.of_conflicts, b.of_conflicts);
    a.kept += b.kept;
    a.wrong += b.wrong;
    a.merging_ms += b.merging_ms;
    a.processor_ms += b.processor_ms;
    a.deeper_ms += b.deeper_ms;
    a.cases_per_second = rate(&a);
    a
}

pub fn text(d: &Document) -> String {
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} backports, {} of them unreadable here",
        d.branches.join(", "),
        d.cases,
        d.unreadable
    );
    let _ = writeln!(
        text,
        "git merge-tree: {} as the maintainers, {} other, {} conflicts\n",
        d.git.identical, d.git.other, d.git.conflict
    );
    let table = |text: &mut String, title: &str, rows: &BTreeMap<&'static str, Tally>| {
        let _ = writeln!(
            text,
            "{title:<26}{:>8}{:>14}{:>9}{:>8}{:>8}",
            "ALL", "MAINTAINERS'", "GIT'S", "WRONG", "OPEN"
        );
        for (word, t) in rows {
            let _ = writeln!(
                text,
                "{word:<26}{:>8}{:>14}{:>9}{:>8}{:>8}",
                t.sum(),
                t.identical,
                t.as_git,
                t.wrong,
                t.open
            );
        }
    };
    table(&mut text, "OURS", &d.ours);
    text.push('\n');
    table(&mut text, "OF GIT'S CONFLICTS", &d.of_conflicts);
    let solved: usize = d.of_conflicts.values().map(|t| t.identical).sum();
    let _ = writeln!(
        text,
        "\nof what git merges right {:.2} % is right here; of its conflicts {:.1} % are solved as \
         the\nmaintainers did; {} wrong. Merging: {:.0} cases a second on {} threads,\n\
         {:.2} ms of processor time each. The deeper methods took {:.1} s. Of what they \
         resolved\nthe whole tree is as the maintainers made it in {:.1} %, each file that is not as \
         git merges\nit in {:.1} %",
        percent(d.kept, d.git.identical),
        percent(solved, d.git.conflict),
        d.wrong,
        d.cases_per_second,
        d.threads,
        d.processor_ms / d.cases as f64,
        d.deeper_ms / 1000.0,
        percent(d.resolved.identical, d.resolved.sum()),
        percent(d.resolved.identical + d.resolved.as_git, d.resolved.sum())
    );
    if let Some(c) = &d.culprits {
        let _ = writeln!(
            text,
            "the commit that broke a hunk: named for {} of {}; {:.0} ms each in the middle, {:.0} ms \
             for 19 of 20,\n{:.0} ms at most",
            c.named, c.hunks, c.median_ms, c.p95_ms, c.most_ms
        );
    }
    text
}
