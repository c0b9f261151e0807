// SPDX-License-Identifier: MIT
//! `bump-nixpkgs` as a whole command, offline, on a folder.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/case.rs"]
mod case;

use std::fs;
use std::path::PathBuf;

use case::{Case, case, files, stdout};

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

#[test]
fn a_new_release_is_also_what_nixpkgs_has() {
    let case = case("moved");
    let carried = case.command("rebase-patches", &["257.1", "258"]);
    assert!(carried.status.success(), "{carried:?}");
    // As if 257 had never been carried: it is older than others, so nobody else asks for it.
    let lock = case.checkout().join("patches/sources.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let others = |entry: &&str| !entry.contains("version = \"257\"\n");
    let kept: Vec<&str> = text.split("[[version]]\n").filter(others).collect();
    fs::write(&lock, kept.join("[[version]]\n")).unwrap();
    let nixpkgs = Nixpkgs::new(&case, "257");
    for name in ["0001-first.patch", "0002-second.patch"] {
        nixpkgs.patch(name, "a\n", "b\n");
    }
    let before = files(&case.checkout());
    let ask = |more: &[&str]| {
        let run = case.command("new-release", &[&["--check"], more].concat());
        let said = [stdout(&run), String::from_utf8_lossy(&run.stderr).into_owned()].concat();
        (run.status.code().unwrap(), said)
    };
    let (code, said) = ask(&[]);
    assert_eq!((code, said.contains("nothing is new")), (0, true), "{said}");
    let (code, said) = ask(&["--nixpkgs", nixpkgs.0.to_str().unwrap()]);
    assert_eq!((code, said.contains("257 fits: ")), (1, true), "{said}");
    assert_eq!(files(&case.checkout()), before);
    let (code, said) = ask(&["--nixpkgs", case.dir.path().to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
}
