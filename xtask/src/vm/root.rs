// SPDX-License-Identifier: MIT
//! A guest's root: what mmdebstrap makes, before anything of ours is laid over it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::disk::Disk;
use crate::arch::Arch;
use crate::bootstrap;
use crate::image::digest_of;
use crate::sources::Archive;
use crate::workspace::Cache;

/// Beyond mmdebstrap's `minbase`, and the kernel. AppArmor's tools are
/// among them since Docker then confines each container by a profile, as it does for most users on
/// Debian and Ubuntu.
const PACKAGES: &[&str] = &[
    "apparmor",
    "dbus",
    "crun",
    "docker.io",
    "iproute2",
    "iptables",
    "kmod",
    "openssh-server",
    "podman",
    "rootlesskit",
    "slirp4netns",
    "systemd-sysv",
    "udev",
    "uidmap",
];

/// podman 4.3 of Debian 12 makes networks by these.
const BOOKWORM: &[&str] = &["containernetworking-plugins"];
/// The CLI became a package of its own, and podman 5 has its own networks.
const SINCE_TRIXIE: &[&str] = &["docker-cli", "netavark"];

/// No unit of a package is enabled or started: `plainboot-ready.service` requires what a guest runs.
/// Packages ask for it by perl scripts, which under qemu-user take a second each, a hundred times.
const NO_UNITS: &str = r#"--essential-hook=for script in bin/deb-systemd-helper bin/deb-systemd-invoke sbin/update-rc.d; do
    printf '#!/bin/sh\n' >"$1/usr/$script"
done"#;

/// Changed whenever a rule changes what a root holds and no constant shows it.
const ROOT_RULES: u32 = 2;

/// The folder with a guest's `root.tar` and the list of its `packages`, from the cache or new. Of a
/// foreign root mmdebstrap takes minutes, so that a change of what is laid over it does not ask again.
pub(super) fn make(
    cache: &Cache,
    archive: &Archive,
    disk: &Disk,
    part: &Path,
    tell: impl FnMut(&str),
) -> Result<PathBuf> {
    let dir = dir(cache, disk.arch, &disk.suite)?;
    let prefix = format!("root-{}-{}-", disk.suite, disk.arch);
    if dir.is_dir() {
        return Ok(dir);
    }
    for entry in fs::read_dir(cache.vm())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let ready = part.join("root-ready");
    fs::create_dir(&ready)?;
    crate::atomic::write(&part.join("guest.sources"), archive.binaries(&disk.suite).as_bytes())?;
    let mut job = bootstrap::job(disk.arch, &cache.vm().join("mmdebstrap.log"))?
        .env("TMPDIR", part)
        .env("PLAINBOOT_PACKAGES", ready.join("packages"))
        // Debian's kernel hook then leaves out the initrd, which is not used.
        .env("INITRD", "No")
        .deadline(Duration::from_secs(3600))
        .args(["--variant=minbase", "--format=tar", "--skip=output/dev"])
        .arg(format!("--include={}", packages(disk.arch, &disk.suite).join(",")))
        .arg(NO_UNITS)
        .args(
            ["doc", "man", "info", "locale"]
                .map(|d| format!("--dpkgopt=path-exclude=/usr/share/{d}/*")),
        )
        .arg(
            r#"--customize-hook=dpkg-query --admindir="$1/var/lib/dpkg" -W >"$PLAINBOOT_PACKAGES""#,
        );
    for option in bootstrap::host_options() {
        job = job.arg(format!("--aptopt={option}"));
    }
    job.arg(&disk.suite).arg(ready.join("root.tar")).arg(part.join("guest.sources")).run(tell)?;
    // The folder is taken for whole whenever it is there.
    fs::File::open(ready.join("root.tar"))?.sync_all()?;
    fs::rename(&ready, &dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Where a root is kept.
pub(super) fn dir(cache: &Cache, arch: Arch, suite: &str) -> Result<PathBuf> {
    let digest = digest_of(&inputs(arch, suite)?);
    Ok(cache.vm().join(format!("root-{suite}-{arch}-{}", &digest["sha256:".len()..][..12])))
}

/// What a root follows from, beside what the mirror has.
pub(super) fn inputs(arch: Arch, suite: &str) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&(ROOT_RULES, NO_UNITS, suite, arch, packages(arch, suite)))?)
}

/// What mmdebstrap is to include.
fn packages(arch: Arch, suite: &str) -> Vec<String> {
    let more = if suite == "bookworm" { BOOKWORM } else { SINCE_TRIXIE };
    let kernel = format!("linux-image-cloud-{arch}");
    PACKAGES.iter().chain(more).map(|&name| name.to_owned()).chain([kernel]).collect()
}

/// How long ago the packages of the root in `dir` were fetched; `None` if nobody can say.
pub(super) fn age_days(dir: &Path) -> Option<u64> {
    let made = fs::metadata(dir.join("packages")).ok()?.modified().ok()?;
    Some(made.elapsed().ok()?.as_secs() / 86_400)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_root_is_as_old_as_its_list_of_packages() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(age_days(dir.path()), None);
        let list = fs::File::create(dir.path().join("packages")).unwrap();
        assert_eq!(age_days(dir.path()), Some(0));
        list.set_modified(SystemTime::now() - Duration::from_secs(40 * 86_400 + 60)).unwrap();
        assert_eq!(age_days(dir.path()), Some(40));
    }

    #[test]
    fn what_a_suite_alone_has_is_among_what_a_root_follows_from() {
        let inputs = |suite| String::from_utf8(inputs(Arch::Amd64, suite).unwrap()).unwrap();
        assert!(inputs("bookworm").contains("containernetworking-plugins"));
        assert!(inputs("forky").contains("netavark"));
    }
}
