// SPDX-License-Identifier: MIT
//! What helps at the prompt: examples that work, completion, man pages.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "support/typed.rs"]
mod typed;

use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use xtask::flags::Flags;

/// Every command with its full name, `bench boot` among them.
fn all(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    for inner in command.get_subcommands().filter(|c| c.get_name() != "help") {
        let name = format!("{name} {}", inner.get_name());
        found.push((name.clone(), inner.clone()));
        found.extend(all(inner, &name));
    }
    found
}

#[test]
fn every_command_has_examples_and_they_parse() {
    let commands = all(&Flags::command(), "cargo xtask");
    assert!(commands.len() > 20, "{}", commands.len());
    for (name, command) in commands {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = typed::commands(&help);
        let own = examples.iter().filter(|words| words.join(" ").starts_with(&name)).count();
        assert!(help.starts_with("Examples:\n") && own > 0, "`{name}` has no example:\n{help}");
        let lines = help.replace("\\\n", " ").lines().filter(|l| l.contains("cargo xtask")).count();
        assert!(examples.len() >= lines, "`{name}`: not all of these were read:\n{help}");
        let refused: Vec<String> = examples.iter().filter_map(|w| typed::refused(w)).collect();
        assert!(refused.is_empty(), "{}", refused.join("\n"));
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn ask(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(words).current_dir(checkout()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Text would be taken for a broken document.
#[test]
fn a_command_without_a_document_says_so() {
    for words in [&["run"][..], &["completions", "bash"], &["resolve", "0002-cgroup", "263"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let output = command.args(words).arg("--json").current_dir(checkout()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(output.stdout.is_empty() && told.contains("no document for --json"), "{told}");
    }
    let dir = tempfile::tempdir().unwrap();
    let pages: serde_json::Value =
        serde_json::from_str(&ask(&["man", "--json", "--dir", dir.path().to_str().unwrap()]))
            .unwrap();
    assert!(pages["pages"].as_array().unwrap().len() > 20, "{pages}");
    let said = ask(&["nix-status", "--check", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["changed"], false);
}

/// What a shell answers to a script.
fn shell(program: &str, script: &str) -> Option<String> {
    if !xtask::exec::have(program) {
        xtask::skip::record_optional(&format!("{program} is not installed")).unwrap();
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(["-c", script]).env("HOME", home.path()).env("ZDOTDIR", home.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn completions(of: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("completions");
    std::fs::write(&file, ask(&["completions", of])).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (dir, file)
}

#[test]
fn bash_completes_commands_patches_and_versions() {
    let (_dir, file) = completions("bash");
    let complete = |function: &str, words: &str, last: usize, word: &str| {
        shell(
            "bash",
            &format!(
                "source {file}; COMP_WORDS=({words}); COMP_CWORD={last}; {function} xtask '{word}' \
                 --systemd; printf '%s\\n' \"${{COMPREPLY[@]}}\""
            ),
        )
    };
    let Some(said) = complete("_xtask", "xtask stat", 1, "stat") else { return };
    assert_eq!(said, "status\n");
    let said = complete("_cargo_or_xtask", "cargo xtask new", 2, "new").unwrap();
    assert_eq!(said, "new-release\n");
    let said = complete("_xtask", "xtask resolve 0002", 2, "0002").unwrap();
    assert_eq!(said, "0002-cgroup\n");
    let said = complete("_xtask", "xtask run --systemd 254.2", 3, "254.2").unwrap();
    assert!(said.lines().any(|l| l == "254.26"), "{said}");
}

/// bash-completion loads cargo's own completion when cargo is first completed; what is there before it,
/// and after it, is ours.
#[test]
fn bash_keeps_the_completion_of_cargo_itself() {
    let library = "/usr/share/bash-completion/bash_completion";
    if !Path::new(library).exists() {
        return xtask::skip::record_optional("bash-completion is not installed").unwrap();
    }
    let (dir, file) = completions("bash");
    let own = "_a_cargo() { COMPREPLY=(bench build); }; complete -F _a_cargo cargo";
    let folder = dir.path().join("user/completions");
    std::fs::create_dir_all(&folder).unwrap();
    let complete = |words: &str, last: usize, word: &str| {
        format!(
            "COMPREPLY=(); COMP_WORDS=({words}); COMP_CWORD={last}; _cargo_or_xtask cargo '{word}'; \
             echo \"${{COMPREPLY[@]}}\"; complete -p cargo"
        )
    };
    let ours = "complete -o bashdefault -o default -F _cargo_or_xtask cargo\n";
    let whole = format!("bench build\n{ours}new-release\n{ours}bench build\n{ours}");
    let (plain, xtask) = (complete("cargo b", 1, "b"), complete("cargo xtask new", 2, "new"));
    let start = format!("BASH_COMPLETION_USER_DIR={}/user; . {library}", dir.path().display());
    let loaded = |before: &str| {
        shell("bash", &format!("{start}; {before}. {file}; . {file}; {plain}; {xtask}; {plain}"))
    };
    // Set up before ours; then to be loaded; then by nobody.
    let Some(said) = loaded(&format!("{own}; ")) else { return };
    assert_eq!(said, whole);
    std::fs::write(folder.join("cargo"), own).unwrap();
    assert_eq!(loaded("").unwrap(), whole);
    let said = shell("bash", &format!(". {file}; {plain}")).unwrap();
    assert_eq!(said, format!("\n{ours}"));
}

#[test]
fn zsh_and_fish_read_theirs() {
    let (_dir, file) = completions("fish");
    if let Some(said) = shell("fish", &format!("source {file}; complete -C 'xtask resolve 0002'")) {
        assert!(said.contains("0002-cgroup"), "{said}");
    }
    let (_dir, file) = completions("zsh");
    let script = format!("autoload -U compinit; compinit -D; source {file}; print $_comps[xtask]");
    if let Some(said) = shell("zsh", &script) {
        assert_eq!(said.trim(), "_xtask");
    }
}

#[test]
fn there_is_a_man_page_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let said = ask(&["man", "--dir", pages.to_str().unwrap()]);
    let commands = all(&Flags::command(), "cargo xtask");
    assert_eq!(said.lines().count(), commands.len() + 1);
    for (name, command) in commands {
        let file = pages.join(format!("{}.1", name.replace(' ', "-")));
        let text = std::fs::read_to_string(&file).unwrap();
        let about = command.get_about().unwrap().to_string();
        assert!(text.contains(about.split(['\'', '-', '`']).next().unwrap()), "{about}");
        if xtask::exec::have("groff") {
            let mut groff = Command::new("groff");
            let output =
                groff.args(["-ww", "-Kutf8", "-man", "-Tutf8"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.is_empty(), "{said}");
        }
    }
}
