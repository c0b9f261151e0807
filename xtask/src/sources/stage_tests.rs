// SPDX-License-Identifier: MIT
//! The whole stage on small repositories, always offline.

use std::fs;
use std::path::PathBuf;

use xshell::{Shell, cmd};

use super::*;
use crate::exec;
use crate::fault::hint_of;

/// A folder with a small clone of "systemd" and a cache.
struct Case {
    dir: tempfile::TempDir,
    ui: Ui,
}

impl Case {
    fn new() -> Self {
        Case { dir: tempfile::tempdir().unwrap(), ui: Ui::new(true) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A clone in the folder `name` with one commit for each tag, contents by the tag's name.
    fn clone(&self, name: &str, tags: &[&str]) -> PathBuf {
        let path = self.path(name);
        let git = git2::Repository::init(&path).unwrap();
        for tag in tags {
            release(&git, tag, tag);
        }
        path
    }

    fn open_with(&self, lock: Lock, git: Option<&str>) -> Result<Sources<'_>> {
        let cache = Cache::locate(Some(&self.path("cache"))).unwrap();
        let options = Options { systemd_git: git.map(str::to_owned), offline: true };
        Sources::open(&cache, lock, &options, &self.ui)
    }

    fn open(&self, git: &std::path::Path) -> Sources<'_> {
        self.open_with(Lock::default(), git.to_str()).unwrap()
    }
}

/// Commits a tree and tags it, as upstream does, with an annotated tag.
fn release(git: &git2::Repository, tag: &str, content: &str) {
    let blob = |text: &str| git.blob(text.as_bytes()).unwrap();
    let folder = |name: &str, id, mode| {
        let mut builder = git.treebuilder(None).unwrap();
        builder.insert(name, id, mode).unwrap();
        builder.write().unwrap()
    };
    let mut root = git.treebuilder(None).unwrap();
    root.insert("src", folder("main.c", blob(&format!("/* {content} */\n")), 0o100644), 0o040000)
        .unwrap();
    root.insert("test", folder("data", blob(&format!("data of {content}")), 0o100644), 0o040000)
        .unwrap();
    let tree = git.find_tree(root.write().unwrap()).unwrap();
    let who = git2::Signature::new("u", "u@example.org", &git2::Time::new(1, 0)).unwrap();
    let parent = git.head().ok().and_then(|h| h.peel_to_commit().ok());
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    let commit = git.commit(Some("HEAD"), &who, &who, content, &tree, &parents).unwrap();
    git.tag(tag, &git.find_object(commit, None).unwrap(), &who, tag, true).unwrap();
}

