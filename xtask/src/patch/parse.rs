// SPDX-License-Identifier: MIT
//! Reading a patch file.

use std::path::Path;

use super::{Change, FileDiff, Hunk, Kind, Line, PatchText, split_lines};
use crate::fault::Fault;

pub(super) const REGULAR: i32 = 0o100_644;
const EXECUTABLE: i32 = 0o100_755;
pub(super) const MAKE: &str =
    "make it with `git format-patch --zero-commit --full-index --no-signature -1`";

/// Reads a patch file; `path` is named in errors.
///
/// # Errors
/// What the patch holds and this project does not take, with its line; and a hunk whose lines do
/// not add up to its header.
pub fn parse(bytes: &[u8], path: &Path) -> Result<PatchText, Fault> {
    Reader { lines: split_lines(bytes).collect(), at: 0, path }.patch()
}

pub(super) struct Reader<'a> {
    pub(super) lines: Vec<&'a [u8]>,
    /// Index of the next line.
    pub(super) at: usize,
    pub(super) path: &'a Path,
}

impl<'a> Reader<'a> {
    fn patch(mut self) -> Result<PatchText, Fault> {
        let first = self.lines.iter().position(|l| l.starts_with(b"diff --git "));
        let Some(first) = first else {
            if let Some(at) = self.lines.iter().position(|l| is_crlf(l)) {
                self.at = at;
                return Err(self.crlf());
            }
            return Err(Fault::new(format!(
                "{}: no line `diff --git`: not a patch in git's format",
                self.path.display()
            ))
            .hint(MAKE));
        };
        if let Some(at) = self.lines[..=first].iter().position(|l| is_crlf(l)) {
            self.at = at;
            return Err(self.crlf());
        }
        let end = self.lines[..first].iter().rposition(|l| *l == b"---\n").unwrap_or(first);
        let message: Vec<u8> = self.lines[..end].concat();
        self.at = first;
        let mut files: Vec<FileDiff> = Vec::new();
        while let Some(line) = self.peek() {
            if line.starts_with(b"diff --git ") {
                let file = self.file()?;
                if files.iter().any(|f| f.path == file.path) {
                    return Err(self.bad(&format!("{} is changed twice", file.path), MAKE));
                }
                files.push(file);
            } else if line == b"-- \n" {
                self.signature()?;
                break;
            } else if line == b"\n" {
                self.at += 1;
            } else {
                return Err(self.bad(
                    "this line belongs to no hunk: the header of the hunk above counts fewer",
                    "undo the edit by hand, or make the patch again with git format-patch",
                ));
            }
        }
        Ok(PatchText { message, files })
    }

    pub(super) fn file(&mut self) -> Result<FileDiff, Fault> {
        let path = self.paths()?;
        let mut file = FileDiff {
            path,
            change: Change::Modify { mode: REGULAR },
            index: None,
            hunks: Vec::new(),
        };
        while let Some(line) = self.peek() {
            let line = trim(line);
            if is_crlf(line) {
                return Err(self.crlf());
            } else if line.starts_with(b"@@ ") || line.starts_with(b"diff --git ") || line == b"-- "
            {
                break;
            } else if let Some(index) = line.strip_prefix(b"index ") {
                file.index = Some(self.index(index)?);
                if index.ends_with(b" 100755") {
                    file.change = Change::Modify { mode: EXECUTABLE };
                }
            } else if let Some(mode) = line.strip_prefix(b"new file mode ") {
                let mode = file_mode(mode).ok_or_else(|| {
                    self.bad("a link or submodule is added", "add a regular file instead")
                })?;
                file.change = Change::Create { mode };
            } else if let Some(name) = line.strip_prefix(b"--- ") {
                let new = matches!(file.change, Change::Create { .. });
                if (name == b"/dev/null") != new {
                    return Err(self.bad("a file is added without `new file mode`", MAKE));
                }
                if !new {
                    self.same_path(name, b"a/", &file.path)?;
                }
            } else if let Some(name) = line.strip_prefix(b"+++ ") {
                self.same_path(name, b"b/", &file.path)?;
            } else if let Some(what) = refused(line) {
                return Err(self.bad(what, "leave it out of the patch: series hold text changes"));
            } else {
                return Err(self.bad("this line is not known in a patch", MAKE));
            }
            self.at += 1;
        }
        self.hunks(&mut file)?;
        let new = matches!(file.change, Change::Create { .. });
        if file.hunks.is_empty() && !new {
            return Err(self.bad(&format!("{} has no hunk: cut off", file.path), MAKE));
        }
        if new && file.hunks.iter().any(|h| h.lines.iter().any(|l| l.kind != Kind::Add)) {
            return Err(self.bad(&format!("{} is new but has old lines", file.path), MAKE));
        }
        Ok(file)
    }

