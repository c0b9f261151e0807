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
pub mod record;
pub mod verdict;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engine::{Engine, Start};
use crate::fault::{self, Fault};
use crate::ui::{self, Ui};
use crate::version::SystemdVersion;
use bench::{Bench, Site, Until};
use checks::{CHECKS, Check, Group, Probe};
use evidence::Evidence;
use expect::Expect;
use record::{Boot, CheckRecord, Subject};
use verdict::Outcome;

/// How long a boot may take. Slow machines exist; a container that says nothing for so long is dead.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);

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
    /// Selects checks.
    pub wanted: &'a dyn Fn(&Check) -> bool,
    /// Leave the containers in the engine.
    pub keep: bool,
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
    let row = expect::Row::plain(&engine.facts).ok_or_else(|| {
        Fault::cannot_try(format!("no expected values for {} yet", engine.facts.version))
            .hint("use --engine docker or --engine private")
    })?;
    let expect = Expect { row, version: candidate.version };
    let step = ui.step(format!("examine systemd {} ({})", candidate.version, candidate.flavour));
    step.detail("boot");
    let site =
        Site { engine, image: candidate.image, stock: candidate.stock, dir, keep: options.keep };
    let main = engine.start(&Start::plain(candidate.image).keep(options.keep))?;
    let booted = bench::boot(&main, BOOT_DEADLINE)?;
    let alive = !booted.state.starts_with("exited");
    let bench = Bench::new(&site, main, booted);
    let boot = measure(&bench, alive)?;
    let chosen: Vec<&Check> = CHECKS
        .into_iter()
        .filter(|c| c.group == Group::Precondition || (options.wanted)(c))
        .collect();
    // Only now, so that the others do not slow the boot that is measured.
    let results = std::thread::scope(|scope| {
        let apart = scope.spawn(|| look_apart(&chosen, &site, &expect));
        let main = look_at_main(&chosen, &bench, &expect, alive, &step);
        let apart = apart.join().map_err(|_| anyhow::anyhow!("a check panicked"))?;
        anyhow::Ok([main?, apart?].concat())
    })?;
    bench.main.keep_transcript(&dir.join("main"));
    // Each ran in one of the two threads; they are reported in the order of the table.
    let order = |id: &str| CHECKS.iter().position(|c| c.id == id);
    let mut results = results;
    results.sort_by_key(|r| order(&r.id));
    let verdict = verdict::verdict(results.iter().map(|r| (r.group, &r.outcome)));
    step.done(verdict.sentence());
    Ok(Subject {
        version: candidate.version,
        flavour: candidate.flavour.to_owned(),
        image: candidate.image.to_owned(),
        digest: candidate.digest.to_owned(),
        row: row.name.to_owned(),
        boot,
        complete: chosen.len() == CHECKS.len(),
        checks: results,
        verdict,
        transcript: dir.to_owned(),
    })
}

fn look_at_main(
    chosen: &[&Check],
    bench: &Bench<'_>,
    expect: &Expect,
    alive: bool,
    step: &ui::Step<'_>,
) -> Result<Vec<CheckRecord>> {
    let mut results = Vec::new();
    let mut ended = !alive;
    for check in chosen {
        let Probe::Main(probe) = check.probe else { continue };
        step.detail(check.id);
        if check.group == Group::Exit && !ended {
            // The last moment at which the journal can be asked.
            bench.main.keep_transcript(&bench.site.dir.join("main"));
        }
        results.push(if ended && !check.after_the_end {
            let gone = Outcome::NotTried(format!("the container is gone ({})", bench.booted.state));
            record(check, gone, Evidence::default(), Duration::ZERO)
        } else {
            look(check, expect, |until| {
                bench.until.set(until);
                probe(bench)
            })?
        });
        ended = ended || check.group == Group::Exit;
    }
    Ok(results)
}

fn look_apart(chosen: &[&Check], site: &Site<'_>, expect: &Expect) -> Result<Vec<CheckRecord>> {
    let mut results = Vec::new();
    for check in chosen {
        if let Probe::Apart(probe) = check.probe {
            results.push(look(check, expect, |until| probe(site, until))?);
        }
    }
    Ok(results)
}

