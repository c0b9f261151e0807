// SPDX-License-Identifier: MIT
//! `plainboot-container` (nix/containers): its verbs, bad input, and updates that fail or are cut short.

mod bad;
mod cut_short;

use std::path::Path;

use anyhow::Result;

use super::{Case, Trial};
use crate::engine::Kind;

/// Begins the name of each container here, so that a later run finds what `kill -9` has left.
pub const PREFIX: &str = "pbtest-";

/// What must hold.
pub const CASES: &[Case] = &[
    Case { id: "command.verbs", title: "create, look, run, stop, destroy", run: verbs },
    Case { id: "command.kept", title: "what it keeps outlives a stop and an update", run: kept },
    Case {
        id: "command.bad-update",
        title: "an update that does not boot changes nothing",
        run: bad_update,
    },
    Case {
        id: "command.interrupted-update",
        title: "an update that is interrupted leaves all as it was",
        run: cut_short::interrupted_update,
    },
    Case {
        id: "command.killed-update",
        title: "an update that was killed is mended",
        run: cut_short::killed_update,
    },
    Case {
        id: "command.meanwhile",
        title: "while a command runs in it, others work on it",
        run: meanwhile,
    },
    Case {
        id: "command.failed-create",
        title: "a create that fails leaves what was there",
        run: cut_short::failed_create,
    },
    Case { id: "command.ephemeral", title: "an ephemeral one begins anew", run: ephemeral },
    Case {
        id: "command.networks",
        title: "addresses of its own, and the host's network",
        run: networks,
    },
    Case {
        id: "command.bad-input",
        title: "bad input is told and changes nothing",
        run: bad::bad_input,
    },
    Case {
        id: "command.no-room",
        title: "no space, no network, a configuration with an error",
        run: bad::no_room,
    },
    Case { id: "command.degraded", title: "a failed unit is told", run: degraded },
    Case {
        id: "command.declared-network",
        title: "the network of containers that NixOS declares",
        run: declared_network,
    },
    Case { id: "command.declared", title: "one that NixOS declares is systemd's", run: declared },
];

/// The host's side of the network that the cases make, which names it.
const HOST_ADDRESS: &str = "192.168.213.10";
/// The same of a network as NixOS declares it.
const DECLARED_ADDRESS: &str = "192.168.213.20";

/// Removes what the cases, or those of a run that was killed, have made; after an interrupt too.
///
/// # Errors
/// The engine refuses.
pub fn sweep(trial: &Trial<'_>) -> Result<()> {
    let containers = format!("name=^/?{PREFIX}");
    trial.clear(&["ps", "--all", "--filter", &containers], &["rm", "--force", "--volumes"])?;
    // The second are of a project of compose.
    for volumes in [format!("name=plainboot-{PREFIX}"), format!("name=^{PREFIX}")] {
        trial.clear(&["volume", "ls", "--filter", &volumes], &["volume", "rm"])?;
    }
    // The names in full: networks of the user's own containers have the same label.
    for network in [
        format!("name=^plainboot-{HOST_ADDRESS}$"),
        format!("name=^plainboot-{DECLARED_ADDRESS}$"),
        format!("name=^{PREFIX}"),
    ] {
        trial.clear(&["network", "ls", "--filter", &network], &["network", "rm"])?;
    }
    for images in ["plainboot-pbtest-image", "pbtest-*"] {
        let images = format!("reference={images}");
        trial.clear(&["image", "ls", "--filter", &images], &["image", "rm", "--force"])?;
    }
    Ok(())
}

/// Creates and starts a container of the image, with more options.
fn up(trial: &Trial<'_>, name: &str, options: &[&str]) -> Result<()> {
    let words = [&["create", name, "--image", &trial.image, "--start"], options].concat();
    trial.expect(&words, 0, &[])?;
    Ok(())
}

fn status(trial: &Trial<'_>, name: &str, wanted: &str) -> Result<()> {
    let seen = trial.expect(&["status", name], 0, &[])?;
    trial.same(&format!("the status of {name}"), &seen.out, wanted);
    Ok(())
}

