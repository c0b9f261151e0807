// SPDX-License-Identifier: MIT
//! What a container of some layers would see: a path index over their tars, and single files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::super::{Content, Layer};

/// One path, without the leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder,
    File { layer: usize },
    Link(PathBuf),
}

/// A regular file of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
}

/// The merged view of layers, bottom first.
#[derive(Debug)]
pub struct Contents<'a> {
    layers: &'a [Layer],
    entries: BTreeMap<PathBuf, Entry>,
}

impl<'a> Contents<'a> {
    /// Reads the tars' headers.
    pub fn read(layers: &'a [Layer]) -> Result<Contents<'a>> {
        let mut entries = BTreeMap::new();
        for (index, layer) in layers.iter().enumerate() {
            visit(layer, |path, entry| {
                apply(&mut entries, path, entry, index)?;
                Ok(true)
            })
            .with_context(|| format!("cannot read the layer `{}`", layer.created_by))?;
        }
        Ok(Contents { layers, entries })
    }

    /// The path that a process in the container would reach, links followed.
    pub fn resolve(&self, path: &str) -> Option<PathBuf> {
        let mut left: Vec<PathBuf> = parts(Path::new(path));
        left.reverse();
        let mut at = PathBuf::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            match self.entries.get(&next) {
                Some(Entry::Link(target)) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    if target.has_root() {
                        at = PathBuf::new();
                    }
                    left.extend(parts(target).into_iter().rev());
                }
                Some(_) => at = next,
                // Tars need not list the folders that files are in.
                None if self.has_below(&next) => at = next,
                None => return None,
            }
        }
        Some(at)
    }

    pub fn has(&self, path: &str) -> bool {
        self.resolve(path).is_some()
    }

    /// Where a link points to; `None` if the path is no link.
    pub fn link(&self, path: &str) -> Option<&Path> {
        match self.entries.get(Path::new(path)) {
            Some(Entry::Link(target)) => Some(target),
            _ => None,
        }
    }

    /// A file's bytes.
    pub fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.file(path)?.map(|file| file.bytes))
    }

    /// A file, as the layer that has it says.
    pub fn file(&self, path: &str) -> Result<Option<FileEntry>> {
        let Some(path) = self.resolve(path) else { return Ok(None) };
        let Some(Entry::File { layer }) = self.entries.get(&path) else { return Ok(None) };
        let mut found = None;
        visit(&self.layers[*layer], |name, entry| {
            if name == path && entry.header().entry_type().is_file() {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                let header = entry.header();
                let (mode, uid, gid) = (header.mode()?, header.uid()?, header.gid()?);
                found = Some(FileEntry { bytes, mode: mode & 0o7777, uid, gid });
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// The regular files directly in a folder.
    pub fn files_in(&self, folder: &str) -> Vec<PathBuf> {
        let Some(folder) = self.resolve(folder) else { return Vec::new() };
        let below =
            self.entries.range(folder.clone()..).take_while(|(p, _)| p.starts_with(&folder));
        let files = below.filter(|(_, entry)| matches!(entry, Entry::File { .. }));
        files.map(|(p, _)| p.clone()).filter(|p| p.parent() == Some(&folder)).collect()
    }

    fn has_below(&self, path: &Path) -> bool {
        let after = self.entries.range(path.to_owned()..).next();
        after.is_some_and(|(next, _)| next.starts_with(path))
    }
}

/// The names of a path; `.` and the root are none.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(PathBuf::from(name)),
            Component::ParentDir => Some(PathBuf::from("..")),
            _ => None,
        })
        .collect()
}

type TarEntry<'a> = tar::Entry<'a, Box<dyn Read>>;

/// Calls `each` for the entries of a layer until it says `false`.
fn visit(
    layer: &Layer,
    mut each: impl FnMut(PathBuf, &mut TarEntry<'_>) -> Result<bool>,
) -> Result<()> {
    let reader: Box<dyn Read> = match &layer.content {
        Content::File(path) => Box::new(std::io::BufReader::new(
            std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?,
        )),
        Content::Memory(bytes) => Box::new(std::io::Cursor::new(bytes.as_ref().clone())),
    };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = parts(&entry.path()?).into_iter().collect();
        if !each(path, &mut entry)? {
            break;
        }
    }
    Ok(())
}

