// SPDX-License-Identifier: MIT
//! What is written for readers is true: links lead somewhere, commands parse, those that are cheap run,
//! pages name every field, check and patch that there is, and no other.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "support/typed.rs"]
mod typed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use xtask::flags::Flags;

/// Where pages may point to outside. Nobody asks these in a test; a new one is a line of a review.
const OUTSIDE: [&str; 3] =
    ["https://rustup.rs", "https://keepachangelog.com/", "https://github.com/"];

/// Pages at the top, besides those of the book.
const TOP: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CHECKS.md", "CONTRIBUTING.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

struct Page {
    /// Below the checkout.
    path: PathBuf,
    links: Vec<String>,
    anchors: BTreeSet<String>,
    /// Text of fenced blocks that a shell or a reader of a shell sees.
    shell: Vec<String>,
    /// Code within lines.
    code: Vec<String>,
    /// The headings, as they read.
    headings: Vec<String>,
    text: String,
}

fn read(path: &Path) -> Page {
    let mut text = std::fs::read_to_string(root().join(path)).unwrap();
    // As mdBook will show it: links in there must lead somewhere from here.
    while let Some((before, rest)) = text.split_once("{{#include ") {
        let (file, after) = rest.split_once("}}").unwrap();
        let folder = root().join(path.parent().unwrap());
        text = before.to_owned() + &std::fs::read_to_string(folder.join(file)).unwrap() + after;
    }
    let mut page = Page {
        path: path.to_owned(),
        links: Vec::new(),
        anchors: BTreeSet::new(),
        shell: Vec::new(),
        code: Vec::new(),
        headings: Vec::new(),
        text: text.clone(),
    };
    let (mut heading, mut block): (Option<String>, Option<(String, String)>) = (None, None);
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.to_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let words = heading.take().unwrap();
                page.anchors.insert(anchor(&words));
                page.headings.push(words);
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    pulldown_cmark::CodeBlockKind::Fenced(language) => language.to_string(),
                    pulldown_cmark::CodeBlockKind::Indented => String::new(),
                };
                block = Some((language, String::new()));
            }
            Event::End(TagEnd::CodeBlock) => {
                let (language, text) = block.take().unwrap();
                match language.as_str() {
                    "sh" => page.shell.push(text),
                    "console" => page.shell.push(prompted(&text)),
                    _ => {}
                }
            }
            Event::Text(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
                if let Some((_, block)) = &mut block {
                    block.push_str(&words);
                }
            }
            Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
                page.code.push(words.to_string());
            }
            _ => {}
        }
    }
    page
}

/// The lines of a session that somebody typed, with their continuations.
fn prompted(text: &str) -> String {
    let mut typed = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        if line.starts_with("$ ") || goes_on {
            typed.push_str(line);
            typed.push('\n');
            goes_on = line.ends_with('\\');
        }
    }
    typed
}

/// As GitHub and mdBook name a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn book() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let mut names: Vec<PathBuf> = entries
        .map(|e| Path::new("docs").join(e.unwrap().file_name()))
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
        .collect();
    names.sort();
    names
}

