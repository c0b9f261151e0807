// SPDX-License-Identifier: MIT
//! A guest's second disk: what its engines keep, such as images, over from run to run.
//!
//! It is opened with a throw-away overlay like the first. After images were loaded the guest's file
//! system is frozen, so that it is whole and clean, and QEMU writes the overlay down ([`Store::keep`]);
//! what containers write later is thrown away. A marker beside the disk is gone while that happens: a
//! store that a run was killed over is made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::disk::Disk;
use super::link::Link;
use super::qmp;
use crate::exec::Call;

/// Its name for QEMU, and in the guest as the disk's serial number.
pub const SERIAL: &str = "store";

/// Where the guest mounts it.
const MOUNT: &str = "/srv/engines";

/// Sparse.
const BYTES: u64 = 12 << 30;

/// The disk with what engines keep.
#[derive(Debug)]
pub struct Store {
    pub image: PathBuf,
    /// Holds the disk's length while its content is known to be whole.
    marker: PathBuf,
}

impl Store {
    /// The store that belongs to a guest's disk, or a new empty one.
    ///
    /// # Errors
    /// mke2fs fails.
    pub fn of(disk: &Disk) -> Result<Store> {
        let store = Store { image: disk.beside("store.raw"), marker: disk.beside("store.whole") };
        if !store.is_whole() {
            store.make()?;
        }
        Ok(store)
    }

    fn is_whole(&self) -> bool {
        let marker = fs::read_to_string(&self.marker).unwrap_or_default();
        fs::metadata(&self.image).is_ok_and(|m| marker == m.len().to_string())
    }

    fn make(&self) -> Result<()> {
        self.doubt();
        let cannot = || format!("cannot create {}", self.image.display());
        fs::File::create(&self.image).and_then(|f| f.set_len(BYTES)).with_context(cannot)?;
        // With a journal: freezing then leaves a file system that is clean to mount.
        let usual = Path::new("/usr/sbin/mke2fs");
        // Debian leaves that folder out of a user's PATH.
        let mke2fs = if usual.exists() { usual } else { Path::new("mke2fs") };
        Call::new(mke2fs)
            .args(["-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1"])
            .arg(&self.image)
            .text()?;
        self.mark()
    }

    fn mark(&self) -> Result<()> {
        let length = fs::metadata(&self.image)?.len().to_string();
        crate::atomic::write(&self.marker, length.as_bytes()).map(drop)
    }

    /// Keeps what is in it now for later runs.
    ///
    /// # Errors
    /// The guest cannot freeze it, or QEMU cannot write it.
    pub fn keep(&self, link: &Link, monitor: &Path) -> Result<()> {
        let minutes = Duration::from_secs(120);
        link.shell(&format!("fsfreeze --freeze {MOUNT}")).deadline(minutes).text()?;
        self.doubt();
        let written = qmp::commit(monitor, SERIAL);
        let thawed = link.shell(&format!("fsfreeze --unfreeze {MOUNT}")).deadline(minutes).text();
        written?;
        thawed?;
        self.mark()
    }

    /// Has the next run make it anew.
    pub fn doubt(&self) {
        let _ = fs::remove_file(&self.marker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn a_store_that_was_cut_or_left_half_written_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::at(dir.path(), Arch::Amd64, "trixie");
        let store = Store::of(&disk).unwrap();
        assert!(store.is_whole());
        fs::File::options().write(true).open(&store.image).unwrap().set_len(4096).unwrap();
        assert!(!store.is_whole());
        assert!(Store::of(&disk).unwrap().is_whole());
        fs::remove_file(&store.marker).unwrap();
        assert!(!store.is_whole());
    }
}
