// SPDX-License-Identifier: MIT
//! A guest's disk: a Debian root with a cloud kernel and Docker, made once and kept.
//!
//! The guest downloads nothing when it boots. What the harness needs in it (the way in, the words on
//! the console) is in `vm-tests/debian`, a folder laid over the root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::overlay::{self, Entry};
use super::root;
use crate::arch::Arch;
use crate::exec::{self, Call, Job};
use crate::fault::Fault;
use crate::image::digest_of;
use crate::sources::{Archive, host_archive};
use crate::ui::Ui;
use crate::workspace::{Cache, require_space};

/// A guest for each engine that Debian has: Docker 20.10, 26.1 and 28.5.
pub const SUITES: [&str; 3] = ["bookworm", "trixie", "forky"];
/// The one that is used unless another is named: Debian's current release.
pub const SUITE: &str = "trixie";

/// Units that a guest without network, seat and hardware waits for in vain. Without udev the boot is
/// ten seconds shorter under emulation; the kernel makes the device nodes that are needed itself.
/// AppArmor's service would compile a hundred profiles; Docker loads its own by itself.
const MASKED: &[&str] = &[
    "apparmor.service",
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@configfs.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "proc-sys-fs-binfmt_misc.automount",
    "ssh.service",
    "ssh.socket",
    "sshd-unix-local.socket",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-hostnamed.socket",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-logind.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
];

/// Turns a root's tar into a disk; run as root, or as root of a user namespace. `$1`: folder with
/// (a link to) `root.tar`, `key.pub` and the folder to lay over it; `$2`: bytes; the rest: units to mask.
const ASSEMBLE: &str = r#"set -eu
# Debian leaves these out of a user's.
PATH=$PATH:/usr/sbin:/sbin
cd "$1"; bytes=$2; shift 2
mkdir root
tar -x --numeric-owner -f root.tar -C root
mkdir -p root/dev root/srv/engines
# What engines keep is on a disk of its own.
for engine in docker containers containerd; do
    rm -rf "root/var/lib/$engine"
    ln -s "/srv/engines/$engine" "root/var/lib/$engine"
done
cp -R --no-preserve=ownership,timestamps overlay/. root/
install -d -m 0700 root/root/.ssh
install -m 0600 key.pub root/root/.ssh/authorized_keys
for unit; do ln -sf /dev/null "root/etc/systemd/system/$unit"; done
ln -sf /usr/lib/systemd/system/multi-user.target root/etc/systemd/system/default.target
echo plainboot >root/etc/hostname
# What root in a container is mapped to, with --userns-remap.
echo 'mapped:x:1000:1000::/nonexistent:/usr/sbin/nologin' >>root/etc/passwd
echo 'mapped:x:1000:' >>root/etc/group
for file in subuid subgid; do echo 'mapped:100000:65536' >>"root/etc/$file"; done
# Not "uninitialized": that is a first boot, with presets to apply.
echo 706c61696e626f6f7400000000000001 >root/etc/machine-id
# Says that nothing in /etc and /var is older than /usr.
touch root/etc/.updated root/var/.updated
mv root/boot/vmlinuz-* kernel
rm -f root/boot/initrd* root/boot/System.map*
truncate -s "$bytes" disk.raw
mke2fs -q -F -t ext4 -O ^has_journal -E lazy_itable_init=1 -d root disk.raw
rm -rf root
"#;

/// Changed whenever a rule above changes what a disk holds and no constant shows it.
const RULES: u32 = 3;
/// Sparse: what is written while the guest runs goes to a throw-away overlay.
const DISK_BYTES: u64 = 6 << 30;
/// From then on a run says how old a guest's packages are.
const OLD_DAYS: u64 = 30;
/// The tar, the root and the disk of a guest at the same time.
const SPACE_MB: u64 = 2500;

