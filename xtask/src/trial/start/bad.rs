// SPDX-License-Identifier: MIT
//! What cannot be started: what is wrong is told, with what to do, and the container ends with 1.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;

use super::{Started, Trial};

/// A folder with a configuration of this text, to be mounted.
fn config(trial: &Trial<'_>, name: &str, text: &str) -> Result<String> {
    let folder = trial.scratch.join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("configuration.nix"), text)?;
    Ok(format!("{}:/config:ro", folder.display()))
}

/// A file for /options.nix, to be mounted.
fn options(trial: &Trial<'_>, name: &str, text: &str) -> Result<String> {
    let file = trial.scratch.join(name);
    std::fs::write(&file, text)?;
    Ok(format!("{}:/options.nix:ro", file.display()))
}

/// Starts a container that must end with 1, having said all that.
fn refused(trial: &Trial<'_>, name: &str, options: &[&str], texts: &[&str]) -> Result<()> {
    let started = Started::run(trial, name, trial.scratch.to_owned(), options)?;
    for text in texts.iter().chain(&["so there is nothing to start"]) {
        started.says(text)?;
    }
    // It ends after what it says last.
    trial.same("its exit code", &trial.ask(&["wait", &started.name])?, "1");
    Ok(())
}

/// Root in the container is bound by the modes of files, as it is where its user has no power on the host.
/// It has a /nix as in the image: under podman it could not make one.
const POWERLESS: [&str; 6] =
    ["--cap-drop", "DAC_OVERRIDE", "--cap-drop", "DAC_READ_SEARCH", "--tmpfs", "/nix"];

pub fn bad_input(trial: &Trial<'_>) -> Result<()> {
    std::fs::create_dir_all(trial.scratch.join("nothing"))?;
    let empty = format!("{}:/config:ro", trial.scratch.join("nothing").display());
    std::fs::create_dir_all(trial.scratch.join("folder/configuration.nix"))?;
    let folder = format!("{}:/config:ro", trial.scratch.join("folder").display());
    let wrong = config(trial, "broken", "{ name = missing; }")?;
    let fills =
        "{ name = \"large\"; build = \"head -c 9000000 /dev/zero >$out || exit; rm $out\"; }";
    let full = config(trial, "large", fills)?;
    let good = config(trial, "good-one", "{ name = \"good\"; }")?;
    let elsewhere = options(
        trial,
        "options-elsewhere.nix",
        "{ flakeUrl = \"path:/elsewhere\"; nixosConfiguration = \"default\"; }",
    )?;
    let shut = config(trial, "shut", "{ }")?;
    let closed = |path: &str| {
        std::fs::set_permissions(trial.scratch.join(path), std::fs::Permissions::from_mode(0o000))
    };
    closed("shut/configuration.nix")?;
    let locked = config(trial, "locked", "{ }")?;
    closed("locked")?;
    let secret = options(trial, "options-secret.nix", "{ }")?;
    closed("options-secret.nix")?;
    let powerless = |volume| [&["--volume", volume][..], &POWERLESS].concat();
    let cases: [(&str, Vec<&str>, &[&str]); 9] = [
        (
            "none",
            vec![],
            &[
                "neither /config/configuration.nix nor /options.nix is mounted",
                "docker run --volume",
            ],
        ),
        ("empty", vec!["--volume", &empty], &["there is no configuration.nix in /config"]),
        (
            "folder",
            vec!["--volume", &folder],
            &["/config/configuration.nix is a folder", "make the container anew"],
        ),
        (
            "both",
            vec!["--volume", &good, "--volume", &elsewhere],
            &["both /config/configuration.nix and /options.nix are mounted", "mount one of them"],
        ),
        (
            "shut",
            powerless(&shut),
            &["cannot read /config/configuration.nix", "root in the container may read it"],
        ),
        (
            "locked",
            powerless(&locked),
            &["cannot look into /config", "root in the container may read it"],
        ),
        ("secret", powerless(&secret), &["cannot read /options.nix"]),
        (
            "wrong",
            vec!["--volume", &wrong],
            &["undefined variable 'missing'", "/config/configuration.nix:1:10", "cannot be built"],
        ),
        (
            "full",
            vec!["--volume", &full, "--tmpfs", "/nix:size=3m"],
            &["no space is left for /nix", "docker system df"],
        ),
    ];
    for (name, words, texts) in cases {
        refused(trial, &format!("bad-{name}"), &words, texts)?;
    }
    // So that the folder of the cases can be removed by whoever runs them.
    let open = std::fs::Permissions::from_mode(0o755);
    Ok(std::fs::set_permissions(trial.scratch.join("locked"), open)?)
}

/// The Nix of Debian 12 says so of inputs without a lock file.
pub fn no_lock(trial: &Trial<'_>) -> Result<()> {
    let folder = trial.scratch.join("lockless");
    std::fs::create_dir_all(&folder)?;
    let text = "{ inputs.nixpkgs.url = \"path:/opt/plainboot/nixpkgs\"; outputs = _: { }; }";
    std::fs::write(folder.join("flake.nix"), text)?;
    let text = "{ flakeUrl = \"path:/config\"; nixosConfiguration = \"default\"; }";
    let options = options(trial, "options-lockless.nix", text)?;
    let volume = format!("{}:/config:ro", folder.display());
    refused(
        trial,
        "no-lock",
        &["--volume", &options, "--volume", &volume],
        &["requires lock file changes", "needs its flake.lock, which nix flake lock writes"],
    )
}

pub fn no_network(trial: &Trial<'_>) -> Result<()> {
    let options = options(
        trial,
        "options-far.nix",
        "{ flakeUrl = \"github:plainboot-none/none\"; nixosConfiguration = \"default\"; }",
    )?;
    let words = ["--volume", &options, "--network", "none"];
    refused(
        trial,
        "no-network",
        &words,
        &[
            "builds the system of the flake of /options.nix",
            "api.github.com",
            "without a network everything that it needs must be in the image",
        ],
    )
}
