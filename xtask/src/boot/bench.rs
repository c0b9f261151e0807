// SPDX-License-Identifier: MIT
//! What a check's probe works with: the engine, the images, and one booted container.

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::evidence::Evidence;
use super::expect::{Mode, Row};
use crate::engine::{Container, Engine, Start};

/// Includes a unit file under its name.
macro_rules! unit {
    ($name:literal) => {
        ($name, include_str!(concat!("fixtures/", $name)))
    };
}

/// Units that the checks start, and a script that starts some, unpacked into the container *after* its plain boot.
const FIXTURES: &[(&str, &str)] = &[
    unit!("plainboot-simple.service"),
    unit!("plainboot-notify.service"),
    unit!("plainboot-oneshot.service"),
    unit!("plainboot-timer.timer"),
    unit!("plainboot-timer.service"),
    unit!("plainboot-listen.socket"),
    unit!("plainboot-listen.service"),
    unit!("plainboot-accept.socket"),
    unit!("plainboot-accept@.service"),
    unit!("plainboot-broken.socket"),
    unit!("plainboot-broken@.service"),
    unit!("plainboot-folders.service"),
    unit!("plainboot-output.service"),
    unit!("plainboot-failure.service"),
    unit!("plainboot-stop.service"),
    unit!("plainboot-forking.service"),
    unit!("plainboot-forking-pidfile.service"),
    unit!("plainboot-forking-user.service"),
    unit!("plainboot-notify-child.service"),
    unit!("plainboot-family.service"),
    unit!("plainboot-exit-type.service"),
    unit!("plainboot-mixed.service"),
    unit!("plainboot-lost.service"),
    unit!("plainboot-thousand.service"),
    unit!("plainboot-session.service"),
    unit!("plainboot-delegate.service"),
    unit!("plainboot-credentials.service"),
    unit!("plainboot-dynamic.service"),
    unit!("plainboot-dynamic-state.service"),
    unit!("plainboot-private-users.service"),
    unit!("plainboot-seccomp.service"),
    unit!("plainboot-talk.service"),
    unit!("plainboot-flood.service"),
    unit!("plainboot-after.service"),
    unit!("plainboot-memory-hog.service"),
    unit!("plainboot-fork-bomb.service"),
    unit!("plainboot-options.sh"),
];

/// How a container's boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booted {
    /// `running`, `degraded`, …, `exited 255`, or `silent` when the deadline passed.
    pub state: String,
    /// From the return of `docker run` to the answer.
    pub elapsed: Duration,
}

impl Booted {
    /// There is no container left to look at.
    pub fn is_over(&self) -> bool {
        self.state.starts_with("exited")
    }
}

/// When a probe must have its answers.
#[derive(Debug, Clone, Copy)]
pub struct Until(Instant);

impl Until {
    pub fn after(duration: Duration) -> Until {
        Until(Instant::now() + duration)
    }

    /// The time that is left, at least 100 ms.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
    }
}

/// What every probe of one image may use, also from another thread.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    pub engine: &'a Engine,
    /// How the main container is run.
    pub row: Row,
    /// The image under test, as the engine knows it.
    pub image: &'a str,
    /// The same layers without the patches.
    pub stock: Option<&'a str>,
    /// Transcripts go below this folder.
    pub dir: &'a Path,
    /// Leave containers in the engine.
    pub keep: bool,
}

impl<'a> Site<'a> {
    /// The image, run as the main container is.
    pub fn start(&self) -> Start {
        let start = self.row.start(self.image, &self.engine.facts);
        // Stock systemd itself, under examination: it cannot do without a mount there.
        let stock = self.row.mode == Mode::Writable && self.stock == Some(self.image);
        if stock { start.options(&["--tmpfs=/run"]) } else { start }
    }

    /// Starts a container beside the main one, and notes how its boot ends as `booted`. `None`, with
    /// its log noted, if nothing is left to look at.
    pub fn boot(
        &self,
        name: &str,
        start: &Start,
        until: Until,
        seen: &mut Evidence,
    ) -> Result<Option<Other<'a>>> {
        let other = self.another(name, start)?;
        let booted = boot(&other.container, until.left())?;
        seen.put("booted", &booted.state);
        if booted.is_over() {
            seen.put("log", other.container.log()?);
            return Ok(None);
        }
        Ok(Some(other))
    }

    /// Starts a container beside the main one; its transcript is kept when it ends.
    pub fn another(&self, name: &str, start: &Start) -> Result<Other<'a>> {
        let container = self.engine.start(&start.clone().keep(self.keep))?;
        Ok(Other { container, dir: self.dir.join(name) })
    }
}

/// What the probes of the main container use.
#[derive(Debug)]
pub struct Bench<'a> {
    pub site: &'a Site<'a>,
    /// Started with no option at all.
    pub main: Container<'a>,
    pub booted: Booted,
    /// When the probe that runs now must have its answers.
    pub until: Cell<Until>,
    fixtures: Cell<bool>,
    client: OnceCell<Other<'a>>,
}

