// SPDX-License-Identifier: MIT
//! `cargo xtask doctor`

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::fault::Status;
use crate::host::{Cgroup, Engine, Host, Probe};
use crate::requirements::{self, COMMANDS, Need, Requirement};
use crate::ui::Tone;

/// Say what is missing for which command, and the one line that installs it
///
/// Exit code 0 if every command can run here, 1 if something is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask doctor")]
pub struct Args {}

/// The space that sources, two builds and their images take, with room to spare.
const ENOUGH_BYTES: u64 = 8 << 30;

#[derive(Debug, Serialize)]
struct Diagnosis {
    schema: u32,
    /// Whether every command can run.
    ready: bool,
    host: Host,
    commands: Vec<CommandState>,
    notes: Vec<Note>,
    /// The line that installs everything that is missing.
    install: Option<String>,
}

#[derive(Debug, Serialize)]
struct CommandState {
    command: &'static str,
    missing: Vec<Requirement>,
    /// What no package mends.
    blocked: Vec<String>,
}

/// A fact about the machine and what follows from it.
#[derive(Debug, Serialize)]
struct Note {
    text: String,
    /// The part of the work that cannot be done because of it.
    blocks: Option<Need>,
}

pub fn run(context: &Context<'_>, _args: &Args) -> Result<Status> {
    let probe = Probe::machine();
    let host = Host::look(&probe, context.cache.root())?;
    let diagnosis = diagnose(host, &probe);
    if context.global.json {
        context.ui.json(&diagnosis)?;
    } else {
        context.ui.result(&table(&diagnosis, |tone, text| context.ui.paint(tone, text)));
    }
    Ok(if diagnosis.ready { Status::Yes } else { Status::No })
}

fn diagnose(host: Host, probe: &Probe) -> Diagnosis {
    let notes = notes(&host);
    let state = |&(command, needs): &(&'static str, &[Need])| CommandState {
        command,
        missing: requirements::missing(needs, &host, probe),
        blocked: notes
            .iter()
            .filter(|note| note.blocks.is_some_and(|need| needs.contains(&need)))
            .map(|note| note.text.clone())
            .collect(),
    };
    let commands: Vec<CommandState> = COMMANDS.iter().map(state).collect();
    let all: Vec<Need> = COMMANDS.iter().flat_map(|(_, needs)| *needs).copied().collect();
    let missing = requirements::missing(&all, &host, probe);
    let install = (!missing.is_empty()).then(|| requirements::install_line(&missing, &host));
    let ready = commands.iter().all(|c| c.missing.is_empty() && c.blocked.is_empty());
    Diagnosis { schema: 1, ready, host, commands, notes, install }
}

fn notes(host: &Host) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |blocks, text: String| notes.push(Note { text, blocks });
    let own_engine = matches!(host.engine, Engine::Reachable { .. });
    if let Engine::Silent { address } = &host.engine {
        note(None, format!("docker is installed, but no engine answers at {address}"));
    }
    if !own_engine && host.root {
        note(
            None,
            "no engine of your own: test-image starts a private dockerd and stops it".into(),
        );
    }
    if !own_engine && !host.root {
        note(
            Some(Need::Engine),
            "no engine, and not root: a private dockerd cannot be started; run as root, or set \
             DOCKER_HOST to an engine that you may use"
                .into(),
        );
    }
    match host.cgroup {
        Cgroup::V2 => {}
        Cgroup::V1 | Cgroup::Hybrid => note(
            None,
            "the host's cgroup controllers are version 1: an engine of your own gives containers \
             no cgroup 2, the private dockerd does, but memory and pids limits cannot be tested"
                .into(),
        ),
        Cgroup::None => note(None, "no cgroup is mounted: container engines will not start".into()),
    }
    if !host.apt {
        note(
            None,
            "no apt: systemd's sources come from git alone (--systemd-git), and images from a \
             Debian base cannot be made"
                .into(),
        );
    }
    if host.free_bytes < ENOUGH_BYTES {
        note(
            Some(Need::Build),
            format!(
                "{} free for the cache, {} are wanted: make room, or pass --cache-dir DIR",
                gigabytes(host.free_bytes),
                gigabytes(ENOUGH_BYTES)
            ),
        );
    }
    notes
}

fn gigabytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 30);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

fn table(diagnosis: &Diagnosis, paint: impl Fn(Tone, &str) -> String) -> String {
    let mut text = format!("{}\n\n", machine(&diagnosis.host));
    let width = diagnosis.commands.iter().map(|c| c.command.len()).max().unwrap_or(0);
    for state in &diagnosis.commands {
        let verdict = match (state.missing.is_empty(), state.blocked.is_empty()) {
            (true, true) => paint(Tone::Good, "ready"),
            (false, whole) => format!(
                "{} {}{}",
                paint(Tone::Bad, "missing"),
                requirements::packages(&state.missing).join(" "),
                if whole { "" } else { "; blocked, see below" }
            ),
            (true, false) => format!("{}, see below", paint(Tone::Bad, "blocked")),
        };
        text += &format!("{:width$}  {verdict}\n", state.command);
    }
    for note in &diagnosis.notes {
        let mark = if note.blocks.is_some() { Tone::Bad } else { Tone::Warn };
        text += &format!("\n{} {}", paint(mark, "note:"), note.text);
    }
    if !diagnosis.notes.is_empty() {
        text.push('\n');
    }
    if let Some(line) = &diagnosis.install {
        text += &format!("\n{line}\n");
    }
    text
}

