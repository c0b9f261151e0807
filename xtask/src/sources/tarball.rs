// SPDX-License-Identifier: MIT
//! Upstream's release tarball as a git tree.
//!
//! The tree gets the same id as upstream's, since `git archive` keeps contents, the executable
//! bit and symbolic links. Seen on v254.26, v257.13 and v262.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::bufread::MultiGzDecoder;
use git2::{ObjectType, Oid};
use sha2::{Digest, Sha256};

use super::model::{CommitId, is_object_id};
use super::pack::Pack;
use crate::exec;
use crate::fault::Fault;

/// A release has about 60 MB; an archive that inflates to more than this is none.
const LARGEST_TREE: u64 = 1 << 30;

/// What an archive held.
#[derive(Debug)]
pub struct Imported {
    pub tree: Oid,
    /// The commit that `git archive` wrote into the archive's header, if it did.
    pub commit: Option<CommitId>,
}

/// SHA-256 of a file, as lower-case hexadecimal digits.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n =
            file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Checks a tarball against its sum. A file that fails is renamed to `*.damaged`, so that the next
/// run fetches it again and this one can still be looked at.
pub fn verify(path: &Path, sum: &str) -> Result<()> {
    let found = sha256(path)?;
    if found == sum {
        return Ok(());
    }
    let aside = set_aside(path)?;
    Err(Fault::new(format!(
        "{} is truncated or tampered with: its SHA-256 is {found}, the signed list says {sum}",
        path.display()
    ))
    .hint(format!("it is now {}; run the same command again to fetch it anew", aside.display()))
    .into())
}

fn set_aside(path: &Path) -> Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside).with_context(|| format!("cannot rename {}", path.display()))?;
    Ok(aside)
}

/// Imports a `.tar.gz` with one top folder. Objects reach the repository only after the whole
/// archive was read and its checksum held.
pub fn import(repository: &git2::Repository, path: &Path) -> Result<Imported> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut pack = Pack::default();
    let (root, commit) = read(BufReader::new(file), &mut pack).map_err(|e| {
        if e.is::<Fault>() {
            return e;
        }
        Fault::new(format!("{} is not a usable release tarball: {e:#}", path.display()))
            .hint(format!("rm {}\nand run the same command again", path.display()))
            .into()
    })?;
    let tree = root.write(&mut pack)?;
    pack.write(repository)?;
    Ok(Imported { tree, commit })
}

fn read(file: impl std::io::BufRead, pack: &mut Pack) -> Result<(Folder, Option<CommitId>)> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file).take(LARGEST_TREE));
    let mut root = Folder::default();
    let mut top: Option<Vec<u8>> = None;
    let mut commit = None;
    let mut content = Vec::new();
    for entry in archive.entries()? {
        exec::check_interrupt()?;
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            content.clear();
            entry.read_to_end(&mut content)?;
            commit = commit.or_else(|| named_commit(&content));
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let mut parts = path.split(|&b| b == b'/').filter(|p| !p.is_empty() && *p != b".");
        let Some(first) = parts.next() else { continue };
        if top.get_or_insert_with(|| first.to_vec()) != first {
            anyhow::bail!("it has more than one top folder");
        }
        let parts: Vec<&[u8]> = parts.collect();
        if parts.iter().any(|p| *p == b".." || p.eq_ignore_ascii_case(b".git")) {
            anyhow::bail!("it holds the path {}", String::from_utf8_lossy(&path));
        }
        if kind.is_dir() {
            continue; // git keeps no empty folders
        }
        content.clear();
        let mode = if kind.is_file() {
            entry.read_to_end(&mut content)?;
            if entry.header().mode()? & 0o100 == 0 { MODE_FILE } else { MODE_EXECUTABLE }
        } else if kind.is_symlink() {
            let target = entry.link_name_bytes().context("a symbolic link has no target")?;
            content.extend_from_slice(&target);
            MODE_LINK
        } else {
            anyhow::bail!("{} is neither file nor link", String::from_utf8_lossy(&path));
        };
        let oid = pack.add(ObjectType::Blob, &content)?;
        root.put(&parts, mode, oid)?;
    }
    // Past the archive's end there is padding, and gzip's checksum, which is checked by reading on.
    let rest = std::io::copy(&mut archive.into_inner(), &mut std::io::sink())?;
    tracing::trace!(rest, "bytes after the archive's end");
    if root.entries.is_empty() {
        anyhow::bail!("it holds no files");
    }
    Ok((root, commit))
}

/// The `comment` record of a pax global header: `52 comment=<commit>\n`.
fn named_commit(header: &[u8]) -> Option<CommitId> {
    let text = std::str::from_utf8(header).ok()?;
    let id = text.lines().find_map(|line| line.split_once(" comment=").map(|(_, id)| id))?;
    is_object_id(id).then(|| CommitId(id.to_owned()))
}

const MODE_FILE: &str = "100644";
const MODE_EXECUTABLE: &str = "100755";
const MODE_LINK: &str = "120000";

/// A folder on its way to become a git tree.
#[derive(Debug, Default)]
struct Folder {
    entries: BTreeMap<Vec<u8>, Node>,
}

#[derive(Debug)]
enum Node {
    File(&'static str, Oid),
    Folder(Folder),
}

impl Folder {
    fn put(&mut self, path: &[&[u8]], mode: &'static str, oid: Oid) -> Result<()> {
        let again = || anyhow::anyhow!("it holds a path twice, or a file as a folder");
        match path {
            [] => Err(again()),
            [name] => match self.entries.insert(name.to_vec(), Node::File(mode, oid)) {
                None => Ok(()),
                Some(_) => Err(again()),
            },
            [folder, rest @ ..] => match self
                .entries
                .entry(folder.to_vec())
                .or_insert_with(|| Node::Folder(Folder::default()))
            {
                Node::Folder(folder) => folder.put(rest, mode, oid),
                Node::File(..) => Err(again()),
            },
        }
    }

    /// Adds the tree objects to the pack, inner ones first; returns the id of this one.
    fn write(self, pack: &mut Pack) -> Result<Oid> {
        let mut lines = Vec::with_capacity(self.entries.len());
        for (name, node) in self.entries {
            match node {
                Node::File(mode, oid) => lines.push((name.clone(), mode, name, oid)),
                Node::Folder(folder) => {
                    // git sorts a folder as if its name ended in a slash.
                    let key = [name.as_slice(), b"/"].concat();
                    lines.push((key, "40000", name, folder.write(pack)?));
                }
            }
        }
        lines.sort();
        let mut data = Vec::new();
        for (_, mode, name, oid) in lines {
            data.extend_from_slice(mode.as_bytes());
            data.push(b' ');
            data.extend_from_slice(&name);
            data.push(0);
            data.extend_from_slice(oid.as_bytes());
        }
        pack.add(ObjectType::Tree, &data)
    }
}

#[cfg(test)]
#[path = "tarball_tests.rs"]
pub(super) mod tests;
