// SPDX-License-Identifier: MIT
//! From a source tree to an installed systemd: meson and ninja in one kept build folder per version.
//!
//! A version has one source folder and one build folder, whatever is applied to it: going from stock
//! to patched, or from one edit of a patch to the next, rewrites only the files that differ, and
//! ninja compiles only what depends on them. Each tree that was built is installed into a folder of
//! its own, named by what went into it; asking for it again costs nothing.

mod cross;
mod options;
mod unit_tests;

pub use unit_tests::{Ending, Endings, summary, unit_tests};

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use cross::Cross;
use sha2::{Digest, Sha256};

use crate::arch::Arch;
use crate::exec::{self, Job};
use crate::fault::Fault;
use crate::ui::{Step, Ui};
use crate::version::SystemdVersion;
use crate::workspace::{Cache, require_space};

/// Longest time that one build may take; a cold one takes about two minutes on two cores.
const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);
const SETUP_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// Sources, objects and the installed tree of a version take about 600 MB.
const BUILD_MB: u64 = 1000;
/// How many installed trees of a version are kept (20 MB each); the oldest go first. Ablation needs
/// one for each patch.
const KEPT_INSTALLS: usize = 24;

/// What to build.
#[derive(Debug)]
pub struct Request<'a> {
    pub version: SystemdVersion,
    /// The git tree of the sources, hexadecimal: it names the content, patches included.
    pub tree: &'a str,
    /// What it is for the reader: `stock`, `patched`, `without 0005-manager`.
    pub flavour: &'a str,
    /// What it is built for, if not for this machine.
    pub foreign: Option<Arch>,
}

impl Request<'_> {
    /// The folder of its builds, and the lock on them.
    fn name(&self) -> String {
        match self.foreign {
            Some(arch) => format!("{}-{arch}", self.version),
            None => self.version.to_string(),
        }
    }
}

/// An installed tree, ready to become a layer of an image.
#[derive(Debug, Clone)]
pub struct Built {
    /// The folder that `DESTDIR` pointed to.
    pub install: PathBuf,
    /// Changes whenever anything that went into the build changes: sources, options, toolchain.
    pub fingerprint: String,
    /// False if the installed tree was there already.
    pub fresh: bool,
}

/// Builds and installs one tree. `materialise` writes the sources into the given folder, touching
/// only files that differ from what is there.
pub fn build(
    cache: &Cache,
    ui: &Ui,
    request: &Request<'_>,
    materialise: impl FnOnce(&Path) -> Result<()>,
) -> Result<Built> {
    let _lock = cache.lock(&format!("build-{}", request.name()))?;
    let work = Workplace::open(cache, request, ui)?;

    // The options follow from the tree and this program, so both are in the name.
    let version = request.version.to_string();
    let fingerprint =
        digest(&[request.tree, &version, &work.toolchain, include_str!("options.rs")]);
    let install = work.home.join("install").join(&fingerprint);
    if install.is_dir() {
        touch(&install);
        return Ok(Built { install, fingerprint, fresh: false });
    }

    require_space(&work.home, BUILD_MB)?;
    let target = request.foreign.map_or(String::new(), |arch| format!(" for {arch}"));
    let step = ui.step(format!("build systemd {} ({}){target}", request.version, request.flavour));
    step.detail("writing the sources");
    materialise(&work.sources)?;
    work.setup(&step)?;
    work.compile(&step)?;
    step.detail("installing");
    work.install_into(&install)?;
    prune(&work.home.join("install"));
    step.done("");
    Ok(Built { install, fingerprint, fresh: true })
}

/// A build of `version` is in the cache: stock, patched or with some of the patches.
pub fn is_here(cache: &Cache, version: SystemdVersion) -> bool {
    let installs = cache.build().join(version.to_string()).join("install");
    entries(&installs).any(|path| !is_partial(&path))
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// What an install is called until it is complete.
const PARTIAL: &str = ".partial-";

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}

/// The folders of one version, and what works on them.
struct Workplace {
    version: SystemdVersion,
    home: PathBuf,
    sources: PathBuf,
    objects: PathBuf,
    logs: PathBuf,
    ccache: PathBuf,
    toolchain: String,
    cross: Option<Cross>,
}