fn v(text: &str) -> SystemdVersion {
    text.parse().unwrap()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

/// Removes a loose object from a clone.
fn lose(clone: &std::path::Path, rev: &str) -> git2::Oid {
    let id = git2::Repository::open(clone).unwrap().revparse_single(rev).unwrap().id();
    let hex = id.to_string();
    fs::remove_file(clone.join(".git/objects").join(&hex[..2]).join(&hex[2..])).unwrap();
    id
}

fn git(case: &Case, args: &[&str]) {
    let shell = Shell::new().unwrap();
    shell.change_dir(case.dir.path());
    exec::read(cmd!(shell, "git {args...}")).unwrap();
}

#[test]
fn a_clone_is_read_in_place_and_stays_known_without_the_flag() {
    let case = Case::new();
    let clone = case.clone("clone", &["v252", "v257", "v257.1", "v258-rc1", "not-a-version"]);
    let sources = case.open(&clone);
    let source = sources.get(v("257")).unwrap();
    assert!(source.has_upstream_commit);
    assert_eq!(source.reference(), "refs/plainboot/v257");
    assert_eq!(sources.git().refname_to_id(&source.reference()).unwrap().to_string(), source.tip.0);
    let names: Vec<String> =
        sources.available().unwrap().iter().map(|a| a.version.to_string()).collect();
    assert_eq!(names, ["257", "257.1", "258-rc1"]);
    let loose = fs::read_dir(case.path("cache/systemd.git/objects")).unwrap().flatten();
    let copied = loose.filter(|e| e.file_name().len() == 2).count();
    assert_eq!(copied, 0, "nothing is copied");

    let later = case.open_with(Lock::default(), None).unwrap();
    assert_eq!(later.get(v("257")).unwrap().tree, source.tree);

    fs::remove_dir_all(&clone).unwrap();
    let gone = case.open_with(Lock::default(), None).unwrap();
    assert!(gone.get(v("257")).is_err(), "a clone that went away is noticed");
}

#[test]
fn versions_as_the_user_types_them() {
    let case = Case::new();
    let clone = case.clone("clone", &["v255", "v256.2", "v256.10", "v258-rc1"]);
    let sources = case.open(&clone);
    let resolved = sources.resolve(&strings(&["v255", "256", "256.10", "258-rc1"])).unwrap();
    assert_eq!(resolved, [v("255"), v("256.10"), v("258-rc1")]);
    let error = sources.resolve(&strings(&["256.7"])).unwrap_err();
    let hint = hint_of(&error).unwrap();
    assert!(hint.contains("did you mean 256.2, 256.10?"), "{hint}");
    assert!(hint.contains("--systemd-git"), "{hint}");
    assert!(sources.resolve(&strings(&["258"])).is_err(), "a candidate is no release");
    let old = sources.resolve(&strings(&["252"])).unwrap_err();
    assert!(old.to_string().contains("older than 254"), "{old}");
    assert!(sources.resolve(&strings(&["latest"])).is_err());
}

#[test]
fn a_tag_that_moved_is_refused_whoever_holds_the_truth() {
    let case = Case::new();
    let clone = case.clone("clone", &["v257", "v258"]);
    let first = case.open(&clone).get(v("257")).unwrap();
    release(&git2::Repository::open(&clone).unwrap(), "v257", "something else");

    let sources = case.open(&clone);
    let error = sources.get(v("257")).unwrap_err();
    assert!(error.to_string().contains("moved tag"), "{error}");
    assert_eq!(kind_of(&error), Kind::Fault);
    let listed = sources.available().unwrap();
    assert!(listed[0].refused.is_some() && listed[1].refused.is_none(), "{listed:?}");
    sources.get(v("258")).unwrap();

    // A fresh cache has nothing to compare with, but the lock has.
    fs::remove_dir_all(case.path("cache")).unwrap();
    let mut lock = Lock::default();
    lock.record(&first).unwrap();
    let sources = case.open_with(lock.clone(), clone.to_str()).unwrap();
    let error = sources.get(v("257")).unwrap_err();
    assert!(error.to_string().contains("sources.lock"), "{error}");

    // What is in the cache is checked against the lock each time, too.
    fs::remove_dir_all(case.path("cache")).unwrap();
    case.open(&clone).get(v("257")).unwrap();
    let error = case.open_with(lock, None).unwrap().get(v("257")).unwrap_err();
    assert!(error.to_string().contains("sources.lock"), "{error}");
}

#[test]
fn the_lock_decides_between_two_trees() {
    let case = Case::new();
    let bad = case.clone("bad", &[]);
    release(&git2::Repository::open(&bad).unwrap(), "v257", "tampered");
    let good = case.clone("good", &["v257"]);
    case.open(&bad).get(v("257")).unwrap();
    let mut lock = Lock::default();
    let other = Case::new();
    lock.record(&other.open(&good).get(v("257")).unwrap()).unwrap();
    let source = case.open_with(lock.clone(), good.to_str()).unwrap().get(v("257")).unwrap();
    assert_eq!(source.tree, lock.get(v("257")).unwrap().tree);
}

#[test]
fn two_clones_with_the_same_tree_agree() {
    let case = Case::new();
    let one = case.clone("one", &["v257"]);
    let two = case.clone("two", &["v255", "v257"]);
    let first = case.open(&one).get(v("257")).unwrap();
    let second = case.open(&two).get(v("257")).unwrap();
    assert_eq!(first.tree, second.tree);
    assert_ne!(case.path("one"), case.path("two"));
    case.open_with(Lock::default(), None).unwrap().get(v("255")).unwrap();
}

#[test]
fn shallow_bare_and_partial_clones_serve() {
    let case = Case::new();
    let clone = case.clone("clone", &["v256", "v257"]);
    git(&case, &["-C", "clone", "config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", clone.display());
    git(&case, &["clone", "-q", "--depth=1", "--branch=v257", &url, "shallow"]);
    git(&case, &["clone", "-q", "--bare", &url, "bare.git"]);
    git(&case, &["clone", "-q", "--bare", "--filter=blob:none", &url, "partial.git"]);
    git(&case, &["-C", "clone", "worktree", "add", "-q", "--detach", "../tree", "v256"]);
    let expected = case.open(&clone).get(v("257")).unwrap().tree;
    for name in ["shallow", "bare.git", "partial.git", "tree"] {
        let fresh = Case { dir: tempfile::tempdir().unwrap(), ui: Ui::new(true) };
        let sources = fresh.open(&case.path(name));
        assert_eq!(sources.get(v("257")).unwrap().tree, expected, "{name}");
        let written = write_tree(sources.git(), &expected, &fresh.path("out"));
        if name == "partial.git" {
            let error = written.unwrap_err();
            assert!(error.to_string().contains("src/main.c"), "{error}");
        } else {
            assert_eq!(written.unwrap().written.len(), 2, "{name}");
        }
    }
}

#[test]
fn a_damaged_clone_serves_what_it_has() {
    let case = Case::new();
    let clone = case.clone("clone", &["v255", "v256", "v257"]);
    lose(&clone, "v255^{commit}");
    let data = lose(&clone, "v256:test/data");
    let main = lose(&clone, "v257:src/main.c");
    let sources = case.open(&clone);
    let names: Vec<SystemdVersion> =
        sources.available().unwrap().iter().map(|a| a.version).collect();
    assert_eq!(names, [v("256"), v("257")]);
    let (_, listing) = &sources.answers()[0];
    assert!(listing.complaints[0].contains("1 unreadable (v255"), "{listing:?}");

    let source = sources.get(v("256")).unwrap();
    let report = write_tree(sources.git(), &source.tree, &case.path("256")).unwrap();
    assert_eq!(report.written, ["src/main.c"]);
    let missing = MissingBlob { path: "test/data".into(), oid: data.to_string() };
    assert_eq!(report.missing, [missing]);

    let source = sources.get(v("257")).unwrap();
    let error = write_tree(sources.git(), &source.tree, &case.path("257")).unwrap_err();
    assert!(error.to_string().contains(&format!("src/main.c ({main})")), "{error}");
}

#[test]
fn a_server_gives_one_version_without_its_history() {
    let case = Case::new();
    let clone = case.clone("clone", &["v256", "v257"]);
    let url = format!("file://{}", clone.display());
    let sources = case.open_with(Lock::default(), Some(&url)).unwrap();
    assert!(sources.available().unwrap().iter().all(|a| !a.present && a.commit.is_some()));
    let source = sources.get(v("257")).unwrap();
    assert!(source.has_upstream_commit);
    fs::remove_dir_all(&clone).unwrap();
    let again = case.open_with(Lock::default(), None).unwrap();
    let report = write_tree(again.git(), &again.get(v("257")).unwrap().tree, &case.path("out"));
    assert_eq!(report.unwrap().written, ["src/main.c", "test/data"]);
    let references = again.git().references().unwrap().flatten();
    let names: Vec<String> = references.map(|r| r.name().unwrap().to_owned()).collect();
    assert_eq!(names, ["refs/plainboot/v257"], "nothing half-fetched stays");
}

#[test]
fn no_clone_and_no_version_are_told_with_the_way_out() {
    let case = Case::new();
    let missing = case.path("nothing");
    let error = case.open_with(Lock::default(), missing.to_str()).unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    assert!(hint_of(&error).is_some());
    let empty = case.clone("empty", &[]);
    let sources = case.open(&empty);
    assert!(sources.get(v("257")).is_err());
    let (_, listing) = &sources.answers()[0];
    assert!(listing.said.contains("fetch --tags"), "{}", listing.said);
}
