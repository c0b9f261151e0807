// SPDX-License-Identifier: MIT
//! From an image and an engine to a verdict.
//!
//! [`examine`] boots one image in a plain container, runs the checks, keeps every transcript and
//! gives back a record. What the checks are is in [`checks`]; what they add up to in [`verdict`].

pub mod bench;
pub mod checks;
pub mod evidence;
pub mod expect;
pub mod record;
pub mod verdict;

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engine::{Engine, Start};
use crate::fault::{self, Fault};
use crate::ui::Ui;
use crate::version::SystemdVersion;
use bench::Bench;
use checks::{CHECKS, Check, Group};
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

/// Boots the candidate in a plain container and runs the checks that `wanted` selects; the
/// preconditions always run, since without them nothing is proved.
///
/// Transcripts go below `dir`. A check that fails is an answer, not an error.
///
/// # Errors
/// The engine cannot start containers at all, or the user interrupted the run. Containers are gone
/// in each case, unless `keep` is set.
pub fn examine(
    engine: &Engine,
    candidate: &Candidate<'_>,
    wanted: &dyn Fn(&Check) -> bool,
    dir: &Path,
    keep: bool,
    ui: &Ui,
) -> Result<Subject> {
    let row = expect::Row::plain(&engine.facts).ok_or_else(|| {
        Fault::cannot_try(format!("no expected values for {} yet", engine.facts.version))
            .hint("use --engine docker or --engine private")
    })?;
    let expect = Expect { row, version: candidate.version };
    let step = ui.step(format!("examine systemd {} ({})", candidate.version, candidate.flavour));
    step.detail("boot");
    let main = engine.start(&Start::plain(candidate.image))?;
    if keep {
        main.keep();
    }
    let booted = bench::boot(&main, BOOT_DEADLINE)?;
    let alive = !booted.state.starts_with("exited");
    let bench = Bench {
        engine,
        image: candidate.image,
        stock: candidate.stock,
        main,
        booted,
        dir,
        keep,
        fixtures: Cell::new(false),
        until: Cell::new(Instant::now()),
    };
    let boot = measure(&bench, alive)?;
    let mut results = Vec::new();
    let mut ended = !alive;
    for check in CHECKS.iter().filter(|c| c.group == Group::Precondition || wanted(c)) {
        step.detail(check.id);
        if check.id == "exit.sigterm" && !ended {
            // The last moment at which the journal can be asked.
            bench.main.keep_transcript(&dir.join("main"));
        }
        results.push(one(check, &bench, &expect, ended)?);
        ended = ended || check.id == "exit.sigterm";
    }
    bench.main.keep_transcript(&dir.join("main"));
    let verdict = verdict::verdict(results.iter().map(|r| (r.group, &r.outcome)));
    step.done(verdict.sentence());
    Ok(Subject {
        version: candidate.version,
        flavour: candidate.flavour.to_owned(),
        image: candidate.image.to_owned(),
        digest: candidate.digest.to_owned(),
        row: row.name.to_owned(),
        boot,
        checks: results,
        verdict,
        transcript: dir.to_owned(),
    })
}

fn one(check: &Check, bench: &Bench<'_>, expect: &Expect, ended: bool) -> Result<CheckRecord> {
    let start = Instant::now();
    bench.until.set(start + check.timeout);
    let (outcome, evidence) = if ended && !check.after_the_end {
        (Outcome::NotTried(format!("the container is gone ({})", bench.booted.state)), None)
    } else {
        match (check.probe)(bench) {
            Ok(evidence) => ((check.judge)(&evidence, expect), Some(evidence)),
            Err(error) if fault::kind_of(&error) == fault::Kind::Interrupted => return Err(error),
            Err(error) => (Outcome::Broken(format!("{error:#}")), None),
        }
    };
    tracing::info!(check = check.id, ?outcome, ms = start.elapsed().as_millis(), "judged");
    Ok(CheckRecord {
        id: check.id.to_owned(),
        group: check.group,
        title: check.title.to_owned(),
        outcome,
        ms: ms(start.elapsed()),
        evidence: evidence.unwrap_or_default(),
    })
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
