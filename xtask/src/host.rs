// SPDX-License-Identifier: MIT
//! Facts about the machine, looked up and never changed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::exec;

/// Where programs and files are looked for: the machine, or a stand-in for it.
#[derive(Debug, Clone)]
pub struct Probe {
    root: PathBuf,
    path: OsString,
    /// Folders with `.pc` files beside the usual ones; absolute, not below `root`.
    pkg_config_path: OsString,
}

impl Probe {
    /// Looks at this machine.
    pub fn machine() -> Self {
        let var = |name| std::env::var_os(name).unwrap_or_default();
        Probe {
            root: PathBuf::from("/"),
            path: var("PATH"),
            pkg_config_path: var("PKG_CONFIG_PATH"),
        }
    }

    /// Looks below `root`, with the programs in `root/bin`.
    pub fn at(root: &Path) -> Self {
        Probe {
            root: root.to_owned(),
            path: root.join("bin").into_os_string(),
            pkg_config_path: OsString::new(),
        }
    }

    /// Whether an executable file of this name is on the PATH, or in an sbin folder, which the PATH
    /// of a user other than root leaves out.
    pub fn program(&self, name: &str) -> bool {
        use std::os::unix::fs::PermissionsExt;
        let runs = |file: PathBuf| {
            file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        let sbin = ["usr/local/sbin", "usr/sbin", "sbin"].map(|dir| self.root.join(dir));
        std::env::split_paths(&self.path).chain(sbin).any(|dir| runs(dir.join(name)))
    }

    /// Whether there is a pkg-config module of this name, so that the headers are installed.
    pub fn module(&self, name: &str) -> bool {
        let file = format!("{name}.pc");
        let fixed = ["usr/lib", "usr/lib64", "usr/share", "usr/local/lib", "usr/local/share"];
        let fixed = fixed.map(|dir| self.root.join(dir).join("pkgconfig"));
        // Debian's multiarch folders: /usr/lib/x86_64-linux-gnu/pkgconfig.
        let multiarch = std::fs::read_dir(self.root.join("usr/lib"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().contains("-linux-"))
            .map(|entry| entry.path().join("pkgconfig"));
        let asked = std::env::split_paths(&self.pkg_config_path);
        fixed.into_iter().chain(multiarch).chain(asked).any(|dir| dir.join(&file).is_file())
    }

    /// Whether this absolute path exists.
    pub fn file(&self, path: &str) -> bool {
        self.join(path).exists()
    }

    fn join(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.join(path)).unwrap_or_default()
    }
}

/// What matters about the machine.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// Whether this process is root.
    pub root: bool,
    pub distribution: Distribution,
    /// Whether packages can be installed with apt-get.
    pub apt: bool,
    /// Whether apt has package lists; on a fresh container image it has none.
    pub apt_lists: bool,
    pub cgroup: Cgroup,
    /// Free space where the cache lies, in bytes.
    pub free_bytes: u64,
    pub engine: Engine,
}

/// From `/etc/os-release`; empty strings where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// `debian`, `ubuntu`, …
    pub id: String,
    /// `bookworm`, `noble`, …
    pub codename: String,
    /// `12`, `24.04`; empty in Debian's testing and unstable.
    pub version: String,
    /// For the reader.
    pub name: String,
}

/// How the host's control groups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cgroup {
    /// Version 1 alone.
    V1,
    /// The controllers belong to version 1; version 2 is mounted beside it.
    Hybrid,
    /// Version 2 alone: what current distributions do.
    V2,
    /// Not mounted at all.
    None,
}

/// The container engine that the user already has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Engine {
    /// It answers.
    Reachable { version: String, address: String },
    /// The CLI is there, but nobody answers at the address.
    Silent { address: String },
    /// There is no `docker` program.
    Absent,
}

impl Host {
    /// Looks at this machine. `cache` is the folder whose free space counts (it need not exist).
    pub fn look(probe: &Probe, cache: &Path) -> Result<Self> {
        Ok(Host {
            root: rustix::process::geteuid().is_root(),
            distribution: Distribution::parse(&probe.text("/etc/os-release")),
            apt: probe.program("apt-get"),
            apt_lists: has_lists(&probe.join("/var/lib/apt/lists")),
            cgroup: Cgroup::parse(&probe.text("/proc/self/mountinfo")),
            free_bytes: free_bytes(cache)?,
            engine: find_engine(probe)?,
        })
    }
}