/// A guest's disk and what belongs to it.
#[derive(Debug, Clone)]
pub struct Disk {
    pub arch: Arch,
    pub suite: String,
    /// A whole disk without partitions, raw.
    pub image: PathBuf,
    pub kernel: PathBuf,
    /// The private key that root in the guest accepts.
    pub key: PathBuf,
    dir: PathBuf,
}

/// Beside the disk, once it is finished.
#[derive(Debug, Serialize, Deserialize)]
struct Recipe {
    suite: String,
    arch: Arch,
    /// A disk that was cut short has another length.
    disk_bytes: u64,
    kernel_bytes: u64,
    /// Every package with its version.
    packages: Vec<String>,
}

impl Disk {
    /// Where the parts of a disk in `dir` are.
    pub(super) fn at(dir: &Path, arch: Arch, suite: &str) -> Disk {
        Disk {
            arch,
            suite: suite.to_owned(),
            image: dir.join("disk.raw"),
            kernel: dir.join("kernel"),
            key: dir.join("key"),
            dir: dir.to_owned(),
        }
    }

    /// A file that goes with the disk when another replaces it.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn finished(&self) -> bool {
        let recipe = fs::read(self.dir.join("recipe.json")).unwrap_or_default();
        let Ok(recipe) = serde_json::from_slice::<Recipe>(&recipe) else { return false };
        let long = |path: &Path, bytes| fs::metadata(path).is_ok_and(|m| m.len() == bytes);
        long(&self.image, recipe.disk_bytes)
            && long(&self.kernel, recipe.kernel_bytes)
            && self.key.is_file()
    }
}

/// The disk from the cache, or a new one (about 40 s, and 130 MB of downloads). `overlay` is the
/// folder laid over the root.
///
/// # Errors
/// No Debian mirror in the host's apt, a program is missing or fails, too little space.
pub fn disk(cache: &Cache, overlay: &Path, arch: Arch, suite: &str, ui: &Ui) -> Result<Disk> {
    let (disk, files) = named(cache, overlay, arch, suite)?;
    if !disk.finished() {
        let _lock = cache.lock_when_free("vm-disk", "a guest is being made", ui)?;
        if !disk.finished() {
            if disk.dir.join("recipe.json").exists() {
                let dir = disk.dir.display();
                ui.note(&format!("{dir} is not as it was made (cut short?): made again"));
            }
            make(cache, &disk, &files, ui)?;
        }
    }
    let root = root::dir(cache, arch, suite)?;
    if let Some(days) = root::age_days(&root).filter(|&days| days > OLD_DAYS) {
        let folders = [&disk.dir, &root].map(|dir| exec::quote(&dir.to_string_lossy()));
        let folders = folders.join(" ");
        ui.note(&format!(
            "this guest's packages are {days} days old; `rm -r {folders}` has them fetched anew"
        ));
    }
    Ok(disk)
}

/// Whether that disk is there, or could be made.
///
/// # Errors
/// It could not: the host's apt knows no mirror of Debian's.
pub fn can_be_had(cache: &Cache, overlay: &Path, arch: Arch, suite: &str) -> Result<()> {
    if !named(cache, overlay, arch, suite)?.0.finished() {
        mirror()?;
    }
    Ok(())
}

/// The disk in the cache, made or not, and what is laid over its root.
fn named(cache: &Cache, overlay: &Path, arch: Arch, suite: &str) -> Result<(Disk, Vec<Entry>)> {
    let files = overlay::read(overlay)?;
    let inputs = serde_json::to_vec(&(RULES, suite, arch, MASKED, ASSEMBLE, DISK_BYTES, &files))?;
    let digest = digest_of(&[&inputs[..], &root::inputs(arch, suite)?].concat());
    let name = format!("debian-{suite}-{arch}-{}", &digest["sha256:".len()..][..12]);
    Ok((Disk::at(&cache.vm().join(name), arch, suite), files))
}

