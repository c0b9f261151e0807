// SPDX-License-Identifier: MIT
//! `cargo xtask range-diff`

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::fault::{Fault, Status};
use crate::patch::{self, Kind, PatchText};
use crate::series::{self, Patch};
use crate::ui::Tone;
use crate::version::SystemdVersion;

/// Compare two variants of a patch: what one does and the other does not
///
/// As `git range-diff`: a diff of two diffs, without line numbers, blob ids and messages, which
/// differ between any two.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask range-diff 0002-cgroup 257.13 262")]
pub struct Args {
    /// The patch, such as 0002-cgroup
    #[arg(value_name = "PATCH")]
    patch: String,

    /// A version; the variant that is for it is taken
    #[arg(value_name = "VERSION")]
    one: SystemdVersion,

    /// The version to compare it with
    #[arg(value_name = "OTHER")]
    other: SystemdVersion,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    patch: &'a str,
    /// The versions that the variants were made on.
    one: SystemdVersion,
    other: SystemdVersion,
    /// Lines of the first variant that the second has not, and the other way round.
    removed: usize,
    added: usize,
    /// Each line starts with ` `, `-` or `+`, followed by a line of a patch.
    diff: &'a str,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let series = series::load(&context.checkout.patches())?;
    let patch = &series.patches[series.index_of(&args.patch)?];
    let (one, other) = (variant(patch, args.one)?, variant(patch, args.other)?);
    let hunks = patch::hunks(&plain(&one.text), &plain(&other.text), 3)?;
    let mut text = String::new();
    let (mut removed, mut added) = (0, 0);
    for line in hunks.iter().flat_map(|h| &h.lines) {
        let (mark, tone) = match line.kind {
            Kind::Context => (' ', None),
            Kind::Remove => ('-', Some(Tone::Bad)),
            Kind::Add => ('+', Some(Tone::Good)),
        };
        removed += usize::from(line.kind == Kind::Remove);
        added += usize::from(line.kind == Kind::Add);
        let line = format!("{mark}{}", String::from_utf8_lossy(&line.text).trim_end_matches('\n'));
        let painted = tone.filter(|_| !context.global.json);
        text += &painted.map_or(line.clone(), |tone| context.ui.paint(tone, &line));
        text.push('\n');
    }
    if context.global.json {
        context.ui.json(&Document {
            schema: 1,
            patch: &patch.id,
            one: one.base,
            other: other.base,
            removed,
            added,
            diff: &text,
        })?;
    } else if hunks.is_empty() {
        context.ui.result(&format!("{} and {} do the same", one.base, other.base));
    } else {
        context
            .ui
            .result(&format!("--- {}/{}\n+++ {}/{}", patch.id, one.base, patch.id, other.base));
        context.ui.result(&text);
    }
    Ok(Status::Yes)
}

fn variant(patch: &Patch, version: SystemdVersion) -> Result<&series::Variant, Fault> {
    let made_on = patch.variants.iter().find(|v| v.base == version);
    patch.variant_for(version).or(made_on).ok_or_else(|| {
        Fault::new(format!("{} has no variant for systemd {version}", patch.id))
            .hint(format!("cargo xtask rebase-patches {version}"))
    })
}

/// The changes of a patch without what differs anyway.
fn plain(text: &PatchText) -> Vec<u8> {
    let mut plain = Vec::new();
    for file in &text.files {
        plain.extend_from_slice(format!("## {}\n", file.path).as_bytes());
        for hunk in &file.hunks {
            let mut hunk = hunk.clone();
            (hunk.old_start, hunk.new_start) = (0, 0);
            let mut bytes = Vec::new();
            hunk.write(&mut bytes);
            // The header counts lines: of it the function alone is kept.
            let header = bytes.iter().position(|b| *b == b'\n').map_or(0, |i| i + 1);
            plain.extend_from_slice(b"@@ ");
            plain.extend_from_slice(&hunk.section);
            plain.push(b'\n');
            plain.extend_from_slice(&bytes[header..]);
        }
    }
    plain
}