    /// git's signature ends the patch; its version follows, and nothing that would be lost.
    pub(super) fn signature(&mut self) -> Result<(), Fault> {
        let diff = |l: &&[u8]| l.starts_with(b"diff --git ") || l.starts_with(b"@@ -");
        let Some(below) = self.lines[self.at..].iter().position(diff) else { return Ok(()) };
        self.at += below;
        Err(self.bad("a diff below the signature `-- `", "split the mails, or remove the line"))
    }

    /// All hunks that follow, in order and apart.
    pub(super) fn hunks(&mut self, file: &mut FileDiff) -> Result<(), Fault> {
        while self.peek().is_some_and(|l| l.starts_with(b"@@ ")) {
            let hunk = self.hunk()?;
            if let Some(last) = file.hunks.last()
                && hunk.old_start < last.old_start + last.old_side().count()
            {
                return Err(self.bad("the hunk above overlaps the one before it", MAKE));
            }
            file.hunks.push(hunk);
        }
        Ok(())
    }

    /// The path of `diff --git a/X b/X`.
    fn paths(&mut self) -> Result<String, Fault> {
        const STRIP: &str = "paths look like a/src/core/main.c and b/src/core/main.c (-p1)";
        let line = trim(self.peek().unwrap_or_default());
        if is_crlf(line) {
            return Err(self.crlf());
        }
        let rest = std::str::from_utf8(&line[b"diff --git ".len()..])
            .ok()
            .filter(|r| !r.contains('"'))
            .ok_or_else(|| self.bad("the path is quoted or not UTF-8", STRIP))?;
        // Both halves have the same length: `a/X b/X`.
        let half = rest.len().saturating_sub(1) / 2;
        let (old, new) = (rest.get(..half), rest.get(half + 1..));
        let (Some(old), Some(new)) =
            (old.and_then(|p| p.strip_prefix("a/")), new.and_then(|p| p.strip_prefix("b/")))
        else {
            return Err(self.bad("the paths are not a/… and b/… of one file", STRIP));
        };
        if old != new || !is_sound(old) {
            return Err(self.bad("the paths are not a/… and b/… of one file", STRIP));
        }
        self.at += 1;
        Ok(old.to_owned())
    }

    fn same_path(&self, name: &[u8], prefix: &[u8], path: &str) -> Result<(), Fault> {
        // GNU diff adds a tab and a date.
        let name = name.split(|&b| b == b'\t').next().unwrap_or(name);
        if name.strip_prefix(prefix) == Some(path.as_bytes()) {
            return Ok(());
        }
        Err(self.bad(&format!("not the path of `diff --git`, {path}"), MAKE))
    }

