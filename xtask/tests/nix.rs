// SPDX-License-Identifier: MIT
//! The Nix files, parsed by rnix and evaluated by a real Nix over a small stand-in for nixpkgs.
//!
//! The stand-in has `overrideAttrs` as nixpkgs has it, and no more: these tests prove which patches
//! are chosen and where they go, not that a real nixpkgs builds them.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::json;
use support::{Nix, checkout, copy_nix_files, nix_files};
use xtask::profile::{Entry, Labelled, Profile};
use xtask::render::overlay::{self, Verified};
use xtask::workspace::Checkout;

/// A tree with the real Nix files, a series made for the test, and the patch files it names.
struct Tree {
    dir: tempfile::TempDir,
    series: Vec<Verified>,
}

impl Tree {
    fn new() -> Tree {
        let dir = tempfile::tempdir().unwrap();
        copy_nix_files(dir.path());
        let series: Vec<Verified> = [
            ("254.26", &["0001-mount-setup/254.patch", "0005-manager/254.patch"][..]),
            ("257", &["0001-mount-setup/254.patch", "0005-manager/257.patch"][..]),
            ("257.2", &["0001-mount-setup/254.patch", "0005-manager/257.patch"][..]),
            ("257.13", &["0001-mount-setup/254.patch", "0005-manager/254.patch"][..]),
            ("258-rc1", &["0001-mount-setup/258.patch"][..]),
            (
                "258",
                &[
                    "0001-mount-setup/258.patch",
                    "0004-exec-invoke/258.patch",
                    "0005-manager/257.patch",
                ][..],
            ),
        ]
        .map(|(version, patches)| Verified {
            version: version.parse().unwrap(),
            patches: patches.iter().map(PathBuf::from).collect(),
        })
        .into();
        for patch in series.iter().flat_map(|v| &v.patches) {
            let file = dir.path().join("patches").join(patch);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let tree = Tree { dir, series };
        tree.change().apply().unwrap();
        tree
    }

    fn change(&self) -> xtask::atomic::ChangeSet {
        let segments = overlay::segments(self.series.clone()).unwrap();
        overlay::overlay(&Checkout::at(self.dir.path()), &segments).unwrap()
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// An expression over `pkgs`, the stand-in with `version` of systemd and the given overlays.
    fn with_pkgs(&self, version: &str, overlays: &[&str], expression: &str) -> String {
        let root = self.path().display();
        let overlays: Vec<String> =
            overlays.iter().map(|o| format!("(import {root}/overlays/{o})")).collect();
        format!(
            r#"let
  lib.warn = message: value: builtins.trace "evaluation warning: ${{message}}" value;
  package = attrs: attrs // (attrs.passthru or {{ }}) // {{
    overrideAttrs = f: package (attrs // f attrs);
  }};
  base = {{
    inherit lib;
    systemd = package {{
      version = "{version}";
      patches = [ /nixpkgs/0001-first.patch /nixpkgs/0002-second.patch ];
      passthru.withLogind = true;
    }};
    other = "untouched";
  }};
  extend = self: overlays: let
    final = builtins.foldl' (prev: o: prev // o final prev) self overlays;
  in final // {{ extend = o: extend self (overlays ++ [ o ]); }};
  pkgs = extend base [ {} ];
  names = p: map toString p.patches;
in {expression}"#,
            overlays.join(" ")
        )
    }

    /// What the patched package's patch list must be, in this tree.
    fn expected(&self, version: &str) -> serde_json::Value {
        let version = version.parse().unwrap();
        let ours = &self.series.iter().find(|v| v.version == version).unwrap().patches;
        let own = ["0001-first", "0002-second"].map(|n| format!("/nixpkgs/{n}.patch"));
        let ours = ours.iter().map(|p| self.path().join("patches").join(p).display().to_string());
        own.into_iter().chain(ours).collect::<Vec<_>>().into()
    }
}

#[test]
fn every_nix_file_parses() {
    let files = nix_files(checkout());
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let errors = rnix::Root::parse(&text).errors().to_vec();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
        assert!(text.starts_with("# SPDX-License-Identifier: MIT\n"), "{}", file.display());
    }
    let broken = rnix::Root::parse("{ a = ; }");
    assert!(!broken.errors().is_empty(), "rnix takes everything");
}

