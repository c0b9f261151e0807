// SPDX-License-Identifier: MIT
use super::*;

struct Case {
    dir: tempfile::TempDir,
    git: git2::Repository,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let git = git2::Repository::init_bare(dir.path().join("a.git")).unwrap();
        Case { dir, git }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// A tree of (path, mode, content).
    fn tree(&self, files: &[(&str, i32, &str)]) -> TreeId {
        let mut update = git2::build::TreeUpdateBuilder::new();
        for &(path, mode, content) in files {
            let mode = match mode {
                LINK => git2::FileMode::Link,
                EXECUTABLE => git2::FileMode::BlobExecutable,
                _ => git2::FileMode::Blob,
            };
            update.upsert(path, self.git.blob(content.as_bytes()).unwrap(), mode);
        }
        let empty = self.git.treebuilder(None).unwrap().write().unwrap();
        let empty = self.git.find_tree(empty).unwrap();
        update.create_updated(&self.git, &empty).unwrap().into()
    }

    fn write(&self, tree: &TreeId) -> Report {
        write_tree(&self.git, tree, &self.out()).unwrap()
    }

    /// What is in the folder: path, mode bits, content or target.
    fn listing(&self) -> Vec<(String, u32, Vec<u8>)> {
        let mut all = Vec::new();
        let mut open = vec![self.out()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let (path, meta) = (entry.path(), fs::symlink_metadata(entry.path()).unwrap());
                let name = path.strip_prefix(self.out()).unwrap().display().to_string();
                if meta.is_dir() {
                    open.push(path);
                } else if meta.is_symlink() {
                    let target = fs::read_link(&path).unwrap();
                    all.push((name, 0, target.as_os_str().as_bytes().to_vec()));
                } else {
                    all.push((name, meta.mode() & 0o777, fs::read(&path).unwrap()));
                }
            }
        }
        all.sort();
        all
    }
}

const FILE: i32 = 0o100644;

#[test]
fn only_what_differs_is_touched() {
    let case = Case::new();
    let first = case.tree(&[
        ("a.c", FILE, "one"),
        ("dir/b.c", FILE, "two"),
        ("run", EXECUTABLE, "#!/bin/sh"),
        ("link", LINK, "a.c"),
    ]);
    assert_eq!(case.write(&first).written, ["a.c", "dir/b.c", "link", "run"]);
    assert_eq!(
        case.listing(),
        [
            ("a.c".into(), 0o644, b"one".to_vec()),
            ("dir/b.c".into(), 0o644, b"two".to_vec()),
            ("link".into(), 0, b"a.c".to_vec()),
            ("run".into(), 0o755, b"#!/bin/sh".to_vec()),
        ]
    );
    let time =
        |name: &str| fs::symlink_metadata(case.out().join(name)).unwrap().modified().unwrap();
    let before = time("dir/b.c");
    let again = case.write(&first);
    assert_eq!((again.written.len(), again.kept, again.removed.len()), (0, 4, 0));

    let second = case.tree(&[("a.c", FILE, "ONE"), ("dir/b.c", FILE, "two")]);
    let report = case.write(&second);
    assert_eq!(report.written, ["a.c"]);
    assert_eq!(report.removed, ["link", "run"]);
    assert_eq!(time("dir/b.c"), before);
}

#[test]
fn edits_by_hand_are_undone() {
    let case = Case::new();
    let tree = case.tree(&[("a", FILE, "one"), ("d/b", EXECUTABLE, "two"), ("c", FILE, "three")]);
    case.write(&tree);
    let clean = case.listing();
    let out = case.out();
    let kept_time = fs::metadata(out.join("a")).unwrap().modified().unwrap();
    fs::write(out.join("a"), "ONE").unwrap();
    // The same size and time as before: only the time of the change itself tells.
    fs::File::options().write(true).open(out.join("a")).unwrap().set_modified(kept_time).unwrap();
    fs::set_permissions(out.join("d/b"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(out.join("c")).unwrap();
    fs::create_dir_all(out.join("new/dir")).unwrap();
    fs::write(out.join("new/dir/x"), "").unwrap();
    let report = case.write(&tree);
    assert_eq!(report.written, ["a", "c", "d/b"]);
    assert_eq!(report.removed, ["new"]);
    assert_eq!(case.listing(), clean);
}

#[test]
fn files_folders_and_links_change_places() {
    let case = Case::new();
    let outside = case.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "untouched").unwrap();
    let trees = [
        case.tree(&[("x", FILE, "file"), ("y/z", FILE, "inner")]),
        case.tree(&[("x/x", FILE, "inner"), ("y", LINK, outside.to_str().unwrap())]),
        case.tree(&[("x", LINK, outside.to_str().unwrap()), ("y/x", FILE, "inner")]),
    ];
    for i in [0, 1, 2, 0, 2, 1, 0] {
        case.write(&trees[i]);
        let fresh = Case {
            dir: tempfile::tempdir().unwrap(),
            git: git2::Repository::open(case.git.path()).unwrap(),
        };
        fresh.write(&trees[i]);
        assert_eq!(case.listing(), fresh.listing());
    }
    // A folder replaced by hand with a link to elsewhere is not written through.
    fs::remove_dir_all(case.out().join("y")).unwrap();
    std::os::unix::fs::symlink(&outside, case.out().join("y")).unwrap();
    case.write(&trees[2]);
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "untouched");
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let case = Case::new();
    fs::create_dir(case.out()).unwrap();
    fs::write(case.out().join("thesis.txt"), "years of work").unwrap();
    let tree = case.tree(&[("a", FILE, "one")]);
    let error = write_tree(&case.git, &tree, &case.out()).unwrap_err();
    assert!(error.to_string().contains("not made by plainboot"), "{error}");
    assert!(case.out().join("thesis.txt").exists());
}

#[test]
fn a_lost_or_broken_manifest_costs_reading_and_nothing_else() {
    let case = Case::new();
    let tree = case.tree(&[("a", FILE, "one")]);
    case.write(&tree);
    fs::write(manifest_path(&case.out()), "{").unwrap();
    let report = case.write(&tree);
    assert_eq!((report.written.len(), report.kept), (0, 1));
}
