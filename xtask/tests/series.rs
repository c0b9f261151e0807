// SPDX-License-Identifier: MIT
//! `rebase-series` as a whole command: series of others on repositories of others, judged with the
//! real `git am`, `git apply` and GNU `patch`; and repositories that are damaged.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FILE: &str = "src/a.c";

/// A repository with the tags `v1`, `v2` and `v3`, and a place for series.
struct Case {
    dir: tempfile::TempDir,
}

/// A C file with two functions; each version moves or changes lines.
fn source(version: u32) -> String {
    let above = "/* more */\n".repeat(version as usize);
    let call = if version < 3 { "prepare(a)" } else { "prepare_all(a, 0)" };
    format!(
        "{above}int one(int a) {{\n        int r;\n\n        r = {call};\n        if (r < 0)\n\
         \x20               return r;\n\n        return 0;\n}}\n\nint two(int a) {{\n        int r;\n\n\
         \x20       r = finish(a);\n        if (r < 0)\n                return r;\n\n        \
         return 0;\n}}\n"
    )
}

impl Case {
    fn new() -> Case {
        let case = Case { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(case.dir.path().join("checkout/xtask")).unwrap();
        fs::create_dir_all(case.dir.path().join("checkout/patches")).unwrap();
        fs::write(case.dir.path().join("checkout/patches/series.toml"), "schema = 1\n").unwrap();
        fs::create_dir_all(case.repo().join("src")).unwrap();
        case.git(&["init", "-q", "-b", "main", "."]);
        case.git(&["config", "user.name", "a tester"]);
        case.git(&["config", "user.email", "tester@example.org"]);
        for version in 1..=3 {
            case.release(&format!("v{version}"), &[(FILE, source(version).as_bytes())]);
        }
        case
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let out = Command::new("git")
            .arg("-C")
            .arg(self.repo())
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "git {args:?}: {said}");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    fn release(&self, tag: &str, files: &[(&str, &[u8])]) {
        for (path, bytes) in files {
            fs::write(self.repo().join(path), bytes).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", tag]);
        self.git(&["tag", tag]);
    }

    /// A quilt folder as Debian has them: two patches on `v1`, one without git's lines.
    fn quilt(&self) -> PathBuf {
        let (before, dir) = (source(1), self.path("debian/patches"));
        fs::create_dir_all(dir.join("debian")).unwrap();
        fs::write(dir.join("series"), "# a comment\ndebian/one.patch\nnew.patch -p0 # two\n")
            .unwrap();
        let one = before.replacen("        return 0;", "        mark(a);\n        return 0;", 1);
        let body = diff(&before, &one).replacen("diff --git a/src/a.c b/src/a.c\n", "", 1);
        let body = body.lines().filter(|l| !l.starts_with("index ")).collect::<Vec<_>>().join("\n");
        let head = "Description: mark what is done\n It matters.\nAuthor: Zoë <z@example.org>\n\n";
        fs::write(dir.join("debian/one.patch"), format!("{head}{body}\n")).unwrap();
        let new = "From: B <b@example.org>\nDate: Fri, 5 Sep 2014 01:15:16 +0200\nSubject: add a \
                   file\n\nWith a body.\n---\n\n--- /dev/null\n+++ src/new.c\n@@ -0,0 +1,2 @@\n\
                   +int three;\n+int four;\n\\ No newline at end of file\n";
        fs::write(dir.join("new.patch"), new).unwrap();
        self.path("debian")
    }

    fn run(&self, series: &Path, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .current_dir(self.path("checkout"))
            .args(["--quiet", "rebase-series", "--series"])
            .arg(series)
            .arg("--repo")
            .arg(self.repo())
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap()
    }

    /// The run's exit code and all it said.
    fn said(&self, series: &Path, args: &[&str]) -> (i32, String) {
        let out = self.run(series, args);
        let text = [out.stdout, out.stderr].concat();
        (out.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }

    fn patched_tree(&self, series: &Path, to: &str) -> String {
        let out = self.run(series, &["--from", "v1", "--to", to, "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        json["revisions"][0]["patched_tree"].as_str().unwrap_or_default().to_owned()
    }
}

fn diff(before: &str, after: &str) -> String {
    let file =
        xtask::patch::diff(FILE, Some(before.as_bytes()), 0o100_644, after.as_bytes(), 3).unwrap();
    String::from_utf8(file.to_bytes()).unwrap()
}

fn tool(program: &str, args: &[&str], dir: &Path) {
    let out = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn every_format_gives_the_tree_that_was_computed() {
    let case = Case::new();
    let series = case.quilt();
    let objects = case.git(&["count-objects"]);
    let wanted = case.patched_tree(&series, "v2");
    assert_eq!(wanted.len(), 40);
    assert_eq!(case.git(&["count-objects"]), objects, "the repository was written to");

    let args =
        |format, output| ["--from", "v1", "--to", "v2", "--format", format, "--output", output];
    let quilt = case.path("out-quilt");
    let (code, said) = case.said(&series, &args("quilt", quilt.to_str().unwrap()));
    assert_eq!(code, 0, "{said}");
    assert_eq!(fs::read_to_string(quilt.join("series")).unwrap(), "debian/one.patch\nnew.patch\n");
    if xtask::exec::have("patch") {
        case.git(&["checkout", "-q", "v2"]);
        for name in ["debian/one.patch", "new.patch"] {
            let file = quilt.join(name);
            tool("patch", &["-p1", "-F0", "-s", "-i", file.to_str().unwrap()], &case.repo());
        }
        case.git(&["add", "-A"]);
        assert_eq!(case.git(&["write-tree"]), wanted);
        case.git(&["reset", "-q", "--hard"]);
    } else {
        xtask::skip::record("patch is not installed").unwrap();
    }

    let mails = case.path("out-mails");
    let (code, said) = case.said(&series, &args("mails", mails.to_str().unwrap()));
    assert_eq!(code, 0, "{said}");
    case.git(&["checkout", "-q", "v2"]);
    for name in ["0001-mark-what-is-done.patch", "0002-add-a-file.patch"] {
        case.git(&["am", "-q", "--keep-cr", mails.join(name).to_str().unwrap()]);
    }
    assert_eq!(case.git(&["rev-parse", "HEAD^{tree}"]), wanted);
    let by_am = case.git(&["log", "-2", "--format=%an <%ae> %ad%n%B"]);
    case.git(&["checkout", "-q", "main"]);

    let (code, said) = case.said(&series, &args("branch", "carried"));
    assert_eq!(code, 0, "{said}");
    assert_eq!(case.git(&["rev-parse", "carried^{tree}"]), wanted);
    assert_eq!(case.git(&["rev-parse", "carried~2"]), case.git(&["rev-parse", "v2"]));
    assert_eq!(case.git(&["log", "-2", "--format=%an <%ae> %ad%n%B", "carried"]), by_am);
    assert!(by_am.contains("Zoë <z@example.org>") && by_am.contains("It matters."), "{by_am}");
    case.git(&["fsck", "--strict"]);
}

#[test]
fn what_was_written_is_read_back_as_the_same_series() {
    let case = Case::new();
    let series = case.quilt();
    let wanted = case.patched_tree(&series, "v1");
    let out = case.path("out");
    for format in ["quilt", "mails"] {
        let dir = out.join(format);
        let args = ["--from", "v1", "--to", "v1", "--format", format, "--output"];
        let (code, said) = case.said(&series, &[&args[..], &[dir.to_str().unwrap()]].concat());
        assert_eq!(code, 0, "{said}");
        assert_eq!(case.patched_tree(&dir, "v1"), wanted, "{format}");
    }
    let mut mails: Vec<PathBuf> =
        fs::read_dir(out.join("mails")).unwrap().map(|e| e.unwrap().path()).collect();
    mails.sort();
    let all: Vec<u8> = mails.iter().flat_map(|p| fs::read(p).unwrap()).collect();
    fs::write(out.join("box"), all).unwrap();
    assert_eq!(case.patched_tree(&out.join("box"), "v1"), wanted);
}

#[test]
fn a_series_becomes_variants_of_this_project() {
    let case = Case::new();
    let (series, out) = (case.quilt(), case.path("out"));
    let args = ["--from", "v1", "--to", "v1", "v2", "v3", "--format", "variants", "--output"];
    let (code, said) = case.said(&series, &[&args[..], &[out.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{said}");
    let series = xtask::series::load(&out).unwrap();
    let ids: Vec<&str> = series.patches.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["0001-one", "0002-new"]);
    let version = |v: u32| xtask::version::SystemdVersion::new(v, 0);
    for patch in &series.patches {
        assert!((1..=3).all(|v| patch.variant_for(version(v)).is_some()), "{}", patch.id);
    }
}

#[test]
fn nothing_that_exists_is_overwritten_unasked() {
    let case = Case::new();
    let (series, out) = (case.quilt(), case.path("out"));
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "x").unwrap();
    let args =
        |format, output| ["--from", "v1", "--to", "v2", "--format", format, "--output", output];
    for (format, output) in [("quilt", out.to_str().unwrap()), ("branch", "main")] {
        let (code, said) = case.said(&series, &args(format, output));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("exists"), "{said}");
    }
    // Asked for, but it is what somebody works on.
    let main = case.git(&["rev-parse", "main"]);
    let replace = [&args("branch", "main")[..], &["--replace"]].concat();
    let (code, said) = case.said(&series, &replace);
    assert!(code == 2 && said.contains("checked out"), "{said}");
    assert_eq!(case.git(&["rev-parse", "main"]), main);
    case.git(&["branch", "old", "v1"]);
    let replace = [&args("branch", "old")[..], &["--replace"]].concat();
    assert_eq!(case.said(&series, &replace).0, 0);
    assert_eq!(case.git(&["rev-parse", "old~2"]), case.git(&["rev-parse", "v2"]));
}

#[test]
fn a_series_is_carried_on_top_of_another_and_a_misfit_is_said() {
    let case = Case::new();
    let series = case.quilt();
    let other = case.path("other");
    fs::create_dir(&other).unwrap();
    let before = source(2);
    let after = before.replacen("        r = prepare", "        start(a);\n        r = prepare", 1);
    fs::write(other.join("0001-x.patch"), diff(&before, &after)).unwrap();
    let top = ["--from", "v1", "--to", "v2", "--on-top-of", other.to_str().unwrap(), "--json"];
    let out = case.run(&series, &top);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let row = &json["revisions"][0];
    assert_ne!(row["tree"], case.git(&["rev-parse", "v2^{tree}"]));
    assert_ne!(row["patched_tree"], case.patched_tree(&series, "v2"));
    let args = ["--from", "v1", "--to", "v3", "--on-top-of", other.to_str().unwrap()];
    let (code, said) = case.said(&series, &args);
    assert!(code == 2 && said.contains("0001-x.patch does not apply to v3"), "{said}");
    let (code, said) = case.said(&other, &["--from", "v3", "--to", "v2"]);
    assert!(code == 1 && said.contains("does not fit --from v3: 0001-x.patch"), "{said}");
}

#[test]
fn damaged_repositories_are_answered_with_what_is_missing() {
    let case = Case::new();
    let series = case.quilt();
    let (code, said) = case.said(&series, &["--from", "v1", "--to", "nothing"]);
    assert!(code == 2 && said.contains("`nothing`"), "{said}");
    // A blob.
    let blob = case.git(&["rev-parse", "v2:src/a.c"]);
    let object = |id: &str| case.repo().join(".git/objects").join(&id[..2]).join(&id[2..]);
    let kept = fs::read(object(&blob)).unwrap();
    fs::remove_file(object(&blob)).unwrap();
    let (code, said) = case.said(&series, &["--from", "v1", "--to", "v2", "v3"]);
    assert!(code == 2 && said.contains(&blob) && said.contains("src/a.c of 2"), "{said}");
    fs::write(object(&blob), kept).unwrap();
    // A tree.
    let tree = case.git(&["rev-parse", "v2:src"]);
    let kept = fs::read(object(&tree)).unwrap();
    fs::remove_file(object(&tree)).unwrap();
    let (code, said) = case.said(&series, &["--from", "v1", "--to", "v2"]);
    assert!(code == 2 && said.contains(&tree), "{said}");
    fs::write(object(&tree), kept).unwrap();
    assert_eq!(case.said(&series, &["--from", "v1", "--to", "v2"]).0, 0);
    // A pack with a flipped byte in every part of it.
    case.git(&["gc", "-q", "--prune=now"]);
    let packs = case.repo().join(".git/objects/pack");
    let pack = fs::read_dir(packs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "pack"))
        .unwrap();
    let mut mode = fs::metadata(&pack).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
    fs::set_permissions(&pack, mode).unwrap();
    let whole = fs::read(&pack).unwrap();
    let clean = case.patched_tree(&series, "v2");
    for at in (0..whole.len()).step_by(whole.len() / 16) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        fs::write(&pack, bytes).unwrap();
        let out = case.run(&series, &["--from", "v1", "--to", "v2", "--json"]);
        match out.status.code() {
            Some(0) => {
                let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
                assert_eq!(json["revisions"][0]["patched_tree"], clean, "byte {at}");
            }
            Some(1 | 2) => {}
            other => panic!("byte {at}: {other:?}: {}", String::from_utf8_lossy(&out.stderr)),
        }
    }
}

#[test]
fn a_shallow_clone_works_as_far_as_it_reaches() {
    let case = Case::new();
    let series = case.quilt();
    let wanted = case.patched_tree(&series, "v2");
    let url = format!("file://{}", case.repo().display());
    let shallow = case.path("shallow");
    tool(
        "git",
        &["clone", "-q", "--depth=1", "--branch=v2", &url, shallow.to_str().unwrap()],
        case.dir.path(),
    );
    fs::rename(case.repo(), case.path("whole")).unwrap();
    fs::rename(&shallow, case.repo()).unwrap();
    let (code, said) = case.said(&series, &["--from", "v1", "--to", "v2"]);
    assert!(code == 2 && said.contains("--unshallow"), "{said}");
    let out = case.run(&series, &["--from", "v2", "--to", "v2", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(json["revisions"][0]["patched_tree"], wanted);
}
