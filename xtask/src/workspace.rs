// SPDX-License-Identifier: MIT
//! Where things are: the checkout, and the cache folder outside it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::exec;
use crate::fault::Fault;
use crate::ui::Ui;

/// How long a run waits for what is being made already: as long as the slowest of it may take, a guest's
/// foreign root.
const LOCK_PATIENCE: Duration = Duration::from_secs(3600);

/// The checkout that the command works on.
#[derive(Debug, Clone)]
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// Finds the checkout from the current folder upwards: the folder that holds
    /// `patches/series.toml` beside `xtask/`.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir()?;
        let root = here
            .ancestors()
            .find(|dir| dir.join("patches/series.toml").is_file() && dir.join("xtask").is_dir())
            .ok_or_else(|| {
                Fault::new(format!("no plainboot checkout at or above {}", here.display()))
                    .hint("run the command inside a clone of the repository")
            })?;
        Ok(Checkout { root: root.to_owned() })
    }

    /// A checkout at a known place (tests).
    pub fn at(root: &Path) -> Self {
        Checkout { root: root.to_owned() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn patches(&self) -> PathBuf {
        self.root.join("patches")
    }
    pub fn lock(&self) -> PathBuf {
        self.root.join("patches/sources.lock")
    }
    pub fn overlays(&self) -> PathBuf {
        self.root.join("overlays")
    }
    /// What is laid over the root of a Debian guest.
    pub fn guest(&self) -> PathBuf {
        self.root.join("vm-tests/debian")
    }
    /// What CI runs.
    pub fn matrix(&self) -> PathBuf {
        self.root.join("ci/matrix.json")
    }
    pub fn nix(&self) -> PathBuf {
        self.root.join("nix")
    }
}

/// The cache folder: everything in it can be made again.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `explicit` (`--cache-dir`), else `$XDG_CACHE_HOME/plainboot`, else `~/.cache/plainboot`.
    pub fn locate(explicit: Option<&Path>) -> Result<Self> {
        let root = match explicit {
            Some(dir) => std::path::absolute(dir)?,
            None => std::env::var_os("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
                .or_else(|| std::env::home_dir().map(|h| h.join(".cache")))
                .ok_or_else(|| {
                    Fault::new("no cache folder: neither HOME nor XDG_CACHE_HOME is set")
                        .hint("pass --cache-dir DIR")
                })?
                .join("plainboot"),
        };
        Ok(Cache { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The bare repository that holds every systemd source.
    pub fn repository(&self) -> PathBuf {
        self.root.join("systemd.git")
    }
    /// Private apt state, lists and downloaded source packages.
    pub fn apt(&self) -> PathBuf {
        self.root.join("apt")
    }
    /// Source trees and build folders, one folder per version.
    pub fn build(&self) -> PathBuf {
        self.root.join("build")
    }
    /// Base root file systems and layers.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    /// Transcripts and records of runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }
    /// Data and state of the private engine.
    pub fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// Guests' disks, and the sockets of the one that runs.
    pub fn vm(&self) -> PathBuf {
        self.root.join("vm")
    }

    /// Takes the lock `name`, so that two runs do not work on the same folder at once. Fails at
    /// once if another process holds it; the kernel releases it when the holder ends, however it ends.
    pub fn lock(&self, name: &str) -> Result<CacheLock> {
        self.try_lock(name)?.ok_or_else(|| {
            let path = self.root.join("locks").join(name);
            Fault::new(format!("another plainboot run is using {}", path.display()))
                .hint(
                    "wait for it to end, or give this run a cache of its own with --cache-dir DIR",
                )
                .into()
        })
    }

    /// Like [`Cache::lock`], but waits while another run, or another part of this one, makes what is
    /// needed here as well. `made` says what: "a guest is being made".
    pub fn lock_when_free(&self, name: &str, made: &str, ui: &Ui) -> Result<CacheLock> {
        let start = Instant::now();
        let mut told = false;
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            if start.elapsed() > LOCK_PATIENCE {
                return self.lock(name);
            }
            if !told {
                ui.note(&format!("waiting: {made} already"));
                told = true;
            }
            exec::sleep(Duration::from_millis(100))?;
        }
    }

    /// Like [`Cache::lock`], but `None` while another process holds the lock.
    pub fn try_lock(&self, name: &str) -> Result<Option<CacheLock>> {
        let dir = self.root.join("locks");
        std::fs::create_dir_all(&dir).map_err(|e| {
            Fault::new(format!("cannot create {}: {e}", dir.display())).hint("pass --cache-dir DIR")
        })?;
        let path = dir.join(name);
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(CacheLock { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(e.into()),
        }
    }
}

/// Fails if less than `megabytes` are free on the disk that holds `dir`. Programs that are started
/// here do not all end when the disk is full: apt 2.6 was seen to try again for three minutes.
pub fn require_space(dir: &Path, megabytes: u64) -> Result<()> {
    let Ok(disk) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) / 1_000_000;
    if free >= megabytes {
        return Ok(());
    }
    Err(Fault::new(format!(
        "no space left in {}: {free} MB are free, {megabytes} MB are needed",
        dir.display()
    ))
    .hint("free some, or pass --cache-dir DIR")
    .into())
}

/// Held while a run works on a part of the cache; see [`Cache::lock`].
#[derive(Debug)]
pub struct CacheLock {
    _file: std::fs::File,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_asked_for_before_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        require_space(dir.path(), 0).unwrap();
        let error = require_space(dir.path(), u64::MAX).unwrap_err();
        assert!(error.to_string().contains("MB are needed"), "{error}");
    }

    #[test]
    fn the_second_run_is_told_about_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(dir.path())).unwrap();
        let held = cache.lock("engine").unwrap();
        let error = cache.lock("engine").unwrap_err();
        assert!(error.to_string().contains("another plainboot run"), "{error}");
        drop(held);
        cache.lock("engine").unwrap();
        cache.lock_when_free("engine", "an engine is being started", &Ui::new(true)).unwrap();
    }

    #[test]
    fn who_waits_for_a_lock_gets_it_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(dir.path())).unwrap();
        let held = cache.lock("guest").unwrap();
        let released = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                released.store(true, std::sync::atomic::Ordering::SeqCst);
                drop(held);
            });
            let ui = Ui::new(true);
            let _lock = cache.lock_when_free("guest", "a guest is being made", &ui).unwrap();
            assert!(released.load(std::sync::atomic::Ordering::SeqCst));
            assert!(cache.try_lock("guest").unwrap().is_none());
        });
    }
}
