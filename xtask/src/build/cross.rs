// SPDX-License-Identifier: MIT
//! Building for another architecture: Debian's cross compiler, and a root with the libraries and
//! headers of the host's own suite for that architecture. The host's dpkg never hears of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::digest;
use crate::arch::Arch;
use crate::bootstrap;
use crate::exec::{self, Call, Job};
use crate::fault::Fault;
use crate::sources::{Archive, host_archive};
use crate::ui::Ui;
use crate::workspace::{Cache, require_space};

/// What systemd is linked against, as in `requirements::BUILD`.
const PACKAGES: [&str; 12] = [
    "libacl1-dev",
    "libaudit-dev",
    "libblkid-dev",
    "libc6-dev",
    "libcap-dev",
    "libcrypt-dev",
    "liblz4-dev",
    "liblzma-dev",
    "libmount-dev",
    "libpam0g-dev",
    "libseccomp-dev",
    "libzstd-dev",
];

/// Run on the root (`$1`), by the only late hook that mmdebstrap has where packages are unpacked and no
/// more. Such packages do not bring the link of a merged /usr; and links such as
/// `libm.so -> /lib/…/libm.so.6` would lead out of the root, to nothing: the linker then takes the static
/// library, whose parts are not meant to be alone.
const TIDY: &str = r#"--extract-hook=set -e
[ -e "$1/lib" ] || ln -s usr/lib "$1/lib"
find "$1/usr/lib" -lname '/*' | while read -r link; do ln -sfr "$1$(readlink "$link")" "$link"; done"#;

/// Changed whenever a rule above changes what the root holds and no constant shows it.
const RULES: u32 = 1;
const ROOT_MB: u64 = 300;

/// A compiler for another architecture and what it links against.
#[derive(Debug, Clone)]
pub struct Cross {
    pub arch: Arch,
    root: PathBuf,
    /// The compiler and the libraries, for what follows from them.
    pub toolchain: String,
}

impl Cross {
    /// The root from the cache, or a new one (10 s, 20 MB of downloads).
    ///
    /// # Errors
    /// No cross compiler, no mirror that has this architecture, too little space.
    pub fn prepare(cache: &Cache, arch: Arch, ui: &Ui) -> Result<Cross> {
        let compiler = format!("{}-gcc", arch.triplet());
        if !exec::have(&compiler) {
            return Err(Fault::cannot_try(format!(
                "`{compiler}` is not installed, systemd cannot be built for {arch}"
            ))
            .hint("cargo xtask doctor names the packages and the line that installs them")
            .into());
        }
        let archive = host_archive()?.map_err(|reason| {
            Fault::cannot_try(format!("no libraries for {arch}: {reason}"))
                .hint("run in a Debian container or machine")
        })?;
        let suite = archive.suites.first().context("an archive without suites")?;
        let rules = digest(&[&RULES.to_string(), &PACKAGES.join(","), TIDY]);
        let dir = cache.build().join(format!("sysroot-{suite}-{arch}-{}", &rules[..12]));
        let stamp = dir.join("contents");
        let contents = match fs::read_to_string(&stamp) {
            Ok(contents) => contents,
            Err(_) => {
                let lock = format!("sysroot-{arch}");
                let _lock = cache.lock_when_free(&lock, "its libraries are being fetched", ui)?;
                if !stamp.is_file() {
                    make(&archive, suite, arch, &dir, ui)?;
                    // Last: without it the root is not finished.
                    crate::atomic::write(&stamp, listing(&dir.join("root"))?.as_bytes())?;
                }
                fs::read_to_string(&stamp)
                    .with_context(|| format!("cannot read {}", stamp.display()))?
            }
        };
        let version = Call::new(&compiler).arg("-dumpfullversion").text()?;
        let toolchain = format!("{compiler} {version} {}", digest(&[&contents]));
        Ok(Cross { arch, root: dir.join("root"), toolchain })
    }