impl Distribution {
    fn parse(os_release: &str) -> Self {
        let field = |key: &str| {
            os_release
                .lines()
                .filter_map(|line| line.split_once('='))
                .find(|(k, _)| *k == key)
                .map(|(_, v)| v.trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        Distribution {
            id: field("ID"),
            codename: field("VERSION_CODENAME"),
            version: field("VERSION_ID"),
            name: field("PRETTY_NAME"),
        }
    }

    /// The name of the package that brings the `docker` program: Debian split it off `docker.io`
    /// in its release 13, where it is only recommended.
    pub fn docker_cli(&self) -> &'static str {
        if self.is_trixie_or_later() { "docker-cli" } else { "docker.io" }
    }

    /// The name of the package with statically linked emulators of single programs: all of Debian's
    /// are since its release 13.
    pub fn qemu_user(&self) -> &'static str {
        if self.is_trixie_or_later() { "qemu-user" } else { "qemu-user-static" }
    }

    fn is_trixie_or_later(&self) -> bool {
        // Testing and unstable have no version.
        self.id == "debian"
            && (self.version.is_empty() || self.version.parse().is_ok_and(|v: u32| v >= 13))
    }
}

impl Cgroup {
    /// Reads `/proc/self/mountinfo`: the type follows the ` - `.
    fn parse(mountinfo: &str) -> Self {
        let mounted = |kind: &str| {
            mountinfo
                .lines()
                .filter_map(|line| line.split_once(" - "))
                .any(|(_, rest)| rest.split(' ').next() == Some(kind))
        };
        match (mounted("cgroup"), mounted("cgroup2")) {
            (true, true) => Cgroup::Hybrid,
            (true, false) => Cgroup::V1,
            (false, true) => Cgroup::V2,
            (false, false) => Cgroup::None,
        }
    }
}

fn has_lists(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|entries| {
        entries.flatten().any(|e| e.file_name().to_string_lossy().contains("_Packages"))
    })
}

/// Free bytes for this user on the file system that holds `path` or its nearest existing parent.
fn free_bytes(path: &Path) -> Result<u64> {
    let existing = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(existing)
        .with_context(|| format!("cannot ask for the free space of {}", existing.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Asks the engine that `docker` would talk to (`DOCKER_HOST`, or its context) for its version.
fn find_engine(probe: &Probe) -> Result<Engine> {
    if !probe.program("docker") {
        return Ok(Engine::Absent);
    }
    let address = std::env::var("DOCKER_HOST")
        .ok()
        .filter(|a| !a.is_empty())
        .unwrap_or_else(|| "the default address".to_owned());
    let dir = tempfile::tempdir()?;
    let answer = dir.path().join("answer");
    // The client keeps its warnings on stderr, which a job mixes in: so look for the mark.
    let asked = exec::Job::new("docker", &answer)
        .args(["version", "--format", "server={{.Server.Version}}"])
        .deadline(Duration::from_secs(10))
        .run(|_| ());
    exec::check_interrupt()?;
    let text = std::fs::read_to_string(&answer).unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("server="));
    Ok(match (asked, version) {
        (Ok(()), Some(version)) if !version.is_empty() => {
            Engine::Reachable { version: version.to_owned(), address }
        }
        _ => Engine::Silent { address },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_by_their_mounts() {
        let line = |kind: &str| format!("30 24 0:26 / /sys/fs/cgroup rw,nosuid - {kind} x rw\n");
        assert_eq!(Cgroup::parse(&line("cgroup2")), Cgroup::V2);
        assert_eq!(Cgroup::parse(&line("cgroup")), Cgroup::V1);
        assert_eq!(Cgroup::parse(&(line("cgroup") + &line("cgroup2"))), Cgroup::Hybrid);
        assert_eq!(Cgroup::parse("30 24 0:26 / /cgroup2 rw - tmpfs cgroup rw\n"), Cgroup::None);
    }

    #[test]
    fn the_docker_program_moved_to_a_package_of_its_own() {
        let cli = |text: &str| Distribution::parse(text).docker_cli();
        assert_eq!(cli("ID=debian\nVERSION_ID=\"12\"\n"), "docker.io");
        assert_eq!(cli("ID=debian\nVERSION_ID=\"13\"\n"), "docker-cli");
        assert_eq!(cli("ID=debian\nVERSION_CODENAME=forky\n"), "docker-cli");
        assert_eq!(cli("ID=ubuntu\nVERSION_ID=\"24.04\"\n"), "docker.io");
    }

    #[test]
    fn programs_must_be_executable_and_modules_may_be_multiarch() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe::at(dir.path());
        let file = dir.path().join("bin/gperf");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        assert!(!probe.program("gperf"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(probe.program("gperf"));

        let modules = dir.path().join("usr/lib/aarch64-linux-gnu/pkgconfig");
        std::fs::create_dir_all(&modules).unwrap();
        assert!(!probe.module("mount"));
        std::fs::write(modules.join("mount.pc"), "").unwrap();
        assert!(probe.module("mount"));
    }

    #[test]
    fn free_space_of_a_folder_that_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(&dir.path().join("a/b/c")).unwrap() > 0);
    }
}
