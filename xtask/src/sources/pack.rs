// SPDX-License-Identifier: MIT
//! Writes many objects into a git repository as one pack.
//!
//! A systemd release has some 6,000 files. As loose objects they would cost as many files and
//! renames; libgit2's own pack builder would search for deltas, which takes longer than the whole
//! import. So the pack is written here, undeltified, and handed to libgit2's indexer, which
//! inflates and hashes every object again before the pack becomes visible.

use std::collections::HashSet;
use std::io::Write;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{ObjectType, Oid};
use sha1::{Digest, Sha1};

/// Objects gathered for one pack. Nothing is in the repository before [`Pack::write`].
#[derive(Debug, Default)]
pub struct Pack {
    entries: Vec<u8>,
    count: u32,
    seen: HashSet<Oid>,
}

impl Pack {
    /// Adds an object once; returns its id.
    pub fn add(&mut self, kind: ObjectType, data: &[u8]) -> Result<Oid> {
        let oid = Oid::hash_object(kind, data)?;
        if self.seen.insert(oid) {
            self.header(kind, data.len())?;
            // Fast compression: the tarball was smaller by a third, but this halves the time.
            let mut encoder = ZlibEncoder::new(&mut self.entries, Compression::fast());
            encoder.write_all(data)?;
            encoder.finish()?;
            self.count += 1;
        }
        Ok(oid)
    }

    /// Type and size: four bits of the size, then seven bits a byte (gitformat-pack(5)).
    fn header(&mut self, kind: ObjectType, size: usize) -> Result<()> {
        let kind = match kind {
            ObjectType::Commit => 1u8,
            ObjectType::Tree => 2,
            ObjectType::Blob => 3,
            other => anyhow::bail!("a {other} cannot be packed here"),
        };
        let mut byte = (kind << 4) | (size & 0x0f) as u8;
        let mut rest = size >> 4;
        while rest > 0 {
            self.entries.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        self.entries.push(byte);
        Ok(())
    }

    /// Puts the pack into the repository, whole or not at all.
    pub fn write(self, repository: &git2::Repository) -> Result<()> {
        let mut head = Vec::from(*b"PACK");
        head.extend(2u32.to_be_bytes());
        head.extend(self.count.to_be_bytes());
        let sum = Sha1::new().chain_update(&head).chain_update(&self.entries).finalize();

        let odb = repository.odb()?;
        let mut writer = odb.packwriter()?;
        let full = || format!("cannot write objects to {}", repository.path().display());
        for part in [head.as_slice(), &self.entries, &sum] {
            writer.write_all(part).with_context(full)?;
        }
        writer.commit().with_context(full)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_every_size_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init_bare(dir.path()).unwrap();
        let mut pack = Pack::default();
        let blobs: Vec<Vec<u8>> =
            [0usize, 1, 15, 16, 2047, 2048, 300_000].map(|n| vec![b'x'; n]).into();
        let ids: Vec<Oid> = blobs.iter().map(|b| pack.add(ObjectType::Blob, b).unwrap()).collect();
        pack.add(ObjectType::Blob, &blobs[0]).unwrap();
        assert_eq!(pack.count, 7);
        pack.write(&repository).unwrap();
        for (id, blob) in ids.iter().zip(&blobs) {
            assert_eq!(repository.find_blob(*id).unwrap().content(), blob.as_slice());
        }
    }
}
