// SPDX-License-Identifier: MIT
//! `cargo xtask test-vm --guest nixos`: the tests of `vm-tests/`, which Nix builds and runs.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::{Context, nix_status};
use crate::exec::{self, Call, Job};
use crate::fault::{Fault, Status};
use crate::render::nix_status::OnNixos;

/// The name of this guest, beside Debian's suites.
pub const GUEST: &str = "nixos";

/// The attributes of default.nix.
const TESTS: [&str; 6] =
    ["docker", "podman", "s6", "containers", "containers-podman", "config-at-start"];

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    nixpkgs: &'a str,
    tests: Vec<Ended>,
}

#[derive(Serialize)]
struct Ended {
    test: &'static str,
    holds: bool,
    log: std::path::PathBuf,
}

/// Runs each test in a NixOS machine under QEMU. A test that fails is an answer. `record`: notes what
/// held for docs/nixos-status.md.
///
/// # Errors
/// [`Fault::cannot_try`] with every reason where Nix, KVM or a nixpkgs is missing; a fault if
/// something else than a test cannot be built.
pub fn run(context: &Context<'_>, record: bool) -> Result<Status> {
    let nixpkgs = possible(Path::new("/dev/kvm"))?;
    let mut tests = Vec::new();
    for test in TESTS {
        let log = context.cache.runs().join("nixos").join(format!("{test}.log"));
        let step = context.ui.step(format!("NixOS test: {test}"));
        let mut running = Job::new("nix-build", &log)
            .arg(context.checkout.root().join("default.nix"))
            .args(["--no-out-link", "--attr", &format!("checks.{test}")])
            // The first one builds systemd and the whole image.
            .deadline(Duration::from_secs(4 * 3600))
            .spawn()?;
        let status = running.wait(|line| step.detail(line))?;
        let holds = status.success();
        // Seen of nix-build 2.8: 100 for a build that fails, 1 for what does not evaluate.
        if !holds && (status.code() != Some(100) || !failed_in_the_test(&log)) {
            return Err(running.failure(&status.to_string()));
        }
        step.done(if holds { "holds" } else { "fails" });
        tests.push(Ended { test, holds, log });
    }
    let failed = tests.iter().any(|t| !t.holds);
    if record {
        let held = tests.iter().filter(|t| t.holds).map(|t| t.test.to_owned()).collect();
        let seen = OnNixos { schema: 1, nixpkgs: release(&nixpkgs)?, tests: held };
        let text = serde_json::to_string_pretty(&seen)? + "\n";
        crate::atomic::write(&nix_status::executed(&context.checkout), text.as_bytes())?;
        context.ui.note("noted; cargo xtask nix-status brings it into the docs");
    }
    if context.global.json {
        context.ui.json(&Document { schema: 1, nixpkgs: &nixpkgs, tests })?;
    } else {
        for Ended { test, holds, log } in &tests {
            let word = if *holds { "holds" } else { "fails" };
            context.ui.result(&format!("{test}: {word} ({})", log.display()));
        }
    }
    Ok(if failed { Status::No } else { Status::Yes })
}

/// Where nixpkgs is, if this machine can run its tests.
fn possible(kvm: &Path) -> Result<String> {
    let mut lacking = Vec::new();
    let mut nixpkgs = None;
    if !exec::have("nix-build") {
        lacking.push("Nix is not installed".to_owned());
    } else {
        let found = Call::new("nix-instantiate").args(["--find-file", "nixpkgs"]);
        match found.deadline(Duration::from_secs(60)).output()? {
            answer if answer.status.success() => nixpkgs = Some(answer.text()),
            _ => lacking.push("there is no <nixpkgs>".to_owned()),
        }
    }
    if let Err(error) = File::options().read(true).write(true).open(kvm) {
        lacking.push(format!("{} cannot be opened ({error})", kvm.display()));
    }
    match nixpkgs {
        Some(found) if lacking.is_empty() => Ok(found),
        _ => Err(Fault::cannot_try(format!("no NixOS guest here: {}", lacking.join(", ")))
            .hint("on a machine with Nix and KVM: NIX_PATH=nixpkgs=FOLDER cargo xtask test-vm --guest nixos")
            .into()),
    }
}

/// Which nixpkgs it is, as `26.05pre…`.
fn release(nixpkgs: &str) -> Result<String> {
    let version = "{ nixpkgs }: (import nixpkgs { }).lib.version";
    let json = Call::new("nix-instantiate")
        .args(["--eval", "--json", "--arg", "nixpkgs", nixpkgs, "-E", version])
        .deadline(Duration::from_secs(600))
        .text()?;
    Ok(serde_json::from_str(&json)?)
}

/// Whether what failed is the test, and not one of the many builds before it.
fn failed_in_the_test(log: &Path) -> bool {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().any(names_the_test)
}

/// Nix 2.8 says `error: builder for '/nix/store/…-vm-test-run-plainboot-docker.drv' failed`, newer
/// ones `Cannot build '/nix/store/…'`.
fn names_the_test(line: &str) -> bool {
    ["builder for ", "Cannot build "].iter().any(|word| line.contains(word))
        && line.contains("-vm-test-run-plainboot-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_kvm_is_told_so() {
        let error = possible(Path::new("/nonexistent/kvm")).unwrap_err();
        assert_eq!(crate::fault::kind_of(&error), crate::fault::Kind::CannotTry);
        assert!(error.to_string().contains("/nonexistent/kvm cannot be opened"), "{error}");
    }

    #[test]
    fn a_build_before_the_test_is_not_its_answer() {
        let line = |drv: &str| format!("error: builder for '/nix/store/0-{drv}.drv' failed with 1");
        assert!(names_the_test(&line("vm-test-run-plainboot-docker")));
        assert!(!names_the_test(&line("systemd-260.1")));
        assert!(!names_the_test(
            "these derivations will be built: vm-test-run-plainboot-docker.drv"
        ));
    }
}