/// Runs one probe and judges what it saw. Only an interrupt ends the run.
fn look(
    check: &Check,
    expect: &Expect,
    probe: impl FnOnce(Until) -> Result<Evidence>,
) -> Result<CheckRecord> {
    let start = Instant::now();
    let (outcome, evidence) = match probe(Until::after(check.timeout)) {
        Ok(evidence) => ((check.judge)(&evidence, expect), evidence),
        Err(error) if fault::kind_of(&error) == fault::Kind::Interrupted => return Err(error),
        Err(error) => (Outcome::Broken(format!("{error:#}")), Evidence::default()),
    };
    Ok(record(check, outcome, evidence, start.elapsed()))
}

fn record(check: &Check, outcome: Outcome, evidence: Evidence, took: Duration) -> CheckRecord {
    tracing::info!(check = check.id, ?outcome, ms = ms(took), "judged");
    CheckRecord {
        id: check.id.to_owned(),
        group: check.group,
        title: check.title.to_owned(),
        outcome,
        ms: ms(took),
        evidence,
    }
}

/// Times of the boot; PID 1's own count is asked for only where it can answer.
fn measure(bench: &Bench<'_>, alive: bool) -> Result<Boot> {
    let running = bench.booted.state == "running";
    let userspace = if alive && running {
        let show = "systemctl show --value --property=UserspaceTimestampMonotonic \
                    --property=FinishTimestampMonotonic";
        let answer = bench.main.shell(Duration::from_secs(5), show)?.text();
        let times: Vec<u64> = answer.lines().filter_map(|l| l.parse().ok()).collect();
        match times.as_slice() {
            [a, b] if a.min(b) > &0 => Some(a.abs_diff(*b) / 1000),
            _ => None,
        }
    } else {
        None
    };
    Ok(Boot {
        state: bench.booted.state.clone(),
        start_ms: ms(bench.main.returned - bench.main.called),
        answer_ms: ms(bench.booted.elapsed),
        userspace_ms: userspace,
    })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A log line without a terminal's colours, other control sequences and carriage returns.
pub fn plain_text(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                // CSI: parameters, then one letter.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC and the like: up to the string terminator (ESC \) or BEL.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = chars.next() {
                        if c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was seen of a real boot of patched 262 on Docker 20.10, judged again.
    #[test]
    fn a_real_run_is_judged_again_the_same_way() {
        let records: Vec<CheckRecord> =
            serde_json::from_str(include_str!("testdata/patched-262.json")).unwrap();
        assert_eq!(records.len(), CHECKS.len());
        let expect = Expect { row: expect::DOCKER_PLAIN, version: SystemdVersion::new(262, 0) };
        for (record, check) in records.iter().zip(CHECKS) {
            assert_eq!(record.id, check.id);
            let outcome = (check.judge)(&record.evidence, &expect);
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
        let expect = Expect { row: expect::DOCKER_PLAIN, version: SystemdVersion::new(262, 0) };
        for (record, check) in records.iter().zip(CHECKS) {
            let sensitive = record.evidence.names().any(|name| {
                let mut spoilt = record.evidence.clone();
                spoilt.put(name, "spoilt");
                (check.judge)(&spoilt, &expect) != record.outcome
            });
            assert!(sensitive, "{}", check.id);
        }
    }

    #[test]
    fn control_sequences_of_real_boots_are_removed() {
        assert_eq!(plain_text("\x1b[0;1;31mFailed to x\x1b[0m\r\r"), "Failed to x");
        assert_eq!(
            plain_text("\x1b]3008;start=1;type=boot\x1b\\Exiting PID 1..."),
            "Exiting PID 1..."
        );
        assert_eq!(plain_text("\x1b[!p\x1b]104\x07a\x1b[?7hb\x1b7c"), "abc");
        assert_eq!(plain_text("\x1b["), "");
    }
}
