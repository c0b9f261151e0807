// SPDX-License-Identifier: MIT
//! Patches in git's format, as bytes: what systemd's files hold need not be UTF-8.
//!
//! Only what a series of ours may hold is read: text changes of existing files, and new files.
//! Everything else (binary, renames, mode changes, CRLF, another strip level) is refused with the
//! line that holds it, never half understood.

mod make;
mod parse;
mod plain;
#[cfg(test)]
mod tests;
mod write;

pub use make::{blob_id, diff, hunks, section};
pub use parse::parse;
pub use plain::parse_plain;

/// One patch file: what its author says, and what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchText {
    /// Everything up to the line `---` (or to the first file), ending in a newline.
    pub message: Vec<u8>,
    /// One entry per file, in the order of the patch.
    pub files: Vec<FileDiff>,
}

/// The changes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Path in the tree, without `a/` or `b/`.
    pub path: String,
    pub change: Change,
    /// The blob ids of the `index` line, as given (possibly abbreviated).
    pub index: Option<(String, String)>,
    pub hunks: Vec<Hunk>,
}

/// What becomes of the file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The file is there before and after, with the mode that the `index` line names.
    Modify { mode: i32 },
    /// The file is new, with this git mode (0o100644 or 0o100755).
    Create { mode: i32 },
}

/// A run of lines with its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// First line in the old file, from 1; 0 if the old side is empty.
    pub old_start: usize,
    /// First line in the new file, from 1; 0 if the new side is empty.
    pub new_start: usize,
    /// The text after the second `@@`, without its leading space.
    pub section: Vec<u8>,
    pub lines: Vec<Line>,
}

/// A line of a hunk, with its line end (the last line of a file may have none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    pub text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Context,
    Remove,
    Add,
}

impl Hunk {
    /// The lines that must be there before: context and removed ones.
    pub fn old_side(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.lines.iter().filter(|l| l.kind != Kind::Add).map(|l| l.text.as_slice())
    }

    /// The lines that are there afterwards: context and added ones.
    pub fn new_side(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.lines.iter().filter(|l| l.kind != Kind::Remove).map(|l| l.text.as_slice())
    }

    /// Number of lines that the hunk adds, less those that it removes.
    pub fn growth(&self) -> isize {
        self.lines
            .iter()
            .map(|l| match l.kind {
                Kind::Add => 1,
                Kind::Remove => -1,
                Kind::Context => 0,
            })
            .sum()
    }

    /// True if nothing follows the last changed line: the hunk ends where the file ends.
    pub fn ends_the_file(&self) -> bool {
        self.lines.last().is_some_and(|l| l.kind != Kind::Context)
    }

    fn reversed(&self) -> Hunk {
        // git writes removed lines before added ones; keep that order, so that a reversed hunk
        // has the same shape as one that git would have made.
        let mut lines: Vec<Line> = Vec::with_capacity(self.lines.len());
        let mut added: Vec<Line> = Vec::new();
        for line in &self.lines {
            match line.kind {
                Kind::Context => {
                    lines.append(&mut added);
                    lines.push(line.clone());
                }
                Kind::Remove => added.push(Line { kind: Kind::Add, text: line.text.clone() }),
                Kind::Add => lines.push(Line { kind: Kind::Remove, text: line.text.clone() }),
            }
        }
        lines.append(&mut added);
        Hunk {
            old_start: self.new_start,
            new_start: self.old_start,
            section: self.section.clone(),
            lines,
        }
    }
}

impl FileDiff {
    /// The change that undoes this one. A new file is left as it is: see [`Change::Create`].
    pub fn reversed(&self) -> FileDiff {
        FileDiff {
            index: self.index.clone().map(|(old, new)| (new, old)),
            hunks: self.hunks.iter().map(Hunk::reversed).collect(),
            ..self.clone()
        }
    }

    /// The content of a new file.
    pub fn created(&self) -> Vec<u8> {
        self.hunks.iter().flat_map(Hunk::new_side).flatten().copied().collect()
    }
}

impl PatchText {
    /// The `Subject:` of the message, unfolded, without `[PATCH …]`.
    pub fn subject(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.message);
        let mut lines = text.lines();
        let mut subject = lines.find_map(|l| l.strip_prefix("Subject: "))?.to_owned();
        for line in lines.take_while(|l| l.starts_with(' ')) {
            subject.push_str(line);
        }
        let subject = match subject.strip_prefix("[PATCH") {
            Some(rest) => rest.split_once(']').map_or(rest, |(_, s)| s).trim().to_owned(),
            None => subject,
        };
        Some(subject)
    }
}

/// The lines of a text, each with its line end.
pub fn split_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let unended = memchr::memrchr(b'\n', bytes).map_or(0, |i| i + 1) < bytes.len();
    memchr::memchr_iter(b'\n', bytes)
        .map(|i| i + 1)
        .chain(unended.then_some(bytes.len()))
        .map(move |end| &bytes[std::mem::replace(&mut start, end)..end])
}
