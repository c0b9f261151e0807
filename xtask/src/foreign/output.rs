// SPDX-License-Identifier: MIT
//! The files of a carried series.

use std::path::Path;

use clap::ValueEnum;

use super::mail;
use crate::atomic::ChangeSet;
use crate::fault::Fault;
use crate::patch::{self, FileDiff, PatchText};
use crate::rebase::Solved;

/// How a carried series is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A quilt folder: the patches by their names, and a `series` file
    Quilt,
    /// Mails as git format-patch writes them, for git am
    Mails,
    /// Patches in as few variants as cover all revisions, as this project keeps its own
    Variants,
    /// A branch in the repository, one commit for each patch
    Branch,
}

/// The files of a series on one revision, below `dir`. `patches` are names and texts.
pub fn change_set(format: Format, dir: &Path, patches: &[(&str, &PatchText)]) -> ChangeSet {
    let mut change = ChangeSet::default();
    let mut list = String::new();
    for (index, (name, text)) in patches.iter().enumerate() {
        if format == Format::Quilt {
            list += &format!("{name}\n");
            change.put(dir.join(name), quilt(text));
        } else {
            let mail = mail::to_mail(text, name);
            let file = mail::file_name(index + 1, &mail.subject().unwrap_or_default());
            change.put(dir.join(file), mail.to_bytes());
        }
    }
    if format == Format::Quilt {
        change.put(dir.join("series"), list);
    }
    change
}

/// A patch with the header it came with, whatever that is.
fn quilt(text: &PatchText) -> Vec<u8> {
    let mut text = text.clone();
    if !text.message.is_empty() && !text.message.ends_with(b"\n") {
        text.message.push(b'\n');
    }
    text.to_bytes()
}

/// Proves a text by a second implementation, on what will be written: it reads back as it is,
/// applies to the file before and gives the file after, and its reverse gives the file before.
///
/// # Errors
/// It does not, which is a fault of this program.
pub fn check(name: &str, text: &PatchText, solved: &Solved) -> Result<(), Fault> {
    let fault = |path: &str, what: &str| {
        Fault::new(format!("{name}: {path}: {what}; nothing was written"))
            .hint("this is a fault of plainboot; please report it with the output of -v")
    };
    let read = patch::parse_plain(&text.to_bytes(), Path::new(name), 1)?;
    if read.files != text.files {
        return Err(fault("the patch", "it does not read back as it was made"));
    }
    for (diff, file) in text.files.iter().zip(&solved.files) {
        let before = file.before.as_ref().map_or(&b""[..], |b| &b.bytes);
        let after = &file.after.bytes;
        let apply = |diff: &FileDiff, to: &[u8]| -> Result<Vec<u8>, String> {
            let bytes = diff.to_bytes();
            let Some(at) = memchr::memmem::find(&bytes, b"\n--- ") else { return Ok(to.to_vec()) };
            let parsed = diffy::Patch::from_bytes(&bytes[at + 1..]).map_err(|e| e.to_string())?;
            diffy::apply_bytes(to, &parsed).map_err(|e| e.to_string())
        };
        let forward = apply(diff, before).map_err(|e| fault(&diff.path, &e))?;
        if &forward != after {
            return Err(fault(&diff.path, "applying it gives another file"));
        }
        let back = apply(&diff.reversed(), after).map_err(|e| fault(&diff.path, &e))?;
        if back != before {
            return Err(fault(&diff.path, "its reverse does not give the file before"));
        }
    }
    Ok(())
}