fn verbs(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-verbs";
    std::fs::write(trial.scratch.join("shared"), "of the host\n")?;
    let bind = format!("{}:/srv/shared", trial.scratch.join("shared").display());
    trial.expect(
        &["create", name, "--image", &trial.image, "--bind-ro", &bind, "--", "--env", "A=it's b"],
        0,
        &[],
    )?;
    status(trial, name, "down")?;
    trial.expect(&["run", name, "--", "true"], 1, &["is down", "plainboot-container start"])?;
    trial.expect(&["start", name], 0, &[])?;
    trial.expect(&["start", name], 0, &["is up already"])?;
    status(trial, name, "up")?;
    trial.expect(&["list"], 0, &[name])?;
    trial.expect(&["list", "--long"], 0, &[name, "up", "imperative", &trial.image])?;
    let script = "cat /srv/shared; echo \"$A\"; hostname; ! (: >/srv/shared); exit 7";
    trial.expect(&["run", name, "--", "sh", "-c", script], 7, &["of the host", "it's b", name])?;
    let systemd = trial.expect(&["run", name, "--", "cat", "/proc/1/comm"], 0, &[])?;
    trial.same("PID 1", &systemd.out, "systemd");
    let address = trial.expect(&["show-ip", name], 0, &[])?.out;
    if address.parse::<std::net::Ipv4Addr>().is_err() {
        trial.note(format!("`{address}` is no address"));
    }
    trial.expect(&["restart", name], 0, &[])?;
    trial.expect(&["stop", name], 0, &[])?;
    let ended = trial.ask(&["inspect", "--format", "{{.State.ExitCode}}", name])?;
    trial.same("its exit code after stop", &ended, "0");
    status(trial, name, "down")?;
    trial.expect(&["destroy", name], 0, &[])?;
    trial.expect(&["status", name], 1, &["there is no container", "plainboot-container list"])?;
    nothing_left(trial, name)
}

/// No container and no volume of this name.
fn nothing_left(trial: &Trial<'_>, name: &str) -> Result<()> {
    let containers =
        trial.ask(&["ps", "--all", "--quiet", "--filter", &format!("name=^/?{name}")])?;
    trial.same("what is left of its containers", &containers, "");
    let filter = format!("label=plainboot.of={name}");
    let volumes = trial.ask(&["volume", "ls", "--quiet", "--filter", &filter])?;
    trial.same("what is left of its volumes", &volumes, "");
    Ok(())
}

/// An image of ours with another command or file: its reference. The case removes it.
fn variant(trial: &Trial<'_>, tag: &str, change: &str) -> Result<String> {
    let reference = format!("plainboot-{PREFIX}image:{tag}");
    let source = format!("{PREFIX}source-{tag}");
    trial.ask(&["create", "--name", &source, &trial.image])?;
    trial.ask(&["commit", "--change", change, &source, &reference])?;
    trial.ask(&["rm", &source])?;
    Ok(reference)
}

fn kept(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-kept";
    let second = variant(trial, "second", "ENV SECOND=yes")?;
    up(trial, name, &[])?;
    trial.expect(
        &["run", name, "--", "sh", "-c", "echo state >/var/lib/state; echo x >/etc/x"],
        0,
        &[],
    )?;
    trial.expect(&["update", name], 0, &["has that image already"])?;
    trial.expect(&["restart", name], 0, &[])?;
    trial.expect(&["run", name, "--", "cat", "/var/lib/state", "/etc/x"], 0, &["state", "x"])?;
    trial.expect(&["update", name, "--image", &second], 0, &[])?;
    status(trial, name, "up")?;
    let look = "set -e; cat /var/lib/state; echo \"second: $SECOND\"; test ! -e /etc/x";
    trial.expect(&["run", name, "--", "sh", "-c", look], 0, &["state", "second: yes"])?;
    trial.expect(&["destroy", name], 0, &[])?;
    trial.ask(&["rmi", &second])?;
    nothing_left(trial, name)
}

