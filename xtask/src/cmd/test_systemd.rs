// SPDX-License-Identifier: MIT
//! `cargo xtask test-systemd`

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::{Context, prepare};
use crate::build::{self, Ending, Endings};
use crate::fault::Status;
use crate::requirements::{self, Need};
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// Run systemd's own unit tests without the series and with it
///
/// Those of what the patches touch: manager, executor, control groups, mounting, logging, journal,
/// logind. The series must not change how a single one ends: outside of containers nothing may
/// change.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test-systemd
  cargo xtask test-systemd 257 262")]
pub struct Args {
    /// Versions to test, such as 262 or 257.13 (default: the newest in patches/sources.lock)
    #[arg(value_name = "VERSION")]
    pub versions: Vec<String>,
}

/// How the unit tests of one version ended.
#[derive(Debug, Serialize)]
struct Compared {
    version: SystemdVersion,
    stock: Endings,
    patched: Endings,
    /// Tests that end otherwise with the series; none is the aim.
    changed: Vec<String>,
}

impl Compared {
    fn new(version: SystemdVersion, stock: Endings, patched: Endings) -> Compared {
        let names = stock.keys().chain(patched.keys());
        let mut changed: Vec<String> =
            names.filter(|n| stock.get(*n) != patched.get(*n)).cloned().collect();
        changed.sort();
        changed.dedup();
        Compared { version, stock, patched, changed }
    }

    /// Nothing changed, and something was really tried.
    fn status(&self) -> Status {
        if !self.changed.is_empty() {
            return Status::No;
        }
        if self.stock.values().any(|e| *e == Ending::Passed) {
            Status::Yes
        } else {
            Status::NotTried
        }
    }
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    requirements::ensure(&[Need::Sources, Need::Build], context.ui, &context.cache)?;
    let sources = prepare::sources(context)?;
    let versions = prepare::versions(&sources, &args.versions)?;
    let (pairs, mut status) = prepare::recipes(context, &sources, &versions)?;
    let mut all = Vec::new();
    for pair in &pairs {
        let Some(patched) = &pair.patched else { continue };
        let stock = prepare::unit_tests(context, &sources, &pair.stock)?;
        let patched = prepare::unit_tests(context, &sources, patched)?;
        all.push(Compared::new(pair.stock.identity.version, stock, patched));
    }
    if context.global.json {
        context.ui.json(&serde_json::json!({ "schema": 1, "versions": all }))?;
    }
    for compared in &all {
        if !context.global.json {
            context.ui.result(&table(compared, context.ui));
        }
        status = status.and(compared.status());
    }
    Ok(status)
}

fn table(compared: &Compared, ui: &Ui) -> String {
    let mut out = format!("systemd {}, its own unit tests:\n", compared.version);
    for (name, endings) in [("stock", &compared.stock), ("patched", &compared.patched)] {
        let _ = writeln!(out, "  {name:<8} {}", build::summary(endings));
    }
    for (name, ending) in &compared.stock {
        if compared.patched.get(name) != Some(ending) {
            continue;
        }
        let _ = match ending {
            Ending::Passed => continue,
            Ending::Skipped => writeln!(out, "  {name} says both times that it cannot run here"),
            Ending::Failed(place) => {
                writeln!(out, "  {name} fails on this machine, both times at the same place:")
                    .and_then(|()| writeln!(out, "    {place}"))
            }
        };
    }
    for name in &compared.changed {
        let say = |e: &Endings| match e.get(name) {
            Some(Ending::Passed) => "passes",
            Some(Ending::Failed(_)) => "fails",
            Some(Ending::Skipped) => "is skipped",
            None => "is not there",
        };
        let [stock, patched] = [&compared.stock, &compared.patched].map(say);
        let text = format!("{name} {stock} in stock systemd and {patched} with the series");
        let _ = writeln!(out, "  {}", ui.paint(Tone::Bad, &text));
    }
    if compared.changed.is_empty() {
        let _ = writeln!(out, "  {}", ui.paint(Tone::Good, "the series changes none of them"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endings(list: &[(&str, Ending)]) -> Endings {
        list.iter().map(|(n, e)| ((*n).to_owned(), e.clone())).collect()
    }

    #[test]
    fn a_test_that_ends_otherwise_is_named() {
        let version = SystemdVersion::new(262, 0);
        let stock = endings(&[
            ("test-log", Ending::Passed),
            ("test-engine", Ending::Passed),
            ("test-execute", Ending::Failed("src/x.c:7:f: no".into())),
        ]);
        let mut patched = stock.clone();
        let same = Compared::new(version, stock.clone(), patched.clone());
        assert_eq!(same.status(), Status::Yes);
        patched.insert("test-log".into(), Ending::Failed("src/y.c:1:g: no".into()));
        patched.remove("test-engine");
        let other = Compared::new(version, stock, patched);
        assert_eq!(other.changed, ["test-engine", "test-log"]);
        assert_eq!(other.status(), Status::No);
        let text = table(&other, &Ui::new(true));
        assert!(
            text.contains("test-log passes in stock systemd and fails with the series"),
            "{text}"
        );
        assert!(text.contains("test-engine passes in stock systemd and is not there"), "{text}");
        assert!(text.contains("test-execute fails on this machine, both times"), "{text}");
        assert!(text.contains("    src/x.c:7:f: no\n"), "{text}");
    }

    #[test]
    fn tests_that_all_skip_prove_nothing() {
        let skipped = endings(&[("test-log", Ending::Skipped)]);
        let compared = Compared::new(SystemdVersion::new(262, 0), skipped.clone(), skipped);
        assert_eq!(compared.status(), Status::NotTried);
    }
}