/// Nix refuses more than rnix does, such as a name that is not bound.
#[test]
fn every_nix_file_parses_with_nix_itself() {
    let Some(nix) = Nix::find() else { return };
    let files = nix_files(checkout());
    let mut args = vec!["--parse"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    let seen = nix.run("nix-instantiate", &args);
    assert!(seen.ok, "{}", seen.stderr);
    assert!(
        !nix.run("nix-instantiate", &["--parse", "-E", "{ a = b; }"]).ok,
        "Nix takes everything"
    );
}

#[test]
fn a_hand_edit_of_the_generated_file_is_drift() {
    let tree = Tree::new();
    assert!(tree.change().drift().is_empty());
    let file = tree.path().join("overlays").join(overlay::FILE);
    std::fs::write(&file, "[ ]\n").unwrap();
    assert_eq!(tree.change().drift(), [file.as_path()]);
}

#[test]
fn each_verified_version_gets_its_patches_after_those_of_nixpkgs() {
    let Some(nix) = Nix::find() else { return };
    let tree = Tree::new();
    for verified in &tree.series {
        let version = verified.version.to_string();
        let expression = tree.with_pkgs(&version, &["default.nix"], "names pkgs.systemd-plainboot");
        let result = nix.eval(&expression);
        assert!(result.ok, "{version}: {}", result.stderr);
        let patches: serde_json::Value = serde_json::from_str(&result.stdout).unwrap();
        assert_eq!(patches, tree.expected(&version), "{version}");
        assert!(!result.stderr.contains("not verified"), "{version}: {}", result.stderr);
    }
}

#[test]
fn the_patch_files_end_in_a_real_derivation() {
    let Some(nix) = Nix::find() else { return };
    let tree = Tree::new();
    let expression = tree.with_pkgs(
        "258",
        &["default.nix"],
        r#"derivation {
  name = "x"; system = "x"; builder = "x"; patches = pkgs.systemd-plainboot.plainboot.patches;
}"#,
    );
    let made = nix.run("nix-instantiate", &["-E", &expression]);
    assert!(made.ok, "{}", made.stderr);
    std::fs::remove_file(tree.path().join("patches/0004-exec-invoke/258.patch")).unwrap();
    let missing = nix.run("nix-instantiate", &["-E", &expression]);
    assert!(missing.stderr.contains("0004-exec-invoke/258.patch"), "{}", missing.stderr);
}

/// The file that is committed, for every version in the lock, against the series itself.
#[test]
fn the_committed_overlay_gives_each_locked_version_what_the_series_names() {
    let Some(nix) = Nix::find() else { return };
    let patches = checkout().join("patches");
    let series = xtask::series::load(&patches).unwrap();
    let lock = xtask::sources::Lock::load(&patches.join("sources.lock")).unwrap();
    let versions: Vec<_> = lock.iter().map(|entry| entry.version).collect();
    assert!(!versions.is_empty());
    let quoted: String = versions.iter().map(|v| format!("\"{v}\" ")).collect();
    let seen = nix.json(&format!(
        "let inherit (import {}/nix/lib {{ warn = message: _: throw message; }}) patchesFor; in
         map (version: map toString (patchesFor version)) [ {quoted} ]",
        checkout().display()
    ));
    for (version, seen) in versions.iter().zip(seen.as_array().unwrap()) {
        let variant = |p: &xtask::series::Patch| {
            p.variant_for(*version).map(|v| json!(patches.join(p.file(v.base))))
        };
        let named: serde_json::Value = series.patches.iter().filter_map(variant).collect();
        assert_eq!(seen, &named, "systemd {version}");
    }
}

