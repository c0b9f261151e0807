// SPDX-License-Identifier: MIT
//! systemd's own layer, from an install tree (`DESTDIR`).
//!
//! The tar depends on the files' names, contents and permission bits alone: sorted, owned by root,
//! one fixed time, modes by rule. So the umask, the user and the day of a build do not show.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{EPOCH_S, Layer};
use crate::fault::Fault;
use crate::profile::{self, Profile};

/// Parts of an install tree that no container needs, as prefixes of paths.
const LEFT_OUT: [&str; 14] = [
    // For building other programs.
    "usr/include",
    "usr/share/pkgconfig",
    "usr/lib/pkgconfig",
    // For reading and for shells.
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/bash-completion",
    "usr/share/zsh",
    // For hardware, boot loaders and other package managers.
    "usr/lib/kernel",
    "usr/lib/udev/hwdb.d",
    "usr/lib/rpm",
    "usr/lib/modprobe.d",
    "usr/share/mime",
    "etc/X11",
];

/// The program that says which options of units are not in force here.
const REPORT: (&str, &str) = ("usr/lib/plainboot/report", include_str!("../../../nix/report.sh"));

/// What goes into the layer, by path without the leading slash.
#[derive(Debug)]
enum Node {
    Folder(u32),
    File(u32, Source),
    Link(PathBuf),
}

#[derive(Debug)]
enum Source {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

/// Makes the layer from the install tree `tree` and the profile.
///
/// # Errors
/// The folder holds no systemd, or something that is no file, folder or link.
pub fn systemd_layer(tree: &Path, profile: &Profile) -> Result<Layer> {
    let mut nodes = BTreeMap::new();
    collect(tree, Path::new(""), &mut nodes)
        .with_context(|| format!("cannot read the install tree {}", tree.display()))?;
    if !nodes.contains_key(Path::new("usr/lib/systemd/systemd")) {
        return Err(Fault::new(format!("{} holds no systemd", tree.display()))
            .hint("it must be a DESTDIR that `meson install` wrote to")
            .into());
    }
    add_profile(profile, &mut nodes);
    Ok(Layer::from_bytes(archive(&nodes)?, "systemd and its container profile"))
}

fn collect(root: &Path, dir: &Path, nodes: &mut BTreeMap<PathBuf, Node>) -> Result<()> {
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let source = dir.join(entry.file_name());
        let path = merged(&source);
        if left_out(&path) {
            continue;
        }
        let kind = entry.file_type()?;
        let mode = entry.metadata()?.permissions().mode();
        let full = root.join(&source);
        if kind.is_dir() {
            nodes.insert(path, Node::Folder(folder_mode(mode)));
            collect(root, &source, nodes)?;
        } else if kind.is_symlink() {
            nodes.insert(path, Node::Link(fs::read_link(&full)?));
        } else if kind.is_file() {
            nodes.insert(path, Node::File(file_mode(mode), Source::Path(full)));
        } else {
            let what = if kind.is_socket() { "a socket" } else { "a device or a pipe" };
            return Err(Fault::new(format!("{} is {what}", full.display())).into());
        }
    }
    Ok(())
}

/// Debian merges /usr: /bin, /sbin and /lib are links there, and a folder of that name in a layer
/// would replace the link. systemd before version 255 installs into them.
fn merged(path: &Path) -> PathBuf {
    let first = path.components().next().map(|c| c.as_os_str().as_bytes().to_owned());
    match first.as_deref() {
        Some(b"bin" | b"sbin" | b"lib" | b"lib64") => Path::new("usr").join(path),
        _ => path.to_owned(),
    }
}

fn left_out(path: &Path) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    LEFT_OUT.iter().any(|prefix| path.starts_with(prefix))
        // The public libraries stay Debian's, which its programs are tested with; systemd's own
        // programs use its private library.
        || name.starts_with(b"libsystemd.so")
        || name.starts_with(b"libudev.so")
        || path.components().any(|c| c.as_os_str() == "pkgconfig")
        // Message catalogs in other languages: systemd.de.catalog and the like.
        || (name.ends_with(b".catalog") && name.iter().filter(|b| **b == b'.').count() > 1)
}

/// 0700 stays private (credential stores); everything else is open to be read.
fn folder_mode(mode: u32) -> u32 {
    (mode & 0o7000) | if mode & 0o077 == 0 { 0o700 } else { 0o755 }
}

/// setuid and its like are kept, the rest is one of three forms.
fn file_mode(mode: u32) -> u32 {
    let form = match mode & 0o777 {
        m if m & 0o111 != 0 => 0o755,
        m if m & 0o044 == 0 => 0o600,
        _ => 0o644,
    };
    (mode & 0o7000) | form
}