fn pages() -> Vec<Page> {
    TOP.iter().map(PathBuf::from).chain(book()).map(|path| read(&path)).collect()
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let by_path: BTreeMap<PathBuf, &Page> =
        pages.iter().map(|p| (root().join(&p.path), p)).collect();
    let mut wrong = Vec::new();
    for page in &pages {
        for link in &page.links {
            let said = format!("{}: {link}", page.path.display());
            if link.contains("://") {
                if !OUTSIDE.iter().any(|known| link.starts_with(known)) {
                    wrong.push(format!("{said}: a new address outside, to be named in OUTSIDE"));
                }
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.path.parent().unwrap();
            let target = match file {
                "" => root().join(&page.path),
                file => root().join(folder).join(file),
            };
            let Ok(target) = target.canonicalize() else {
                wrong.push(format!("{said}: no such file"));
                continue;
            };
            let there = by_path.get(&target).is_some_and(|p| p.anchors.contains(fragment));
            if !fragment.is_empty() && !there {
                wrong.push(format!("{said}: no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pages.iter().map(|p| p.links.len()).sum::<usize>() > 20);
}

#[test]
fn the_book_has_every_page_once() {
    let listed = read(Path::new("docs/SUMMARY.md")).links;
    let listed: Vec<PathBuf> = listed.iter().map(|l| Path::new("docs").join(l)).collect();
    let mut sorted = listed.clone();
    sorted.sort();
    let mut there = book();
    there.retain(|path| !path.ends_with("SUMMARY.md"));
    assert_eq!(sorted, there);
}

#[test]
fn every_command_in_the_pages_parses() {
    let mut refused = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for words in page.shell.iter().flat_map(|text| typed::commands(text)) {
            seen += 1;
            if let Some(why) = typed::refused(&words) {
                refused.push(format!("{}: {why}", page.path.display()));
            }
        }
        // A name within a sentence may stand without its arguments; its flags and words must be there.
        for mut words in page.code.iter().flat_map(|text| typed::commands(text)) {
            seen += 1;
            words.retain(|word| word != "…");
            if words.len() == 2 {
                continue;
            }
            let lacks = [
                "required arguments were not provided",
                "requires a subcommand",
                "a value is required for",
            ];
            let why = typed::refused(&words).filter(|why| !lacks.iter().any(|l| why.contains(l)));
            refused.extend(why.map(|why| format!("{}: {why}", page.path.display())));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(seen > 100, "{seen}");
}

/// A command that a page shows, which asks no network, writes nothing and takes no time.
fn is_cheap(words: &[String]) -> bool {
    let has = |flag: &str| words.iter().any(|w| w == flag);
    match words[2].as_str() {
        "status" | "explain" | "range-diff" | "completions" => true,
        "ci-matrix" => has("--check") || has("--shard"),
        "nix-status" => has("--check"),
        "test-image" => has("--list-checks"),
        word => word == "--help" || word == "--version",
    }
}

#[test]
fn what_is_cheap_of_the_pages_runs() {
    let cache = tempfile::tempdir().unwrap();
    let shown = pages().into_iter().flat_map(|page| page.shell);
    let shown: BTreeSet<Vec<String>> =
        shown.flat_map(|text| typed::commands(&text)).filter(|words| is_cheap(words)).collect();
    assert!(shown.len() >= 6, "{shown:?}");
    for words in shown {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(&words[2..]).current_dir(root()).env("PLAINBOOT_CACHE", cache.path());
        let output = command.env_remove("PLAINBOOT_SYSTEMD_GIT").output().unwrap();
        let (code, said) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
        assert!(matches!(code, Some(0 | 1)), "{}: {code:?}\n{said}", words.join(" "));
    }
}

#[test]
fn the_readme_names_every_command() {
    let readme = read(Path::new("README.md")).text;
    let command = Flags::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let missing: Vec<&str> = names
        .filter(|name| *name != "help")
        .filter(|name| !readme.contains(&format!("`cargo xtask {name}")))
        .filter(|name| !readme.contains(&format!(", `{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_patches_are_explained_as_the_series_has_them() {
    let page = read(Path::new("docs/patches.md"));
    let series = xtask::series::load(&root().join("patches")).unwrap();
    let ids: Vec<&str> = series.patches.iter().map(|p| p.id.as_str()).collect();
    let named: Vec<&str> =
        page.headings.iter().map(String::as_str).filter(|h| h.starts_with("00")).collect();
    assert_eq!(named, ids);
    for patch in &series.patches {
        let (_, rest) = page.text.split_once(&format!("## {}\n", patch.id)).unwrap();
        let section = rest.split("\n## ").next().unwrap();
        for part in ["**Stock:**", "**In a container:**", "**The patch:**", "**The price:**"] {
            assert!(section.contains(part), "{}: {part}", patch.id);
        }
        let (_, proof) = section.split_once("**Proof:**").unwrap();
        let proof: BTreeSet<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert_eq!(proof, patch.checks.iter().map(String::as_str).collect(), "{}", patch.id);
    }
    let nobody = series.patches.iter().all(|p| p.upstream == "not submitted");
    assert_eq!(page.text.contains("None has been submitted upstream yet."), nobody);
}

#[test]
fn checks_that_are_named_exist() {
    let known: BTreeSet<String> = read(Path::new("CHECKS.md")).code.into_iter().collect();
    let groups: BTreeSet<&str> =
        known.iter().filter_map(|id| id.split_once('.')).map(|p| p.0).collect();
    for page in pages() {
        for code in &page.code {
            let is_id = code.split_once('.').is_some_and(|(group, name)| {
                groups.contains(group)
                    && name
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                    && !["json", "toml", "rs", "md", "nix", "target"].contains(&name)
            });
            // Fields of records look alike.
            let field = page.path.ends_with("records.md");
            assert!(!is_id || field || known.contains(code), "{}: {code}", page.path.display());
        }
    }
}

/// The fields of a document with dots between; those of checks as `checks.…`, wherever checks are.
fn fields(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                let at = match path {
                    "" => key.clone(),
                    path if path.ends_with("checks") => format!("checks.{key}"),
                    path => format!("{path}.{key}"),
                };
                found.insert(at.clone());
                if key != "evidence" {
                    fields(value, &at, found);
                }
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|v| fields(v, path, found)),
        _ => {}
    }
}

#[test]
fn the_page_on_records_has_every_field_and_no_other() {
    let mut real = BTreeSet::new();
    let runs = root().join("xtask/tests/report/runs");
    for run in std::fs::read_dir(runs).unwrap() {
        let text = std::fs::read(run.unwrap().path().join("record.json")).unwrap();
        fields(&serde_json::from_slice(&text).unwrap(), "", &mut real);
    }
    let checks = root().join("xtask/src/boot/testdata/patched-262.json");
    let checks = serde_json::from_slice(&std::fs::read(checks).unwrap()).unwrap();
    fields(&checks, "checks", &mut real);
    let page = read(Path::new("docs/records.md"));
    let mut named = BTreeSet::new();
    let mut section = String::new();
    for line in page.text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.trim_matches('`').replace("[]", "");
            if section.contains(' ') {
                section.clear();
            }
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        // The names are in the first cell; those of spans in the last, by their full names.
        let first = row.split(" | ").next().unwrap();
        let spans = line.split('`').filter(|w| w.starts_with("boot.timeline[]."));
        for name in first.split('`').step_by(2).chain(spans) {
            let name = name.replace("[]", "");
            let within = section.is_empty() || name.starts_with(&format!("{section}."));
            named.insert(if within { name } else { format!("{section}.{name}") });
        }
    }
    assert_eq!(named, real);
    let schema = format!("This is schema {}.", xtask::boot::record::SCHEMA);
    assert!(page.text.contains(&schema), "{schema}");
}

#[test]
fn the_demo_shows_what_is_typed_and_that_it_works() {
    let svg = std::fs::read_to_string(root().join("docs/demo.svg")).unwrap();
    let shown = xtask::report::recording::transcript(&svg).unwrap();
    let typed: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("# ")).collect();
    assert_eq!(typed, xtask::cmd::demo::TYPED);
    for word in ["running", "Read-only file system", "a service says hello"] {
        assert!(shown.iter().any(|line| line.contains(word)), "{word}: {shown:?}");
    }
}

#[test]
fn the_book_builds() {
    if !xtask::exec::have("mdbook") {
        xtask::skip::record_optional("mdbook is not installed (cargo install mdbook)").unwrap();
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let mut mdbook = Command::new("mdbook");
    let output = mdbook.args(["build", "docs", "--dest-dir"]).arg(out.path()).current_dir(root());
    let output = output.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ERROR") && !said.contains("WARN"), "{said}");
    for page in book().iter().filter(|p| !p.ends_with("SUMMARY.md")) {
        let name = Path::new(page.file_name().unwrap()).with_extension("html");
        let html = std::fs::read_to_string(out.path().join(&name)).unwrap();
        assert!(!html.contains("{{#"), "{}: an include was not followed", name.display());
    }
}
