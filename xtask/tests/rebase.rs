// SPDX-License-Identifier: MIT
//! `rebase-patches` as a whole command, on one folder per case below `tests/rebase/`.
//!
//! `trees/<version>/` are systemd's versions, `patches/` the series before the run. What the
//! command says and leaves behind is a snapshot. What it wrote must be stable (`--check` finds
//! nothing), and is applied with the real `git apply` and GNU `patch -F0`, which must agree.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/case.rs"]
mod case;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use case::{Case, case, copy, files, stdout, tree};

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

/// Every field's name is in ARCHITECTURE.md, but those that are versions.
fn said_in_the_document(json: &serde_json::Value) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let text = fs::read_to_string(file).unwrap();
    let mut values = vec![json];
    while let Some(value) = values.pop() {
        match value {
            serde_json::Value::Array(all) => values.extend(all),
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    let version = name.starts_with(|c: char| c.is_ascii_digit());
                    assert!(version || text.contains(&format!("`{name}`")), "{name}");
                    values.push(value);
                }
            }
            _ => {}
        }
    }
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
    said_in_the_document(&json);
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

/// The second run recalls the answer of the first, and must tell the page the same trees.
#[test]
fn what_is_kept_for_the_page_is_the_same_when_the_answer_is_recalled() {
    let case = case("moved");
    assert_eq!(case.run(&[]).status.code(), Some(0));
    let runs = case.dir.path().join("cache/runs");
    let mut kept = Vec::new();
    for _ in 0..2 {
        fs::remove_dir_all(&runs).unwrap();
        assert_eq!(case.run(&[]).status.code(), Some(0));
        let run = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
        let carried: serde_json::Value =
            serde_json::from_slice(&fs::read(run.join("carried.json")).unwrap()).unwrap();
        kept.push(carried["versions"].clone());
        assert!(case.dir.path().join("cache/rebase-answer").exists());
    }
    assert_eq!(kept[0], kept[1]);
    let json = case.run(&["--check", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    for (row, kept) in json["versions"].as_array().unwrap().iter().zip(kept[1].as_array().unwrap())
    {
        assert!(row["patched_tree"].is_string() && row["patched_tree"] == kept["patched"], "{row}");
    }
}

/// A server gives one version at a time; a conflict shows both sides only with the one that the patch
/// was made on.
#[test]
fn the_version_that_a_patch_was_made_on_is_fetched_to_solve_a_conflict() {
    let case = case("conflict");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(case.checkout())
        .args(["--quiet", "--offline", "--cache-dir"])
        .arg(case.dir.path().join("cache"))
        .arg("--systemd-git")
        .arg(format!("file://{}", case.clone.display()))
        .args(["resolve", "0001-a", "258"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(stdout(&output).contains("src/core/a.c: 1 to solve"), "{}", stdout(&output));
}

/// Every patch fits there, and yet `rebase-patches` says no: the page must not be green.
#[test]
fn the_page_shows_places_that_nobody_has_looked_at() {
    let case = case("new-site");
    let of = |output: &std::process::Output| -> serde_json::Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let told = of(&case.command("report", &["--json", "257", "258"]));
    assert_eq!((&told["unsettled"], &told["unseen"]), (&0.into(), &serde_json::json!(["258"])));
    let page = fs::read_to_string(told["page"].as_str().unwrap()).unwrap();
    assert!(page.contains("1 problem needs a person") && page.contains("apply_exec_quotas"));
    // It was kept, for a machine without sources.
    let runs = case.dir.path().join("cache/runs");
    let told = of(&case.command("report", &["--json", "--from", runs.to_str().unwrap()]));
    assert_eq!(told["unseen"], serde_json::json!(["258"]));
}
