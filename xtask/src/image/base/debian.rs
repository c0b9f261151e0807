// SPDX-License-Identifier: MIT
//! The base layer: a Debian root of the host's own suite, so that what was built against the
//! host's libraries finds them in the image.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{Content, EPOCH_S, Layer, digest_of, named};
use super::Base;
use crate::arch::Arch;
use crate::bootstrap;
use crate::exec::{self, Call, Job};
use crate::fault::Fault;
use crate::ui::Ui;
use crate::workspace::Cache;

/// Packages beyond mmdebstrap's `minbase`. systemd loads most of its libraries at run time, so
/// nothing in its programs names them. No systemd of Debian's is among them.
const PACKAGES: [&str; 14] = [
    "dbus",
    "libacl1",
    "libaudit1",
    "libblkid1",
    "libcap2",
    "libcrypt1",
    "liblz4-1",
    "liblzma5",
    "libmount1",
    "libpam-modules",
    "libpam-runtime",
    "libpam0g",
    "libseccomp2",
    "libzstd1",
];

/// Run by mmdebstrap on the finished root (`$1`): what is of this machine, or kept by every container
/// for itself. mmdebstrap removes lists, caches and logs afterwards.
///
/// Nothing below /tmp may be removed here: mmdebstrap 1.3.5 keeps the configuration of its own apt
/// there, and without it the `apt-get update` of its clean-up empties the package lists of the
/// *host*.
const TIDY: &str = r#"set -e; cd "$1"
rm -f etc/machine-id var/lib/dbus/machine-id etc/hostname etc/resolv.conf
rm -f etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap
if ls usr/lib/systemd/systemd >/dev/null 2>&1; then echo 'the base holds a systemd' >&2; exit 1; fi
dpkg-query --admindir="$PWD/var/lib/dpkg" -W >"$PLAINBOOT_PACKAGES""#;

/// Changed whenever a rule above changes what the layer holds.
const RULES: u32 = 3;

/// What does not follow from the packages, and apt makes again: folders whose owner is the user that
/// it happened to work as, and which packages nobody asked for by name.
const VOLATILE: [&str; 3] = [
    "./var/cache/apt/archives/partial/",
    "./var/lib/apt/lists/partial/",
    "./var/lib/apt/extended_states",
];

/// What a finished layer is, beside its tar.
#[derive(Debug, Serialize, Deserialize)]
struct Recipe {
    rules: u32,
    suite: String,
    /// Every package of the layer with its version.
    packages: Vec<String>,
    digest: String,
    size: u64,
}

/// A Debian root of the host's own suite.
#[derive(Debug, Clone, Default)]
pub struct Debian {
    /// Packages beyond those that systemd needs.
    pub extra: Vec<String>,
    /// Exactly these, as `name=version`: what an earlier base of ours recorded.
    pub pinned: Option<Vec<String>>,
    /// `None`: this machine's.
    pub arch: Option<Arch>,
}

impl Debian {
    /// The base, with the list of its packages.
    pub fn base(&self, cache: &Cache, ui: &Ui) -> Result<Base> {
        let (layer, recipe) = self.layer(cache, ui)?;
        let mut base = Base::of(&format!("debian {}", recipe.suite), vec![layer]);
        base.packages = recipe.pins();
        base.arch = self.foreign().map(|arch| arch.name().to_owned());
        Ok(base)
    }

    /// The architecture, where it is not this machine's.
    fn foreign(&self) -> Option<Arch> {
        self.arch.filter(|arch| !arch.is_native())
    }

    /// The layer from the cache, or a new one (about 20 s and 100 MB of downloads).
    ///
    /// It is made again when the suite, the host's point release, the packages or the rules of this
    /// file change.
    ///
    /// # Errors
    /// mmdebstrap is missing or fails; the host's apt knows no mirror of the host's own suite; the
    /// mirror has other versions than those pinned.
    fn layer(&self, cache: &Cache, ui: &Ui) -> Result<(Layer, Recipe)> {
        let host = Host::read()?;
        let dir = cache.images().join(self.key(&host));
        let (tar, recipe_file) = (dir.join("layer.tar"), dir.join("recipe.json"));
        let recipe = match finished(&tar, &recipe_file) {
            Some(recipe) => recipe,
            None => {
                let lock = self.foreign().map_or("images".to_owned(), |a| format!("images-{a}"));
                let _lock = cache.lock_when_free(&lock, "a base layer is being made", ui)?;
                // Another run may have made it while this one waited.
                match finished(&tar, &recipe_file) {
                    Some(recipe) => recipe,
                    None => self.make(&host, &dir, cache, ui)?,
                }
            }
        };
        let layer = Layer {
            digest: recipe.digest.clone(),
            size: recipe.size,
            content: Content::File(tar),
            created_by: format!("mmdebstrap --variant=minbase {}", recipe.suite),
        };
        Ok((layer, recipe))
    }

