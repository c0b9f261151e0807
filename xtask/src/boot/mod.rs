// SPDX-License-Identifier: MIT
//! From an image and an engine to a verdict.
//!
//! [`examine`] boots one image in a plain container, runs the checks, keeps every transcript and
//! gives back a record. What the checks are is in [`checks`]; what they add up to in [`verdict`].

pub mod ablation;
pub mod bench;
pub mod checks;
pub mod evidence;
pub mod expect;
pub mod figures;
pub mod junit;
pub mod known;
pub mod record;
pub mod search;
mod text;
pub mod timeline;
pub mod verdict;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use text::plain_text;

use anyhow::Result;

use crate::engine::Engine;
use crate::fault::{self, Fault};
use crate::ui::Ui;
use crate::version::SystemdVersion;
use bench::{Bench, Site, Until};
use checks::{Check, Group, Probe};
use evidence::Evidence;
use expect::{Expect, Mode, NOT_UNLOCKED, Row};
use known::KnownFailures;
use record::{Boot, CheckRecord, Subject};
use verdict::Outcome;

/// How long a boot may take. Slow machines exist; a container that says nothing for so long is dead.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);

/// How many containers are looked at beside those that several checks share. More would only wait
/// for the engine, which starts them one by one.
const WORKERS: usize = 2;

/// What is examined, as the engine knows it (see [`Engine::load`]).
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub version: SystemdVersion,
    /// `patched`, `stock`, …
    pub flavour: &'a str,
    pub image: &'a str,
    /// The image's digest, for the record.
    pub digest: &'a str,
    /// The same layers without the patches, for the control.
    pub stock: Option<&'a str>,
}

/// How it is examined.
pub struct Options<'a> {
    /// One of [`checks::TABLES`].
    pub table: &'static [&'static Check],
    /// Selects checks of the table.
    pub wanted: &'a dyn Fn(&Check) -> bool,
    /// Leave the containers in the engine.
    pub keep: bool,
    /// The checks that may be skipped where the engine cannot try them; `None`: all of them.
    pub may_skip: Option<&'a [String]>,
}

/// Boots the candidate in a plain container and runs the checks that are wanted; the
/// preconditions always run, since without them nothing is proved.
///
/// Transcripts go below `dir`. A check that fails is an answer, not an error.
///
/// # Errors
/// The engine cannot start containers at all, or the user interrupted the run. Containers are gone
/// in each case, unless they are to be kept.
pub fn examine(
    engine: &Engine,
    candidate: &Candidate<'_>,
    options: &Options<'_>,
    dir: &Path,
    ui: &Ui,
) -> Result<Subject> {
    let row = Row::plain(&engine.facts).ok_or_else(|| {
        Fault::cannot_try(format!("no expected values for {} yet", engine.facts.version))
            .hint("use --engine docker or --engine private")
    })?;
    let known = KnownFailures::load()?;
    let (version, flavour) = (candidate.version, candidate.flavour);
    let may_skip = options.may_skip;
    let judge = |row| Judge { expect: Expect { row, version }, known: &known, engine, may_skip };
    let chosen =
        checks::choose(options.table, &|c| c.group == Group::Precondition || (options.wanted)(c));
    // How many, and where, tells how long it may take; times are kept by the words.
    let number = match chosen.len() {
        all if all == options.table.len() => "all checks".to_owned(),
        some => format!("a choice of {some} checks"),
    };
    let table = checks::flag(options.table);
    let place = if engine.facts.guest { " in a guest" } else { "" };
    let step = ui.step(format!("examine systemd {version} ({flavour}) by {number}{table}{place}"));
    step.detail("boot");
    let site = Site {
        engine,
        row,
        image: candidate.image,
        stock: candidate.stock,
        dir,
        keep: options.keep,
    };
    let main = engine.start(&site.start().keep(options.keep))?;
    let booted = bench::boot(&main, site.engine.patience(BOOT_DEADLINE))?;
    let bench = Bench::new(&site, main, booted);
    let boot = measure(&bench)?;
    let tell = &|id: &str| step.detail(id);
    // Only now, so that the others do not slow the boot that is measured.
    let results = std::thread::scope(|scope| {
        // Load and faults break what the others stand on.
        let alone = options.table.iter().any(|c| c.group == Group::Faults);
        let (main_is_over, main_over) = std::sync::mpsc::channel::<()>();
        let (judge, site, chosen) = (&judge, &site, &chosen);
        let apart = scope.spawn(move || {
            if alone {
                let _ = main_over.recv();
            }
            look_apart(chosen, site, &judge(row), if alone { 1 } else { WORKERS }, tell)
        });
        let writable = scope.spawn(|| look_at_writable(chosen, site, judge, tell));
        let main = look_at(&bench, chosen, &judge(row), tell);
        drop(main_is_over);
        let panicked = |_| anyhow::anyhow!("a check panicked");
        let apart = apart.join().map_err(panicked)?;
        let writable = writable.join().map_err(panicked)?;
        anyhow::Ok([main?, apart?, writable?].concat())
    })?;
    bench.main.keep_transcript(&dir.join("main"));
    // Each ran in one of three threads; they are reported in the order of the tables.
    let order = |r: &CheckRecord| {
        let row = expect::ROWS.iter().position(|row| row.name == r.row);
        (row, options.table.iter().position(|c| c.id == r.id))
    };
    let mut results = results;
    results.sort_by_key(order);
    let verdict = verdict::verdict(results.iter().map(|r| (r.group, &r.outcome)));
    step.done(verdict.sentence());
    Ok(Subject {
        version: candidate.version,
        flavour: candidate.flavour.to_owned(),
        image: candidate.image.to_owned(),
        digest: candidate.digest.to_owned(),
        boot,
        complete: chosen.len() == options.table.len(),
        checks: results,
        verdict,
        transcript: dir.to_owned(),
    })
}

