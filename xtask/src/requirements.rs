// SPDX-License-Identifier: MIT
//! What each command needs on the machine, how it is recognised, and how it is installed.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::arch::Arch;
use crate::exec::Job;
use crate::fault::{Fault, Kind, kind_of};
use crate::host::{Engine, Host, Probe};
use crate::ui::Ui;
use crate::workspace::Cache;

/// A part of the work that needs programs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Fetch systemd's sources.
    Sources,
    /// Build systemd.
    Build,
    /// Make the root file system of an image.
    Image,
    /// Run containers.
    Engine,
    /// Run a guest of this machine's own architecture.
    Vm,
    /// Build for the other architecture, make its roots, and run a guest of it.
    Foreign,
    /// Evaluate Nix files.
    Nix,
    /// Compare with the classic patch tools, run the services of images under s6, check scripts.
    Tests,
}

/// What each command needs, in the order in which a user meets them.
pub const COMMANDS: &[(&str, &[Need])] = &[
    ("sources", &[Need::Sources]),
    ("rebase-patches", &[Need::Sources]),
    ("test-image", &[Need::Sources, Need::Build, Need::Image, Need::Engine]),
    ("build-image", &[Need::Sources, Need::Build, Need::Image]),
    ("test-systemd", &[Need::Sources, Need::Build]),
    ("test-vm", &[Need::Sources, Need::Build, Need::Image, Need::Vm]),
    ("--arch", &[Need::Sources, Need::Build, Need::Image, Need::Vm, Need::Foreign]),
    (
        "test",
        &[
            Need::Sources,
            Need::Build,
            Need::Image,
            Need::Engine,
            Need::Vm,
            Need::Foreign,
            Need::Nix,
            Need::Tests,
        ],
    ),
];

