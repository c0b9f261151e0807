// SPDX-License-Identifier: MIT
//! What a check's probe works with: the engine, the images, and one booted container.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::evidence::Evidence;
use crate::engine::{Container, Engine, Start};

/// Includes a unit file under its name.
macro_rules! unit {
    ($name:literal) => {
        ($name, include_str!(concat!("fixtures/", $name)))
    };
}

/// Units that the checks start, unpacked into the container *after* its plain boot.
const FIXTURES: [(&str, &str); 15] = [
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
];

/// How a container's boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booted {
    /// `running`, `degraded`, …, `exited 255`, or `silent` when the deadline passed.
    pub state: String,
    /// From the return of `docker run` to the answer.
    pub elapsed: Duration,
}

/// Shared by the probes of one image.
#[derive(Debug)]
pub struct Bench<'a> {
    pub engine: &'a Engine,
    /// The image under test, as the engine knows it.
    pub image: &'a str,
    /// The same layers without the patches.
    pub stock: Option<&'a str>,
    /// Started with no option at all.
    pub main: Container<'a>,
    pub booted: Booted,
    /// Transcripts go below this folder.
    pub dir: &'a Path,
    /// Leave containers in the engine.
    pub keep: bool,
    pub fixtures: Cell<bool>,
    /// When the probe that is running must have its answers.
    pub until: Cell<Instant>,
}

impl Bench<'_> {
    /// The time the running probe has left, at least 100 ms.
    pub fn left(&self) -> Duration {
        let left = self.until.get().saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(100))
    }

    /// Runs a script in the main container and notes what it says (both outputs) as `name`, and its
    /// exit status as `name.status`; `timeout` if it does not end.
    pub fn note(&self, seen: &mut Evidence, name: &str, script: &str) -> Result<()> {
        let left = self.left();
        let start = Instant::now();
        let answer = match self.main.shell(left, script) {
            Ok(answer) => answer,
            Err(_) if start.elapsed() >= left => {
                seen.put(&format!("{name}.status"), "timeout");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut said = answer.text();
        if !answer.stderr.is_empty() {
            let separator = if said.is_empty() { "" } else { "\n" };
            said = format!("{said}{separator}{}", answer.error_text());
        }
        seen.put(name, said);
        let status = answer.status.code().map_or("killed".to_owned(), |c| c.to_string());
        seen.put(&format!("{name}.status"), status);
        Ok(())
    }

    /// Starts another container beside the main one; its transcript is kept when it ends.
    pub fn another(&self, name: &str, start: &Start) -> Result<Other<'_>> {
        let container = self.engine.start(start)?;
        if self.keep {
            container.keep();
        }
        Ok(Other { container, dir: self.dir.join(name) })
    }

    /// Puts the test units into the main container, once.
    pub fn put_fixtures(&self) -> Result<()> {
        if self.fixtures.replace(true) {
            return Ok(());
        }
        self.main.copy_in(archive()?, "/etc/systemd/system")?;
        let answer = self.main.exec(self.left(), &["systemctl", "daemon-reload"])?;
        anyhow::ensure!(answer.status.success(), "daemon-reload: {}", answer.error_text());
        Ok(())
    }
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
    let start = Instant::now();
    let answer = container.shell(deadline, ASK);
    let elapsed = container.returned.elapsed();
    let state = match answer {
        Ok(answer) if answer.status.success() => answer.text(),
        Ok(answer) => match container.wait(Duration::from_secs(1))? {
            Some(code) => format!("exited {code}"),
            None => format!("unable to run systemctl: {}", answer.error_text()),
        },
        Err(_) if start.elapsed() >= deadline => "silent".into(),
        Err(error) => return Err(error),
    };
    Ok(Booted { state, elapsed })
}

fn archive() -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in FIXTURES {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    Ok(tar.into_inner()?)
}
