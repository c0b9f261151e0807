// SPDX-License-Identifier: MIT
//! `cargo xtask report` as a whole command, on a small upstream that breaks a patch, with records
//! of real runs; and its page in a real browser, where there is one.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use git2::{Oid, Repository, Signature, Time};

/// The subject of the commit that breaks the patch.
const CULPRIT: &str = "core: prepare all at once <quickly> & check";

/// A checkout, an upstream and a cache. The patch fits 261 and 261.1, and not 262.
struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new() -> Case {
        let case = Case { dir: tempfile::tempdir().unwrap() };
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rebase/conflict");
        fs::create_dir_all(case.path("checkout/xtask")).unwrap();
        fs::create_dir_all(case.path("checkout/patches/0001-a")).unwrap();
        let series = fs::read_to_string(fixture.join("patches/series.toml")).unwrap();
        let series = series
            .replace("\"257\"\nversions = [\"257\"]", "\"261\"\nversions = [\"261 - 261.1\"]")
            .replace("needed =", "checks = [\"boot.running\"]\nneeded =");
        fs::write(case.path("checkout/patches/series.toml"), series).unwrap();
        let (from, to) = ("patches/0001-a/257.patch", "checkout/patches/0001-a/261.patch");
        fs::copy(fixture.join(from), case.path(to)).unwrap();

        let repo = Repository::init_bare(case.path("systemd.git")).unwrap();
        let before = fs::read(fixture.join("trees/257/src/core/a.c")).unwrap();
        let after = fs::read(fixture.join("trees/258/src/core/a.c")).unwrap();
        let first = commit(&repo, "first", &before, None, "v261");
        let second = commit(&repo, "a point release", &before, Some(first), "v261.1");
        commit(&repo, CULPRIT, &after, Some(second), "v262");
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn report(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .current_dir(self.path("checkout"))
            .args(["--quiet", "--offline", "--cache-dir"])
            .arg(self.path("cache"))
            .arg("report")
            .args(args)
            .output()
            .unwrap()
    }

    /// The page of all that there is.
    fn page(&self) -> PathBuf {
        let page = self.path("page.html");
        let upstream = self.path("systemd.git");
        let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/runs");
        let paths = [&upstream, &page, &records].map(|p| p.to_str().unwrap().to_owned());
        let [upstream, output, records] = &paths;
        let output = self.report(&[
            "261",
            "261.1",
            "262",
            "--systemd-git",
            upstream,
            "--output",
            output,
            "--records",
            records,
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), page.to_str().unwrap());
        page
    }
}

fn commit(repo: &Repository, subject: &str, file: &[u8], parent: Option<Oid>, tag: &str) -> Oid {
    let who =
        Signature::new("Ann Author", "ann@example.com", &Time::new(1_700_000_000, 0)).unwrap();
    let blob = repo.blob(file).unwrap();
    let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let mut update = git2::build::TreeUpdateBuilder::new();
    update.upsert("src/core/a.c", blob, git2::FileMode::Blob);
    let tree = repo.find_tree(update.create_updated(repo, &empty).unwrap()).unwrap();
    let parent = parent.map(|id| repo.find_commit(id).unwrap());
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    let id = repo.commit(None, &who, &who, subject, &tree, &parents).unwrap();
    repo.reference(&format!("refs/tags/{tag}"), id, false, "").unwrap();
    id
}