    fn key(&self, host: &Host) -> PathBuf {
        let words = self.pinned.as_ref().unwrap_or(&self.extra).join("\n");
        let all = format!(
            "{RULES}\n{TIDY}\n{}\n{}\n{}\n{EPOCH_S}\n{words}\n{}",
            VOLATILE.join("\n"),
            host.point,
            PACKAGES.join("\n"),
            self.pinned.is_some()
        );
        let digest = digest_of(all.as_bytes());
        let digest = &digest["sha256:".len()..][..12];
        match self.foreign() {
            Some(arch) => format!("base-{}-{arch}-{digest}", host.suite).into(),
            None => format!("base-{}-{digest}", host.suite).into(),
        }
    }

    /// What mmdebstrap is to include.
    fn packages(&self) -> Vec<String> {
        match &self.pinned {
            Some(pinned) => pinned.clone(),
            None => PACKAGES.iter().map(|p| (*p).to_owned()).chain(self.extra.clone()).collect(),
        }
    }

    fn make(&self, host: &Host, dir: &Path, cache: &Cache, ui: &Ui) -> Result<Recipe> {
        if !exec::have("mmdebstrap") {
            return Err(Fault::cannot_try("`mmdebstrap` is not installed")
                .hint("as root: apt-get install mmdebstrap")
                .into());
        }
        let sources = host.sources()?;
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        sweep_parts(dir);
        let part = tempfile::Builder::new().prefix("part-").tempdir_in(dir)?;
        let (raw, list) = (part.path().join("raw.tar"), part.path().join("packages"));
        let tar = part.path().join("layer.tar");
        let step = ui.step(match self.foreign() {
            Some(arch) => format!("make a Debian {} base layer for {arch}", host.suite),
            None => format!("make a Debian {} base layer", host.suite),
        });
        let log = |name: &str| cache.images().join(name);
        let job = match self.foreign() {
            Some(arch) => bootstrap::job(arch, &log(&format!("mmdebstrap-{arch}.log")))?,
            None => Job::contained("mmdebstrap", &log("mmdebstrap.log")),
        };
        let mut job = job
            .env("SOURCE_DATE_EPOCH", EPOCH_S.to_string())
            .env("PLAINBOOT_PACKAGES", &list)
            .env("TMPDIR", part.path())
            .deadline(Duration::from_secs(1800))
            .args(["--variant=minbase", "--format=tar", "--skip=output/dev"])
            .arg(format!("--include={}", self.packages().join(",")))
            .args(
                ["doc", "man", "info", "locale"]
                    .map(|d| format!("--dpkgopt=path-exclude=/usr/share/{d}/*")),
            )
            .arg("--dpkgopt=path-include=/usr/share/doc/*/copyright")
            .arg(format!("--customize-hook={TIDY}"));
        for option in bootstrap::host_options() {
            job = job.arg(format!("--aptopt={option}"));
        }
        job.arg(&host.suite).arg(&raw).args(&sources).run(|line| step.detail(line))?;
        without_volatile(&raw, &tar)?;
        let (digest, size) = hash(&tar)?;
        let packages =
            fs::read_to_string(&list)?.lines().map(|l| l.replace('\t', " ")).collect::<Vec<_>>();
        let recipe = Recipe { rules: RULES, suite: host.suite.clone(), packages, digest, size };
        self.check(&recipe)?;
        fs::rename(&tar, dir.join("layer.tar"))?;
        crate::atomic::write(&dir.join("recipe.json"), &serde_json::to_vec_pretty(&recipe)?)?;
        step.done(&format!("{} packages, {} MB", recipe.packages.len(), size >> 20));
        Ok(recipe)
    }

    /// The versions are those that were pinned.
    fn check(&self, recipe: &Recipe) -> Result<()> {
        let Some(pinned) = &self.pinned else { return Ok(()) };
        let got = recipe.pins();
        let other: Vec<&str> =
            got.iter().filter(|p| !pinned.contains(p)).map(String::as_str).collect();
        if other.is_empty() && got.len() == pinned.len() {
            return Ok(());
        }
        Err(Fault::new(format!("the mirror gives other packages than listed: {}", other.join(" ")))
            .hint("point the host's apt at a snapshot of that day, or record the list anew")
            .into())
    }
}

impl Recipe {
    /// `name=version` of every package.
    fn pins(&self) -> Vec<String> {
        self.packages.iter().map(|p| p.replacen(' ', "=", 1)).collect()
    }
}

/// Copies a tar byte by byte but for the entries in [`VOLATILE`].
fn without_volatile(from: &Path, to: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(std::io::BufReader::new(fs::File::open(from)?));
    let mut out = tar::Builder::new(std::io::BufWriter::new(fs::File::create(to)?));
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if !VOLATILE.iter().any(|v| entry.path_bytes().as_ref() == v.as_bytes()) {
            let header = entry.header().clone();
            out.append(&header, &mut entry)?;
        }
    }
    out.into_inner()?.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    Ok(())
}

