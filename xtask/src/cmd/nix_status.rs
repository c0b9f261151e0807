// SPDX-License-Identifier: MIT
//! `cargo xtask nix-status`

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Context;
use crate::atomic::ChangeSet;
use crate::boot::checks;
use crate::fault::{Fault, Status};
use crate::render::nix_status::{self, Known, OnNixos};
use crate::trial::{containers, start};
use crate::workspace::Checkout;

/// Write docs/nixos-status.md: what was parsed, evaluated and executed of each feature for NixOS
///
/// Reads nix/status.toml, parses every Nix file, and looks for each test and check that is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask nix-status
  cargo xtask nix-status --check")]
pub struct Args {
    /// Write nothing; exit code 1 if the file is not as it would be written
    #[arg(long)]
    check: bool,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let path = context.checkout.root().join("docs/nixos-status.md");
    let mut change = ChangeSet::default();
    change.put(&path, document(&context.checkout)?);
    let drift = !change.drift().is_empty();
    if context.global.json {
        context.ui.json(&serde_json::json!({ "schema": 1, "page": path, "changed": drift }))?;
    }
    if args.check {
        if drift && !context.global.json {
            context.ui.result(&format!("not as it would be written: {}", path.display()));
        }
        return Ok(if drift { Status::No } else { Status::Yes });
    }
    change.apply()?;
    if !context.global.json {
        context.ui.result(&path.display().to_string());
    }
    Ok(Status::Yes)
}

/// Where `test-vm --guest nixos --record` notes what it saw.
pub fn executed(checkout: &Checkout) -> PathBuf {
    checkout.root().join("vm-tests/executed.json")
}

/// What docs/nixos-status.md must be.
fn document(checkout: &Checkout) -> Result<String> {
    let file = checkout.nix().join("status.toml");
    let status: nix_status::Status = toml::from_str(&read(&file)?)
        .map_err(|e| Fault::new(format!("{}: {e}", file.display())))?;
    if status.schema != 1 {
        return Err(Fault::new(format!("{}: schema {}", file.display(), status.schema))
            .hint("this plainboot reads schema 1")
            .into());
    }
    let known = known(checkout, &status)?;
    nix_status::render(&status, &known).map_err(|wrong| {
        Fault::new(format!("{}:\n  {}", file.display(), wrong.join("\n  ")))
            .hint("mend the file, and run cargo xtask nix-status again")
            .into()
    })
}

fn known(checkout: &Checkout, status: &nix_status::Status) -> Result<Known> {
    let root = checkout.root();
    let mut known = Known::default();
    let mut nix: Vec<PathBuf> = ["flake.nix", "default.nix"].map(|name| root.join(name)).into();
    for folder in ["nix", "overlays", "vm-tests"] {
        walk(&root.join(folder), &mut nix)?;
    }
    for path in nix {
        if rnix::Root::parse(&read(&path)?).errors().is_empty() {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            known.parsed.push(relative.display().to_string());
        }
    }
    let others = status.features.iter().flat_map(|f| &f.files).filter(|f| !f.ends_with(".nix"));
    known.files = others.filter(|f| root.join(f).is_file()).cloned().collect();
    let mut sources = Vec::new();
    list(&root.join("xtask/tests"), "rs", &mut sources)?;
    for source in sources {
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let with_lib = name.starts_with("nixos");
        let text = read(&source)?;
        if with_lib { &mut known.with_lib } else { &mut known.tests }.extend(tests_of(&text));
    }
    let cases = containers::CASES.iter().chain(start::CASES).map(|case| case.id);
    known.checks = checks::every().map(|c| c.id).chain(cases).map(str::to_owned).collect();
    let record = executed(checkout);
    if record.is_file() {
        let nixos: OnNixos = serde_json::from_str(&read(&record)?)
            .map_err(|e| Fault::new(format!("{}: {e}", record.display())))?;
        known.nixos = Some(nixos);
    }
    Ok(known)
}

/// Every Nix file below a folder.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        list(&folder, "nix", found)?;
        let entries = std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, &e))?;
        folders.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
    }
    found.sort();
    Ok(())
}

/// The files of a folder whose name ends so.
fn list(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    let files = entries.flatten().map(|e| e.path());
    found.extend(files.filter(|p| p.is_file() && p.extension().is_some_and(|e| e == extension)));
    Ok(())
}

/// The names of the functions that are marked as tests.
fn tests_of(source: &str) -> impl Iterator<Item = String> + '_ {
    source.split("#[test]\n").skip(1).filter_map(|rest| {
        let rest = rest.trim_start().strip_prefix("fn ")?;
        Some(rest.split('(').next()?.to_owned())
    })
}

fn read(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))?)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_what_is_there() {
        let checkout = Checkout::at(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
        let committed = read(&checkout.root().join("docs/nixos-status.md")).unwrap_or_default();
        assert!(committed == document(&checkout).unwrap(), "run: cargo xtask nix-status");
    }
}