impl<'a> Bench<'a> {
    pub fn new(site: &'a Site<'a>, main: Container<'a>, booted: Booted) -> Bench<'a> {
        let until = Cell::new(Until::after(Duration::ZERO));
        Bench { site, main, booted, until, fixtures: Cell::default(), client: OnceCell::new() }
    }

    /// Runs scripts in the main container; see [`note`].
    pub fn note(&self, seen: &mut Evidence, scripts: &[(&str, &str)]) -> Result<()> {
        note(&self.main, self.until.get(), seen, scripts)
    }

    /// Puts the test units into the main container, once.
    pub fn put_fixtures(&self) -> Result<()> {
        if self.fixtures.replace(true) {
            return Ok(());
        }
        put_fixtures(&self.main, self.until.get())
    }

    /// A sibling container of the same image that runs no systemd: the outside world.
    pub fn client(&self) -> Result<&Container<'a>> {
        if self.client.get().is_none() {
            let start = Start::plain(self.site.image).command(&["sleep", "infinity"]);
            let _ = self.client.set(self.site.another("client", &start)?);
        }
        let client = self.client.get().context("no client container")?;
        Ok(&client.container)
    }
}

/// Puts the test units into a container that runs.
pub fn put_fixtures(container: &Container<'_>, until: Until) -> Result<()> {
    container.copy_in(archive()?, "/etc/systemd/system")?;
    let answer = container.exec(until.left(), &["systemctl", "daemon-reload"])?;
    anyhow::ensure!(answer.status.success(), "daemon-reload: {}", answer.error_text());
    Ok(())
}

/// Runs scripts in a container, all by one call, and notes what each says (both outputs) under its
/// name and its exit status under `NAME.status`; `timeout` if they do not all end in time.
pub fn note(
    container: &Container<'_>,
    until: Until,
    seen: &mut Evidence,
    scripts: &[(&str, &str)],
) -> Result<()> {
    let all: String = scripts
        .iter()
        .map(|(name, script)| {
            format!("printf '\\036%s\\035' {name}; ( {script} ) 2>&1; printf '\\035%s' $?\n")
        })
        .collect();
    let (left, start) = (until.left(), Instant::now());
    let answer = match container.shell(left, &all) {
        Ok(answer) => answer,
        Err(_) if start.elapsed() >= left => {
            for (name, _) in scripts {
                seen.put(&format!("{name}.status"), "timeout");
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let text = answer.text();
    for (name, said, status) in parse(&text) {
        seen.put(name, said);
        seen.put(&format!("{name}.status"), status);
    }
    if !answer.stderr.is_empty() {
        seen.put("engine", answer.error_text());
    }
    Ok(())
}

fn parse(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.split('\u{1e}').filter_map(|part| {
        let [name, said, status] = part.split('\u{1d}').collect::<Vec<_>>().try_into().ok()?;
        Some((name, said.trim_end(), status))
    })
}

/// A container beside the main one.
#[derive(Debug)]
pub struct Other<'a> {
    pub container: Container<'a>,
    dir: PathBuf,
}

impl Drop for Other<'_> {
    fn drop(&mut self) {
        self.container.keep_transcript(&self.dir);
    }
}

/// Waits until PID 1 says how its boot ended. Asked inside the container, by one process that waits
/// there, so that the measured time is not that of a poll.
pub fn boot(container: &Container<'_>, deadline: Duration) -> Result<Booted> {
    const ASK: &str = "while :; do \
        s=$(systemctl is-system-running --wait 2>/dev/null); \
        case $s in running|degraded|maintenance|stopping) echo $s; exit;; esac; \
        sleep 0.01; done";
    let until = Until::after(deadline);
    let state = loop {
        let last = until.0 <= Instant::now();
        match container.shell(until.left(), ASK) {
            Ok(answer) if answer.status.success() => break answer.text(),
            Ok(answer) => {
                let state = container.state()?;
                if !state.running {
                    break format!("exited {}", state.exit_code);
                }
                // NixOS has no shell before its activation has put one in place.
                if last {
                    break format!("unable to run systemctl: {}", answer.error_text());
                }
                crate::exec::sleep(Duration::from_millis(20))?;
            }
            Err(_) if until.0 <= Instant::now() => break "silent".into(),
            Err(error) => return Err(error),
        }
    };
    let elapsed = container.returned.elapsed();
    Ok(Booted { state, elapsed })
}

fn archive() -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for &(name, text) in FIXTURES {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_several_scripts_are_told_apart() {
        let text = "\u{1e}a\u{1d}one\ntwo\n\u{1d}0\u{1e}b\u{1d}\u{1d}1\u{1e}cut\u{1d}short";
        let seen: Vec<_> = parse(text).collect();
        assert_eq!(seen, [("a", "one\ntwo", "0"), ("b", "", "1")]);
    }
}
