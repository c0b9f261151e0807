// SPDX-License-Identifier: MIT
//! On a terminal PID 1 could tell of each unit twice: by itself, and through the journal.

use std::time::Duration;

use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::boot;
use crate::boot::evidence::Evidence;
use crate::boot::plain_text;
use crate::engine::Start;

pub const ONCE: Check = Check {
    id: "logs.once-tty",
    group: Group::Logs,
    title: "with -t, the engine's log tells of a unit's start once",
    timeout: Duration::from_secs(30),
    after_the_end: true,
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--tty"]);
        let other = site.another("once-tty", &start)?;
        seen.put("state", boot(&other.container, until.left())?.state);
        // The journal may hand on a line a moment after the boot has ended.
        for _ in 0..40 {
            let log = other.container.log()?;
            let done = !reached(&log).is_empty();
            seen.put("log", log);
            if done {
                break;
            }
            crate::exec::sleep(Duration::from_millis(50))?;
        }
        Ok(seen)
    }),
    judge: |seen, _| {
        let lines = reached(seen.get("log"));
        let once = Outcome::holds_if(lines.len() == 1, || {
            format!("{} lines about one target: `{}`", lines.len(), shorten(&lines.join("\n")))
        });
        all([same("the state", seen.get("state"), "running"), once])
    },
    ..super::BASE
};

/// The lines about one target of the boot: not the last, whose line an agetty that resets its terminal
/// was seen to flush away.
fn reached(log: &str) -> Vec<String> {
    let lines = log.lines().map(plain_text);
    lines.filter(|l| l.contains("Reached target") && l.contains("Basic System")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_beside_the_journals_is_one_too_many() {
        let journal = "systemd[1]: Reached target basic.target - Basic System.\r\n";
        let status =
            "[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mBasic System\x1b[0m.\r\n";
        assert_eq!(reached(journal).len(), 1);
        assert_eq!(reached(&format!("{status}{journal}")).len(), 2);
    }
}
