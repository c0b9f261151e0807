// SPDX-License-Identifier: MIT
//! How a person has solved a conflict, remembered by what collided.
//!
//! A resolution is known by its three sides: this version's lines, those that the patch was made
//! on, and those of the patch. Where the very same three meet again, on another version, the same
//! lines are the answer. Each is a file in `patches/resolutions/` that a review can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{MergeFileInput, MergeFileOptions};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::patch;
use crate::version::SystemdVersion;

const SCHEMA: u32 = 1;

/// Lines that upstream and the patch have both changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// This version's lines.
    pub ours: Vec<u8>,
    /// The lines that the patch was made on.
    pub base: Vec<u8>,
    /// The patch's lines.
    pub theirs: Vec<u8>,
}

/// A part of a merged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Merged(Vec<u8>),
    Conflict(Conflict),
}

/// What is written for a solved conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    schema: u32,
    /// Where it was solved; for the reader, it is used wherever the same lines collide.
    pub patch: String,
    pub file: String,
    pub version: SystemdVersion,
    pub ours: String,
    pub base: String,
    pub theirs: String,
    pub resolved: String,
}

/// All resolutions, by key.
#[derive(Debug, Clone, Default)]
pub struct Memory(BTreeMap<String, Resolution>);

/// Merges the change from `base` to `theirs` into `ours`, and keeps what collides apart.
///
/// # Errors
/// libgit2 failed (out of memory).
pub fn pieces(base: &[u8], theirs: &[u8], ours: &[u8]) -> Result<Vec<Piece>, git2::Error> {
    /// Long enough not to be found in source files.
    const MARKER: usize = 47;
    fn input(bytes: &[u8]) -> MergeFileInput<'_> {
        let mut input = MergeFileInput::new();
        input.content(bytes);
        input
    }
    let mut options = MergeFileOptions::new();
    options.style_diff3(true).marker_size(MARKER as u16);
    let merged = git2::merge_file(&input(base), &input(ours), &input(theirs), Some(&mut options))?;
    if merged.is_automergeable() {
        return Ok(vec![Piece::Merged(merged.content().to_vec())]);
    }
    let mut pieces = vec![Piece::Merged(Vec::new())];
    // 0 outside of conflicts, then the side: ours, base, theirs.
    let mut side = 0;
    for line in patch::split_lines(merged.content()) {
        let marker = |b: u8| line.len() > MARKER && line[..MARKER].iter().all(|c| *c == b);
        match (side, pieces.last_mut()) {
            (0, _) if marker(b'<') => {
                side = 1;
                let empty = || Conflict { ours: vec![], base: vec![], theirs: vec![] };
                pieces.push(Piece::Conflict(empty()));
            }
            (1, _) if marker(b'|') => side = 2,
            (2, _) if marker(b'=') => side = 3,
            (3, _) if marker(b'>') => {
                side = 0;
                pieces.push(Piece::Merged(Vec::new()));
            }
            (0, Some(Piece::Merged(text))) => text.extend_from_slice(line),
            (1, Some(Piece::Conflict(c))) => c.ours.extend_from_slice(line),
            (2, Some(Piece::Conflict(c))) => c.base.extend_from_slice(line),
            (_, Some(Piece::Conflict(c))) => c.theirs.extend_from_slice(line),
            _ => {}
        }
    }
    Ok(pieces)
}

impl Conflict {
    /// The name of its resolution: a hash of the three sides.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        for side in [&self.ours, &self.base, &self.theirs] {
            hash.update((side.len() as u64).to_le_bytes());
            hash.update(side);
        }
        hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl Resolution {
    /// A resolution to be kept. `None` if a side is not UTF-8: no review could read it.
    pub fn new(
        patch: &str,
        file: &str,
        version: SystemdVersion,
        conflict: &Conflict,
        resolved: &[u8],
    ) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Resolution {
            schema: SCHEMA,
            patch: patch.to_owned(),
            file: file.to_owned(),
            version,
            ours: text(&conflict.ours)?,
            base: text(&conflict.base)?,
            theirs: text(&conflict.theirs)?,
            resolved: text(resolved)?,
        })
    }

    fn conflict(&self) -> Conflict {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Conflict { ours: bytes(&self.ours), base: bytes(&self.base), theirs: bytes(&self.theirs) }
    }

    /// Its file below the folder of resolutions, and the text of it.
    ///
    /// # Errors
    /// The text cannot be made, which is a fault of this program.
    pub fn file(&self) -> Result<(PathBuf, String), Fault> {
        let text = toml::to_string_pretty(self).map_err(|e| Fault::new(e.to_string()))?;
        let head = "# SPDX-License-Identifier: LGPL-2.1-or-later\n\
                    # A conflict and its solution, used wherever the same lines collide.\n\
                    # Written by `cargo xtask resolve`.\n";
        Ok((PathBuf::from(format!("{}.toml", self.conflict().key())), format!("{head}{text}")))
    }
}

