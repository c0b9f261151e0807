// SPDX-License-Identifier: MIT
//! How to write, by what is at the other end: a terminal, a file, a CI log.

use std::io::IsTerminal as _;

/// Decided once, when a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// A step may redraw its line on stderr.
    pub live: bool,
    /// Colours on stderr, where notes go.
    pub colour: bool,
    /// Colours on stdout, where results go: each follows its own end, so that `| less` is clean.
    pub colour_result: bool,
    /// Steps fold in the log: GitHub's `::group::`, which other CI systems show as a plain line.
    pub groups: bool,
}

impl Looks {
    pub fn here() -> Self {
        Looks::of(
            &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
            std::io::stderr().is_terminal(),
            std::io::stdout().is_terminal(),
        )
    }

    /// `NO_COLOR` by no-color.org, `CLICOLOR_FORCE` and `CLICOLOR` by bixense.com/clicolors; where two
    /// of them contradict each other, none wins over force.
    fn of(variable: &dyn Fn(&str) -> Option<String>, stderr: bool, stdout: bool) -> Self {
        let is = |name, wanted: &str| variable(name).is_some_and(|value| value == wanted);
        let dumb = is("TERM", "dumb");
        let none = variable("NO_COLOR").is_some();
        let forced = variable("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let unwanted = dumb || is("CLICOLOR", "0");
        let colour = |terminal: bool| !none && (forced || (terminal && !unwanted));
        let groups = is("GITHUB_ACTIONS", "true");
        Looks {
            live: stderr && !dumb && !groups,
            colour: colour(stderr),
            colour_result: colour(stdout),
            groups,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(variables: &[(&str, &str)], stderr: bool, stdout: bool) -> Looks {
        let of = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        Looks::of(&of, stderr, stdout)
    }

    #[test]
    fn colours_follow_each_end_and_what_the_user_says() {
        let plain = looks(&[], true, false);
        assert!(plain.live && plain.colour && !plain.colour_result && !plain.groups);
        let table = [
            (&[("NO_COLOR", "1")][..], true, false),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false),
            (&[("CLICOLOR", "0")], true, false),
            (&[("TERM", "dumb")], true, false),
            (&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")], true, true),
        ];
        for (variables, terminal, wanted) in table {
            let looks = looks(variables, terminal, terminal);
            assert_eq!((looks.colour, looks.colour_result), (wanted, wanted), "{variables:?}");
        }
    }

    #[test]
    fn nothing_is_redrawn_where_it_would_be_kept() {
        assert!(!looks(&[("TERM", "dumb")], true, true).live);
        assert!(!looks(&[], false, true).live);
        let ci = looks(&[("GITHUB_ACTIONS", "true")], true, true);
        assert!(ci.groups && !ci.live);
    }
}