fn add_profile(profile: &Profile, nodes: &mut BTreeMap<PathBuf, Node>) {
    let mut put = |path: &Path, node: Node| {
        let mut parents = path.ancestors().skip(1);
        while let Some(parent) = parents.next().filter(|p| !p.as_os_str().is_empty()) {
            nodes.entry(parent.to_owned()).or_insert(Node::Folder(0o755));
        }
        nodes.insert(path.to_owned(), node);
    };
    // The command of every image, whatever else the tree installs there.
    put(Path::new("usr/sbin/init"), Node::Link("../lib/systemd/systemd".into()));
    put(Path::new(REPORT.0), Node::File(0o755, Source::Bytes(REPORT.1.as_bytes().to_vec())));
    for placement in profile.placements() {
        let path = placement.path.strip_prefix("/").unwrap_or(&placement.path).to_owned();
        let node = match placement.node {
            profile::Node::File(text) => Node::File(0o644, Source::Bytes(text.into_bytes())),
            profile::Node::Link(target) => Node::Link(target),
        };
        put(&path, node);
    }
}

fn archive(nodes: &BTreeMap<PathBuf, Node>) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, node) in nodes {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(EPOCH_S);
        header.set_uid(0);
        header.set_gid(0);
        match node {
            Node::Folder(mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                header.set_size(0);
                tar.append_data(&mut header, path, std::io::empty())?;
            }
            Node::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, path, target)?;
            }
            Node::File(mode, source) => {
                let bytes = match source {
                    Source::Bytes(bytes) => bytes.clone(),
                    Source::Path(file) => {
                        fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
                    }
                };
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, path, bytes.as_slice())?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile::parse(include_str!("../../../nix/profile.json")).unwrap()
    }

    /// An install tree as one build would leave it.
    fn tree(umask: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, mode: u32| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.file_name().unwrap().as_bytes()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & !umask | mode & 0o7000))
                .unwrap();
        };
        put("usr/lib/systemd/systemd", 0o755);
        put("usr/bin/suid", 0o4755);
        put("usr/share/man/man1/x.1", 0o644);
        put("usr/lib/systemd/catalog/systemd.de.catalog", 0o644);
        put("usr/lib/systemd/catalog/systemd.catalog", 0o644);
        put("lib/udev/rules.d/1.rules", 0o644);
        fs::create_dir_all(dir.path().join("etc/credstore")).unwrap();
        fs::set_permissions(dir.path().join("etc/credstore"), fs::Permissions::from_mode(0o700))
            .unwrap();
        dir
    }

    fn entries(layer: &Layer) -> Vec<(String, u32, u64)> {
        let super::super::Content::Memory(bytes) = &layer.content else { panic!("in memory") };
        let mut archive = tar::Archive::new(bytes.as_slice());
        archive
            .entries()
            .unwrap()
            .map(|e| {
                let e = e.unwrap();
                assert_eq!((e.header().uid().unwrap(), e.header().gid().unwrap()), (0, 0));
                let path = e.path().unwrap().display().to_string();
                (
                    path.trim_end_matches('/').to_owned(),
                    e.header().mode().unwrap(),
                    e.header().mtime().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn umask_and_time_do_not_show() {
        let profile = profile();
        let (one, two) = (tree(0o022), tree(0o027));
        let a = systemd_layer(one.path(), &profile).unwrap();
        let b = systemd_layer(two.path(), &profile).unwrap();
        assert_eq!(a.digest, b.digest);
        let list = entries(&a);
        assert!(list.is_sorted_by_key(|e| PathBuf::from(&e.0)));
        assert!(list.iter().all(|e| e.2 == EPOCH_S));
    }

    #[test]
    fn modes_merged_usr_and_what_is_left_out() {
        let dir = tree(0o022);
        let list = entries(&systemd_layer(dir.path(), &profile()).unwrap());
        let mode = |path: &str| list.iter().find(|e| e.0 == path).map(|e| e.1);
        assert_eq!(mode("usr/bin/suid"), Some(0o4755));
        assert_eq!(mode("etc/credstore"), Some(0o700));
        assert_eq!(mode("usr/lib/udev/rules.d/1.rules"), Some(0o644));
        assert_eq!(mode("lib"), None);
        assert_eq!(mode("usr/share/man/man1/x.1"), None);
        assert_eq!(mode("usr/lib/systemd/catalog/systemd.de.catalog"), None);
        assert_eq!(mode("usr/lib/systemd/catalog/systemd.catalog"), Some(0o644));
        assert_eq!(mode("etc/systemd/system/tmp.mount"), Some(0o777));
        assert_eq!(mode("etc/machine-id"), Some(0o644));
        assert_eq!(mode("usr/lib/plainboot/report"), Some(0o755));
    }

    #[test]
    fn a_tree_without_systemd_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = systemd_layer(dir.path(), &profile()).unwrap_err();
        assert!(error.to_string().contains("holds no systemd"), "{error}");
    }
}