    /// Meson's description of the machine that systemd is built for.
    pub fn machine_file(&self) -> String {
        let (triplet, machine) = (self.arch.triplet(), self.arch.machine());
        let root = self.root.display();
        let wrapper = if exec::have("ccache") { "'ccache', " } else { "" };
        let mut text = "# Written by plainboot.\n[binaries]\n".to_owned();
        text += &format!("c = [{wrapper}'{triplet}-gcc']\n");
        for tool in ["ar", "nm", "objcopy", "ranlib", "strip"] {
            text += &format!("{tool} = '{triplet}-{tool}'\n");
        }
        text += "pkg-config = 'pkg-config'\n";
        // Both names: meson 1.3 renamed it.
        text += "pkgconfig = 'pkg-config'\n";
        text += &format!(
            "[built-in options]\n\
             c_args = ['--sysroot={root}']\n\
             c_link_args = ['--sysroot={root}']\n\
             libdir = 'lib/{triplet}'\n\
             [properties]\n\
             sys_root = '{root}'\n\
             pkg_config_libdir = ['{root}/usr/lib/{triplet}/pkgconfig', \
             '{root}/usr/share/pkgconfig']\n\
             [host_machine]\n\
             system = 'linux'\n\
             cpu_family = '{machine}'\n\
             cpu = '{machine}'\n\
             endian = 'little'\n"
        );
        text
    }
}

/// Every file with its length, in order: packages that are only unpacked leave no list of themselves.
fn listing(root: &Path) -> Result<String> {
    let (mut folders, mut lines) = (vec![root.join("usr")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                lines.push(format!("{path} {}", entry.metadata()?.len()));
            }
        }
    }
    lines.sort();
    Ok(lines.join("\n"))
}

fn make(archive: &Archive, suite: &str, arch: Arch, dir: &Path, ui: &Ui) -> Result<()> {
    let step =
        ui.step(format!("make a root of {} {suite}'s {arch} libraries", archive.distribution));
    // What a run that was killed left; the lock is held.
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    require_space(dir, ROOT_MB)?;
    let sources = dir.join("apt.sources");
    crate::atomic::write(&sources, archive.binaries(suite).as_bytes())?;
    // Nothing of it is run, so that nothing needs to run programs of another architecture.
    let mut job = Job::contained("mmdebstrap", &dir.join("mmdebstrap.log"))
        .env("TMPDIR", dir)
        .deadline(Duration::from_secs(600))
        .args(["--variant=extract", "--format=directory", "--skip=check/qemu"])
        .arg(format!("--architectures={arch}"))
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(TIDY);
    for option in bootstrap::host_options() {
        job = job.arg(format!("--aptopt={option}"));
    }
    job.arg(suite).arg(dir.join("root")).arg(&sources).run(|line| step.detail(line))?;
    let library = dir.join("root/usr/lib").join(arch.triplet()).join("libm.so");
    let target = fs::read_link(&library).unwrap_or_default();
    anyhow::ensure!(target.is_relative(), "{} leads out of its root", library.display());
    step.done("");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meson_is_told_all_of_the_other_machine() {
        let cross = Cross { arch: Arch::Arm64, root: "/c/root".into(), toolchain: String::new() };
        let text = cross.machine_file();
        for line in [
            "strip = 'aarch64-linux-gnu-strip'",
            "c_args = ['--sysroot=/c/root']",
            "libdir = 'lib/aarch64-linux-gnu'",
            "cpu_family = 'aarch64'",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_library_that_changed_shows() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        fs::write(dir.path().join("usr/lib/x.so"), "one").unwrap();
        let before = listing(dir.path()).unwrap();
        assert_eq!(before, "usr/lib/x.so 3");
        fs::write(dir.path().join("usr/lib/x.so"), "three").unwrap();
        assert_ne!(listing(dir.path()).unwrap(), before);
    }
}