impl Workplace {
    /// The caller holds the lock of the version.
    fn open(cache: &Cache, request: &Request<'_>, ui: &Ui) -> Result<Workplace> {
        let home = cache.build().join(request.name());
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let cross = request.foreign.map(|arch| Cross::prepare(cache, arch, ui)).transpose()?;
        let mut toolchain = toolchain()?;
        if let Some(cross) = &cross {
            toolchain = format!("{toolchain} {}", cross.toolchain);
        }
        Ok(Workplace {
            version: request.version,
            sources: home.join("src"),
            objects: home.join("obj"),
            logs: home.join("log"),
            ccache: cache.root().join("ccache"),
            toolchain,
            cross,
            home,
        })
    }

    /// Configures the build folder, or leaves it alone if it was configured the same way.
    fn setup(&self, step: &Step<'_>) -> Result<()> {
        let declared = self.sources.join("meson_options.txt");
        let text = fs::read_to_string(&declared)
            .with_context(|| format!("no systemd sources: cannot read {}", declared.display()))?;
        let arguments = options::arguments(&text, self.version);
        let stamp = self.objects.join("plainboot.stamp");
        // Meson writes absolute paths: a cache folder that was moved is configured anew.
        let place = self.objects.display();
        let wanted = format!("{}\n{place}\n{}", self.toolchain, arguments.join("\n"));
        if self.objects.join("build.ninja").is_file()
            && fs::read_to_string(&stamp).is_ok_and(|old| old == wanted)
        {
            return Ok(());
        }
        step.detail("meson setup");
        if self.objects.exists() {
            fs::remove_dir_all(&self.objects)
                .with_context(|| format!("cannot remove {}", self.objects.display()))?;
        }
        let mut job = self
            .job("meson", "setup.log")
            .arg("setup")
            .args(["-Doptimization=2", "-Ddebug=false", "--wrap-mode=nodownload"])
            .args(&arguments);
        if let Some(cross) = &self.cross {
            let file = self.home.join("cross.ini");
            crate::atomic::write(&file, cross.machine_file().as_bytes())?;
            job = job.arg("--cross-file").arg(file);
        } else {
            let compiler = if exec::have("ccache") { "ccache gcc" } else { "gcc" };
            job = job.env("CC", compiler);
        }
        job.args([&self.objects, &self.sources]).deadline(SETUP_DEADLINE).run(|_| ())?;
        crate::atomic::write(&stamp, wanted.as_bytes())?;
        Ok(())
    }

    /// Builds what will be installed, and none of the several hundred tests.
    fn compile(&self, step: &Step<'_>) -> Result<()> {
        self.ninja(step, &installed_targets(&self.objects)?)
    }

    fn ninja(&self, step: &Step<'_>, targets: &[String]) -> Result<()> {
        self.job("ninja", "ninja.log")
            .arg("-C")
            .arg(&self.objects)
            .args(targets)
            .deadline(BUILD_DEADLINE)
            // Ninja's own count, `[12/746] Compiling …`, is what the reader wants to see.
            .run(|line| {
                let count = line.strip_prefix('[').and_then(|l| l.split_once("] "));
                if let Some((done, all)) = count.and_then(|(count, _)| count.split_once('/'))
                    && let (Ok(done), Ok(all)) = (done.parse(), all.parse())
                {
                    step.count(done, all);
                }
            })
    }

    /// Installs into a temporary folder that gets its name when it is complete.
    fn install_into(&self, install: &Path) -> Result<()> {
        let parent = install.parent().context("no parent folder")?;
        fs::create_dir_all(parent)?;
        // The version's lock is held: those of others are left by runs that were killed.
        for left in entries(parent).filter(|path| is_partial(path)) {
            fs::remove_dir_all(&left)
                .with_context(|| format!("cannot remove {}", left.display()))?;
        }
        let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(parent)?;
        let root = partial.path().join("root");
        self.job("meson", "install.log")
            .args(["install", "--no-rebuild", "--quiet", "--strip", "-C"])
            .arg(&self.objects)
            .env("DESTDIR", &root)
            .deadline(SETUP_DEADLINE)
            .run(|_| ())?;
        fs::rename(&root, install).with_context(|| format!("cannot create {}", install.display()))
    }

