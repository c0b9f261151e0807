// SPDX-License-Identifier: MIT
//! A program that runs as PID 1 before systemd and executes it. NixOS does so: its second stage puts
//! `/run/current-system` in place, and systemd must not take that for what an earlier boot left.

use std::time::Duration;

use super::{Check, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{boot, note};
use crate::boot::evidence::Evidence;
use crate::engine::Start;

/// The very script that is `/sbin/init` of a NixOS image.
const INIT: &str = include_str!("../../../../nix/init.sh");

/// In place of NixOS' second stage: notes what it finds, counts its boots, and writes to /dev/kmsg as
/// that does.
const SECOND_STAGE: &str = "echo booting system configuration >/dev/kmsg; \
    echo found: $(ls -A /run) >/found; echo $container >/container; echo boot >>/boots; ln -s /usr /run/current-system; wc -l </boots >/run/boot; exec /sbin/init";

/// What an earlier boot, or the image, has left in /run.
const OLD: [&str; 3] = ["left", "of-the-image", "systemd"];

const LOOK: [(&str, &str); 4] = [
    ("found", "cat /found"),
    ("boot", "cat /run/boot; readlink /run/current-system"),
    ("left", "test ! -e /run/left; echo $?; touch /run/left"),
    ("container", "cat /container; tr '\\0' '\\n' </proc/1/environ | grep ^container="),
];

/// A command that writes both scripts, once, and becomes the first.
fn command() -> String {
    let init = INIT
        .replace("@shell@", "/bin/sh")
        .replace("@path@", "/usr/bin:/bin")
        .replace("@toplevel@", "/plainboot-system");
    format!(
        "if ! test -e /plainboot-init; then mkdir /plainboot-system\n\
         cat >/plainboot-system/init <<'END'\n#!/bin/sh\n{SECOND_STAGE}\nEND\n\
         cat >/plainboot-init <<'END'\n{init}END\n\
         chmod +x /plainboot-system/init /plainboot-init; touch /run/of-the-image; fi\n\
         exec /plainboot-init"
    )
}

pub const PREPARED: Check = Check {
    id: "boot.prepared",
    title: "NixOS' init empties /run; what its second stage adds stays",
    timeout: Duration::from_secs(40),
    proves: &["0001-mount-setup"],
    probe: Probe::Apart(|site, until| {
        let start = Start::plain(site.image).command(&["sh", "-c", &command()]);
        let other = site.another("prepared", &start)?;
        let mut seen = Evidence::default();
        for round in ["first", "second"] {
            if round == "second" {
                other.container.restart()?;
            }
            seen.put(&format!("{round}.state"), boot(&other.container, until.left())?.state);
            let mut now = Evidence::default();
            note(&other.container, until, &mut now, &LOOK)?;
            for (name, _) in LOOK {
                seen.put(&format!("{round}.{name}"), now.get(name));
            }
        }
        Ok(seen)
    }),
    judge: |seen, _| {
        let rounds = [("first", "1"), ("second", "2")].map(|(round, count)| {
            let get = |name: &str| seen.get(&format!("{round}.{name}"));
            let container = get("container");
            all([
                same(&format!("the state of the {round} boot"), get("state"), "running"),
                // Engines mount files of their own there.
                Outcome::holds_if(
                    get("found").starts_with("found: ")
                        && !OLD.iter().any(|old| get("found").contains(old)),
                    || format!("in /run before systemd: `{}`", shorten(get("found"))),
                ),
                same("in /run after the boot", get("boot"), &format!("{count}\n/usr")),
                same("left from before", get("left"), "0"),
                Outcome::holds_if(
                    ["docker\ncontainer=docker", "podman\ncontainer=podman"].contains(&container),
                    || format!("$container: `{container}`"),
                ),
            ])
        });
        all(rounds)
    },
    ..super::BASE
};
