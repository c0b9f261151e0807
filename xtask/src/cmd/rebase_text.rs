// SPDX-License-Identifier: MIT
//! What `rebase-patches` shows in a terminal, at most 80 columns wide.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::rebase_why;
use crate::rebase::{Cell, Collision, FileReport, Outcome, Settled, VersionRun};
use crate::series::{Series, VersionRange};
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// Patches side by side; more go into another block.
const COLUMNS: usize = 5;
/// Width of a column, and of the one that holds the versions.
const WIDTH: usize = 12;
const VERSIONS: usize = 20;
/// Lines of one side of a conflict that are shown.
const SIDE: usize = 16;

/// Rows of versions, columns of patches. Neighbours with the same outcomes share a row.
pub fn table(series: &Series, runs: &[VersionRun], ui: &Ui) -> String {
    let mut text = String::new();
    let ids: Vec<&str> = series.patches.iter().map(|p| p.id.as_str()).collect();
    for (block, ids) in ids.chunks(COLUMNS).enumerate() {
        let outcomes = |run: &VersionRun| -> Vec<Outcome> {
            let cells = run.cells.iter().skip(block * COLUMNS).take(ids.len());
            cells.map(|c| c.outcome).collect()
        };
        if block > 0 {
            text.push('\n');
        }
        let mut line = format!("{:<VERSIONS$}", "SYSTEMD");
        for id in ids {
            let name = id.split_once('-').map_or(*id, |(_, name)| name);
            let name: String = name.chars().take(WIDTH - 1).collect();
            let _ = write!(line, "{name:<WIDTH$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
        for group in runs.chunk_by(|a, b| outcomes(a) == outcomes(b)) {
            let versions: Vec<SystemdVersion> = group.iter().map(|r| r.version).collect();
            let mut line = format!("{:<VERSIONS$}", span(&versions));
            for outcome in outcomes(&group[0]) {
                line += &ui.paint(tone(outcome), outcome.word());
                line += &" ".repeat(WIDTH.saturating_sub(outcome.word().len()));
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

pub(super) fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Clean | Outcome::Moved | Outcome::Merged | Outcome::Accepted => Tone::Good,
        Outcome::AlreadyUpstream | Outcome::Empty | Outcome::Resolved => Tone::Warn,
        Outcome::NotNeeded => Tone::Dim,
        Outcome::PartlyUpstream
        | Outcome::NeedsReview
        | Outcome::Conflict
        | Outcome::Unreadable => Tone::Bad,
    }
}

/// `257 - 257.13 (14)`
fn span(versions: &[SystemdVersion]) -> String {
    match versions {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] => {
            let range = VersionRange { from: *first, to: *last };
            format!("{range} ({})", versions.len())
        }
    }
}

/// Versions, runs of a major shortened.
pub fn names(versions: &[SystemdVersion]) -> String {
    let groups = versions.chunk_by(|a, b| a.major == b.major);
    groups.map(span).collect::<Vec<_>>().join(", ")
}

/// What a person must look at: each problem once, with all versions that have it.
pub fn problems(series: &Series, runs: &[VersionRun], verbose: bool, ui: &Ui) -> Vec<String> {
    let mut count = 0;
    let mut texts = Vec::new();
    for (index, patch) in series.patches.iter().enumerate() {
        let cells = runs.iter().filter_map(|r| Some((r.version, r.cells.get(index)?)));
        // Line numbers differ from release to release; the problem is the same.
        let mut found: BTreeMap<String, (String, Vec<SystemdVersion>)> = BTreeMap::new();
        for (version, cell) in cells.filter(|(_, c)| !c.outcome.is_settled()) {
            let (key, body) = (problem(cell, false), problem(cell, true));
            found.entry(key).or_insert((body, Vec::new())).1.push(version);
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by_key(|(_, versions)| versions.first().copied());
        for (body, versions) in found {
            let Some(first) = versions.first() else { continue };
            let head = format!("{} on systemd {}", patch.id, names(&versions));
            let file = patch.file(*first);
            let resolved = body.starts_with("  resolved");
            let way_out = if resolved {
                format!(
                    "  to take it: cargo xtask rebase-patches --accept-resolved {first}\n  \
                     else write patches/{} and leave that option out\n",
                    file.display()
                )
            } else {
                format!(
                    "  solve it: cargo xtask resolve {} {first}\n  \
                     or write patches/{}, and run cargo xtask rebase-patches {first}\n",
                    patch.id,
                    file.display()
                )
            };
            texts.push(format!("{}\n{body}{way_out}", ui.paint(Tone::Bad, &head)));
        }
        if let Some(text) = unchecked(&patch.id, runs, index) {
            texts.push(text);
        }
        let named = rivals(&patch.id, runs, index);
        if verbose {
            texts.extend(named);
        } else {
            count += named.len();
        }
    }
    if count > 0 {
        texts.push(format!(
            "{count} variants apply where a nearer one was taken, to another result; -v names them"
        ));
    }
    texts
}

pub(super) fn problem(cell: &Cell, lines: bool) -> String {
    let from = cell.from.map(|v| format!(", carried from {v}")).unwrap_or_default();
    let mut text = format!("  {}{from}\n", cell.outcome.word());
    let unsettled: Vec<&FileReport> =
        cell.files.iter().filter(|f| !f.outcome.is_settled()).collect();
    if unsettled.is_empty()
        && let Some(reason) = &cell.reason
    {
        let _ = writeln!(text, "  {reason}");
    }
    for file in unsettled {
        let _ = writeln!(text, "  {}", file.path);
        if let Some(reason) = &file.reason {
            let _ = writeln!(text, "    {reason}");
        }
        file.collisions.iter().for_each(|c| collision(&mut text, c, lines));
        cell.broken.iter().filter(|b| b.path == file.path).for_each(|b| {
            text += &rebase_why::text(b, lines);
        });
    }
    if !cell.without.is_empty() {
        let _ = writeln!(text, "  judged without {}", cell.without.join(", "));
    }
    text
}

fn collision(text: &mut String, c: &Collision, lines: bool) {
    let at = if c.ours.is_some() { "line" } else { "made at line" };
    let line = if lines { c.line } else { 0 };
    let _ = writeln!(text, "    {at} {line} in {}", c.function);
    let mut side = |title: &str, lines: &str| {
        let _ = writeln!(text, "    --- {title}");
        let count = lines.lines().count();
        for line in lines.lines().take(SIDE) {
            let _ = writeln!(text, "    | {line}");
        }
        if count > SIDE {
            let _ = writeln!(text, "    | ... {} more lines", count - SIDE);
        }
    };
    if let Some(ours) = &c.ours {
        side("this version", ours);
    }
    side("the version the patch was made on", &c.base);
    side("the patch", &c.theirs);
}

/// Versions on which only one method could be used.
fn unchecked(id: &str, runs: &[VersionRun], index: usize) -> Option<String> {
    let mut found: BTreeMap<SystemdVersion, Vec<SystemdVersion>> = BTreeMap::new();
    for run in runs {
        let Some(cell) = run.cells.get(index) else { continue };
        let one = matches!(cell.outcome, Outcome::Clean | Outcome::Moved) && !cell.cross_checked;
        if let (true, Some(from)) = (one, cell.from) {
            found.entry(from).or_default().push(run.version);
        }
    }
    let line = |(from, versions): (&SystemdVersion, &Vec<_>)| {
        format!(
            "{id}: applied, not merged, on {}: the files of {from} are not here",
            names(versions)
        )
    };
    let lines: Vec<String> = found.iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Variants that would apply as well, with another result: the nearest was taken.
fn rivals(id: &str, runs: &[VersionRun], index: usize) -> Vec<String> {
    let mut found: BTreeMap<(SystemdVersion, SystemdVersion), Vec<SystemdVersion>> =
        BTreeMap::new();
    for run in runs {
        let Some(cell) = run.cells.get(index) else { continue };
        for rival in &cell.rivals {
            if let Some(from) = cell.from {
                found.entry((from, *rival)).or_default().push(run.version);
            }
        }
    }
    let line = |((from, rival), versions): (&(_, _), &Vec<_>)| {
        format!(
            "{id}: {rival} applies too on {}, to another result; {from} was taken",
            names(versions)
        )
    };
    found.iter().map(line).collect()
}

/// Which variants came and went, and the files that changed.
pub fn changes(settled: &[Settled], changed: &[String], gone: &[String], check: bool) -> String {
    let mut text = String::new();
    for set in settled {
        for base in &set.added {
            let _ = writeln!(text, "{}: new variant {base}", set.id);
        }
        for base in &set.removed {
            let _ = writeln!(text, "{}: variant {base} is not needed any more", set.id);
        }
        if !set.minimal {
            let _ = writeln!(text, "{}: maybe fewer variants would do", set.id);
        }
    }
    for file in changed {
        let verb = match (gone.contains(file), check) {
            (false, false) => "wrote",
            (false, true) => "would change",
            (true, false) => "removed",
            (true, true) => "would remove",
        };
        let _ = writeln!(text, "{verb} {file}");
    }
    if changed.is_empty() {
        text.push_str("nothing to write: patches, lock and overlay are up to date\n");
    }
    text
}

/// `5 patches x 62 versions: 120 clean, 180 moved, 10 merged (0.4 s)`
pub fn summary(runs: &[VersionRun], seconds: f64) -> String {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for cell in runs.iter().flat_map(|r| &r.cells) {
        *counts.entry(cell.outcome).or_default() += 1;
    }
    let patches = runs.first().map_or(0, |r| r.cells.len());
    let counts: Vec<String> = counts.iter().map(|(o, n)| format!("{n} {}", o.word())).collect();
    format!("{patches} patches x {} versions: {} ({seconds:.2} s)", runs.len(), counts.join(", "))
}