    fn index(&self, text: &[u8]) -> Result<(String, String), Fault> {
        let text = String::from_utf8_lossy(text).into_owned();
        let ids = text.split(' ').next().unwrap_or_default();
        let hex = |s: &str| {
            (4..=64).contains(&s.len()) && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match ids.split_once("..") {
            Some((old, new)) if hex(old) && hex(new) => Ok((old.to_owned(), new.to_owned())),
            _ => Err(self.bad("the index line has no two blob ids", MAKE)),
        }
    }

    fn hunk(&mut self) -> Result<Hunk, Fault> {
        let header = trim(self.peek().unwrap_or_default());
        let Some(((old_start, old_count), (new_start, new_count), section)) = ranges(header) else {
            return Err(self.bad("the hunk's header is not `@@ -N,N +N,N @@`", MAKE));
        };
        if is_crlf(header) {
            return Err(self.crlf());
        }
        let section = section.to_vec();
        let start = self.at;
        self.at += 1;
        let (mut old, mut new) = (0, 0);
        let mut lines: Vec<Line> = Vec::new();
        while old < old_count || new < new_count {
            let (kind, text): (Kind, &[u8]) = match self.peek() {
                Some([b' ', rest @ ..]) => (Kind::Context, rest),
                Some([b'-', rest @ ..]) => (Kind::Remove, rest),
                Some([b'+', rest @ ..]) => (Kind::Add, rest),
                // Mailers strip the space of an empty context line.
                Some(empty @ b"\n") => (Kind::Context, empty),
                Some([b'\\', ..]) if !lines.is_empty() => {
                    self.no_newline(&mut lines);
                    continue;
                }
                _ => {
                    self.at = start;
                    return Err(self.bad(
                        &format!(
                            "the hunk is cut off: its header counts {old_count} old and \
                             {new_count} new lines, {old} and {new} are there"
                        ),
                        "make the patch again with git format-patch",
                    ));
                }
            };
            old += usize::from(kind != Kind::Add);
            new += usize::from(kind != Kind::Remove);
            if old > old_count || new > new_count {
                return Err(self.bad(
                    "more lines than the hunk's header counts",
                    "make the patch again with git format-patch",
                ));
            }
            lines.push(Line { kind, text: text.to_vec() });
            self.at += 1;
        }
        if matches!(self.peek(), Some([b'\\', ..])) {
            self.no_newline(&mut lines);
        }
        Ok(Hunk { old_start, new_start, section, lines })
    }

    /// `\ No newline at end of file`
    fn no_newline(&mut self, lines: &mut [Line]) {
        if let Some(last) = lines.last_mut()
            && last.text.ends_with(b"\n")
        {
            last.text.pop();
        }
        self.at += 1;
    }

    pub(super) fn peek(&self) -> Option<&'a [u8]> {
        self.lines.get(self.at).copied()
    }

    pub(super) fn bad(&self, what: &str, hint: &str) -> Fault {
        let line = (self.at + 1).min(self.lines.len());
        Fault::new(format!("{}:{line}: {what}", self.path.display())).hint(hint)
    }

    pub(super) fn crlf(&self) -> Fault {
        self.bad(
            "the line ends in CRLF: a mailer or an editor has changed the patch",
            &format!("sed -i 's/\\r$//' {}", self.path.display()),
        )
    }
}

/// The mode of a regular file, as git writes it.
pub(super) fn file_mode(text: &[u8]) -> Option<i32> {
    match text {
        b"100644" => Some(REGULAR),
        b"100755" => Some(EXECUTABLE),
        _ => None,
    }
}

/// True for a path that stays inside of the tree.
pub(super) fn is_sound(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".." | ".git"))
}

/// The line without its newline.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

pub(super) fn is_crlf(line: &[u8]) -> bool {
    trim(line).ends_with(b"\r")
}

/// Header lines of changes that are not taken.
pub(super) fn refused(line: &[u8]) -> Option<&'static str> {
    let starts = |p: &str| line.starts_with(p.as_bytes());
    Some(match () {
        () if starts("GIT binary patch") || starts("Binary files ") => "a binary file is changed",
        () if starts("old mode ") || starts("new mode ") => "the mode of a file is changed",
        () if starts("rename ") || starts("copy ") || starts("similarity index ") => {
            "a file is renamed or copied"
        }
        () if starts("deleted file mode ") => "a file is removed",
        () => return None,
    })
}

type Range = (usize, usize);

/// `@@ -1,7 +1,8 @@ section`
fn ranges(header: &[u8]) -> Option<(Range, Range, &[u8])> {
    let rest = header.strip_prefix(b"@@ -")?;
    let end = rest.windows(3).position(|w| w == b" @@")?;
    let (old, new) = std::str::from_utf8(&rest[..end]).ok()?.split_once(" +")?;
    let range = |s: &str| -> Option<Range> {
        let number = |s: &str| -> Option<usize> {
            let digits = (1..=9).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
            if digits { s.parse().ok() } else { None }
        };
        match s.split_once(',') {
            Some((start, count)) => Some((number(start)?, number(count)?)),
            None => Some((number(s)?, 1)),
        }
    };
    let section = &rest[end + 3..];
    Some((range(old)?, range(new)?, section.strip_prefix(b" ").unwrap_or(section)))
}
