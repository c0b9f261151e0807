// SPDX-License-Identifier: MIT
//! A terminal's window changes its size, and the system goes on.

use super::{Check, Probe, all, same};
use crate::boot::bench::note;
use crate::boot::evidence::Evidence;
use crate::engine::Start;

pub const RESIZE: Check = Check {
    id: "boot.resize",
    title: "with -t, a resize does not put it into rescue mode",
    after_the_end: true,
    proves: &["0005-manager"],
    // A size that changes reaches the terminal's own processes. An attached client without a
    // terminal of the container passes the signal on to PID 1, as it does with all it gets. NixOS
    // links kbrequest.target to rescue.target, so it is made so here.
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let start = Start::plain(site.image).options(&["--tty"]);
        let Some(other) = site.boot("resize", &start, until, &mut seen)? else { return Ok(seen) };
        let link = "ln -s rescue.target /usr/lib/systemd/system/kbrequest.target && \
                    systemctl daemon-reload";
        let resize = "stty -F /dev/console rows 50 cols 90 && stty -F /dev/console size";
        note(&other.container, until, &mut seen, &[("link", link), ("resize", resize)])?;
        other.container.kill("SIGWINCH")?;
        let scripts = [
            // Reaches PID 1 after the signal, which has made its jobs by then.
            ("settled", "sleep 0.2; systemctl is-system-running --wait"),
            ("target", "systemctl is-active multi-user.target"),
            ("rescue", "systemctl is-active rescue.target"),
            ("keyboard", "systemctl is-active kbrequest.target"),
        ];
        note(&other.container, until, &mut seen, &scripts)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("the state before", seen.get("booted"), "running"),
            same("the link", seen.get("link.status"), "0"),
            same("the terminal's size", seen.get("resize"), "50 90"),
            same("rescue.target", seen.get("rescue"), "inactive"),
            same("multi-user.target", seen.get("target"), "active"),
            same("the state after", seen.get("settled"), "running"),
        ])
    },
    ..super::BASE
};
