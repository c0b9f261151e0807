// SPDX-License-Identifier: MIT
//! The commands of this tool in a text that a person would type from.

use clap::Parser as _;
use xtask::flags::Flags;

/// Every `cargo xtask …` in shell text, as words: continuation lines are joined, comments and
/// redirections dropped, and what `&&`, `|` and `;` part is parted.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
        let line = line.split_once(" #").map_or(line, |(before, _)| before);
        let line = line.strip_prefix("$ ").unwrap_or(line);
        for part in line.split("&&").flat_map(|p| p.split(['|', ';'])) {
            let part = part.trim().trim_start_matches('(').trim_end_matches(')');
            let Some(words) = shlex::split(part) else { continue };
            let words = without_redirections(words);
            // Variables may come before it.
            let start = words.iter().position(|w| !w.contains('=')).unwrap_or(0);
            if words[start..].starts_with(&["cargo".to_owned(), "xtask".to_owned()]) {
                found.push(words[start..].to_vec());
            }
        }
    }
    found
}

fn without_redirections(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.trim_start_matches(|c: char| c.is_ascii_digit()) {
            ">" | ">>" | "<" => {
                words.next();
            }
            rest if rest.starts_with(['>', '<']) => {}
            _ => kept.push(word),
        }
    }
    kept
}

/// What clap says against a command.
pub fn refused(words: &[String]) -> Option<String> {
    let parsed = Flags::try_parse_from(
        std::iter::once("cargo xtask").chain(words[2..].iter().map(String::as_str)),
    );
    match parsed {
        Err(error) if error.use_stderr() => Some(format!("{}\n{error}", words.join(" "))),
        _ => None,
    }
}

#[test]
fn commands_are_found_as_a_shell_would() {
    let text = "$ cargo xtask status   # now\n# cargo xtask no\nX=1 cargo xtask run -- --publish '8080:80' \\\n  -d\n\
                cargo xtask new-release >pull.md && echo x | cargo xtask run 2> log\n";
    let words: Vec<String> = commands(text).iter().map(|w| w.join(" ")).collect();
    let wanted = [
        "cargo xtask status",
        "cargo xtask run -- --publish 8080:80 -d",
        "cargo xtask new-release",
        "cargo xtask run",
    ];
    assert_eq!(words, wanted);
    let bad = commands("cargo xtask run --no-such-flag");
    assert!(refused(&bad[0]).unwrap().contains("--no-such-flag"));
    assert!(refused(&commands("cargo xtask status --help")[0]).is_none());
}