/// Runs the checks of one container, the last of which may end it. `tell` hears of each that begins.
fn look_at(
    bench: &Bench<'_>,
    chosen: &[&Check],
    judge: &Judge<'_>,
    tell: &dyn Fn(&str),
) -> Result<Vec<CheckRecord>> {
    let mut results = Vec::new();
    let mut ended = bench.booted.is_over();
    for check in chosen.iter().filter(|c| c.modes.contains(&judge.expect.row.mode)) {
        let Probe::Main(probe) = check.probe else { continue };
        tell(check.id);
        if check.group == Group::Exit && !ended {
            // The last moment at which the journal can be asked.
            bench.main.keep_transcript(&bench.site.dir.join("main"));
        }
        results.push(if ended && !check.after_the_end {
            let gone = Outcome::NotTried(format!("the container is gone ({})", bench.booted.state));
            judge.record(check, gone, Evidence::default(), Duration::ZERO)
        } else {
            judge.look(check, |until| {
                bench.until.set(until);
                probe(bench)
            })?
        });
        ended = ended || check.group == Group::Exit;
    }
    Ok(results)
}

/// Boots one more container, with a writable cgroup tree, and runs the checks that are meant for it.
fn look_at_writable<'a>(
    chosen: &[&Check],
    site: &'a Site<'a>,
    judge: &(dyn Fn(Row) -> Judge<'a> + Sync),
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Vec<CheckRecord>> {
    let chosen: Vec<&Check> =
        chosen.iter().copied().filter(|c| c.modes.contains(&Mode::Writable)).collect();
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let facts = &site.engine.facts;
    let none = |judge: Judge<'_>, outcome: Outcome| {
        let one = |c: &&Check| {
            judge.record(c, judge.allow(c, outcome.clone()), Evidence::default(), Duration::ZERO)
        };
        Ok(chosen.iter().map(one).collect())
    };
    let row = match Row::writable(facts) {
        Ok(row) => row,
        Err(because) => return none(judge(expect::DOCKER_WRITABLE), Outcome::Skipped(because)),
    };
    let dir = site.dir.join("writable");
    let site = Site { row, dir: &dir, ..*site };
    let main = site.engine.start(&site.start().keep(site.keep))?;
    let booted = bench::boot(&main, site.engine.patience(BOOT_DEADLINE))?;
    if booted.state == NOT_UNLOCKED {
        let said = checks::shorten(&main.log()?);
        let because = format!("the engine gives no writable cgroup: {said}");
        return none(judge(row), Outcome::NotTried(because));
    }
    let bench = Bench::new(&site, main, booted);
    let judge = judge(row);
    let results = look_at(&bench, &chosen, &judge, tell);
    bench.main.keep_transcript(&dir.join("main"));
    Ok([results?, look_apart(&chosen, &site, &judge, WORKERS, tell)?].concat())
}

/// Runs the checks that have containers of their own, a few at a time.
fn look_apart(
    chosen: &[&Check],
    site: &Site<'_>,
    judge: &Judge<'_>,
    workers: usize,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Vec<CheckRecord>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        while let Some(check) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Probe::Apart(probe) = check.probe
                && check.modes.contains(&site.row.mode)
            {
                tell(check.id);
                results.push(judge.look(check, |until| probe(site, until))?);
            }
        }
        anyhow::Ok(results)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut results = Vec::new();
        for worker in workers {
            results.extend(worker.join().map_err(|_| anyhow::anyhow!("a check panicked"))??);
        }
        Ok(results)
    })
}

/// What turns a probe's notes into a record.
struct Judge<'a> {
    expect: Expect,
    known: &'a KnownFailures,
    engine: &'a Engine,
    may_skip: Option<&'a [String]>,
}

