// SPDX-License-Identifier: MIT
//! `cargo xtask sources`

use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::fault::Status;
use crate::sources::{Answer, Available, Listing, Lock, Sources};
use crate::ui::{Tone, Ui, wrap};

/// List the systemd versions that can be had here, and where each comes from
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask sources
  cargo xtask sources 257 262       # fetch these")]
pub struct Args {
    /// Fetch these versions into the cache and list only them
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,

    /// Show release candidates too
    #[arg(long)]
    candidates: bool,

    /// Ask everybody anew, also where the last answer is recent
    #[arg(long)]
    refresh: bool,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    providers: Vec<Said<'a>>,
    versions: &'a [Available],
}

#[derive(Serialize)]
struct Said<'a> {
    name: &'a str,
    answer: Answer,
    said: &'a str,
    complaints: &'a [String],
    versions: usize,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let lock = Lock::load(&context.checkout.lock())?;
    let sources = Sources::open(&context.cache, lock, &context.global.into(), ui)?;
    if args.refresh {
        sources.refresh()?;
    }
    let wanted = sources.resolve(&args.versions)?;
    for version in &wanted {
        sources.get(*version)?;
    }
    let mut versions = if wanted.is_empty() { sources.available()? } else { sources.known() };
    if !wanted.is_empty() {
        versions.retain(|a| wanted.contains(&a.version));
    }
    let answers = sources.answers();
    let refused = versions.iter().any(|a| a.refused.is_some());
    if context.global.json {
        let providers = answers.iter().map(|(name, l)| Said {
            name,
            answer: l.answer,
            said: &l.said,
            complaints: &l.complaints,
            versions: l.offers.len(),
        });
        ui.json(&Document { schema: 1, providers: providers.collect(), versions: &versions })?;
    } else {
        if !answers.is_empty() {
            ui.result(&providers_text(&answers, ui));
        }
        ui.result(&table(&versions, args.candidates || !wanted.is_empty(), ui));
    }
    Ok(if refused || versions.is_empty() { Status::No } else { Status::Yes })
}

/// One line for each provider: what it said.
fn providers_text(answers: &[(String, Listing)], ui: &Ui) -> String {
    let mut text = String::new();
    for (name, listing) in answers {
        let tone = match listing.answer {
            Answer::Answered => Tone::Good,
            Answer::Unreachable => Tone::Warn,
            Answer::NotAsked => Tone::Dim,
        };
        let state = match listing.answer {
            Answer::Answered => "",
            Answer::Unreachable => "not reached: ",
            Answer::NotAsked => "not asked: ",
        };
        let _ = writeln!(text, "{}", ui.paint(tone, name));
        let said = format!("{state}{}", listing.said);
        for part in std::iter::once(&said).chain(&listing.complaints) {
            for line in wrap(part, 76) {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

/// The table of versions, at most 80 columns wide.
fn table(versions: &[Available], candidates: bool, ui: &Ui) -> String {
    let mut text = String::new();
    let row = |cells: [&str; 6]| {
        let [version, from, commit, tree, cached, locked] = cells;
        format!("{version:<10}{from:<26}{commit:<14}{tree:<14}{cached:<8}{locked}")
    };
    let _ = writeln!(text, "{}", row(["VERSION", "FROM", "COMMIT", "TREE", "CACHED", "LOCKED"]));
    let mut hidden = 0;
    for available in versions {
        if available.version.is_candidate() && !candidates {
            hidden += 1;
            continue;
        }
        fn short(id: Option<&str>) -> &str {
            id.and_then(|id| id.get(..12)).unwrap_or("-")
        }
        let yes = |b: bool| if b { "yes" } else { "-" };
        let line = row([
            &available.version.to_string(),
            &fit(&available.origin, 25),
            short(available.commit.as_ref().map(|c| &*c.0)),
            short(available.tree.as_ref().map(|t| &*t.0)),
            yes(available.present),
            if available.booted.is_empty() { yes(available.locked) } else { "booted" },
        ]);
        match &available.refused {
            None => {
                let _ = writeln!(text, "{line}");
            }
            Some(reason) => {
                let _ = writeln!(text, "{}", ui.paint(Tone::Bad, &line));
                for part in wrap(&format!("refused: {reason}"), 68) {
                    let _ = writeln!(text, "          {part}");
                }
            }
        }
    }
    if versions.is_empty() {
        text.push_str("none; give a clone of systemd with --systemd-git PATH-OR-URL\n");
    }
    if hidden > 0 {
        let _ = writeln!(text, "{hidden} release candidates not shown (--candidates)");
    }
    text
}

/// The end of a long name, which tells more of a path than its beginning.
fn fit(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(length - (width - 1)).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_80_columns() {
        let available = |version: &str| Available {
            version: version.parse().unwrap(),
            origin: "/a/very/long/path/to/a/clone/of/systemd/with/tags".into(),
            also: Vec::new(),
            present: true,
            commit: Some(crate::sources::CommitId("a".repeat(40))),
            tree: Some(crate::sources::TreeId("b".repeat(40))),
            locked: true,
            booted: Vec::new(),
            refused: None,
        };
        let mut moved = available("257.13");
        moved.refused = Some("its tree is another one ".repeat(8));
        let all = [available("261-rc2"), moved, available("262")];
        let text = table(&all, false, &Ui::new(true));
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        assert!(text.contains("1 release candidates not shown"), "{text}");
        assert!(!text.contains("261-rc2"));
        assert!(table(&all, true, &Ui::new(true)).contains("261-rc2"));
        assert!(table(&[], true, &Ui::new(true)).contains("none"));
    }
}
