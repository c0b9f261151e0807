// SPDX-License-Identifier: MIT
//! QEMU's own socket: asked to do what no guest can.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::fault::Fault;

/// Writing a few hundred megabytes to a busy disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// Writes what a guest has changed on a disk that was opened with a throw-away overlay into the disk
/// itself. What it changes from then on goes to an empty overlay.
///
/// # Errors
/// QEMU does not answer, or could not write; the disk's content is then unknown.
pub fn commit(socket: &Path, drive: &str) -> Result<()> {
    // HMP's `commit` is the one that knows these overlays: they have no name in QMP.
    let arguments = json!({ "command-line": format!("commit {drive}") });
    let said = ask(socket, &[("human-monitor-command", arguments)])?;
    match said.as_str().map(str::trim) {
        Some("") => Ok(()),
        said => {
            Err(Fault::new(format!("QEMU cannot write {drive}: {}", said.unwrap_or("?"))).into())
        }
    }
}

/// The answer to the last of these commands.
fn ask(socket: &Path, commands: &[(&str, Value)]) -> Result<Value> {
    let mut out = UnixStream::connect(socket)
        .with_context(|| format!("cannot reach QEMU at {}", socket.display()))?;
    out.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(out.try_clone()?).lines();
    let mut last = Value::Null;
    for (command, arguments) in [("qmp_capabilities", json!({}))].iter().chain(commands) {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(out, "{request}")?;
        last = answer(&mut lines).with_context(|| format!("QEMU was asked for {command}"))?;
    }
    Ok(last)
}

/// The next line that is an answer; greetings and events come between.
fn answer(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Result<Value> {
    for line in lines {
        let line: Value = serde_json::from_str(&line?)?;
        if let Some(value) = line.get("return") {
            return Ok(value.clone());
        }
        if let Some(error) = line.get("error") {
            return Err(Fault::new(error["desc"].as_str().unwrap_or("?").to_owned()).into());
        }
    }
    Err(Fault::new("it has ended").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_and_events_are_no_answers() {
        let said = [
            r#"{"QMP": {"version": {"qemu": {"major": 7}}}}"#,
            r#"{"timestamp": {"seconds": 1}, "event": "RTC_CHANGE"}"#,
            r#"{"return": ""}"#,
            r#"{"error": {"class": "GenericError", "desc": "no such drive"}}"#,
        ];
        let mut lines = said.iter().map(|l| Ok((*l).to_owned()));
        assert_eq!(answer(&mut lines).unwrap(), json!(""));
        assert_eq!(answer(&mut lines).unwrap_err().to_string(), "no such drive");
        assert_eq!(answer(&mut lines).unwrap_err().to_string(), "it has ended");
    }
}