fn bad_update(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-bad";
    let bad = variant(trial, "bad", "CMD [\"/bin/sh\", \"-c\", \"echo no systemd here; exit 3\"]")?;
    up(trial, name, &[])?;
    trial.expect(&["run", name, "--", "sh", "-c", "echo state >/var/lib/state"], 0, &[])?;
    trial.expect(
        &["update", name, "--image", &bad],
        1,
        &["does not boot, so pbtest-bad goes on", "has ended with 3", "no systemd here"],
    )?;
    status(trial, name, "up")?;
    trial.expect(&["run", name, "--", "cat", "/var/lib/state"], 0, &["state"])?;
    trial.expect(&["update", name, "--image", "pbtest-none"], 1, &["hint: "])?;
    trial.expect(
        &["update", name, "--archive", "/nonexistent"],
        1,
        &["cannot read /nonexistent"],
    )?;
    status(trial, name, "up")?;
    trial.expect(&["destroy", name], 0, &[])?;
    trial.ask(&["rmi", &bad])?;
    nothing_left(trial, name)
}

fn meanwhile(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-busy";
    up(trial, name, &[])?;
    let script = r#"
"$0" run "$1" -- sh -c 'touch /run/busy; sleep 1000' &
until "$0" run "$1" -- test -e /run/busy; do sleep 0.2; done
set -e
"$0" status "$1"
"$0" show-ip "$1"
"$0" stop "$1"
! wait $!
"#;
    let program = trial.program.display().to_string();
    let said = trial.beside("sh", &["-c", script, &program, name])?;
    trial.compare("status, show-ip, run and stop while a command runs", &said, 0, &["up"]);
    status(trial, name, "down")?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, name)
}

fn network_ids(trial: &Trial<'_>) -> Result<String> {
    trial.ask(&["network", "ls", "--quiet", "--filter", "name=plainboot-192.168.213"])
}

fn ephemeral(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-ephemeral";
    up(trial, name, &["--ephemeral"])?;
    trial.expect(&["run", name, "--", "touch", "/var/lib/state"], 0, &[])?;
    trial.expect(&["restart", name], 0, &[])?;
    trial.expect(&["run", name, "--", "test", "!", "-e", "/var/lib/state"], 0, &[])?;
    // Killed when the old one was gone: its definition is not lost.
    trial.ask(&["stop", name])?;
    trial.ask(&["rename", name, "pbtest-ephemeral.new"])?;
    trial.expect(&["start", name], 0, &["finishing it"])?;
    status(trial, name, "up")?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, name)
}

/// A network's subnet and the address of the host in it.
fn subnet(trial: &Trial<'_>, network: &str) -> Result<String> {
    let all = match trial.engine.facts.kind {
        Kind::Docker => ".IPAM.Config",
        Kind::Podman => ".Subnets",
    };
    let format = format!("{{{{range {all}}}}}{{{{.Subnet}}}} {{{{.Gateway}}}}{{{{end}}}}");
    trial.ask(&["network", "inspect", "--format", &format, network])
}

/// nix/containers/network.sh, which is the unit of a network.
fn declared_network(trial: &Trial<'_>) -> Result<()> {
    let text = std::fs::read_to_string(trial.checkout.join("nix/containers/network.sh"))?;
    let engine = match trial.engine.facts.kind {
        Kind::Docker => "docker",
        Kind::Podman => "podman",
    };
    let network = format!("plainboot-{DECLARED_ADDRESS}");
    // Gives the network's id.
    let up = |wanted: &str| -> Result<String> {
        let script = text
            .replace("@engine@", engine)
            .replace("@host@", DECLARED_ADDRESS)
            .replace("@subnet@", wanted);
        let call = trial.engine.beside(Path::new("sh")).args(["-euc", &script]);
        trial.compare(&format!("the network {wanted}"), &call.output()?.into(), 0, &[]);
        trial.same(
            "the network",
            &subnet(trial, &network)?,
            &format!("{wanted} {DECLARED_ADDRESS}"),
        );
        trial.ask(&["network", "ls", "--quiet", "--filter", &format!("name={network}")])
    };
    let first = up("192.168.213.16/29")?;
    trial.same("the network, once more,", &up("192.168.213.16/29")?, &first);
    up("192.168.213.0/27")?;
    trial.ask(&["network", "rm", &network])?;
    Ok(())
}

