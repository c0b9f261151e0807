// SPDX-License-Identifier: MIT
//! `rebase-patches` as a whole command, on one folder per case below `tests/rebase/`.
//!
//! `trees/<version>/` are systemd's versions, `patches/` the series before the run. What the
//! command says and leaves behind is a snapshot. What it wrote must be stable (`--check` finds
//! nothing), and is applied with the real `git apply` and GNU `patch -F0`, which must agree.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::version::SystemdVersion;

struct Case {
    name: String,
    dir: tempfile::TempDir,
    clone: PathBuf,
    trees: BTreeMap<SystemdVersion, PathBuf>,
}

impl Case {
    fn new(fixture: &Path) -> Case {
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

    fn checkout(&self) -> PathBuf {
        self.dir.path().join("checkout")
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command("rebase-patches", args)
    }

    fn command(&self, command: &str, args: &[&str]) -> Output {
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
    fn plain(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(self.dir.path().to_str().unwrap(), "…");
        let time = regex::Regex::new(r"\(\d+\.\d+ s\)").unwrap();
        time.replace_all(&text, "(TIME)").into_owned()
    }
}

fn copy(from: &Path, to: &Path) {
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

fn tree(repo: &git2::Repository, dir: &Path) -> git2::Oid {
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

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

#[test]
fn every_case_says_and_writes_what_it_should() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rebase");
    let mut fixtures: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    fixtures.sort();
    assert!(fixtures.len() > 15, "the cases are gone");
    for fixture in fixtures {
        let case = Case::new(&fixture);
        let before = files(&case.checkout());
        let dry = case.run(&["--all", "--check"]);
        assert_eq!(files(&case.checkout()), before, "{}: --check wrote", case.name);
        let run = case.run(&["--all"]);
        let code = run.status.code();
        let mut text =
            format!("exit code {}, with --check {}\n\n", shown(code), shown(dry.status.code()));
        text += &case.plain(&run.stdout);
        text += &case.plain(&run.stderr);
        let after = files(&case.checkout());
        if code == Some(2) {
            assert_eq!(after, before, "{}: a faulty run wrote", case.name);
        } else {
            for (path, bytes) in after.iter().filter(|(p, b)| before.get(*p) != Some(b)) {
                let is_lock = path.ends_with("sources.lock");
                let shown = if is_lock { "(written)\n".into() } else { case.plain(bytes) };
                let _ = write!(text, "\n=== {}\n{shown}", path.display());
            }
            let again = case.run(&["--check"]);
            let said = String::from_utf8_lossy(&again.stdout);
            assert!(said.contains("nothing to write"), "{}: not stable\n{said}", case.name);
            apply_with_real_tools(&case);
        }
        insta::with_settings!({snapshot_path => &fixture, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!("expected", text);
        });
    }
}

fn shown(code: Option<i32>) -> String {
    code.map_or("none (killed)".to_owned(), |c| c.to_string())
}

/// Applies the variants of every settled version with git and GNU patch to files on disk.
fn apply_with_real_tools(case: &Case) {
    let series = xtask::series::load(&case.checkout().join("patches")).unwrap();
    for (version, sources) in &case.trees {
        let chain: Vec<PathBuf> = series
            .patches
            .iter()
            .filter_map(|p| {
                Some(case.checkout().join("patches").join(p.file(p.variant_for(*version)?.base)))
            })
            .collect();
        if chain.is_empty() {
            continue;
        }
        let json = case.run(&["--check", "--json", &version.to_string()]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let rows = json["versions"].as_array().unwrap();
        let row = rows.iter().find(|r| r["version"] == version.to_string()).unwrap();
        let Some(patched) = row["patched_tree"].as_str() else { continue };
        let tools: [(&str, &[&str]); 2] = [
            ("git", &["apply", "--whitespace=nowarn"]),
            ("patch", &["-p1", "-F0", "-s", "--no-backup-if-mismatch", "-i"]),
        ];
        for (tool, args) in tools {
            if !xtask::exec::have(tool) {
                xtask::skip::record(&format!("{tool} is not installed")).unwrap();
                continue;
            }
            let work = tempfile::tempdir().unwrap();
            copy(sources, work.path());
            for patch in &chain {
                // In a repository above, `git apply` would silently do nothing.
                let out = Command::new(tool)
                    .args(args)
                    .arg(patch)
                    .current_dir(work.path())
                    .env("GIT_CEILING_DIRECTORIES", work.path().parent().unwrap())
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&out.stderr);
                assert!(out.status.success(), "{}: {tool} on {version}: {said}", case.name);
            }
            let repo = git2::Repository::open_bare(&case.clone).unwrap();
            let theirs = tree(&repo, work.path()).to_string();
            assert_eq!(theirs, patched, "{}: {tool} on {version} differs", case.name);
        }
    }
}

fn case(name: &str) -> Case {
    Case::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rebase").join(name))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The way out of a conflict that the command names.
#[test]
fn a_conflict_is_solved_by_writing_the_patch_file_it_names() {
    let case = case("conflict");
    assert_eq!(case.run(&["258"]).status.code(), Some(1));
    let version = "258".parse().unwrap();
    let path = "src/core/a.c";
    let before = fs::read(case.trees[&version].join(path)).unwrap();
    let text = String::from_utf8(before.clone()).unwrap();
    let after =
        text.replacen("        r = prepare_all", "        mark(a);\n        r = prepare_all", 1);
    let file = xtask::patch::diff(path, Some(&before), 0o100_644, after.as_bytes(), 3).unwrap();
    let message = b"Subject: [PATCH] a test\n\nUpstream-Status: Inappropriate [test]\n".to_vec();
    let patch = xtask::patch::PatchText { message, files: vec![file] };
    let written = case.checkout().join("patches/0001-a/258.patch");
    fs::write(&written, patch.to_bytes()).unwrap();

    let run = case.run(&["258"]);
    assert_eq!(run.status.code(), Some(0), "{}", stdout(&run));
    assert_eq!(fs::read(written).unwrap(), patch.to_bytes(), "a text of a person was changed");
    let series = xtask::series::load(&case.checkout().join("patches")).unwrap();
    assert_eq!(series.patches[0].variant_for(version).unwrap().base, version);
    apply_with_real_tools(&case);
}

/// The other way out: edit the merged files, and have the solution remembered.
#[test]
fn a_conflict_is_solved_by_editing_what_collides() {
    let case = case("conflict");
    let said = |args: &[&str]| {
        let out = case.command("resolve", args);
        let text = case.plain(&[out.stdout, out.stderr].concat());
        (out.status.code(), text)
    };
    let (code, text) = said(&["0001-a", "258"]);
    assert_eq!(code, Some(1), "{text}");
    let file = case.dir.path().join("cache/resolve/0001-a-258/src/core/a.c");
    let marked = fs::read_to_string(&file).unwrap();
    assert!(said(&["0001-a", "258"]).1.contains("is there already"));
    let (code, text) = said(&["0001-a", "258", "--continue"]);
    assert!(code == Some(2) && text.contains("a conflict marker"), "{text}");
    // Both: this version's lines, below the line that the patch adds.
    let (above, rest) = marked.split_once("<<<<<<< systemd 258\n").unwrap();
    let (ours, rest) = rest.split_once("||||||| systemd 257, before the patch\n").unwrap();
    let (_, rest) = rest.split_once("=======\n").unwrap();
    let (_, below) = rest.split_once(">>>>>>> 0001-a\n").unwrap();
    fs::write(&file, format!("{above}        mark(a);\n{ours}{below}")).unwrap();
    let before = files(&case.checkout());
    let (code, text) = said(&["0001-a", "258", "--continue"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!file.exists());
    let after = files(&case.checkout());
    let new: Vec<&PathBuf> = after.keys().filter(|p| !before.contains_key(*p)).collect();
    assert_eq!(new.len(), 2, "{new:?}");
    let remembered = after.iter().find(|(p, _)| p.starts_with("patches/resolutions")).unwrap();
    let remembered = String::from_utf8_lossy(remembered.1).into_owned();
    assert!(remembered.contains("resolved = ") && remembered.contains("mark(a);"), "{remembered}");
    // Solved once, it is solved wherever it collides so again.
    let variant = case.checkout().join("patches/0001-a/258.patch");
    let solved = fs::read(&variant).unwrap();
    fs::remove_file(&variant).unwrap();
    let (_, text) = said(&["0001-a", "258"]);
    assert!(text.contains(": 0 to solve") && text.contains("is solved as 0001-a was"), "{text}");
    assert_eq!(said(&["0001-a", "258", "--continue"]).0, Some(0));
    assert_eq!(fs::read(&variant).unwrap(), solved);
    assert_eq!(case.run(&["258"]).status.code(), Some(0));
    apply_with_real_tools(&case);
    assert!(said(&["0001-a", "258"]).1.contains("nothing to solve"));
}

#[test]
fn versions_that_are_not_here_keep_what_they_have() {
    let case = case("merged");
    assert_eq!(case.run(&["--all"]).status.code(), Some(0));
    let before = files(&case.checkout());
    let repo = git2::Repository::open_bare(&case.clone).unwrap();
    repo.find_reference("refs/tags/v258.1").unwrap().delete().unwrap();
    repo.find_reference("refs/tags/v258").unwrap().delete().unwrap();
    fs::remove_dir_all(case.dir.path().join("cache")).unwrap();
    let run = case.run(&[]);
    assert_eq!(run.status.code(), Some(0), "{}", stdout(&run));
    assert!(stdout(&run).contains("kept as it is: 258 - 258.1"), "{}", stdout(&run));
    assert_eq!(files(&case.checkout()), before);
}

#[test]
fn a_verified_version_that_stops_fitting_stops_all_writing() {
    let case = case("moved");
    assert_eq!(case.run(&["--all"]).status.code(), Some(0));
    let patch = case.checkout().join("patches/0001-a/257.patch");
    let text = fs::read_to_string(&patch).unwrap();
    fs::write(&patch, text.replace("         if (r < 0)", "         if (r > 0)")).unwrap();
    let before = files(&case.checkout());
    let run = case.run(&["--all"]);
    assert_eq!(run.status.code(), Some(1), "{}", stdout(&run));
    assert!(stdout(&run).contains("nothing was written"), "{}", stdout(&run));
    assert_eq!(files(&case.checkout()), before);
}

#[test]
fn a_missing_object_is_named_and_stops_only_its_version() {
    let case = case("moved");
    let content = fs::read(case.trees[&"257.1".parse().unwrap()].join("src/core/a.c")).unwrap();
    let oid = git2::Oid::hash_object(git2::ObjectType::Blob, &content).unwrap().to_string();
    fs::remove_file(case.clone.join("objects").join(&oid[..2]).join(&oid[2..])).unwrap();
    let run = case.run(&["--all"]);
    let text = stdout(&run);
    assert_eq!(run.status.code(), Some(2), "{text}");
    assert!(text.contains(&oid) && text.contains("src/core/a.c of 257.1"), "{text}");
    let series = xtask::series::load(&case.checkout().join("patches")).unwrap();
    let patch = &series.patches[0];
    assert!(patch.variant_for("257".parse().unwrap()).is_some());
    assert!(patch.variant_for("257.1".parse().unwrap()).is_none());
}

#[test]
fn a_part_of_the_series_gives_a_tree_of_its_own() {
    let case = case("two-patches-a-b-a");
    assert_eq!(case.run(&["--all"]).status.code(), Some(0));
    let series = xtask::series::load(&case.checkout().join("patches")).unwrap();
    let repo = git2::Repository::open_bare(&case.clone).unwrap();
    let version = "257.1".parse().unwrap();
    let upstream = tree(&repo, &case.trees[&version]);
    let patched =
        |ids: &[&str]| xtask::rebase::patched_tree(&repo, &series, upstream, version, ids);
    assert_eq!(patched(&[]).unwrap(), upstream);
    let json = case.run(&["--check", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let rows = json["versions"].as_array().unwrap();
    let row = rows.iter().find(|r| r["version"] == "257.1").unwrap();
    assert_eq!(row["patched_tree"], patched(&["0001-a", "0002-b"]).unwrap().to_string());
    let first = patched(&["0001-a"]).unwrap();
    assert_ne!(first, upstream);
    // The second patch changes lines that the first one brings.
    let error = patched(&["0002-b"]).unwrap_err();
    assert!(error.to_string().contains("needs a patch that is left out"), "{error}");
    assert!(patched(&["0009-x"]).is_err());
}

/// A nixpkgs as far as systemd's package goes, with patches of its own.
struct Nixpkgs(PathBuf);

impl Nixpkgs {
    fn new(case: &Case, version: &str) -> Nixpkgs {
        let nixpkgs = Nixpkgs(case.dir.path().join("nixpkgs"));
        fs::create_dir_all(nixpkgs.folder()).unwrap();
        nixpkgs.put("default.nix", &format!(
            r#"{{ stdenv, lib, fetchFromGitHub, fetchzip, pname ? "systemd" }}:
stdenv.mkDerivation (finalAttrs: {{
  inherit pname;
  version = "{version}";
  src = fetchFromGitHub {{ rev = "v${{finalAttrs.version}}"; hash = lib.fakeHash; }};
  patches = [
    # For NixOS.
    ./0001-first.patch
  ]
  ++ lib.optionals (stdenv.hostPlatform.isLinux && stdenv.hostPlatform.isGnu) [ ./0002-second.patch ]
  ++ lib.optional stdenv.hostPlatform.isMusl (
    let musl = fetchzip {{ url = "x"; }}; in [ (musl + "/0001-musl.patch") ]
  );
}})
"#
        ));
        nixpkgs
    }

    fn folder(&self) -> PathBuf {
        self.0.join(xtask::nixpkgs::FOLDER)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder().join(name), text).unwrap();
    }

    /// A patch of src/core/a.c, as nixpkgs exports its own.
    fn patch(&self, name: &str, before: &str, after: &str) {
        let diff = diffy::create_patch(before, after).to_string();
        let hunks = diff.split_once("@@").unwrap().1;
        self.put(
            name,
            &format!(
                "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n\
             From: A <a@b>\nDate: Tue, 8 Jan 2013 15:46:30 +0100\nSubject: [PATCH] {name}\n\n---\n \
             src/core/a.c | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n\n\
             diff --git a/src/core/a.c b/src/core/a.c\nindex 1111111111..2222222222 100644\n\
             --- a/src/core/a.c\n+++ b/src/core/a.c\n@@{hunks}"
            ),
        );
    }
}

#[test]
fn a_nixpkgs_in_a_folder_is_followed_offline() {
    let case = case("moved");
    let release =
        fs::read_to_string(case.trees[&"258".parse().unwrap()].join("src/core/a.c")).unwrap();
    let nixpkgs = Nixpkgs::new(&case, "258");
    let first = release.replace("log(a + 1);", "log(a + 2);");
    nixpkgs.patch("0001-first.patch", &release, &first);
    // On top of the first, as nixpkgs applies them.
    nixpkgs.patch("0002-second.patch", &first, &first.replace("log(a + 2);", "log(a + 3);"));
    let folder = nixpkgs.0.to_str().unwrap();
    let bump = |args: &[&str]| {
        let run = case.command("bump-nixpkgs", &[&[folder][..], args].concat());
        let said = [stdout(&run), String::from_utf8_lossy(&run.stderr).into_owned()].concat();
        (run.status.code().unwrap(), said)
    };
    // A dry run tells, and writes nothing.
    let before = files(&case.checkout());
    let (code, said) = bump(&["--check"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(files(&case.checkout()), before);
    let (code, said) = bump(&[]);
    assert_eq!(code, 0, "{said}");
    for part in [
        "# Follow nixpkgs with systemd 258",
        "- 2, seen for the first time",
        "On top of them, 1 patch of plainboot applies without fuzz",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let read = |path: &str| fs::read_to_string(case.checkout().join(path)).unwrap();
    assert!(read("overlays/systemd-patches.nix").contains("\"258\""));
    assert!(read("patches/sources.lock").contains("258"));
    let followed: serde_json::Value = serde_json::from_str(&read("nix/nixpkgs.json")).unwrap();
    assert_eq!(followed["systemd"], "258");
    assert_eq!(followed["patches"].as_array().unwrap().len(), 2);
    assert_eq!(bump(&["--check"]).0, 0);

    // Each way in which it does not fit is said, with nothing written over what was followed.
    let kept = read("nix/nixpkgs.json");
    nixpkgs.patch("0002-second.patch", &release, &release.replace("log(a + 1);", "log(a + 4);"));
    let (code, said) = bump(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("They do not all apply to the release"), "{said}");
    let theirs = first.replace("        r = prepare(a);", "        r = prepare(a + 1);");
    nixpkgs.patch("0002-second.patch", &first, &theirs);
    let (code, said) = bump(&[]);
    assert_eq!(code, 1, "{said}");
    for part in
        ["these do not fit", "`0001-a`", "new text: `0002-second.patch`", "patches/ID/258.patch"]
    {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(read("nix/nixpkgs.json"), kept);

    // What is no nixpkgs, or one that is written in another way.
    let (code, said) = bump(&["--json"]);
    assert_eq!((code, said.contains("\"pull_request\"")), (1, true), "{said}");
    nixpkgs.put("default.nix", "{ version = \"258\"; patches = map f [ ]; }");
    let (code, said) = bump(&[]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("systemd/default.nix: `patches` has something else"), "{said}");
    for (named, code, part) in [
        ("./nowhere", 2, "./nowhere: no such folder"),
        (case.dir.path().to_str().unwrap(), 2, "name the folder of a nixpkgs"),
        ("nixos-unstable", 77, "--offline: nixpkgs nixos-unstable is not fetched"),
    ] {
        let run = case.command("bump-nixpkgs", &[named]);
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{named}: {said}");
        assert!(said.contains(part), "{named}: no `{part}` in {said}");
    }
}