#[test]
fn a_version_that_was_not_verified_warns_and_takes_the_nearest_patches() {
    let Some(nix) = Nix::find() else { return };
    let tree = Tree::new();
    // Newer than all of its major, between two segments, and older than all of its major.
    for (version, like, newest) in
        [("258.1", "258", "258"), ("257.7", "257.2", "257.13"), ("254", "254.26", "254.26")]
    {
        let result =
            nix.eval(&tree.with_pkgs(version, &["default.nix"], "names pkgs.systemd-plainboot"));
        assert!(result.ok, "{version}: {}", result.stderr);
        let patches: serde_json::Value = serde_json::from_str(&result.stdout).unwrap();
        assert_eq!(patches, tree.expected(like), "{version}");
        for part in [
            &format!("not verified on systemd {version};"),
            &format!("newest verified {}: {newest})", newest.split('.').next().unwrap()),
            &format!("cargo xtask rebase-patches {version}"),
        ] {
            assert!(result.stderr.contains(part), "{version}: no `{part}` in {}", result.stderr);
        }
    }
}

#[test]
fn a_major_without_patches_is_an_error_that_says_what_to_run() {
    let Some(nix) = Nix::find() else { return };
    let tree = Tree::new();
    for (version, parts) in [
        ("259.1", ["systemd 259.1 (systemd.package,", "254, 257, 258", "rebase-patches 259.1"]),
        ("255", ["systemd 255 (systemd.package,", "254, 257, 258", "rebase-patches 255"]),
        (
            "252.39",
            [
                "systemd 252.39 (systemd.package,",
                "oldest major with patches is 254",
                "newer systemd",
            ],
        ),
        ("latest", ["\"latest\" is not a systemd version", "257", "257.13"]),
    ] {
        let expression = tree.with_pkgs(version, &["default.nix"], "names pkgs.systemd-plainboot");
        let result = nix.eval(&expression);
        assert!(!result.ok, "{version} was taken");
        for part in parts {
            assert!(result.stderr.contains(part), "{version}: no `{part}` in {}", result.stderr);
        }
        // Who does not ask for the patched package is not bothered.
        let expression = tree.with_pkgs(version, &["default.nix"], "names pkgs.systemd");
        assert!(nix.eval(&expression).ok);
    }
}

#[test]
fn without_a_verified_version_the_error_says_so() {
    let Some(nix) = Nix::find() else { return };
    let mut tree = Tree::new();
    tree.series.clear();
    tree.change().apply().unwrap();
    let result = nix.eval(&tree.with_pkgs("257", &["default.nix"], "names pkgs.systemd-plainboot"));
    assert!(!result.ok && result.stderr.contains("no systemd version is verified yet"));
}

#[test]
fn the_overlay_adds_one_attribute_and_leaves_systemd_alone() {
    let Some(nix) = Nix::find() else { return };
    let tree = Tree::new();
    let seen = nix.json(&tree.with_pkgs(
        "258",
        &["default.nix"],
        r#"{
  added = builtins.attrNames (builtins.removeAttrs pkgs (builtins.attrNames base ++ [ "extend" ]));
  stock = names pkgs.systemd;
  marked = pkgs.systemd ? plainboot;
  inherit (pkgs.systemd-plainboot) withLogind version;
  inherit (pkgs) other;
}"#,
    ));
    assert_eq!(
        seen,
        json!({
            "added": ["systemd-plainboot"],
            "stock": ["/nixpkgs/0001-first.patch", "/nixpkgs/0002-second.patch"],
            "marked": false, "withLogind": true, "version": "258", "other": "untouched",
        })
    );
}

#[test]
fn replacing_systemd_patches_it_once_in_any_combination() {
    let Some(nix) = Nix::find() else { return };
    let tree = Tree::new();
    for overlays in [
        &["replace.nix"][..],
        &["default.nix", "replace.nix"],
        &["replace.nix", "default.nix"],
        &["replace.nix", "replace.nix"],
    ] {
        let both = tree.with_pkgs(
            "258",
            overlays,
            "{ systemd = names pkgs.systemd; ours = names pkgs.systemd-plainboot; }",
        );
        let expected = tree.expected("258");
        assert_eq!(nix.json(&both), json!({"systemd": expected, "ours": expected}), "{overlays:?}");
    }
}

