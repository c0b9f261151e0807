// SPDX-License-Identifier: MIT
//! What is kept of a run: one JSON document, and a table for the reader.

use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::ablation::Ablation;
use super::checks::Group;
use super::evidence::Evidence;
use super::timeline::Span;
use super::verdict::{Outcome, Verdict};
use crate::engine::Facts;
use crate::ui::{StepRecord, Tone, Ui, wrap};
use crate::version::SystemdVersion;

/// The number of the document's form; raised when a reader of the old form would misread it.
pub const SCHEMA: u32 = 2;

/// One run of `test-image`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    /// Also the name of its folder in the cache.
    pub id: String,
    /// Seconds since 1970.
    pub started_s: u64,
    /// This tool's version.
    pub plainboot: String,
    pub engine: Facts,
    pub subjects: Vec<Subject>,
    /// The series without one patch, for each patch; with `--ablate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ablations: Vec<Ablation>,
    /// What the command did until then, such as building a version; empty in older records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// From the start of the command to its last verdict.
    pub seconds: f64,
}

/// What was found out about one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subject {
    pub version: SystemdVersion,
    pub flavour: String,
    pub image: String,
    pub digest: String,
    pub boot: Boot,
    /// All checks were run, not a choice of them.
    pub complete: bool,
    pub checks: Vec<CheckRecord>,
    pub verdict: Verdict,
    /// Logs, journal and inspections.
    pub transcript: PathBuf,
}

/// Times of the main container's boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub state: String,
    /// What `docker run -d` took.
    pub start_ms: u64,
    /// From its return to systemd's answer that the boot is over (asked through `docker exec`).
    pub answer_ms: u64,
    /// PID 1's own count.
    pub userspace_ms: Option<u64>,
    /// Which unit took how long; empty in records from before it was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Span>,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    pub id: String,
    pub group: Group,
    /// The row of expected values: which engine, and how the container was run.
    pub row: String,
    pub title: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub ms: u64,
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    pub evidence: Evidence,
}

/// A name for a new run: sorts by time, and no other has it, also of those on other machines, whose
/// processes often have the same ids (`20261121T070800Z-5c1f09ae`).
pub fn run_id(now: SystemTime) -> String {
    // The library's own source of randomness, which is the system's.
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{}-{:08x}", stamp(now), random & u64::from(u32::MAX))
}

/// A moment, to the second (`20261121T070800Z`).
pub fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Removes the folders of all but the newest `keep` runs that hold a file of this name, and says which
/// went. What cannot be removed stays.
#[must_use = "tell the user what is gone"]
pub fn prune(runs: &Path, file: &str, keep: usize) -> Option<String> {
    let mut names: Vec<_> = std::fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(file).is_file())
        .collect();
    names.sort();
    names.truncate(names.len().saturating_sub(keep));
    names.retain(|path| std::fs::remove_dir_all(path).is_ok());
    let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let (first, last) = (name(names.first()?)?, name(names.last()?)?);
    let which = match names.len() {
        1 => first,
        more => format!("{more} runs, {first} to {last}"),
    };
    Some(format!("removed from {}, which keeps the newest {keep}: {which}", runs.display()))
}

/// What `read` makes of the files in a folder and in the folders right below it that are called
/// `PREFIX….json`, sorted by path; and, in a sentence each, what could not be read. What another run has
/// removed meanwhile was never there.
///
/// # Errors
/// The folder is there and cannot be listed.
pub fn read_files<T>(
    dir: &Path,
    prefix: &str,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<(Vec<T>, Vec<String>)> {
    let list = |dir: &Path| -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    };
    let is_gone = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    let mut unread = Vec::new();
    let mut paths = match list(dir) {
        Ok(paths) => paths,
        Err(e) if is_gone(&e) => Vec::new(),
        Err(e) => return Err(e).with_context(|| format!("cannot list {}", dir.display())),
    };
    for folder in paths.clone().iter().filter(|p| p.is_dir()) {
        match list(folder) {
            Ok(more) => paths.extend(more),
            Err(e) if is_gone(&e) => {}
            Err(e) => unread.push(format!("{}: {e}", folder.display())),
        }
    }
    paths.retain(|path| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(".json") && path.is_file()
    });
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let read = match std::fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(e) if is_gone(&e) => continue,
            Err(e) => Err(e.to_string()),
        };
        match read {
            Ok(one) => found.push(one),
            Err(why) => unread.push(format!("{}: {why}", path.display())),
        }
    }
    Ok((found, unread))
}

/// The records in a folder and in the folders right below it (`RUN/record.json`, `record-JOB.json`),
/// oldest first; and what could not be read. Everything else is none of ours.
///
/// # Errors
/// As [`read_files`].
pub fn read_all(runs: &Path) -> Result<(Vec<Record>, Vec<String>)> {
    let (mut records, unread) = read_files(runs, "record", read)?;
    records.sort_by(|a: &Record, b| (a.started_s, &a.id).cmp(&(b.started_s, &b.id)));
    Ok((records, unread))
}

/// The newest run of this machine whose record can be read: `runs` holds a folder for each, and their
/// names are dates.
pub fn newest(runs: &Path) -> Option<Record> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(runs).ok()?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let texts = folders.iter().rev().filter_map(|f| std::fs::read(f.join("record.json")).ok());
    texts.filter_map(|text| read(&text).ok()).next()
}