fn machine(host: &Host) -> String {
    let name = Some(&host.distribution.name).filter(|n| !n.is_empty());
    let engine = match &host.engine {
        Engine::Reachable { version, address } => format!("engine {version} at {address}"),
        Engine::Silent { .. } | Engine::Absent => "no engine".to_owned(),
    };
    let cgroup = match host.cgroup {
        Cgroup::V1 => "cgroup v1",
        Cgroup::Hybrid => "cgroup v1 with v2 beside it",
        Cgroup::V2 => "cgroup v2",
        Cgroup::None => "no cgroup",
    };
    format!(
        "{}, {}, {cgroup}, {} free, {engine}",
        name.map_or("unknown distribution", String::as_str),
        if host.root { "root" } else { "not root" },
        gigabytes(host.free_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Distribution;

    fn host() -> Host {
        Host {
            root: false,
            distribution: Distribution {
                id: "debian".into(),
                codename: "bookworm".into(),
                version: "12".into(),
                name: "Debian GNU/Linux 12 (bookworm)".into(),
            },
            apt: true,
            apt_lists: true,
            cgroup: Cgroup::Hybrid,
            free_bytes: (3 << 30) + (1 << 29),
            engine: Engine::Silent { address: "unix:///nowhere".into() },
        }
    }

    fn install(root: &std::path::Path, requirement: &Requirement) {
        use std::os::unix::fs::PermissionsExt;
        let file = match requirement.sign {
            requirements::Sign::Program(name) => root.join("bin").join(name),
            requirements::Sign::Module(name) => {
                root.join("usr/share/pkgconfig").join(format!("{name}.pc"))
            }
            requirements::Sign::File(path) => root.join(path.trim_start_matches('/')),
        };
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_a_poor_machine_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe::at(dir.path());
        for need in [Need::Sources, Need::Build, Need::Image, Need::Nix] {
            for requirement in requirements::of(need, &host()) {
                if requirement.package != "gperf" {
                    install(dir.path(), &requirement);
                }
            }
        }
        let diagnosis = diagnose(host(), &probe);
        assert!(!diagnosis.ready);
        insta::assert_snapshot!(table(&diagnosis, |_, text| text.to_owned()), @r#"
        Debian GNU/Linux 12 (bookworm), not root, cgroup v1 with v2 beside it, 3.5 GiB free, no engine

        sources         ready
        rebase-patches  ready
        test-image      missing docker.io gperf iproute2 iptables mount; blocked, see below
        build-image     missing gperf; blocked, see below
        test-systemd    missing gperf; blocked, see below
        test-vm         missing docker.io e2fsprogs gperf openssh-client qemu-system-x86 socat; blocked, see below
        --arch          missing docker.io e2fsprogs gcc-aarch64-linux-gnu gperf openssh-client qemu-system-arm qemu-system-x86 qemu-user-static socat; blocked, see below
        test            missing docker.io e2fsprogs gcc-aarch64-linux-gnu gperf iproute2 iptables mount openssh-client patch qemu-system-arm qemu-system-x86 qemu-user-static quilt s6 shellcheck socat; blocked, see below

        note: docker is installed, but no engine answers at unix:///nowhere
        note: no engine, and not root: a private dockerd cannot be started; run as root, or set DOCKER_HOST to an engine that you may use
        note: the host's cgroup controllers are version 1: an engine of your own gives containers no cgroup 2, the private dockerd does, but memory and pids limits cannot be tested
        note: 3.5 GiB free for the cache, 8.0 GiB are wanted: make room, or pass --cache-dir DIR

        sudo apt-get install -y --no-install-recommends docker.io e2fsprogs gcc-aarch64-linux-gnu gperf iproute2 iptables mount openssh-client patch qemu-system-arm qemu-system-x86 qemu-user-static quilt s6 shellcheck socat
        "#);
    }

    #[test]
    fn a_machine_with_everything_is_ready() {
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe::at(dir.path());
        let engine = Engine::Reachable { version: "28.5.1".into(), address: "tcp://x".into() };
        let rich = Host { cgroup: Cgroup::V2, free_bytes: ENOUGH_BYTES, engine, ..host() };
        for (_, needs) in COMMANDS {
            for requirement in needs.iter().flat_map(|&need| requirements::of(need, &rich)) {
                install(dir.path(), &requirement);
            }
        }
        let diagnosis = diagnose(rich, &probe);
        assert!(diagnosis.ready && diagnosis.notes.is_empty() && diagnosis.install.is_none());
        assert!(!diagnose(host(), &probe).ready, "no engine and not root");
    }
}