/// Names that a `let` binds or inherits and that stand nowhere else in the file.
fn dead_bindings(text: &str) -> Vec<String> {
    use rnix::SyntaxKind::{NODE_ATTRPATH, NODE_INHERIT, NODE_LET_IN, TOKEN_IDENT};
    let tree = rnix::Root::parse(text).syntax();
    let words: Vec<String> = tree
        .descendants_with_tokens()
        .filter_map(|e| e.into_token())
        .filter(|token| token.kind() == TOKEN_IDENT)
        .map(|token| token.text().to_owned())
        .collect();
    let lets = tree.descendants().filter(|node| node.kind() == NODE_LET_IN);
    let bound = lets.flat_map(|node| {
        node.children().flat_map(|entry| {
            // `inherit (from) a b;` binds the names after the parentheses.
            let names: Vec<_> = match entry.kind() {
                NODE_INHERIT => entry.children().collect(),
                _ => entry.children().filter(|c| c.kind() == NODE_ATTRPATH).collect(),
            };
            names.into_iter().map(|name| name.text().to_string())
        })
    });
    bound.filter(|name| words.iter().filter(|word| *word == name).count() == 1).collect()
}

#[test]
fn no_nix_file_binds_what_it_does_not_use() {
    for file in nix_files(checkout()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(dead_bindings(&text), [""; 0], "{}", file.display());
    }
    let text = "let inherit (builtins) map filter; a = 1; b = a; in map b";
    assert_eq!(dead_bindings(text), ["filter"]);
    assert_eq!(dead_bindings("let a = 1; in 2"), ["a"]);
}

#[test]
fn nix_files_are_formatted_as_nixpkgs_formats_its_own() {
    for file in nix_files(checkout()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let formatted = nixfmt_rs::format(&text).unwrap();
        let differs = text.lines().zip(formatted.lines()).position(|(a, b)| a != b);
        assert!(
            text == formatted,
            "{}:{}: run nixfmt on it",
            file.display(),
            differs.unwrap_or_default() + 1
        );
    }
}

#[test]
fn nix_and_rust_see_the_same_profile() {
    let Some(nix) = Nix::find() else { return };
    let file = checkout().join("nix/profile.nix");
    let seen = nix.json(&format!(
        r#"let p = import {}; in p // {{
  labels = p.labels {{ systemd = "257.13"; patches = [ "0001-mount-setup" "0002-cgroup" ]; }}; }}"#,
        file.display()
    ));
    let profile = Profile::load(&Checkout::at(checkout())).unwrap();
    let values = |entries: &std::collections::BTreeMap<String, Entry<String>>| {
        entries.iter().map(|(key, e)| (key.clone(), json!(e.value))).collect::<serde_json::Value>()
    };
    assert_eq!(
        seen,
        json!({
            "schema": profile.schema,
            "command": profile.command.value,
            "stopSignal": profile.stop_signal.value,
            "environment": values(&profile.environment),
            "machineId": profile.machine_id.as_ref().unwrap().value,
            "defaultTarget": profile.default_target.as_ref().unwrap().value,
            "maskedUnits": profile.masked_units.iter().map(|e| &e.value).collect::<Vec<_>>(),
            "manager": values(&profile.manager),
            "journald": values(&profile.journald),
            "logind": values(&profile.logind),
            "tmpfiles": profile.tmpfiles.iter().map(|e| &e.value).collect::<Vec<_>>(),
            "unitSettings": profile.unit_settings.iter().map(|e| &e.value).collect::<Vec<_>>(),
            "labels": profile.labels(Labelled {
                systemd: "257.13".parse().unwrap(),
                patches: &["0001-mount-setup", "0002-cgroup"],
            }),
        })
    );
}