fn networks(trial: &Trial<'_>) -> Result<()> {
    let host = ["--host-address", HOST_ADDRESS];
    let [first, second] = ["pbtest-net1", "pbtest-net2"];
    up(trial, first, &[&host[..], &["--local-address", "192.168.213.11"]].concat())?;
    up(trial, second, &[&host[..], &["--local-address", "192.168.213.12"]].concat())?;
    let address = trial.expect(&["show-ip", second], 0, &[])?;
    trial.same("its address", &address.out, "192.168.213.12");
    let network = subnet(trial, &format!("plainboot-{HOST_ADDRESS}"))?;
    trial.same("the network", &network, "192.168.213.8/29 192.168.213.10");
    let create = ["create", "pbtest-net3", "--image", &trial.image];
    let beyond = [&create[..], &host[..], &["--local-address", "192.168.213.200"]].concat();
    trial.expect(&beyond, 1, &["is no address of the network", "is 192.168.213.8/29"])?;
    trial.expect(&["stop", second], 0, &[])?;
    trial.expect(&["destroy", first], 0, &[])?;
    trial.expect(&["start", second], 0, &[])?;
    trial.expect(&["show-ip", second], 0, &["192.168.213.12"])?;
    trial.expect(&["destroy", second], 0, &[])?;
    trial.same("what is left of the network", &network_ids(trial)?, "");
    // With nobody in it, it is made anew.
    let subnet = ["--subnet", "192.168.213.8/30", &format!("plainboot-{HOST_ADDRESS}")];
    trial
        .ask(&[&["network", "create", "--label", "plainboot.container=1"], &subnet[..]].concat())?;
    trial.expect(&beyond, 0, &[])?;
    trial.expect(&["destroy", "pbtest-net3"], 0, &[])?;

    let name = "pbtest-host";
    up(trial, name, &["--network", "host"])?;
    trial.expect(&["show-ip", name], 1, &["no address of its own"])?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, name)
}

fn degraded(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-degraded";
    up(trial, name, &[])?;
    let unit = trial.scratch.join("broken.service");
    let text =
        "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n";
    std::fs::write(&unit, text)?;
    trial.ask(&["cp", &unit.display().to_string(), &format!("{name}:/etc/systemd/system/")])?;
    trial.expect(&["run", name, "--", "systemctl", "enable", "broken.service"], 0, &[])?;
    trial.expect(&["restart", name], 1, &["these units failed", "broken.service"])?;
    status(trial, name, "up")?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, name)
}

fn declared(trial: &Trial<'_>) -> Result<()> {
    let folder = trial.scratch.join("declared");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("pbtest-nixos"), "unit=docker-pbtest-nixos.service\n")?;
    // In place of systemd's: it notes what it was asked.
    let asked = trial.scratch.join("asked");
    let programs = trial.scratch.join("programs");
    std::fs::create_dir_all(&programs)?;
    let systemctl = programs.join("systemctl");
    std::fs::write(&systemctl, format!("#!/bin/sh\necho \"$@\" >>{}\n", asked.display()))?;
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&systemctl, all)?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let folder = folder.display().to_string();
    let variables = [("PLAINBOOT_DECLARED", folder.as_str()), ("PATH", path.as_str())];
    for (words, code, texts) in [
        (&["list", "--long"][..], 0, &["pbtest-nixos", "down", "declared"][..]),
        (&["start", "pbtest-nixos"], 0, &[]),
        (&["stop", "pbtest-nixos"], 0, &[]),
        (&["restart", "pbtest-nixos"], 0, &[]),
        (&["status", "pbtest-nixos"], 0, &["down"]),
        (&["destroy", "pbtest-nixos"], 1, &["is declared in NixOS", "nixos-rebuild switch"]),
        (&["update", "pbtest-nixos"], 1, &["is declared in NixOS"]),
        (&["create", "pbtest-nixos", "--image", "x"], 1, &["is declared in NixOS"]),
    ] {
        let said = trial.call_with(words, &variables)?;
        trial.compare(&words.join(" "), &said, code, texts);
    }
    let asked = std::fs::read_to_string(&asked).unwrap_or_default();
    let unit = "docker-pbtest-nixos.service";
    trial.same(
        "what systemd was asked",
        &asked,
        &format!("start {unit}\nstop {unit}\nrestart {unit}\n"),
    );
    Ok(())
}
