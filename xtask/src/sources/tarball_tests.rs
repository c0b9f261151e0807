// SPDX-License-Identifier: MIT
use std::io::Write;

use super::*;

/// A `.tar.gz` as `git archive` makes it: (path, mode, content), where mode 0o120000 is a link.
pub fn archive(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for &(path, mode, content) in entries {
        let mut header = tar::Header::new_gnu();
        if mode == 0o120000 {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, content).unwrap();
        } else {
            header.set_size(content.len() as u64);
            header.set_mode(mode);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar.into_inner().unwrap()).unwrap();
    gz.finish().unwrap()
}

const TREE: &[(&str, u32, &str)] = &[
    ("systemd-257/meson.build", 0o664, "project('systemd')\n"),
    ("systemd-257/src/core/main.c", 0o664, "int main(void) { return 0; }\n"),
    ("systemd-257/src/core.h", 0o664, "#pragma once\n"),
    ("systemd-257/src/core-x", 0o664, "sorts between core and core.h\n"),
    ("systemd-257/tools/run.sh", 0o775, "#!/bin/sh\n"),
    ("systemd-257/README", 0o120000, "README.md"),
];

fn on_disk(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, git2::Repository) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("systemd_257.orig.tar.gz");
    std::fs::write(&path, bytes).unwrap();
    let repository = git2::Repository::init_bare(dir.path().join("cache.git")).unwrap();
    (dir, path, repository)
}

/// What `git write-tree` makes of the same files, through libgit2's index.
fn tree_by_git(repository: &git2::Repository) -> Oid {
    let mut index = git2::Index::new().unwrap();
    for (path, mode, content) in TREE {
        let id = repository.blob(content.as_bytes()).unwrap();
        let mode = match mode {
            0o120000 => 0o120000,
            m if m & 0o100 != 0 => 0o100755,
            _ => 0o100644,
        };
        let path = path.strip_prefix("systemd-257/").unwrap().into();
        let zero = git2::IndexTime::new(0, 0);
        index
            .add(&git2::IndexEntry {
                ctime: zero,
                mtime: zero,
                dev: 0,
                ino: 0,
                mode,
                uid: 0,
                gid: 0,
                file_size: 0,
                id,
                flags: 0,
                flags_extended: 0,
                path,
            })
            .unwrap();
    }
    index.write_tree_to(repository).unwrap()
}

fn error_of(entries: &[(&str, u32, &str)]) -> String {
    let (_dir, path, repository) = on_disk(&archive(entries));
    format!("{:#}", import(&repository, &path).unwrap_err())
}

#[test]
fn the_tree_is_the_one_that_git_would_write() {
    let (_dir, path, repository) = on_disk(&archive(TREE));
    let imported = import(&repository, &path).unwrap();
    assert_eq!(imported.tree, tree_by_git(&repository));
    assert_eq!(imported.commit, None);
    repository.find_tree(imported.tree).unwrap().get_path(Path::new("src/core/main.c")).unwrap();
}

#[test]
fn a_tarball_cut_anywhere_leaves_nothing_behind() {
    let whole = archive(TREE);
    for keep in [0, 1, 10, 20, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        let (dir, path, repository) = on_disk(&whole[..keep]);
        let error = import(&repository, &path).unwrap_err();
        assert!(format!("{error:#}").contains("systemd_257.orig.tar.gz"), "{keep}: {error:#}");
        assert!(crate::fault::hint_of(&error).is_some());
        let packs = std::fs::read_dir(dir.path().join("cache.git/objects/pack"));
        assert_eq!(packs.map_or(0, Iterator::count), 0, "{keep} bytes");
    }
}

#[test]
fn one_changed_bit_is_noticed_and_the_file_set_aside() {
    let mut bytes = archive(TREE);
    let (_dir, path, _) = on_disk(&bytes);
    let sum = sha256(&path).unwrap();
    verify(&path, &sum).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = verify(&path, &sum).unwrap_err();
    assert!(error.to_string().contains("tampered"), "{error}");
    assert!(!path.exists());
    assert!(path.with_extension("gz.damaged").exists());
}

#[test]
fn archives_that_would_write_elsewhere_are_refused() {
    assert!(error_of(&[("a/x", 0o644, ""), ("b/x", 0o644, "")]).contains("more than one top"));
    assert!(error_of(&[("a/x", 0o644, ""), ("a/x", 0o644, "")]).contains("twice"));
    assert!(error_of(&[("a/x", 0o644, ""), ("a/x/y", 0o644, "")]).contains("twice"));
    assert!(error_of(&[("a/.GIT/config", 0o644, "")]).contains(".GIT"));
    assert!(error_of(&[]).contains("no files"));
}

#[test]
fn the_commit_is_read_from_the_header_of_git_archive() {
    let id = "70b5d110be7702afc4dbce012f60d49506d513da";
    let header = format!("52 comment={id}\n");
    assert_eq!(named_commit(header.as_bytes()), Some(CommitId(id.into())));
    assert_eq!(named_commit(b"20 comment=nonsense\n"), None);
}