impl Memory {
    /// Reads the files in `dir`; no folder is no memory.
    ///
    /// # Errors
    /// A file is malformed, or does not hold what its name says.
    pub fn load(dir: &Path) -> Result<Self, Fault> {
        let mut memory = Memory::default();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let bad = |what: String| {
                Fault::new(format!("{}: {what}", path.display())).hint(format!(
                    "restore it (git checkout -- {0}) or remove it: it is made again by \
                     `cargo xtask resolve`",
                    path.display()
                ))
            };
            let text = std::fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
            let resolution: Resolution =
                toml::from_str(&text).map_err(|e| bad(e.to_string().trim().to_owned()))?;
            if resolution.schema != SCHEMA {
                return Err(bad(format!("schema {} is not known", resolution.schema)));
            }
            let key = resolution.conflict().key();
            if path.file_stem().is_none_or(|s| s != key.as_str()) {
                return Err(bad(format!("its sides were changed: they are those of {key}")));
            }
            memory.0.insert(key, resolution);
        }
        Ok(memory)
    }

    /// Remembers one more.
    pub fn add(&mut self, resolution: Resolution) {
        self.0.insert(resolution.conflict().key(), resolution);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines that a person has put in place of just this conflict.
    pub fn get(&self, conflict: &Conflict) -> Option<&Resolution> {
        self.0.get(&conflict.key())
    }

    /// The merged file if every conflict in it is remembered, and the keys that were used. `None`
    /// if nothing collides, or something that is not known.
    pub fn resolve(&self, pieces: &[Piece]) -> Option<(Vec<u8>, Vec<String>)> {
        let mut bytes = Vec::new();
        let mut keys = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Merged(text) => bytes.extend_from_slice(text),
                Piece::Conflict(conflict) => {
                    let key = conflict.key();
                    bytes.extend_from_slice(self.0.get(&key)?.resolved.as_bytes());
                    keys.push(key);
                }
            }
        }
        (!keys.is_empty()).then_some((bytes, keys))
    }
}

/// What a person put in place of each conflict, found by the merged text around it. `None` if that
/// text was changed as well: then only the whole file is the answer.
pub fn solved(pieces: &[Piece], fixed: &[u8]) -> Option<Vec<(Conflict, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut rest = fixed;
    let mut open: Option<&Conflict> = None;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Conflict(conflict) => {
                // Nothing tells where one of two ends.
                if open.replace(conflict).is_some() {
                    return None;
                }
            }
            Piece::Merged(text) => {
                let last = index + 1 == pieces.len();
                let at = match (open, last) {
                    (None, _) => rest.starts_with(text).then_some(0)?,
                    (Some(_), true) => rest.ends_with(text).then(|| rest.len() - text.len())?,
                    (Some(_), false) if text.is_empty() => return None,
                    (Some(_), false) => memchr::memmem::find(rest, text)?,
                };
                if let Some(conflict) = open.take() {
                    found.push((conflict.clone(), rest[..at].to_vec()));
                }
                rest = &rest[at + text.len()..];
            }
        }
    }
    (open.is_none() && rest.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &[u8] = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    const THEIRS: &[u8] = b"1\n2\nnew\n4\n5\n6\n7\n8\n9\n";
    const OURS: &[u8] = b"0\n1\n2\nother\n4\n5\n6\n7\nx\n9\n";

    #[test]
    fn what_was_solved_once_is_solved_where_it_collides_again() {
        let first = pieces(BASE, THEIRS, OURS).unwrap();
        let mut memory = Memory::default();
        assert_eq!(memory.resolve(&first), None);
        let fixed = b"0\n1\n2\nother new\n4\n5\n6\n7\nx\n9\n";
        let answers = solved(&first, fixed).unwrap();
        assert_eq!(answers.len(), 1);
        let (conflict, answer) = &answers[0];
        assert_eq!((&conflict.ours[..], &answer[..]), (&b"other\n"[..], &b"other new\n"[..]));
        let version = SystemdVersion::new(258, 0);
        memory.add(Resolution::new("0001-a", "a.c", version, conflict, answer).unwrap());
        assert_eq!(memory.resolve(&first).unwrap().0, fixed);
        // Elsewhere in another version, with other lines around.
        let later = [b"z\n", OURS].concat();
        let again = pieces(BASE, THEIRS, &later).unwrap();
        assert_eq!(memory.resolve(&again).unwrap().0, [b"z\n", &fixed[..]].concat());
        // Other lines are another conflict.
        let other = b"1\n2\nthird\n4\n5\n6\n7\n8\n9\n";
        assert_eq!(memory.resolve(&pieces(BASE, THEIRS, other).unwrap()), None);
    }

    #[test]
    fn a_file_that_was_changed_elsewhere_names_no_answer() {
        let merged = pieces(BASE, THEIRS, OURS).unwrap();
        assert_eq!(solved(&merged, b"0\n1\nmore\n2\nnew\n4\n5\n6\n7\nx\n9\n"), None);
        assert_eq!(solved(&merged, b""), None);
    }

    #[test]
    fn files_read_back_and_a_changed_side_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let conflict = Conflict {
            ours: b"        a(\"x\\n\");\n".to_vec(),
            base: b"\n\n".to_vec(),
            theirs: b"'''\n\t\\\n".to_vec(),
        };
        let version = SystemdVersion::new(258, 0);
        let resolution = Resolution::new("0001-a", "a.c", version, &conflict, b"done").unwrap();
        let (name, text) = resolution.file().unwrap();
        std::fs::write(dir.path().join(&name), &text).unwrap();
        let memory = Memory::load(dir.path()).unwrap();
        let merged = [Piece::Conflict(conflict)];
        assert_eq!(memory.resolve(&merged).unwrap().0, b"done");
        std::fs::write(dir.path().join(&name), text.replace("a(", "b(")).unwrap();
        let error = Memory::load(dir.path()).unwrap_err();
        assert!(error.message.contains("its sides were changed"), "{}", error.message);
    }
}
