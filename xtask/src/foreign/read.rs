// SPDX-License-Identifier: MIT
//! Reading a series from a folder or a mailbox.

use std::collections::BTreeSet;
use std::path::Path;

use crate::fault::Fault;
use crate::patch::{self, PatchText};
use crate::series;
use crate::version::SystemdVersion;

/// A patch of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name in the `series` file, else its file's name; unique.
    pub name: String,
    pub text: PatchText,
}

/// Where quilt keeps its list, seen from what a person may name.
const LISTS: [&str; 3] = ["series", "patches/series", "debian/patches/series"];

/// Reads the series at `path`: a folder with a quilt `series` file (or a source package with
/// `debian/patches`), one of this project (then the texts for `version` are taken), a folder of
/// `.patch` and `.diff` files in the order of their names, or a mailbox.
///
/// # Errors
/// There is no series; a patch cannot be read, or holds what this project does not carry.
pub fn read(path: &Path, version: Option<SystemdVersion>) -> Result<Vec<Item>, Fault> {
    let shown = path.display();
    if path.is_file() {
        return if path.file_name().is_some_and(|n| n == "series") {
            quilt(path.parent().unwrap_or(Path::new(".")), path)
        } else {
            mailbox(path)
        };
    }
    if !path.is_dir() {
        return Err(Fault::new(format!("{shown}: no such folder or file"))
            .hint("name a folder of patches, a quilt `series`, debian/patches or a mailbox"));
    }
    if path.join("series.toml").is_file() {
        return own(path, version);
    }
    let list = LISTS.iter().map(|l| path.join(l)).find(|l| l.is_file());
    let items = match list {
        Some(list) => quilt(list.parent().unwrap_or(path), &list)?,
        None => folder(path)?,
    };
    if items.is_empty() {
        return Err(Fault::new(format!("{shown} holds no patches"))
            .hint("name a folder of patches, a quilt `series`, debian/patches or a mailbox"));
    }
    Ok(items)
}

/// The patches that a quilt `series` file names, in its order.
fn quilt(dir: &Path, list: &Path) -> Result<Vec<Item>, Fault> {
    let bytes = std::fs::read(list)
        .map_err(|e| Fault::new(format!("cannot read {}: {e}", list.display())))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::new(format!("{} is not UTF-8", list.display())))?;
    let mut items: Vec<Item> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let bad = |what: &str| Fault::new(format!("{}:{}: {what}", list.display(), index + 1));
        // A comment starts the line or follows a blank, as quilt reads it.
        let line = line.split(" #").next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|n| !n.starts_with('#')) else { continue };
        let mut strip = 1;
        for option in words {
            strip = match option {
                "-p0" => 0,
                "-p1" | "-pab" => 1,
                "-p2" => 2,
                "-R" => return Err(bad("a patch that is applied in reverse is not read")),
                _ => return Err(bad(&format!("the option `{option}` is not known"))),
            };
        }
        let inside = Path::new(name)
            .components()
            .all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if !inside {
            return Err(bad(&format!("`{name}` leads out of the folder")));
        }
        if !names.insert(name.to_owned()) {
            return Err(bad(&format!("`{name}` is there twice")));
        }
        let text = one(&dir.join(name), strip)?;
        items.push(Item { name: name.to_owned(), text });
    }
    Ok(items)
}

/// The patch files of a folder, in the order of their names.
fn folder(dir: &Path) -> Result<Vec<Item>, Fault> {
    let cannot = |e: std::io::Error| Fault::new(format!("cannot read {}: {e}", dir.display()));
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".patch") || name.ends_with(".diff") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.into_iter().map(|name| Ok(Item { text: one(&dir.join(&name), 1)?, name })).collect()
}

/// Reads one patch file, with this many leading folders in its paths.
///
/// # Errors
/// As [`read`].
pub fn one(path: &Path, strip: usize) -> Result<PatchText, Fault> {
    let bytes = std::fs::read(path)
        .map_err(|e| Fault::new(format!("cannot read {}: {e}", path.display())))?;
    decoded(patch::parse_plain(&bytes, path, strip)?, path)
}

/// The mails of a mailbox, as `git format-patch --stdout` writes it.
fn mailbox(path: &Path) -> Result<Vec<Item>, Fault> {
    let bytes = std::fs::read(path)
        .map_err(|e| Fault::new(format!("cannot read {}: {e}", path.display())))?;
    let lines: Vec<&[u8]> = patch::split_lines(&bytes).collect();
    let mut starts: Vec<usize> = (0..lines.len()).filter(|&i| starts_mail(lines[i])).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    starts.push(lines.len());
    let mut items: Vec<Item> = Vec::new();
    for (index, range) in starts.windows(2).enumerate() {
        // The lines above are empty, so that errors name lines of the whole file.
        let mail = [vec![b'\n'; range[0]], lines[range[0]..range[1]].concat()].concat();
        if starts.len() > 2 && !mail.windows(2).any(|w| w == b"@@") {
            continue; // a cover letter
        }
        let mut text = decoded(patch::parse_plain(&mail, path, 1)?, path)?;
        text.message.drain(..range[0].min(text.message.len()));
        let subject = text.subject().unwrap_or_default();
        items.push(Item { name: super::file_name(index + 1, &subject), text });
    }
    Ok(items)
}

/// `From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001`
fn starts_mail(line: &[u8]) -> bool {
    line.strip_prefix(b"From ").is_some_and(|rest| {
        let id = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        matches!(id, 40 | 64) && rest[id..].starts_with(b" Mon Sep 17 00:00:00 2001")
    })
}

/// Fails for a mail whose body is encoded: its lines are not those of the patch.
fn decoded(text: PatchText, path: &Path) -> Result<PatchText, Fault> {
    let head = String::from_utf8_lossy(&text.message).to_ascii_lowercase();
    let encoded = head.lines().take_while(|l| !l.is_empty()).any(|l| {
        l.strip_prefix("content-transfer-encoding:")
            .is_some_and(|how| matches!(how.trim(), "quoted-printable" | "base64"))
    });
    if encoded {
        return Err(Fault::new(format!("{}: the mail's body is encoded", path.display()))
            .hint("decode it first: git mailinfo /dev/null - < MAIL > PATCH"));
    }
    Ok(text)
}

/// A series of this project: the texts that are for `version`.
fn own(dir: &Path, version: Option<SystemdVersion>) -> Result<Vec<Item>, Fault> {
    let series = series::load(dir)?;
    let Some(version) = version else {
        return Err(Fault::new(format!(
            "{} is a series of this project: which texts are meant?",
            dir.display()
        ))
        .hint("give a release as --from, such as v257.13"));
    };
    let mut items = Vec::new();
    for patch in series.patches.iter().filter(|p| p.needed.contains(version)) {
        let variant = patch.variant_for(version).ok_or_else(|| {
            Fault::new(format!("{} has no variant for {version}", patch.id))
                .hint(format!("cargo xtask rebase-patches {version}"))
        })?;
        items.push(Item { name: patch.id.clone(), text: variant.text.clone() });
    }
    Ok(items)
}