/// Where a guest's packages come from.
fn mirror() -> Result<Archive> {
    let archive = host_archive()?.map_err(|reason| {
        Fault::cannot_try(format!("no guest can be made: {reason}"))
            .hint("run in a Debian container or machine")
    })?;
    if archive.distribution != "Debian" {
        return Err(Fault::cannot_try("the host's apt knows no Debian mirror")
            .hint("run in a Debian container or machine")
            .into());
    }
    Ok(archive)
}

fn make(cache: &Cache, disk: &Disk, files: &[Entry], ui: &Ui) -> Result<()> {
    let archive = mirror()?;
    fs::create_dir_all(cache.vm())
        .with_context(|| format!("cannot create {}", cache.vm().display()))?;
    require_space(&cache.vm(), SPACE_MB)?;
    forget_older(cache, disk);
    let part = tempfile::Builder::new().prefix("part-").tempdir_in(cache.vm())?;
    let step = ui.step(format!("make a Debian {} guest for {}", disk.suite, disk.arch));
    let root = root::make(cache, &archive, disk, part.path(), |line| step.detail(line))?;
    let packages = fs::read_to_string(root.join("packages"))?;
    let packages = packages.lines().map(|l| l.replace('\t', " ")).collect();
    std::os::unix::fs::symlink(root.join("root.tar"), part.path().join("root.tar"))?;
    step.detail("making the disk");
    overlay::write(files, &part.path().join("overlay"))?;
    make_key(part.path())?;
    assemble(part.path())?;
    let ready = Disk::at(part.path(), disk.arch, &disk.suite);
    let recipe = Recipe {
        suite: disk.suite.clone(),
        arch: disk.arch,
        disk_bytes: fs::metadata(&ready.image)?.len(),
        kernel_bytes: fs::metadata(&ready.kernel)?.len(),
        packages,
    };
    let _ = fs::remove_dir_all(&disk.dir);
    fs::create_dir_all(&disk.dir)?;
    for (from, to) in
        [(&ready.image, &disk.image), (&ready.kernel, &disk.kernel), (&ready.key, &disk.key)]
    {
        fs::rename(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    // Last: without it the disk is not finished.
    crate::atomic::write(&disk.dir.join("recipe.json"), &serde_json::to_vec_pretty(&recipe)?)?;
    step.done(&format!("{} packages", recipe.packages.len()));
    Ok(())
}

/// Removes what runs that were killed left, and the disk that this one replaces. The lock is held.
fn forget_older(cache: &Cache, disk: &Disk) {
    let same = format!("debian-{}-{}-", disk.suite, disk.arch);
    for entry in fs::read_dir(cache.vm()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("part-") || name.starts_with(&same) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn make_key(part: &Path) -> Result<()> {
    Call::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "plainboot", "-f"])
        .arg(part.join("key"))
        .text()
        .map(drop)
}

fn assemble(part: &Path) -> Result<()> {
    let log = part.with_file_name("assemble.log");
    let job = if rustix::process::geteuid().is_root() {
        Job::contained("sh", &log)
    } else {
        // The root's owners are users of a namespace, as mmdebstrap's were.
        Job::new("unshare", &log).args(["--map-root-user", "--map-auto", "--", "sh"])
    };
    job.args(["-c", ASSEMBLE, "assemble"])
        .arg(part)
        .arg(DISK_BYTES.to_string())
        .args(MASKED)
        .deadline(Duration::from_secs(600))
        .run(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_cut_short_is_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::at(dir.path(), Arch::Amd64, SUITE);
        let recipe = Recipe {
            suite: SUITE.into(),
            arch: Arch::Amd64,
            disk_bytes: 3,
            kernel_bytes: 2,
            packages: Vec::new(),
        };
        fs::write(dir.path().join("recipe.json"), serde_json::to_vec(&recipe).unwrap()).unwrap();
        assert!(!disk.finished());
        fs::write(&disk.kernel, "ab").unwrap();
        fs::write(&disk.key, "k").unwrap();
        fs::write(&disk.image, "ab").unwrap();
        assert!(!disk.finished());
        fs::write(&disk.image, "abc").unwrap();
        assert!(disk.finished());
    }
}
