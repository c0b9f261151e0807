// SPDX-License-Identifier: MIT
//! Tests that could not be tried here, said aloud and counted.
//!
//! The test harness knows no "skipped at run time": a test that returns early counts as passed.
//! So such a test calls [`record`] with the reason, and `cargo xtask test`, which sets [`LOG`],
//! takes it out of the passes and lists it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The variable that names the file to which skipped tests append themselves.
pub const LOG: &str = "PLAINBOOT_SKIP_LOG";

/// A test that was not tried, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    pub test: String,
    pub reason: String,
    /// It needs what `cargo xtask test` cannot bring, so the run is good without it.
    #[serde(default)]
    pub optional: bool,
}

/// Records that the running test could not be tried; the test returns right after.
///
/// Without [`LOG`] (a plain `cargo test`) nobody counts, and nothing is recorded.
///
/// # Errors
/// The log cannot be written: then the test must fail, or a skip would pass as a success.
pub fn record(reason: &str) -> Result<()> {
    record_as(reason, false)
}

/// The same for a test that needs what `cargo xtask test` cannot bring: nixpkgs, or a browser that is no
/// part of the machine. It is counted and named, and the run is good without it.
///
/// # Errors
/// As [`record`].
pub fn record_optional(reason: &str) -> Result<()> {
    record_as(reason, true)
}

fn record_as(reason: &str, optional: bool) -> Result<()> {
    let Some(log) = std::env::var_os(LOG) else { return Ok(()) };
    let test = std::thread::current().name().unwrap_or("unnamed test").to_owned();
    append(Path::new(&log), &Skip { test, reason: reason.to_owned(), optional })
}

/// One line per skip in one `write`, so that tests of several threads and processes do not mix.
fn append(log: &Path, skip: &Skip) -> Result<()> {
    let line = serde_json::to_string(skip)? + "\n";
    File::options()
        .append(true)
        .create(true)
        .open(log)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .with_context(|| format!("cannot record a skipped test in {}", log.display()))
}

/// The skips in a log; none if the file was never made.
pub fn read(log: &Path) -> Result<Vec<Skip>> {
    let text = match std::fs::read_to_string(log) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", log.display())),
    };
    text.lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("{}: not a record of a skip: {line}", log.display()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("skips");
        assert_eq!(read(&log).unwrap(), []);
        let skip =
            |reason: &str| Skip { test: "a::b".into(), reason: reason.into(), optional: false };
        append(&log, &skip("no \"nix\"\nhere")).unwrap();
        append(&log, &skip("no engine")).unwrap();
        assert_eq!(read(&log).unwrap(), [skip("no \"nix\"\nhere"), skip("no engine")]);
        std::fs::write(&log, "torn").unwrap();
        assert!(read(&log).is_err());
    }
}
