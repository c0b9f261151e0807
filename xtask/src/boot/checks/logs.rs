// SPDX-License-Identifier: MIT
//! The engine's log tells the container's story: nothing lost, nothing twice.

use std::time::Duration;

use super::{Check, Group, Outcome, Probe, shorten};
use crate::boot::plain_text;

/// What the log must hold, in this order, and the words that a line must have for it.
const MARKER_LINES: [(&str, &[&str]); 5] = [
    ("the boot", &["running in system mode"]),
    ("a service's output", &["plainboot-marker-output"]),
    ("a unit's failure", &["plainboot-failure.service: Failed with result"]),
    ("output while stopping", &["plainboot-marker-stop"]),
    ("the end", &["Exiting container."]),
];

pub const MARKERS: Check = Check {
    id: "logs.once",
    group: Group::Logs,
    title: "the engine's log has boot, output, failure and end, once each",
    timeout: Duration::from_secs(10),
    proves: &["0003-main", "0006-journald"],
    after_the_end: true,
    // Judged on the log of the container that `exit.sigterm` ended.
    needs: &["exit.sigterm"],
    probe: Probe::Main(|bench| Ok([("log", bench.main.log()?.as_str())].into())),
    judge: |seen, _| markers(seen.get("log")),
    ..super::BASE
};

fn markers(log: &str) -> Outcome {
    let lines: Vec<String> = log.lines().map(plain_text).collect();
    let mut from = 0;
    for (what, words) in MARKER_LINES {
        let hits: Vec<usize> =
            (0..lines.len()).filter(|&i| words.iter().all(|w| lines[i].contains(w))).collect();
        match hits.as_slice() {
            [] => return Outcome::Fails(format!("no line about {what} (`{}`)", words[0])),
            [one] if *one < from => return Outcome::Fails(format!("{what} comes too early")),
            [one] => from = *one,
            [first, ..] => {
                let line = shorten(&lines[*first]);
                return Outcome::Fails(format!("{what} is there {} times: `{line}`", hits.len()));
            }
        }
    }
    Outcome::Holds
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "systemd 262 running in system mode (+PAM)\nplainboot-marker-output\n\
        plainboot-failure.service: Failed with result 'exit-code'.\nplainboot-marker-stop\n\
        Exiting container.\n";

    #[test]
    fn each_once_and_in_order() {
        assert_eq!(markers(GOOD), Outcome::Holds);
        let lost = GOOD.replace("plainboot-marker-stop\n", "");
        assert!(matches!(markers(&lost), Outcome::Fails(m) if m.contains("while stopping")));
        let twice = format!("{GOOD}[  1.0] Exiting container.\n");
        assert!(matches!(markers(&twice), Outcome::Fails(m) if m.contains("2 times")));
        let swapped = format!("plainboot-marker-stop\n{lost}");
        assert!(matches!(markers(&swapped), Outcome::Fails(m) if m.contains("too early")));
    }

    /// A real log, of a 262 that wrote PID 1's own lines alone to the engine's log.
    #[test]
    fn lost_output_is_found_in_a_real_log() {
        let log = include_str!("../testdata/unmirrored-262.log");
        let because = "no line about a service's output (`plainboot-marker-output`)";
        assert_eq!(markers(log), Outcome::Fails(because.into()));
    }

    #[test]
    fn colours_do_not_hide_a_marker() {
        let coloured =
            GOOD.replace("Exiting container.", "\x1b[0;1;39mExiting container.\x1b[0m\r");
        assert_eq!(markers(&coloured), Outcome::Holds);
    }
}
