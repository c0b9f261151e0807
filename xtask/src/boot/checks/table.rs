// SPDX-License-Identifier: MIT
//! The table of all checks, for the reader of the project (`CHECKS.md`).

use super::{CHECKS, Check, FAULTS, Group};
use crate::boot::expect::ROWS;
use crate::boot::known::KnownFailures;

/// All checks as a document, with what is known to fail.
pub fn markdown(known: &KnownFailures) -> String {
    let mut out = String::from(
        "<!-- Made by: cargo xtask test-image --list-checks --markdown >CHECKS.md -->\n\
         # The checks\n\n\
         What `cargo xtask test-image` tries, by the id that `--only` takes. Where nothing else is \
         said, that is\nin a container started by `docker run -d IMAGE` and nothing else.\n",
    );
    for (group, title) in GROUPS {
        out += &format!("\n## {title}\n\n| check | what holds | fails without |\n|---|---|---|\n");
        let all = if group == Group::Faults { FAULTS } else { CHECKS };
        for check in all.iter().filter(|c| c.group == group) {
            out += &line(check);
        }
    }
    out += "\n## Known to fail\n\n\
            A check on this list that fails in another way makes the run fail, and so does one that \
            holds.\n\n| check | where | why |\n|---|---|---|\n";
    for (check, rows, versions, why) in known.entries() {
        let versions = match versions.as_str() {
            "" => String::new(),
            some => format!("; systemd {some}"),
        };
        out += &format!("| `{check}` | {}{versions} | {} |\n", rows.join("; "), cell(why));
    }
    out
}

const GROUPS: [(Group, &str); 8] = [
    (Group::Precondition, "The container is a plain one"),
    (Group::Control, "The negative control"),
    (Group::Boot, "Boot"),
    (Group::Services, "Services"),
    (Group::Logs, "Logs"),
    (Group::Exit, "End"),
    (Group::Rows, "Other ways to run it"),
    (Group::Faults, "Load and faults (`--faults`)"),
];

fn line(check: &Check) -> String {
    let modes: Vec<&str> = ROWS
        .iter()
        .filter(|row| check.modes.contains(&row.mode))
        .filter_map(|row| row.name.strip_prefix("Docker, "))
        .collect();
    let also = match modes.as_slice() {
        ["plain"] => String::new(),
        [one] => format!(" ({one} only)"),
        all => format!(" ({})", all.join(", and ")),
    };
    let patches: Vec<String> = check.proves.iter().map(|p| format!("`{p}`")).collect();
    format!("| `{}` | {}{also} | {} |\n", check.id, cell(check.title), patches.join(", "))
}

/// Text without what would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_in_the_committed_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../CHECKS.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == markdown(&KnownFailures::load().unwrap()),
            "run: cargo xtask test-image --list-checks --markdown >CHECKS.md"
        );
        for check in CHECKS {
            assert_eq!(
                committed.matches(&format!("| `{}` | {}", check.id, check.title)).count(),
                1
            );
        }
    }
}