#[test]
fn the_page_names_the_culprit_and_what_was_seen_and_nothing_else_is_written() {
    let case = Case::new();
    let before = fs::read_dir(case.path("checkout/patches")).unwrap().count();
    let page = fs::read_to_string(case.page()).unwrap();
    for expected in [
        "core: prepare all at once &lt;quickly&gt; &amp; check",
        "Ann Author",
        "1 problem needs a person",
        "cargo xtask resolve 0001-a 262",
        // Of the records: a refuted run, an ablation, a timeline.
        "id=\"run-20261121T125613Z-3252\"",
        "0005-manager",
        "systemd-journald.service",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert_eq!(fs::read_dir(case.path("checkout/patches")).unwrap().count(), before);
}

#[test]
fn the_records_alone_give_the_same_page_elsewhere() {
    let case = Case::new();
    let page = fs::read(case.page()).unwrap();
    let elsewhere = case.path("artefacts");
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/runs");
    for runs in [case.path("cache/runs"), theirs] {
        for run in fs::read_dir(runs).unwrap() {
            let run = run.unwrap().path();
            let to = elsewhere.join(run.file_name().unwrap());
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(&run).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
    for gone in ["cache", "systemd.git"] {
        fs::remove_dir_all(case.path(gone)).unwrap();
    }
    let again = case.path("again.html");
    let words = [elsewhere.to_str().unwrap(), "--output", again.to_str().unwrap()];
    let output = case.report(&[&["--from"], &words[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again = fs::read(again).unwrap();
    assert!(String::from_utf8_lossy(&again).contains("prepare all at once"));
    assert!(again == page, "the page differs");
    assert!(!case.path("cache").exists(), "the cache was written to");

    let none = case.path("none");
    fs::create_dir(&none).unwrap();
    let refused = case.report(&["--from", none.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds no record"));
}

#[test]
fn without_sources_and_records_it_says_what_to_type() {
    let case = Case::new();
    let output = case.report(&["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["schema"], &told["versions"]), (&1.into(), &0.into()), "{told}");
    let page = fs::read_to_string(told["page"].as_str().unwrap()).unwrap();
    assert!(
        page.contains("No release of systemd is here") && page.contains("cargo xtask test-image")
    );
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let case = Case::new();
    for (args, expected) in [
        (["--output", "."], ". is a folder"),
        (["--output", "patches/series.toml/x.html"], "patches/series.toml"),
        (["--records", "no-folder"], "no-folder is no folder"),
    ] {
        let output = case.report(&args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    }
    let run = case.path("cache/runs/20260101T000000Z-1");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("record.json"), "{\"schema\": 99}").unwrap();
    let output = case.report(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(case.path("cache/report.html")).unwrap();
    assert!(page.contains("schema 99 is not known"));
}

/// Two machines can have named their runs alike, and one may have been given twice.
#[test]
fn a_record_is_shown_once_and_no_other_is_lost() {
    let case = Case::new();
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/runs");
    let text = fs::read_to_string(theirs.join("20261121T125613Z-3252/record.json")).unwrap();
    let kernel = regex::Regex::new(r#""kernel":"[^"]*""#).unwrap();
    let other = kernel.replace(&text, r#""kernel":"6.66-another""#);
    assert_ne!(text, other);
    for (name, text) in [("one", text.as_str()), ("two", &other), ("three", &text)] {
        let dir = case.path("records").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("record.json"), text).unwrap();
    }
    let output = case.report(&["--json", "--records", case.path("records").to_str().unwrap()]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["records"], 2, "{told}");
}

#[test]
fn a_folder_that_cannot_be_listed_is_named_and_the_others_are_read() {
    let case = Case::new();
    let locked = case.path("records/locked");
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/runs");
    let run = "20261121T125613Z-3252";
    fs::create_dir_all(&locked).unwrap();
    fs::create_dir(case.path("records").join(run)).unwrap();
    let record = format!("{run}/record.json");
    fs::copy(theirs.join(&record), case.path("records").join(&record)).unwrap();
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let output = case.report(&["--records", case.path("records").to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(case.path("cache/report.html")).unwrap();
    assert!(page.contains(&format!("id=\"run-{run}\"")));
    if fs::read_dir(&locked).is_ok() {
        return xtask::skip::record_optional("root lists every folder").unwrap();
    }
    assert!(page.contains("records/locked: Permission denied"), "{page}");
}

/// `ci/page/look.mjs` says what is looked at. Its screenshots stay in `target/tmp/page`.
#[test]
fn somebody_finds_the_conflict_in_a_browser() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/page");
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
    let node = Command::new("node").arg("--version").output();
    let missing = [
        (node.is_ok_and(|o| o.status.success()), "no node: apt-get install nodejs".to_owned()),
        (Path::new(&browser).exists(), format!("no {browser}: apt-get install chromium")),
        (here.join("node_modules").is_dir(), "no node_modules: npm ci --prefix ci/page".to_owned()),
    ];
    if let Some((_, reason)) = missing.into_iter().find(|(there, _)| !there) {
        xtask::skip::record_optional(&reason).unwrap();
        return;
    }
    let case = Case::new();
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    let output = Command::new("node")
        .arg(here.join("look.mjs"))
        .arg(case.page())
        .arg(&pictures)
        .env("CHROMIUM", browser)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.ends_with("all checks hold\n"), "{told}");
}
