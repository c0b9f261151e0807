// SPDX-License-Identifier: MIT
//! What cannot be done: the message says what is wrong and what to do, the exit code is another than 0, and
//! what runs goes on.

use anyhow::Result;

use super::{nothing_left, status, up};
use crate::engine::Kind;
use crate::trial::Trial;

pub fn bad_input(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-input";
    let image = trial.image.as_str();
    up(trial, name, &["--port", "28080:80"])?;
    let empty = trial.scratch.join("empty.tar");
    std::fs::write(&empty, "")?;
    let empty = empty.display().to_string();
    for (words, code, texts) in [
        (
            &["create", name, "--image", image][..],
            1,
            &["the engine has a container", "choose another name"][..],
        ),
        (&["create", "a/b", "--image", image], 2, &["\"a/b\" is no name"]),
        (&["create", "pbtest-x.new", "--image", image], 2, &["is no name"]),
        (&["create", "pbtest-x"], 2, &["what is pbtest-x made of?"]),
        (&["create", "pbtest-x", "--image"], 2, &["--image needs a value"]),
        (&["create", "pbtest-x", "--image", ""], 2, &["is empty"]),
        (&["create", "pbtest-x", "--image", image, "--archive", "a"], 2, &["one source is enough"]),
        (&["create", "pbtest-x", "--image", image, "--privileged"], 2, &["is no option of create"]),
        (
            &["create", "pbtest-x", "--image", image, "--ephemeral", "--auto-start"],
            2,
            &["exclude one another", "plainboot-container start pbtest-x"],
        ),
        (&["create", "pbtest-x", "--image", "pbtest-none:1"], 1, &["hint: "]),
        (&["create", "pbtest-x", "--archive", "/nonexistent"], 1, &["cannot read /nonexistent"]),
        (&["create", "pbtest-x", "--archive", &empty], 1, &[" load: "]),
        (&["create", "pbtest-x", "--config-file", "/nonexistent"], 1, &["/nonexistent"]),
        (
            &["create", "pbtest-x", "--image", image, "--bind", "/nonexistent:/a"],
            1,
            &["there is no /nonexistent on this host", "make it first"],
        ),
        (
            &["create", "pbtest-x", "--image", image, "--host-address", "10.0.0.1"],
            2,
            &["go together"],
        ),
        (
            &[
                "create",
                "pbtest-x",
                "--image",
                image,
                "--host-address",
                "10.0.0",
                "--local-address",
                "10.0.0.2",
            ],
            2,
            &["\"10.0.0\" is no IPv4 address"],
        ),
        (
            &[
                "create",
                "pbtest-x",
                "--image",
                image,
                "--host-address",
                "10.0.0.1",
                "--local-address",
                "10.0.0.08",
            ],
            2,
            &["\"10.0.0.08\" is no IPv4 address"],
        ),
        (&["create", "pbtest-x", "--image", image, "--memory", "much"], 1, &[" create: "]),
        (
            &["create", "pbtest-x", "--image", image, "--port", "28080:80", "--start"],
            1,
            &["28080", "pbtest-x is down", "another --port"],
        ),
        (&["destroy", "pbtest-x"], 0, &[]),
        (&["start", "pbtest-none"], 1, &["there is no container"]),
        (&["update", name, "--privileged", "x"], 2, &["is no source"]),
        (&["run", name], 2, &["what to run"]),
        (&["enter", name], 2, &["\"enter\" is no verb", "--help"]),
        (&["stop"], 2, &["which container?"]),
        (&["list", "--all"], 2, &["is no option of list"]),
        (&[], 2, &["Usage: "]),
    ] {
        trial.expect(words, code, texts)?;
    }
    let foreign = "pbtest-foreign";
    trial.ask(&["create", "--name", foreign, image])?;
    trial.expect(&["destroy", foreign], 1, &["was not made by plainboot-container"])?;
    trial.ask(&["rm", foreign])?;
    // podman has no service that could be missing.
    if trial.engine.facts.kind == Kind::Docker {
        let nobody = trial.call_with(&["list"], &[("DOCKER_HOST", "unix:///nonexistent")])?;
        trial.compare("list without an engine", &nobody, 1, &["is it running"]);
    }
    status(trial, name, "up")?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, "pbtest-")
}

/// The image's /var is more than its volume.
fn no_space(trial: &Trial<'_>, name: &str) -> Result<()> {
    let size = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=64k"];
    let volume = "plainboot-pbtest-room-var";
    trial.ask(&[&["volume", "create", "--driver", "local"], &size[..], &[volume]].concat())?;
    let full = &["no space left on device", "free some space", "system df"];
    trial.expect(&["create", name, "--image", &trial.image], 1, full)?;
    trial.ask(&["volume", "rm", volume])?;
    nothing_left(trial, name)
}

/// What goes wrong beside the words of the user.
pub fn no_room(trial: &Trial<'_>) -> Result<()> {
    let name = "pbtest-room";
    if trial.engine.facts.kind == Kind::Docker {
        no_space(trial, name)?;
    } else {
        trial.skip("podman makes no volume of a size on a disk without quotas");
    }

    up(trial, name, &[])?;
    let far = "registry.invalid/none:1";
    let unreachable = &["registry.invalid", "cannot be reached", "--archive needs none"];
    trial.expect(&["create", "pbtest-far", "--image", far], 1, unreachable)?;
    trial.expect(&["update", name, "--image", far], 1, unreachable)?;
    if crate::exec::have("nix-build") {
        let variables = [
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "state"),
            ("NIX_LOG_DIR", "log"),
            ("NIX_LOCALSTATE_DIR", "local"),
            ("NIX_CONF_DIR", "conf"),
        ]
        .map(|(key, folder)| (key, trial.scratch.join("nix").join(folder).display().to_string()));
        let variables: Vec<_> = variables.iter().map(|(key, path)| (*key, path.as_str())).collect();
        let words = ["update", name, "--config", "oops ="];
        let said = trial.call_with(&words, &variables)?;
        let texts = ["syntax error", "of pbtest-room cannot be built", "nothing has changed"];
        trial.compare("update to a configuration with an error", &said, 1, &texts);
    } else {
        trial.skip("nix-build is not installed (Debian: nix-bin)");
    }
    status(trial, name, "up")?;
    trial.expect(&["destroy", name], 0, &[])?;
    nothing_left(trial, "pbtest-")
}
