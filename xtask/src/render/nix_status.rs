// SPDX-License-Identifier: MIT
//! `docs/nixos-status.md`: of each feature for NixOS, what was parsed, evaluated and executed.
//!
//! The table claims nothing by itself: `nix/status.toml` names files, tests and checks, and each of
//! them must be there, parse, or be known. What ran on NixOS is only what `test-vm --guest nixos
//! --record` has written.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// `nix/status.toml`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub schema: u32,
    #[serde(rename = "feature")]
    pub features: Vec<Feature>,
}

/// One feature, and what tries it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Feature {
    pub title: String,
    /// Relative to the checkout.
    pub files: Vec<String>,
    /// Names of tests.
    pub evaluated: Vec<String>,
    /// Ids of checks and of cases of `test-containers`, and names of tests.
    pub executed: Vec<String>,
    /// Tests of `vm-tests/`.
    pub on_nixos: Vec<String>,
    /// What none of these can say.
    pub unproved: String,
}

/// What there is to be named.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Nix files of the checkout that parse, relative to it.
    pub parsed: Vec<String>,
    /// Other files that may be named.
    pub files: Vec<String>,
    /// Tests that evaluate with nixpkgs' own `lib`.
    pub with_lib: Vec<String>,
    /// Tests of other files.
    pub tests: Vec<String>,
    /// Ids of checks and of cases of `test-containers`.
    pub checks: Vec<String>,
    pub nixos: Option<OnNixos>,
}

/// `vm-tests/executed.json`: a run in NixOS machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnNixos {
    pub schema: u32,
    /// As its `lib.version` says.
    pub nixpkgs: String,
    /// The tests that hold.
    pub tests: Vec<String>,
}

/// The document.
///
/// # Errors
/// What is named and is not there, and Nix files that no feature names, each with what to do.
pub fn render(status: &Status, known: &Known) -> Result<String, Vec<String>> {
    let mut wrong = Vec::new();
    let named = |file: &String| status.features.iter().any(|f| f.files.contains(file));
    for file in known.parsed.iter().filter(|f| !named(f)) {
        wrong.push(format!("{file} belongs to no feature: name it in one"));
    }
    let mut out = String::from(
        "<!-- Made by: cargo xtask nix-status -->\n# What was tried of it\n\n\
         Parsed by rnix, and by Nix where it is evaluated; evaluated with nixpkgs' own `lib` over \
         small\nstand-ins for the options of NixOS (`xtask/tests/nixos/`), or with Nix alone; executed \
         by the checks of\n`cargo xtask test-image` ([CHECKS.md](../CHECKS.md)) and the cases of \
         `cargo xtask test-containers`, in\ncontainers of a Debian image, and by tests.\n\n\
         | feature | parsed | evaluated | executed here | executed on NixOS | what that cannot say |\n\
         |---|---|---|---|---|---|\n",
    );
    for feature in &status.features {
        let title = &feature.title;
        let mut parsed = 0;
        for file in &feature.files {
            if known.parsed.contains(file) {
                parsed += 1;
            } else if !known.files.contains(file) {
                wrong.push(format!("{title}: {file} is not there, or does not parse"));
            }
        }
        let (mut lib, mut alone) = (0, 0);
        for test in &feature.evaluated {
            if known.with_lib.contains(test) {
                lib += 1;
            } else if known.tests.contains(test) {
                alone += 1;
            } else {
                wrong.push(format!("{title}: there is no test `{test}`"));
            }
        }
        let mut executed = Vec::new();
        for name in &feature.executed {
            if known.checks.contains(name) {
                executed.push(format!("`{name}`"));
            } else if known.tests.contains(name) || known.with_lib.contains(name) {
                executed.push(format!("test `{name}`"));
            } else {
                wrong.push(format!("{title}: there is no check and no test `{name}`"));
            }
        }
        let evaluated = [(lib, "with `lib`"), (alone, "with Nix alone")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, how)| format!("{} {how}", plural(count, "test")))
            .collect::<Vec<_>>();
        let _ = writeln!(
            out,
            "| {title} | {} | {} | {} | {} | {} |",
            if parsed == 0 { "–".to_owned() } else { plural(parsed, "file") },
            or_no(&evaluated),
            or_no(&executed),
            on_nixos(feature, known.nixos.as_ref()),
            feature.unproved
        );
    }
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn on_nixos(feature: &Feature, nixos: Option<&OnNixos>) -> String {
    let Some(nixos) = nixos else { return "*never yet*".to_owned() };
    let ran: Vec<&str> =
        feature.on_nixos.iter().filter(|t| nixos.tests.contains(t)).map(String::as_str).collect();
    match ran.as_slice() {
        [] => "*never yet*".to_owned(),
        some => format!("{}, nixpkgs {}", some.join(", "), nixos.nixpkgs),
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn or_no(list: &[String]) -> String {
    if list.is_empty() { "no".to_owned() } else { list.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        toml::from_str(
            r#"schema = 1
[[feature]]
title = "a"
files = ["a.nix", "a.sh"]
evaluated = ["one", "two"]
executed = ["boot.x", "two"]
on-nixos = ["docker"]
unproved = "much"
"#,
        )
        .unwrap()
    }

    fn known() -> Known {
        let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Known {
            parsed: list(&["a.nix"]),
            files: list(&["a.sh"]),
            with_lib: list(&["one"]),
            tests: list(&["two"]),
            checks: list(&["boot.x"]),
            nixos: None,
        }
    }

    fn last_line(known: &Known) -> String {
        render(&status(), known).unwrap().lines().last().unwrap().to_owned()
    }

    #[test]
    fn each_cell_is_what_is_there() {
        assert_eq!(
            last_line(&known()),
            "| a | 1 file | 1 test with `lib`, 1 test with Nix alone | `boot.x`, test `two` | \
             *never yet* | much |"
        );
        let ran = |tests: &[&str]| {
            let tests = tests.iter().map(|&t| t.to_owned()).collect();
            let nixos = OnNixos { schema: 1, nixpkgs: "26.05".into(), tests };
            last_line(&Known { nixos: Some(nixos), ..known() })
        };
        assert!(ran(&["docker", "podman"]).contains("| docker, nixpkgs 26.05 |"));
        assert!(ran(&["podman"]).contains("| *never yet* |"));
    }

    #[test]
    fn what_is_named_and_not_there_is_refused() {
        let wrong = render(&status(), &Known::default()).unwrap_err();
        assert_eq!(wrong.len(), 6, "{wrong:?}");
        let stray = Known { parsed: vec!["a.nix".into(), "b.nix".into()], ..known() };
        let wrong = render(&status(), &stray).unwrap_err();
        assert_eq!(wrong, ["b.nix belongs to no feature: name it in one"]);
    }
}