impl Judge<'_> {
    /// Runs one probe and judges what it saw. Only an interrupt ends the run.
    fn look(
        &self,
        check: &Check,
        probe: impl FnOnce(Until) -> Result<Evidence>,
    ) -> Result<CheckRecord> {
        let start = Instant::now();
        if let Some(because) = (check.cannot)(&self.engine.facts) {
            let skipped = self.allow(check, Outcome::Skipped(because));
            return Ok(self.record(check, skipped, Evidence::default(), Duration::ZERO));
        }
        let (outcome, evidence) = match probe(Until::after(self.engine.patience(check.timeout))) {
            Ok(evidence) => {
                let outcome = (check.judge)(&evidence, &self.expect);
                (self.known.weigh(check.id, &self.expect, &evidence, outcome), evidence)
            }
            Err(error) if fault::kind_of(&error) == fault::Kind::Interrupted => return Err(error),
            Err(error) => (Outcome::Broken(format!("{error:#}")), Evidence::default()),
        };
        Ok(self.record(check, outcome, evidence, start.elapsed()))
    }

    /// A skip that is not on the user's list leaves the run without a verdict.
    fn allow(&self, check: &Check, outcome: Outcome) -> Outcome {
        let listed = |ids: &[String]| ids.iter().any(|id| id == check.id);
        match outcome {
            Outcome::Skipped(because) if !self.may_skip.is_none_or(listed) => {
                Outcome::NotTried(format!("{because} (and --may-skip does not name it)"))
            }
            other => other,
        }
    }

    fn record(
        &self,
        check: &Check,
        outcome: Outcome,
        evidence: Evidence,
        took: Duration,
    ) -> CheckRecord {
        let row = self.expect.row.name;
        tracing::info!(check = check.id, row, ?outcome, ms = ms(took), "judged");
        CheckRecord {
            id: check.id.to_owned(),
            group: check.group,
            row: row.to_owned(),
            title: check.title.to_owned(),
            outcome,
            ms: ms(took),
            evidence,
        }
    }
}

/// Times of the boot; PID 1's own are asked for only where it can answer.
fn measure(bench: &Bench<'_>) -> Result<Boot> {
    let said = if bench.booted.state == "running" {
        let patience = bench.site.engine.patience(Duration::from_secs(5));
        bench.main.shell(patience, timeline::ASK)?.text()
    } else {
        String::new()
    };
    Ok(Boot {
        state: bench.booted.state.clone(),
        start_ms: ms(bench.main.returned - bench.main.called),
        answer_ms: ms(bench.booted.elapsed),
        userspace_ms: timeline::userspace_ms(&said),
        timeline: timeline::spans(&said),
    })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::checks::CHECKS;
    use super::*;

    /// Each record with its check and what was expected, but for what was skipped.
    fn judged(records: &[CheckRecord]) -> impl Iterator<Item = (&CheckRecord, &Check, Expect)> {
        records.iter().filter(|r| !matches!(r.outcome, Outcome::Skipped(_))).map(|record| {
            let row = expect::ROWS.into_iter().find(|row| row.name == record.row).unwrap();
            let check = checks::find(&record.id).unwrap();
            (record, check, Expect { row, version: SystemdVersion::new(262, 0) })
        })
    }

    /// What was seen of a real boot of patched 262 on Docker 20.10, judged again.
    #[test]
    fn a_real_run_is_judged_again_the_same_way() {
        let records: Vec<CheckRecord> =
            serde_json::from_str(include_str!("testdata/patched-262.json")).unwrap();
        let pairs: usize = CHECKS.iter().map(|c| c.modes.len()).sum();
        assert_eq!(records.len(), pairs);
        let known = KnownFailures::load().unwrap();
        for (record, check, expect) in judged(&records) {
            let outcome = (check.judge)(&record.evidence, &expect);
            let outcome = known.weigh(check.id, &expect, &record.evidence, outcome);
            assert_eq!(outcome, record.outcome, "{}", check.id);
        }
        let verdict = verdict::verdict(records.iter().map(|r| (r.group, &r.outcome)));
        assert_eq!(verdict, verdict::Verdict::Proven);
    }

    /// Takes away what each check of that real run has seen, one observation at a time, and spoils
    /// it: a check that still holds would not depend on it.
    #[test]
    fn every_judge_depends_on_what_was_seen() {
        let records: Vec<CheckRecord> =
            serde_json::from_str(include_str!("testdata/patched-262.json")).unwrap();
        let known = KnownFailures::load().unwrap();
        for (record, check, expect) in judged(&records) {
            let sensitive = record.evidence.names().any(|name| {
                let mut spoilt = record.evidence.clone();
                spoilt.put(name, "spoilt");
                let outcome = (check.judge)(&spoilt, &expect);
                known.weigh(check.id, &expect, &spoilt, outcome) != record.outcome
            });
            assert!(sensitive, "{}", check.id);
        }
    }
}