    fn job(&self, program: &str, log: &str) -> Job {
        // Ninja's compilers have children of their own, which must not outlive an interrupt.
        Job::contained(program, &self.logs.join(log))
            .env("CCACHE_DIR", &self.ccache)
            .env("CCACHE_MAXSIZE", "2G")
            .env("CCACHE_NOHASHDIR", "1")
    }
}

/// The files that `meson install` would install, as ninja targets.
fn installed_targets(objects: &Path) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Target {
        installed: bool,
        filename: Vec<PathBuf>,
    }
    let targets: Vec<Target> = introspect(objects, "targets")?;
    let names: Vec<String> = targets
        .iter()
        .filter(|t| t.installed)
        .flat_map(|t| &t.filename)
        .filter_map(|f| f.strip_prefix(objects).ok())
        .map(|f| f.to_string_lossy().into_owned())
        .collect();
    if names.is_empty() {
        return Err(Fault::new(format!("{} has nothing to install", objects.display()))
            .hint(format!("remove {} and try again", objects.display()))
            .into());
    }
    Ok(names)
}

/// What `meson introspect --WHAT` prints; meson leaves it in the build folder.
fn introspect<T: serde::de::DeserializeOwned>(objects: &Path, what: &str) -> Result<T> {
    let file = objects.join(format!("meson-info/intro-{what}.json"));
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))
}

/// Removes the trees that were used longest ago.
fn prune(installs: &Path) {
    let Ok(entries) = fs::read_dir(installs) else { return };
    let mut dated: Vec<_> = entries
        .flatten()
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    dated.sort();
    let surplus = dated.len().saturating_sub(KEPT_INSTALLS);
    for (_, path) in dated.iter().take(surplus) {
        tracing::debug!(path = %path.display(), "prune");
        let _ = fs::remove_dir_all(path);
    }
}

/// Marks a folder as used now.
fn touch(dir: &Path) {
    if let Ok(file) = fs::File::open(dir) {
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

/// What compiles and what is linked against: the compiler and the distribution's release.
fn toolchain() -> Result<String> {
    let sh = xshell::Shell::new()?;
    for program in ["meson", "ninja", "gcc"] {
        if !exec::have(program) {
            return Err(Fault::cannot_try(format!(
                "`{program}` is not installed, systemd cannot be built"
            ))
            .hint("cargo xtask doctor names the packages and the line that installs them")
            .into());
        }
    }
    let gcc = exec::read(xshell::cmd!(sh, "gcc -dumpfullversion -dumpmachine"))?;
    let meson = exec::read(xshell::cmd!(sh, "meson --version"))?;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |key: &str| {
        release
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or("")
            .trim_matches('"')
            .to_owned()
    };
    Ok(format!(
        "gcc {} meson {meson} {} {}",
        gcc.replace('\n', " "),
        field("ID"),
        field("VERSION_ID")
    ))
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(10).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_leaves_is_no_build() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(dir.path())).unwrap();
        let version = SystemdVersion::new(262, 0);
        let installs = cache.build().join("262/install");
        assert!(!is_here(&cache, version));
        fs::create_dir_all(installs.join(".partial-x1/root")).unwrap();
        assert!(!is_here(&cache, version));
        fs::create_dir(installs.join("5c1f")).unwrap();
        assert!(is_here(&cache, version));
    }

    #[test]
    fn the_oldest_installs_go_first() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..KEPT_INSTALLS + 2 {
            let path = dir.path().join(format!("{n:02}"));
            fs::create_dir(&path).unwrap();
            let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + n as u64);
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }
        touch(&dir.path().join("00"));
        prune(dir.path());
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left.len(), KEPT_INSTALLS);
        assert_eq!(left[0], "00");
        assert_eq!(left[1], "03");
    }

    #[test]
    fn the_digest_keeps_its_parts_apart() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&["ab"]).len(), 20);
    }

    #[test]
    fn only_what_is_installed_is_built() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("meson-info")).unwrap();
        let path = |n: &str| dir.path().join(n);
        let json = serde_json::json!([
            { "installed": true, "filename": [path("systemd"), path("units/x.service")] },
            { "installed": false, "filename": [path("test-log")] },
        ]);
        fs::write(path("meson-info/intro-targets.json"), json.to_string()).unwrap();
        assert_eq!(installed_targets(dir.path()).unwrap(), ["systemd", "units/x.service"]);
    }
}