/// How to see that something is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// A program.
    Program(&'static str),
    /// A pkg-config module: a library with its headers.
    Module(&'static str),
    /// An absolute path.
    File(&'static str),
}

/// One thing that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirement {
    /// The Debian and Ubuntu package.
    pub package: &'static str,
    pub sign: Sign,
}

const fn program(package: &'static str, name: &'static str) -> Requirement {
    Requirement { package, sign: Sign::Program(name) }
}

const fn module(package: &'static str, name: &'static str) -> Requirement {
    Requirement { package, sign: Sign::Module(name) }
}

const fn file(package: &'static str, path: &'static str) -> Requirement {
    Requirement { package, sign: Sign::File(path) }
}

const SOURCES: &[Requirement] = &[program("git", "git"), program("apt", "apt-get")];

const BUILD: &[Requirement] = &[
    program("meson", "meson"),
    program("ninja-build", "ninja"),
    program("gcc", "gcc"),
    // Only recommended by gcc, so it does not come along.
    file("libc6-dev", "/usr/include/stdio.h"),
    program("gperf", "gperf"),
    program("pkg-config", "pkg-config"),
    program("ccache", "ccache"),
    file("python3-jinja2", "/usr/lib/python3/dist-packages/jinja2/__init__.py"),
    module("libcap-dev", "libcap"),
    module("libmount-dev", "mount"),
    module("libblkid-dev", "blkid"),
    module("libseccomp-dev", "libseccomp"),
    // Debian's PAM has no pkg-config module before 1.5.
    file("libpam0g-dev", "/usr/include/security/pam_appl.h"),
    module("libacl1-dev", "libacl"),
    module("liblzma-dev", "liblzma"),
    module("libzstd-dev", "libzstd"),
    module("liblz4-dev", "liblz4"),
    module("libcrypt-dev", "libcrypt"),
    module("libaudit-dev", "audit"),
];

const IMAGE: &[Requirement] = &[program("mmdebstrap", "mmdebstrap")];

const NIX: &[Requirement] = &[program("nix-bin", "nix-instantiate")];

const TESTS: &[Requirement] = &[
    program("patch", "patch"),
    program("quilt", "quilt"),
    program("git", "git"),
    program("s6", "s6-svscan"),
    program("shellcheck", "shellcheck"),
];

/// What a part of the work needs on this machine.
pub fn of(need: Need, host: &Host) -> Vec<Requirement> {
    match need {
        Need::Sources => SOURCES.to_vec(),
        Need::Build => BUILD.to_vec(),
        Need::Image => IMAGE.to_vec(),
        // The user's own engine is taken as it is; else a private daemon is started.
        Need::Engine if matches!(host.engine, Engine::Reachable { .. }) => Vec::new(),
        Need::Engine => vec![
            program("docker.io", "dockerd"),
            program(host.distribution.docker_cli(), "docker"),
            program("iptables", "iptables"),
            // Not in a minimal Debian.
            program("iproute2", "ip"),
            program("mount", "mount"),
        ],
        Need::Vm => vec![
            match Arch::host() {
                Some(Arch::Arm64) => program("qemu-system-arm", "qemu-system-aarch64"),
                _ => program("qemu-system-x86", "qemu-system-x86_64"),
            },
            program("mmdebstrap", "mmdebstrap"),
            program("e2fsprogs", "mke2fs"),
            program("openssh-client", "ssh"),
            program("socat", "socat"),
            program(host.distribution.docker_cli(), "docker"),
        ],
        Need::Foreign => {
            let [compiler, compiles, system, emulates, user, user_static] = match Arch::host() {
                Some(Arch::Arm64) => [
                    "gcc-x86-64-linux-gnu",
                    "x86_64-linux-gnu-gcc",
                    "qemu-system-x86",
                    "qemu-system-x86_64",
                    "qemu-x86_64",
                    "qemu-x86_64-static",
                ],
                _ => [
                    "gcc-aarch64-linux-gnu",
                    "aarch64-linux-gnu-gcc",
                    "qemu-system-arm",
                    "qemu-system-aarch64",
                    "qemu-aarch64",
                    "qemu-aarch64-static",
                ],
            };
            let runs = match host.distribution.qemu_user() {
                package @ "qemu-user-static" => program(package, user_static),
                package => program(package, user),
            };
            vec![program(compiler, compiles), program(system, emulates), runs]
        }
        Need::Nix => NIX.to_vec(),
        Need::Tests => TESTS.to_vec(),
    }
}

/// What is needed and not there, each once.
pub fn missing(needs: &[Need], host: &Host, probe: &Probe) -> Vec<Requirement> {
    let mut missing = Vec::new();
    for requirement in needs.iter().flat_map(|&need| of(need, host)) {
        let there = match requirement.sign {
            Sign::Program(name) => probe.program(name),
            Sign::Module(name) => probe.module(name),
            Sign::File(path) => probe.file(path),
        };
        if !there && !missing.contains(&requirement) {
            missing.push(requirement);
        }
    }
    missing
}

/// The packages of requirements, each once and in a fixed order.
pub fn packages(missing: &[Requirement]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().map(|r| r.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// The one line that installs what is missing; where there is no apt, the list of what to install.
pub fn install_line(missing: &[Requirement], host: &Host) -> String {
    if !host.apt {
        let name = |r: &Requirement| match r.sign {
            Sign::Program(name) => name.to_owned(),
            Sign::Module(name) => format!("the headers of {name} (pkg-config)"),
            Sign::File(path) => path.to_owned(),
        };
        let names: Vec<String> = missing.iter().map(name).collect();
        return format!("install with your package manager: {}", names.join(", "));
    }
    let sudo = if host.root { "" } else { "sudo " };
    let update = if host.apt_lists { "" } else { "apt-get update && " };
    let update = if update.is_empty() { String::new() } else { format!("{sudo}{update}") };
    format!(
        "{update}{sudo}apt-get install -y --no-install-recommends {}",
        packages(missing).join(" ")
    )
}

/// Sees to it that what `needs` ask for is installed: as root on a machine with apt it installs
/// what is missing, and says so.
///
/// # Errors
/// [`Kind::CannotTry`] with the line to run, where it may not install; a fault if apt-get failed.
pub fn ensure(needs: &[Need], ui: &Ui, cache: &Cache) -> Result<()> {
    let probe = Probe::machine();
    let host = Host::look(&probe, cache.root())?;
    let lacking = missing(needs, &host, &probe);
    if lacking.is_empty() {
        return Ok(());
    }
    let names = packages(&lacking);
    if !(host.root && host.apt) {
        return Err(Fault::cannot_try(format!("not installed: {}", names.join(", ")))
            .hint(install_line(&lacking, &host))
            .into());
    }
    ui.note(&format!("installing with apt-get: {}", names.join(" ")));
    let updated = !host.apt_lists;
    if updated {
        apt_get(ui, cache, "updating the package lists", &["update"])?;
    }
    let install = || {
        let args: Vec<&str> =
            ["install", "-y", "--no-install-recommends"].into_iter().chain(names.clone()).collect();
        apt_get(ui, cache, "installing packages", &args)
    };
    if let Err(error) = install() {
        if updated || kind_of(&error) == Kind::Interrupted {
            return Err(error);
        }
        // Old lists name files that the mirror has replaced since.
        apt_get(ui, cache, "updating the package lists", &["update"])?;
        install()?;
    }
    let left = missing(needs, &host, &probe);
    if left.is_empty() {
        return Ok(());
    }
    Err(Fault::new(format!("apt-get brought {}, but it is not found", packages(&left).join(", ")))
        .hint("cargo xtask doctor -v tells what was looked for")
        .into())
}

/// Runs apt-get to its end. An interrupt waits for it: a killed dpkg leaves the host's packages
/// half configured.
fn apt_get(ui: &Ui, cache: &Cache, title: &str, args: &[&str]) -> Result<()> {
    let step = ui.step(title);
    let mut running = Job::new("apt-get", &cache.runs().join("apt-get.log"))
        .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .deadline(Duration::from_secs(1800))
        .spawn()?;
    match running.wait(|line| step.detail(line)) {
        Ok(status) if status.success() => {
            step.done("");
            Ok(())
        }
        Ok(status) => Err(running.failure(&status.to_string())),
        Err(error) if kind_of(&error) == Kind::Interrupted => {
            ui.warn("letting apt-get finish first, so that no package is left half installed");
            while running.poll()?.is_none() {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Cgroup, Distribution};

    pub fn host(engine: Engine) -> Host {
        Host {
            root: true,
            distribution: Distribution {
                id: "debian".into(),
                codename: "trixie".into(),
                version: "13".into(),
                name: "Debian GNU/Linux 13 (trixie)".into(),
            },
            apt: true,
            apt_lists: true,
            cgroup: Cgroup::V2,
            free_bytes: 100 << 30,
            engine,
        }
    }

    #[test]
    fn on_an_empty_machine_everything_is_missing_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_, needs) = COMMANDS.last().unwrap();
        let found = missing(needs, &host(Engine::Absent), &Probe::at(dir.path()));
        assert_eq!(found.iter().filter(|r| r.package == "git").count(), 1);
        let names = packages(&found);
        assert!(names.is_sorted());
        for package in ["docker-cli", "docker.io", "libaudit-dev", "nix-bin", "python3-jinja2"] {
            assert!(names.contains(&package), "{package} is not in {names:?}");
        }
    }

    #[test]
    fn an_engine_that_answers_needs_no_package() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::Reachable { version: "28.5".into(), address: "x".into() };
        assert_eq!(missing(&[Need::Engine], &host(engine), &Probe::at(dir.path())), []);
    }

    #[test]
    fn the_line_to_run_fits_the_machine() {
        let lacking = [module("libcap-dev", "libcap"), program("gperf", "gperf")];
        let mut host = host(Engine::Absent);
        let apt = "apt-get install -y --no-install-recommends gperf libcap-dev";
        assert_eq!(install_line(&lacking, &host), apt);
        host.root = false;
        host.apt_lists = false;
        assert_eq!(install_line(&lacking, &host), format!("sudo apt-get update && sudo {apt}"));
        host.apt = false;
        assert_eq!(
            install_line(&lacking, &host),
            "install with your package manager: the headers of libcap (pkg-config), gperf"
        );
    }
}