fn finished(tar: &Path, recipe: &Path) -> Option<Recipe> {
    let recipe: Recipe = serde_json::from_slice(&fs::read(recipe).ok()?).ok()?;
    let whole = fs::metadata(tar).is_ok_and(|m| m.len() == recipe.size);
    (whole && recipe.rules == RULES).then_some(recipe)
}

/// Removes what runs that were killed left (the lock is held, so none of them lives).
fn sweep_parts(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("part-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

pub fn hash(path: &Path) -> Result<(String, u64)> {
    let mut file = fs::File::open(path)?;
    let (mut hasher, mut buffer, mut size) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((named(&hasher.finalize()), size));
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
    }
}

/// The host's distribution, as far as the base layer depends on it.
#[derive(Debug)]
struct Host {
    /// `debian`
    id: String,
    /// `bookworm`
    suite: String,
    /// Moves with each point release: `12.11`.
    point: String,
}

impl Host {
    fn read() -> Result<Host> {
        let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |key: &str| os_release(&text, key);
        let (Some(id), Some(suite)) = (field("ID"), field("VERSION_CODENAME")) else {
            return Err(Fault::cannot_try("this host is no Debian or Ubuntu")
                .hint("run in a Debian container or machine")
                .into());
        };
        let point = fs::read_to_string("/etc/debian_version").unwrap_or_default();
        Ok(Host { id, suite, point: point.trim().to_owned() })
    }

    /// Lines for a sources.list, from the mirrors that the host's own apt uses.
    fn sources(&self) -> Result<Vec<String>> {
        let format = "$(IDENTIFIER)|$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)";
        let listed = Call::new("apt-get").args(["indextargets", "--format", format]).text()?;
        let lines = self.parse_targets(&listed);
        if !lines.iter().any(|l| l.contains(&format!(" {} ", self.suite))) {
            return Err(Fault::new(format!("the host's apt knows no mirror of {}", self.suite))
                .hint("as root: apt-get update")
                .into());
        }
        Ok(lines)
    }

    fn parse_targets(&self, listed: &str) -> Vec<String> {
        let mut lines: Vec<String> = listed
            .lines()
            .filter_map(|line| {
                let [kind, origin, uri, suite, component] =
                    line.split('|').collect::<Vec<_>>().try_into().ok()?;
                let ours = suite == self.suite
                    || suite
                        .strip_prefix(&self.suite)
                        .is_some_and(|pocket| ["-updates", "-security"].contains(&pocket));
                let wanted = kind == "Packages"
                    && origin.eq_ignore_ascii_case(&self.id)
                    && component == "main"
                    && ours;
                wanted.then(|| format!("deb {uri} {suite} {component}"))
            })
            .collect();
        lines.dedup();
        lines
    }
}

fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned()).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_own_suite_is_taken() {
        let host = Host { id: "debian".into(), suite: "bookworm".into(), point: "12.11".into() };
        let listed = "Packages|Debian|http://m/debian/|bookworm|main\n\
                      Translations|Debian|http://m/debian/|bookworm|main\n\
                      Packages|Debian|http://m/debian/|bookworm-security|main\n\
                      Packages|Debian|http://m/debian/|bookworm-backports|main\n\
                      Packages|Debian|http://m/debian/|trixie|main\n\
                      Packages|Debian|http://m/debian/|bookworm|contrib\n\
                      Packages|Other|http://o/|bookworm|main\n";
        assert_eq!(
            host.parse_targets(listed),
            ["deb http://m/debian/ bookworm main", "deb http://m/debian/ bookworm-security main"]
        );
    }

    #[test]
    fn the_hook_leaves_mmdebstraps_own_files_alone() {
        assert!(!TIDY.contains("tmp") && !TIDY.contains("rm -r"), "{TIDY}");
    }

    #[test]
    fn os_release_values_may_be_quoted() {
        let text = "ID=debian\nVERSION_CODENAME=\"bookworm\"\nEMPTY=\n";
        assert_eq!(os_release(text, "ID").as_deref(), Some("debian"));
        assert_eq!(os_release(text, "VERSION_CODENAME").as_deref(), Some("bookworm"));
        assert_eq!(os_release(text, "EMPTY"), None);
    }

    #[test]
    fn a_layer_cut_short_is_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let (tar, recipe) = (dir.path().join("layer.tar"), dir.path().join("recipe.json"));
        let text = r#"{"rules":3,"suite":"s","packages":[],"digest":"sha256:x","size":3}"#;
        fs::write(&recipe, text).unwrap();
        assert!(finished(&tar, &recipe).is_none());
        fs::write(&tar, "ab").unwrap();
        assert!(finished(&tar, &recipe).is_none());
        fs::write(&tar, "abc").unwrap();
        assert!(finished(&tar, &recipe).is_some());
    }
}
