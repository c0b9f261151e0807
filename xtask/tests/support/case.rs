// SPDX-License-Identifier: MIT
//! One folder below `tests/rebase/` as a checkout and a clone of systemd, for whole commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::version::SystemdVersion;

pub struct Case {
    pub name: String,
    pub dir: tempfile::TempDir,
    pub clone: PathBuf,
    pub trees: BTreeMap<SystemdVersion, PathBuf>,
}

impl Case {
    pub fn new(fixture: &Path) -> Case {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture.join("patches"), &dir.path().join("checkout/patches"));
        fs::create_dir_all(dir.path().join("checkout/xtask")).unwrap();
        let clone = dir.path().join("systemd.git");
        let repo = git2::Repository::init_bare(&clone).unwrap();
        let who = git2::Signature::new("a", "a@b", &git2::Time::new(0, 0)).unwrap();
        let mut trees = BTreeMap::new();
        for entry in fs::read_dir(fixture.join("trees")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let tree = repo.find_tree(tree(&repo, &path)).unwrap();
            let commit = repo.commit(None, &who, &who, &name, &tree, &[]).unwrap();
            repo.reference(&format!("refs/tags/v{name}"), commit, false, "").unwrap();
            trees.insert(name.parse().unwrap(), path);
        }
        let name = fixture.file_name().unwrap().to_str().unwrap().to_owned();
        Case { name, dir, clone, trees }
    }

    pub fn checkout(&self) -> PathBuf {
        self.dir.path().join("checkout")
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command("rebase-patches", args)
    }

    pub fn command(&self, command: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .current_dir(self.checkout())
            .args(["--quiet", "--offline", "--cache-dir"])
            .arg(self.dir.path().join("cache"))
            .arg("--systemd-git")
            .arg(&self.clone)
            .arg(command)
            .args(args)
            .output()
            .unwrap()
    }

    /// The text without what changes from run to run.
    pub fn plain(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(self.dir.path().to_str().unwrap(), "…");
        let time = regex::Regex::new(r"\(\d+\.\d+ s\)").unwrap();
        time.replace_all(&text, "(TIME)").into_owned()
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub fn tree(repo: &git2::Repository, dir: &Path) -> git2::Oid {
    let mut builder = repo.treebuilder(None).unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            builder.insert(entry.file_name(), tree(repo, &entry.path()), 0o040_000).unwrap();
        } else {
            let blob = repo.blob(&fs::read(entry.path()).unwrap()).unwrap();
            builder.insert(entry.file_name(), blob, 0o100_644).unwrap();
        }
    }
    builder.write().unwrap()
}

pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

pub fn case(name: &str) -> Case {
    Case::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rebase").join(name))
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
