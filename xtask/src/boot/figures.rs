// SPDX-License-Identifier: MIT
//! Figures of containers: how long a boot takes, what PID 1 needs, and whether each one of many
//! comes up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::bench::boot;
use crate::engine::{Container, Engine, Start};

/// Slow machines exist; under load twenty boots share their processors.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);

/// What was measured of one container.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// From the return of `docker run` to systemd's answer that it is running.
    pub boot_ms: f64,
    /// From the stop signal to the end.
    pub stop_ms: f64,
    /// PID 1's resident memory.
    pub rss_kb: Option<f64>,
    /// Its share of it, where pages that others map too count in part.
    pub pss_kb: Option<f64>,
    /// In the container, when the boot has ended.
    pub processes: Option<f64>,
}

/// A container that did not do as it should.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What was tried: `boot 17 of 100`.
    pub what: String,
    pub because: String,
    /// Its log, journal and inspection.
    pub transcript: PathBuf,
}

/// Boots one container, asks PID 1, and ends it with `signal`.
///
/// # Errors
/// The engine cannot start containers, or the user interrupted the run.
pub fn sample(
    engine: &Engine,
    start: &Start,
    signal: &str,
    what: &str,
    dir: &Path,
) -> Result<Result<Sample, Failure>> {
    let container = engine.start(start)?;
    let booted = boot(&container, BOOT_DEADLINE)?;
    if booted.state != "running" {
        return Ok(Err(failure(&container, what, &booted.state, dir)));
    }
    const ASK: &str = "sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/1/status; \
        sed -n 's/^Pss:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/1/smaps_rollup; \
        set -- /proc/[0-9]*; echo $(($# - 1))";
    let said = container.shell(Duration::from_secs(10), ASK)?.text();
    let numbers: Vec<Option<f64>> = said.lines().map(|l| l.parse().ok()).collect();
    let [rss_kb, pss_kb, processes] = match numbers.as_slice() {
        [rss, pss, processes] => [*rss, *pss, *processes],
        _ => [None; 3],
    };
    let stopping = Instant::now();
    container.kill(signal)?;
    let code = container.wait(Duration::from_secs(20))?;
    let stop_ms = ms(stopping.elapsed());
    if code != Some(0) {
        let because = code.map_or_else(
            || format!("still runs 20 s after {signal}"),
            |code| format!("ended with {code} after {signal}"),
        );
        return Ok(Err(failure(&container, what, &because, dir)));
    }
    Ok(Ok(Sample { boot_ms: ms(booted.elapsed), stop_ms, rss_kb, pss_kb, processes }))
}

/// One boot of many: the milliseconds to `running`, or what went wrong.
pub fn one_boot(
    engine: &Engine,
    start: &Start,
    what: &str,
    dir: &Path,
) -> Result<Result<f64, Failure>> {
    let container = engine.start(start)?;
    let booted = boot(&container, BOOT_DEADLINE)?;
    Ok(if booted.state == "running" {
        Ok(ms(booted.elapsed))
    } else {
        Err(failure(&container, what, &booted.state, dir))
    })
}

/// Boots many at once; all of them run at the same time before the first one ends.
pub fn at_once(
    engine: &Engine,
    start: &Start,
    count: usize,
    dir: &Path,
) -> Result<Vec<Result<f64, Failure>>> {
    let all_up = std::sync::Barrier::new(count);
    let one = |n: usize| -> Result<Result<f64, Failure>> {
        let what = format!("container {} of {count} at once", n + 1);
        let began = Instant::now();
        let container = engine.start(start);
        let state = container.as_ref().map_err(|e| format!("{e:#}")).and_then(|container| {
            boot(container, BOOT_DEADLINE).map(|b| b.state).map_err(|e| format!("{e:#}"))
        });
        let took = ms(began.elapsed());
        // Whatever has happened: the others wait here.
        all_up.wait();
        crate::exec::check_interrupt()?;
        let container = container?;
        Ok(match state {
            Ok(state) if state == "running" => Ok(took),
            Ok(because) | Err(because) => Err(failure(&container, &what, &because, dir)),
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || one(n))).collect();
        let joined = threads.into_iter().map(|t| t.join());
        joined.map(|j| j.map_err(|_| anyhow::anyhow!("a thread panicked"))?).collect()
    })
}

/// Restarts one container three times, then kills it and starts it again.
pub fn restarts(engine: &Engine, start: &Start, dir: &Path) -> Result<Vec<Result<f64, Failure>>> {
    let container = engine.start(start)?;
    let mut all = Vec::new();
    let mut look = |what: &str, began: Instant| -> Result<()> {
        let state = boot(&container, BOOT_DEADLINE)?.state;
        all.push(if state == "running" {
            Ok(ms(began.elapsed()))
        } else {
            Err(failure(&container, what, &state, dir))
        });
        Ok(())
    };
    look("first start", container.returned)?;
    for n in 1..=3 {
        let began = Instant::now();
        container.restart()?;
        look(&format!("restart {n} of 3"), began)?;
    }
    container.kill("SIGKILL")?;
    container.wait(Duration::from_secs(10))?;
    let began = Instant::now();
    container.start_again()?;
    look("start after SIGKILL", began)?;
    // The first start is no restart: it is looked at, and counts only where it fails.
    let rest = if all.first().is_some_and(Result::is_ok) { all.split_off(1) } else { all };
    Ok(rest)
}

fn failure(container: &Container<'_>, what: &str, because: &str, dir: &Path) -> Failure {
    let transcript = dir.join(what.replace(' ', "-"));
    container.keep_transcript(&transcript);
    let mut because = because.to_owned();
    // Each container holds some four inotify instances, and a host's kernel gives 128 to a user.
    if container.log().is_ok_and(|log| log.contains("Too many open files")) {
        because += ": the host's limit on inotify instances is reached \
                    (as root: sysctl fs.inotify.max_user_instances=1024)";
    }
    Failure { what: what.to_owned(), because, transcript }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Some numbers in three.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    /// Of a hundred, all but five are at most this.
    pub p95: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut all: Vec<f64> = numbers.into_iter().collect();
        all.sort_by(f64::total_cmp);
        // The nearest rank: a number that was measured, and none between two.
        let rank = |percent: usize| {
            let index = (all.len() * percent).div_ceil(100).max(1) - 1;
            all.get(index).copied()
        };
        Some(Spread { median: rank(50)?, p95: rank(95)?, max: *all.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_numbers_that_were_measured() {
        assert_eq!(Spread::of([]), None);
        let one = Spread { median: 7.0, p95: 7.0, max: 7.0 };
        assert_eq!(Spread::of([7.0]), Some(one));
        let hundred = Spread { median: 50.0, p95: 95.0, max: 100.0 };
        assert_eq!(Spread::of((1..=100).rev().map(f64::from)), Some(hundred));
    }
}
