// SPDX-License-Identifier: MIT
//! `nix/config-at-start`, evaluated with nixpkgs' own `lib` over stand-ins. `cargo xtask test-containers
//! --only start` runs its start-up program in a container.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use std::process::Command;

use serde_json::json;
use support::checkout;
use with_lib::Nixos;

const NIXPKGS: &str = "xtask/tests/nixos/containers/nixpkgs";

#[test]
fn the_image_that_builds_at_start_has_nix_and_its_programs() {
    let Some(nixos) = Nixos::find() else { return };
    let root = checkout().display();
    let seen = nixos.nix.json(&format!(
        r#"let
  e = import {root}/{NIXPKGS}/nixos {{
    configuration.imports = [ {root}/nix/modules {root}/nix/config-at-start/module.nix ];
  }};
  image = e.config.system.build.dockerImage.arguments;
  start = e.config.virtualisation.dockerImage.init "/the/init";
in {{
  inherit (image) name includeNixDB extraCommands;
  inherit (image.config) Cmd StopSignal Healthcheck Env;
  contents = map (one: one.arguments.destination or one.name) image.contents;
  start = start.arguments.text;
}}"#
    ));
    assert_eq!(seen["name"], "plainboot-config-at-start");
    assert_eq!(seen["includeNixDB"], true);
    assert_eq!((&seen["Cmd"], &seen["StopSignal"]), (&json!(["/sbin/init"]), &json!("SIGRTMIN+3")));
    assert_eq!(seen["Healthcheck"]["Test"], json!(["CMD", "/usr/lib/plainboot/healthy"]));
    assert!(seen["contents"].to_string().contains("\"/usr/lib/plainboot/healthy\""), "{seen}");
    // The Dockerfile says what the files of the image do not.
    let dockerfile =
        std::fs::read_to_string(checkout().join("nix/config-at-start/Dockerfile")).unwrap();
    let last = dockerfile.split("FROM scratch\n").nth(1).unwrap();
    for line in [
        format!("ENV {}\n", seen["Env"][0].as_str().unwrap()),
        format!("STOPSIGNAL {}\n", seen["StopSignal"].as_str().unwrap()),
        format!(" CMD [{}]\n", seen["Healthcheck"]["Test"][1]),
        format!("\nCMD {}\n", seen["Cmd"]),
    ] {
        assert!(last.contains(&line), "no `{line}` in {last}");
    }
    assert_eq!(seen["Env"].as_array().unwrap().len(), 1, "{seen}");
    // Until something is built there is no system that could be the last good one.
    assert!(!seen["extraCommands"].as_str().unwrap().contains("profiles/system"), "{seen}");
    let start = seen["start"].as_str().unwrap();
    for part in [
        "exec /the/init\n",
        "-nix/bin:",
        "/nix/config-at-start/system.nix --attr system",
        "-cacert/etc/ssl/certs/ca-bundle.crt}",
    ] {
        assert!(start.contains(part), "no `{part}` in {start}");
    }
    let blank = regex::Regex::new("@[a-z]+@").unwrap();
    assert!(!blank.is_match(start), "{start}");
}

#[test]
fn a_mounted_configuration_gets_the_systemd_of_the_image() {
    let Some(nixos) = Nixos::find() else { return };
    let root = checkout().display();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("configuration.nix", "{ networking.hostName = \"mounted\"; }");
    let flake = format!(
        "{{ outputs = _: {{ nixosConfigurations = {{
  default = import {root}/{NIXPKGS}/nixos {{ configuration = ./configuration.nix; }};
  has = import {root}/{NIXPKGS}/nixos {{ configuration.imports = [ ./configuration.nix {root}/nix/modules ]; }};
}}; }}; }}"
    );
    write("flake.nix", &flake);
    let system = |argument: &str| {
        let expression = format!(
            r#"let e = import {root}/nix/config-at-start/system.nix {{ nixpkgs = "{root}/{NIXPKGS}"; {argument} }};
  v = e.config.virtualisation.dockerVariant; in
  [ v.networking.hostName v.systemd.package.name (v.systemd.package ? plainboot) (e.system == v.system.build.toplevel) ]"#
        );
        nixos.nix.run(
            "nix-instantiate",
            &[
                "--option",
                "experimental-features",
                "flakes nix-command",
                "--eval",
                "--strict",
                "--json",
                "-E",
                &expression,
            ],
        )
    };
    let file = dir.path().join("configuration.nix");
    let mut arguments = vec![format!("configuration = {};", file.display())];
    for name in ["default", "has"] {
        let options = format!("options-{name}.nix");
        let url = dir.path().display();
        write(
            &options,
            &format!("{{ flakeUrl = \"path:{url}\"; nixosConfiguration = \"{name}\"; }}"),
        );
        arguments.push(format!("options = {};", dir.path().join(options).display()));
    }
    for argument in arguments {
        let seen = system(&argument);
        assert!(seen.ok, "{argument}: {}", seen.stderr);
        let seen: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
        assert_eq!(seen, json!(["mounted", "systemd-259.8", true, true]), "{argument}");
    }
    write(
        "options.nix",
        &format!("{{ flakeUrl = \"path:{}\"; nixosConfiguration = \"x\"; }}", dir.path().display()),
    );
    let seen = system(&format!("options = {};", dir.path().join("options.nix").display()));
    assert!(
        !seen.ok && seen.stderr.contains("has no nixosConfigurations.x; there are: default has"),
        "{}",
        seen.stderr
    );
}

#[test]
fn the_programs_of_the_start_are_clean_shell() {
    if !xtask::exec::have("shellcheck") {
        xtask::skip::record("shellcheck is not installed").unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for file in ["start.sh", "healthy.sh"] {
        let text =
            std::fs::read_to_string(checkout().join("nix/config-at-start").join(file)).unwrap();
        let filled = dir.path().join(file);
        std::fs::write(&filled, text.replace("@shell@", "/bin/bash")).unwrap();
        let checked = Command::new("shellcheck").arg(&filled).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}