fn read(bytes: &[u8]) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let Schema { schema } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if schema != SCHEMA {
        return Err(format!("schema {schema} is not known, only {SCHEMA}"));
    }
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// Days since 1970 as a Gregorian date, counted in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The table of one subject, 80 columns wide.
pub fn table(subject: &Subject, ui: &Ui) -> String {
    let verdict = ui.paint(tone(subject.verdict), subject.verdict.sentence());
    let choice = if subject.complete { "" } else { " (a choice of checks)" };
    let mut out = format!("systemd {} ({}): {verdict}{choice}\n", subject.version, subject.flavour);
    for row in subject.checks.chunk_by(|a, b| a.row == b.row) {
        out += &rows(row, ui);
    }
    out += &format!("  {}\n", counts(&subject.checks));
    let Boot { state, start_ms, answer_ms, userspace_ms, timeline: _ } = &subject.boot;
    let own = userspace_ms.map_or(String::new(), |ms| format!(", PID 1 counts {ms} ms"));
    out += &format!("  boot: {state} after {answer_ms} ms (docker run {start_ms} ms{own})\n");
    out
}

/// The checks of one row, under its name unless it is the plain one.
fn rows(checks: &[CheckRecord], ui: &Ui) -> String {
    let mut out = String::new();
    match checks.first() {
        Some(first) if first.row != super::expect::DOCKER_PLAIN.name => {
            out += &format!("  {}:\n", first.row);
        }
        _ => {}
    }
    // What cannot be tried for one reason, as in a container that has died, is said once.
    let mut silent: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for check in checks {
        let (mark, tone, because) = match &check.outcome {
            Outcome::Holds => ("✓", Tone::Good, None),
            Outcome::Known(because) => ("≈", Tone::Warn, Some(format!("known to fail: {because}"))),
            Outcome::Fails(because) => ("✗", Tone::Bad, Some(because.clone())),
            Outcome::Broken(because) => ("!", Tone::Bad, Some(because.clone())),
            Outcome::NotTried(because) | Outcome::Skipped(because) => {
                let skipped = matches!(check.outcome, Outcome::Skipped(_));
                let word = if skipped { "skipped" } else { "not tried" };
                match silent.iter_mut().find(|(w, b, _)| (*w, *b) == (word, because)) {
                    Some((_, _, ids)) => ids.push(&check.id),
                    None => silent.push((word, because, vec![&check.id])),
                }
                continue;
            }
        };
        let mark = ui.paint(tone, mark);
        out += &format!("  {mark} {:<65} {:>6} ms\n", check.title, check.ms);
        if let Some(because) = because {
            for line in wrap(&format!("{}: {because}", check.id), 74) {
                out += &format!("      {line}\n");
            }
        }
    }
    for (word, because, ids) in silent {
        let mark = ui.paint(Tone::Warn, "–");
        match ids.as_slice() {
            [one] => out += &format!("  {mark} {one} {word}: {because}\n"),
            all => out += &format!("  {mark} {} checks {word}: {because}\n", all.len()),
        }
    }
    out
}

/// `45 hold, 6 known to fail, 2 skipped`
pub fn counts(checks: &[CheckRecord]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| checks.iter().filter(|c| wanted(&c.outcome)).count();
    let all = [
        (count(|o| matches!(o, Outcome::Holds)), "hold"),
        (count(|o| matches!(o, Outcome::Fails(_))), "fail"),
        (count(|o| matches!(o, Outcome::Known(_))), "known to fail"),
        (count(|o| matches!(o, Outcome::Skipped(_))), "skipped"),
        (count(|o| matches!(o, Outcome::NotTried(_))), "not tried"),
        (count(|o| matches!(o, Outcome::Broken(_))), "broken"),
    ];
    let shown: Vec<String> = all
        .iter()
        .filter(|(n, word)| *n > 0 || *word == "hold")
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    format!("checks: {}", shown.join(", "))
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Proven => Tone::Good,
        Verdict::Refuted | Verdict::Unsound | Verdict::Broken => Tone::Bad,
        Verdict::Incomplete => Tone::Warn,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn run_ids_are_dates() {
        let at = |s| stamp(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_827_696), "20000229T123456Z");
        assert_eq!(at(1_795_243_446), "20261121T064406Z");
        let (one, two) = (run_id(UNIX_EPOCH), run_id(UNIX_EPOCH));
        assert!(one != two && one.starts_with("19700101T000000Z-") && one.len() == 25, "{one}");
    }

    #[test]
    fn the_newest_runs_are_kept_and_strangers_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["20260101T000000Z-1", "20260102T000000Z-1", "20260103T000000Z-1", "a-note"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            if name != "a-note" {
                std::fs::write(dir.path().join(name).join("record.json"), "{}").unwrap();
            }
        }
        let said = prune(dir.path(), "record.json", 2).unwrap();
        assert!(said.ends_with("keeps the newest 2: 20260101T000000Z-1"), "{said}");
        assert_eq!(prune(dir.path(), "record.json", 2), None);
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left("20260101T000000Z-1") && left("20260102T000000Z-1"));
        assert!(left("20260103T000000Z-1") && left("a-note"));
    }

    #[test]
    fn a_check_record_reads_back() {
        let record = CheckRecord {
            id: "boot.running".into(),
            group: Group::Boot,
            row: "Docker, plain".into(),
            title: "t".into(),
            outcome: Outcome::Fails("because".into()),
            ms: 1,
            evidence: [("state", "degraded")].into(),
        };
        let json = serde_json::to_string(&record).unwrap();
        assert!(json.contains(r#""outcome":"fails","because":"because""#), "{json}");
        assert_eq!(serde_json::from_str::<CheckRecord>(&json).unwrap(), record);
        let holds = CheckRecord { outcome: Outcome::Holds, ..record };
        let json = serde_json::to_string(&holds).unwrap();
        assert_eq!(serde_json::from_str::<CheckRecord>(&json).unwrap(), holds);
    }
}