fn apply(
    entries: &mut BTreeMap<PathBuf, Entry>,
    path: PathBuf,
    entry: &TarEntry<'_>,
    layer: usize,
) -> Result<()> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    // OCI's whiteouts: what a lower layer has below is gone.
    if let Some(gone) = name.strip_prefix(".wh.") {
        let parent = path.parent().unwrap_or(Path::new(""));
        let opaque = gone == ".wh..opq";
        let target = if opaque { parent.to_owned() } else { parent.join(gone) };
        entries.retain(|p, _| !p.starts_with(&target) || (opaque && *p == target));
        return Ok(());
    }
    let kind = entry.header().entry_type();
    let new = if kind.is_dir() {
        Entry::Folder
    } else if kind.is_symlink() {
        Entry::Link(entry.link_name()?.context("a link without a target")?.into_owned())
    } else if kind.is_hard_link() {
        let target = entry.link_name()?.context("a link without a target")?;
        Entry::Link(Path::new("/").join(parts(&target).into_iter().collect::<PathBuf>()))
    } else if kind.is_file() {
        Entry::File { layer }
    } else {
        return Ok(());
    };
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    if new != Entry::Folder && matches!(entries.get(&path), Some(Entry::Folder)) {
        entries.retain(|p, _| !p.starts_with(&path));
    }
    entries.insert(path, new);
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A layer of files (with content) and links (`path -> target`).
    pub fn layer(list: &[(&str, &str)]) -> Layer {
        let bytes: Vec<(&str, &[u8])> = list.iter().map(|(p, c)| (*p, c.as_bytes())).collect();
        layer_of(&bytes)
    }

    /// The same, of files that are no text.
    pub fn layer_of(list: &[(&str, &[u8])]) -> Layer {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in list {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            if let Some(target) = content.strip_prefix(b"-> ") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, path, std::str::from_utf8(target).unwrap()).unwrap();
            } else {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, *content).unwrap();
            }
        }
        Layer::from_bytes(tar.into_inner().unwrap(), "test")
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        let layers = [layer(&[
            ("lib", "-> usr/lib"),
            ("usr/lib/a.so.1", "-> ../lib/a.so.1.2"),
            ("usr/lib/a.so.1.2", "A"),
            ("usr/lib/abs", "-> /usr/lib/a.so.1"),
            ("usr/lib/loop", "-> loop"),
            ("usr/lib/out", "-> ../../../../usr/lib/a.so.1"),
        ])];
        let contents = Contents::read(&layers).unwrap();
        assert_eq!(contents.resolve("/lib/a.so.1"), Some("usr/lib/a.so.1.2".into()));
        assert_eq!(contents.resolve("lib/abs"), Some("usr/lib/a.so.1.2".into()));
        assert_eq!(contents.resolve("lib/out"), Some("usr/lib/a.so.1.2".into()));
        assert_eq!(contents.resolve("lib/loop"), None);
        assert_eq!(contents.resolve("lib/none"), None);
        assert_eq!(contents.link("lib"), Some(Path::new("usr/lib")));
        assert_eq!(contents.bytes("lib/abs").unwrap().as_deref(), Some(b"A".as_slice()));
    }

    #[test]
    fn upper_layers_replace_and_remove() {
        let layers = [
            layer(&[("a/x", "1"), ("a/y", "1"), ("b/x", "1"), ("c", "1")]),
            layer(&[("a/.wh.x", ""), ("b/.wh..wh..opq", ""), ("b/z", "2"), ("c", "2")]),
        ];
        let contents = Contents::read(&layers).unwrap();
        let has = ["a/x", "a/y", "b/x", "b/z"].map(|p| contents.has(p));
        assert_eq!(has, [false, true, false, true]);
        assert_eq!(contents.bytes("c").unwrap().as_deref(), Some(b"2".as_slice()));
    }
}
