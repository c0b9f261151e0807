// SPDX-License-Identifier: MIT
//! How long steps took in earlier runs, and so how long this one may still take.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::atomic;

/// How many of its times are kept of a step.
const KEPT: usize = 5;
/// How many steps are kept: those that ended last.
const STEPS: usize = 400;
/// Nobody wants to be told how long a step takes that is over by then.
const SHORT_S: f64 = 1.0;

/// A step of some run.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    title: String,
    /// Oldest first.
    seconds: Vec<f64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    schema: u32,
    /// The one that ended last is the last.
    steps: Vec<Known>,
}

const SCHEMA: u32 = 2;

/// What a step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub time: Duration,
    /// By steps like it, since it was never seen itself.
    pub others: bool,
}

impl Expected {
    /// `took 1:40 before`
    pub fn told(self) -> String {
        let time = clock(self.time);
        if self.others { format!("others took {time}") } else { format!("took {time} before") }
    }
}

/// The times of earlier runs, and those of this one, which are added to the file at its end.
#[derive(Debug, Default)]
pub(super) struct Times {
    path: Option<PathBuf>,
    earlier: Vec<Known>,
    new: Vec<(String, f64)>,
}

impl Times {
    pub fn open(path: PathBuf) -> Self {
        Times { earlier: read(&path), path: Some(path), new: Vec::new() }
    }

    pub fn add(&mut self, title: &str, seconds: f64) {
        if seconds >= SHORT_S {
            self.new.push((title.to_owned(), seconds));
        }
    }

    /// What a step of this title may take: the middle one of its last times. Where it was never seen,
    /// that of the steps with the same words and other numbers, such as another version.
    pub fn expected(&self, title: &str) -> Option<Expected> {
        let middle = |others: bool, steps: &mut dyn Iterator<Item = &Known>| {
            let mut times: Vec<f64> = steps.flat_map(|step| &step.seconds).copied().collect();
            times.sort_by(f64::total_cmp);
            let time = Duration::try_from_secs_f64(*times.get(times.len() / 2)?).ok()?;
            Some(Expected { time, others })
        };
        let alike = |step: &&Known| words(&step.title) == words(title);
        middle(false, &mut self.earlier.iter().filter(|step| step.title == title))
            .or_else(|| middle(true, &mut self.earlier.iter().filter(alike)))
    }
}

/// The title without its numbers.
fn words(title: &str) -> String {
    title.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect()
}

fn read(path: &std::path::Path) -> Vec<Known> {
    let read = std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    read.filter(|file: &File| file.schema == SCHEMA).map(|file| file.steps).unwrap_or_default()
}

impl Drop for Times {
    fn drop(&mut self) {
        let Some(path) = self.path.as_ref().filter(|_| !self.new.is_empty()) else { return };
        // A command that does without a cache makes none.
        if !path.parent().is_some_and(std::path::Path::is_dir) {
            return;
        }
        // Read again: another run may have ended meanwhile.
        let mut steps = read(path);
        for (title, seconds) in self.new.drain(..) {
            let mut times = match steps.iter().position(|step| step.title == title) {
                Some(place) => steps.remove(place).seconds,
                None => Vec::new(),
            };
            times.push((seconds * 10.0).round() / 10.0);
            times.drain(..times.len().saturating_sub(KEPT));
            steps.push(Known { title, seconds: times });
        }
        steps.drain(..steps.len().saturating_sub(STEPS));
        let written = serde_json::to_vec_pretty(&File { schema: SCHEMA, steps })
            .map_err(anyhow::Error::from)
            .and_then(|text| atomic::write(path, &text));
        if let Err(error) = written {
            tracing::info!(%error, "times are not kept");
        }
    }
}

/// `about 1:40 left` by the share of the work that is done, else by earlier runs.
pub(super) fn left(
    elapsed: Duration,
    counted: Option<(u64, u64, Duration)>,
    expected: Option<Duration>,
) -> String {
    if let Some((done, all, since)) = counted
        // So early, the count says little.
        && done * 20 >= all
        && done > 0
    {
        let each = elapsed.saturating_sub(since).as_secs_f64() / done as f64;
        let rest = Duration::try_from_secs_f64(each * all.saturating_sub(done) as f64);
        return format!("about {} left", clock(rest.unwrap_or_default()));
    }
    match expected {
        Some(expected) if expected > elapsed => {
            format!("about {} left", clock(expected - elapsed))
        }
        Some(expected) => format!("longer than the usual {}", clock(expected)),
        None => String::new(),
    }
}

/// `1:40`
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_what_it_took_and_a_new_version_what_others_took() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache/times.json");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let mut times = Times::open(path.clone());
        assert_eq!(times.expected("build systemd 262 (patched)"), None);
        for seconds in [1000.0, 90.0, 100.0, 110.0, 300.0, 95.0] {
            times.add("build systemd 262 (patched)", seconds);
        }
        for seconds in [40.0, 30.0] {
            times.add("build systemd 257.13 (patched)", seconds);
        }
        times.add("read the sources", 0.3);
        drop(times);
        let times = Times::open(path.clone());
        let told = |title: &str| times.expected(title).map(Expected::told);
        // The first of six was dropped; the middle one does not mind the 300.
        assert_eq!(told("build systemd 262 (patched)").unwrap(), "took 1:40 before");
        assert_eq!(told("build systemd 263 (patched)").unwrap(), "others took 1:35");
        assert_eq!(told("build systemd 263 (stock)"), None);
        assert_eq!(told("read the sources"), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Times::open(path).expected("build systemd 262 (patched)"), None);
    }

    #[test]
    fn what_was_not_run_for_longest_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("times.json");
        let run = |titles: &mut dyn Iterator<Item = String>| {
            let mut times = Times::open(path.clone());
            titles.for_each(|title| times.add(&title, 2.0));
        };
        // Whole commands sort before all steps.
        run(&mut ["$ test".to_owned(), "$ old".to_owned()].into_iter());
        run(&mut (0..STEPS - 1).map(|n| format!("step {}", "x".repeat(n))));
        run(&mut ["$ test".to_owned()].into_iter());
        run(&mut ["another".to_owned()].into_iter());
        let times = Times::open(path);
        assert_eq!(times.earlier.len(), STEPS);
        let known = |title: &str| times.expected(title).is_some();
        assert!(known("$ test") && known("another") && !known("$ old") && !known("step "));
    }

    #[test]
    fn two_runs_at_once_keep_the_times_of_both() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("times.json");
        let (mut one, mut two) = (Times::open(path.clone()), Times::open(path.clone()));
        one.add("a", 2.0);
        two.add("b", 3.0);
        drop(one);
        drop(two);
        let times = Times::open(path);
        assert!(times.expected("a").is_some() && times.expected("b").is_some());
    }

    #[test]
    fn what_is_left_is_by_the_count_then_by_earlier_runs() {
        let s = Duration::from_secs;
        assert_eq!(left(s(20), Some((50, 200, s(10))), Some(s(500))), "about 0:30 left");
        assert_eq!(left(s(20), Some((1, 200, s(10))), Some(s(120))), "about 1:40 left");
        assert_eq!(left(s(130), None, Some(s(120))), "longer than the usual 2:00");
        assert_eq!(left(s(130), None, None), "");
    }
}
