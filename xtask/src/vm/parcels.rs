// SPDX-License-Identifier: MIT
//! A disk that is a letter box: this side writes into it while the guest runs, and the guest reads.
//!
//! ssh over a virtio port carries a few megabytes a second into an emulated machine, 4 KiB an
//! interrupt, and both ends encrypt; QEMU reads a disk for the guest by the megabyte.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fault::Fault;

/// Its name in the guest, as the disk's serial number.
pub const SERIAL: &str = "parcels";

/// Each parcel begins at a multiple: what the guest reads past its page cache must be aligned.
const BLOCK: u64 = 1 << 20;

/// A sparse file; as long as no run can fill.
const BYTES: u64 = 64 << 30;

/// The disk, seen from here.
#[derive(Debug)]
pub struct Parcels {
    file: File,
    path: PathBuf,
    /// The first block that no parcel has taken.
    next: u64,
}

/// Where in the disk something lies, in blocks of a megabyte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parcel {
    first: u64,
    blocks: u64,
}

impl Parcels {
    /// An empty disk, for QEMU to open.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Parcels> {
        let _ = std::fs::remove_file(path);
        let cannot = || format!("cannot create {}", path.display());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .with_context(cannot)?;
        file.set_len(BYTES).with_context(cannot)?;
        Ok(Parcels { file, path: path.to_owned(), next: 0 })
    }

    /// Takes its name away once QEMU has opened it: the file then ends with the last who holds it.
    pub fn unlink(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Puts something in.
    ///
    /// # Errors
    /// `write` fails, or the disk of this host is full.
    pub fn put(&mut self, write: &dyn Fn(&mut dyn Write) -> Result<()>) -> Result<Parcel> {
        let first = self.next;
        self.file.seek(SeekFrom::Start(first * BLOCK))?;
        let mut out = BufWriter::with_capacity(1 << 20, &self.file);
        write(&mut out).and_then(|()| Ok(out.flush()?)).map_err(|error| self.full(error))?;
        drop(out);
        let end = self.file.stream_position()?;
        self.next = end.div_ceil(BLOCK);
        Ok(Parcel { first, blocks: self.next - first })
    }

    fn full(&self, error: anyhow::Error) -> anyhow::Error {
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if io != Some(std::io::ErrorKind::StorageFull) {
            return error;
        }
        let dir = self.path.parent().unwrap_or(&self.path).display();
        Fault::new(format!("no space left in {dir}"))
            .hint("free some, or pass --cache-dir DIR")
            .into()
    }
}

impl Drop for Parcels {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl Parcel {
    /// A shell script of the guest that writes it to stdout, with zeros behind it.
    pub fn script(self) -> String {
        let Parcel { first, blocks } = self;
        format!(
            "for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" != {SERIAL} ] || \
             dd if=/dev/${{d##*/}} bs=1M iflag=direct skip={first} count={blocks} status=none; done"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_lie_one_behind_the_other_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parcels");
        let mut parcels = Parcels::create(&path).unwrap();
        let first = parcels.put(&|out| Ok(out.write_all(b"one")?)).unwrap();
        let second = parcels.put(&|out| Ok(out.write_all(&vec![7; (1 << 20) + 1])?)).unwrap();
        assert_eq!(first, Parcel { first: 0, blocks: 1 });
        assert_eq!(second, Parcel { first: 1, blocks: 2 });
        let mut bytes = vec![0; 2];
        std::os::unix::fs::FileExt::read_exact_at(&parcels.file, &mut bytes, BLOCK).unwrap();
        assert_eq!(bytes, [7, 7]);
        assert!(second.script().contains("skip=1 count=2"), "{}", second.script());
        let broken = parcels.put(&|_| anyhow::bail!("no layer"));
        assert_eq!(broken.unwrap_err().to_string(), "no layer");
        parcels.unlink();
        assert!(!path.exists());
    }
}
