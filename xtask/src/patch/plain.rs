// SPDX-License-Identifier: MIT
//! Reading patches of others: unified diffs with or without git's lines, as `diff -ru`, quilt and
//! distributions write them.
//!
//! More forms are taken than [`super::parse`] takes, but nothing is half understood here either:
//! what this project cannot carry (binary files, renames, removed files, modes) is refused.

use std::path::Path;

use super::parse::{MAKE, REGULAR, Reader, file_mode, is_crlf, is_sound, refused, trim};
use super::{Change, FileDiff, Kind, PatchText, split_lines};
use crate::fault::Fault;

/// Reads a patch file; `path` is named in errors. `strip` leading parts are taken off the paths of
/// `---` and `+++` lines, as `patch -p` does; git's own lines (`diff --git`) are always read with
/// one part to strip.
///
/// # Errors
/// What the patch holds and this project does not take, with its line; and a hunk whose lines do
/// not add up to its header.
pub fn parse_plain(bytes: &[u8], path: &Path, strip: usize) -> Result<PatchText, Fault> {
    let mut reader = Reader { lines: split_lines(bytes).collect(), at: 0, path };
    let first = (0..reader.lines.len()).find(|&i| starts_file(&reader.lines, i));
    let Some(first) = first else {
        if let Some(at) = reader.lines.iter().position(|l| is_crlf(l) && is_marker(l)) {
            reader.at = at;
            return Err(reader.crlf());
        }
        return Err(Fault::new(format!("{}: holds no diff", path.display()))
            .hint("a series holds unified diffs; leave other files out of it"));
    };
    reader.message_only(first)?;
    let end = reader.lines[..first].iter().rposition(|l| *l == b"---\n").unwrap_or(first);
    let message = reader.lines[..end].concat();
    reader.at = first;
    let mut files: Vec<FileDiff> = Vec::new();
    while let Some(line) = reader.peek() {
        if starts_file(&reader.lines, reader.at) {
            let file = reader.plain_file(strip)?;
            if files.iter().any(|f| f.path == file.path) {
                return Err(reader.bad(&format!("{} is changed twice", file.path), MAKE));
            }
            files.push(file);
        } else if line == b"-- \n" {
            reader.signature()?;
            break;
        } else if matches!(line.first(), Some(b' ' | b'+' | b'-' | b'@' | b'\\')) {
            return Err(reader.bad(
                "this line belongs to no hunk: the header of the hunk above counts fewer",
                "undo the edit by hand, or make the patch again",
            ));
        } else {
            reader.at += 1; // patch(1) takes text between files, too
        }
    }
    Ok(PatchText { message, files })
}

/// True if the diff of a file starts at this line.
fn starts_file(lines: &[&[u8]], at: usize) -> bool {
    let line = |i: usize| lines.get(i).copied().unwrap_or_default();
    let here = line(at);
    here.starts_with(b"diff --git ")
        || (here.starts_with(b"Index: ") && line(at + 1).starts_with(b"==="))
        || (here.starts_with(b"--- ")
            && line(at + 1).starts_with(b"+++ ")
            && line(at + 2).starts_with(b"@@ -"))
        || (here.starts_with(b"diff -")
            && line(at + 1).starts_with(b"--- ")
            && line(at + 2).starts_with(b"+++ "))
}

/// Lines that only diffs have.
fn is_marker(line: &[u8]) -> bool {
    [&b"diff --git "[..], b"--- ", b"+++ ", b"@@ -"].iter().any(|m| line.starts_with(m))
}

impl Reader<'_> {
    /// Fails if the lines before `first` are more than a message: a diff of another kind would be
    /// lost with them.
    fn message_only(&mut self, first: usize) -> Result<(), Fault> {
        for at in 0..first {
            let line = self.lines[at];
            if line.starts_with(b"*** ") && self.lines[at + 1].starts_with(b"--- ") {
                self.at = at;
                return Err(self.bad("a context diff: only unified diffs are read", MAKE));
            }
        }
        Ok(())
    }

    fn plain_file(&mut self, strip: usize) -> Result<FileDiff, Fault> {
        let mut names: Vec<(String, bool)> = Vec::new();
        let mut mode = REGULAR;
        while names.len() < 2 {
            let Some(line) = self.peek().map(trim) else {
                return Err(self.bad("the diff is cut off before its `+++` line", MAKE));
            };
            if is_crlf(line) {
                return Err(self.crlf());
            }
            // Also below a line of `diff -r` or `Index:`; it says more than those.
            if names.is_empty() && line.starts_with(b"diff --git ") {
                return self.file();
            }
            let prefix: &[u8] = if names.is_empty() { b"--- " } else { b"+++ " };
            if let Some(name) = line.strip_prefix(prefix) {
                names.push(self.plain_path(name, strip)?);
            } else if let Some(text) = line.strip_prefix(b"new file mode ") {
                mode = file_mode(text).ok_or_else(|| {
                    self.bad("a link or submodule is added", "add a regular file instead")
                })?;
            } else if let Some(what) = refused(line) {
                return Err(self.bad(what, "leave it out of the patch"));
            } else if !names.is_empty() {
                return Err(self.bad("a `+++` line belongs here", MAKE));
            }
            self.at += 1;
        }
        let (new, old) = (names.pop().unwrap_or_default(), names.pop().unwrap_or_default());
        let nothing = "/dev/null";
        if new.0 == nothing {
            self.at -= 1;
            return Err(self.bad("a file is removed", "leave it out of the patch"));
        }
        let create = old.0 == nothing || old.1;
        let backup = old.0.strip_suffix(".orig").unwrap_or(&old.0);
        if !create && backup != new.0 {
            self.at -= 1;
            let what = format!("the paths are not of one file: {} and {}", old.0, new.0);
            return Err(self.bad(&what, "name its strip level in the series file (-p0, -p1)"));
        }
        let change = if create { Change::Create { mode } } else { Change::Modify { mode } };
        let mut file = FileDiff { path: new.0, change, index: None, hunks: Vec::new() };
        self.hunks(&mut file)?;
        if file.hunks.is_empty() {
            return Err(self.bad(&format!("{} has no hunk: cut off", file.path), MAKE));
        }
        if create && file.hunks.iter().flat_map(|h| &h.lines).any(|l| l.kind != Kind::Add) {
            return Err(self.bad(&format!("{} is new but has old lines", file.path), MAKE));
        }
        Ok(file)
    }

    /// The path of a `---` or `+++` line, and whether its date says that there is no such file.
    fn plain_path(&self, text: &[u8], strip: usize) -> Result<(String, bool), Fault> {
        let mut parts = text.splitn(2, |b| *b == b'\t');
        let name = parts.next().unwrap_or_default();
        let date = parts.next().unwrap_or_default();
        // What `diff -N` says of a file that is not there; in zones west of Greenwich, too.
        let absent = date.starts_with(b"1970-01-01 ") || date.starts_with(b"1969-12-31 ");
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|n| !n.contains('"'))
            .ok_or_else(|| self.bad("the path is quoted or not UTF-8", MAKE))?
            .trim_end();
        if name == "/dev/null" {
            return Ok((name.to_owned(), true));
        }
        let stripped = name.splitn(strip + 1, '/').nth(strip).unwrap_or_default();
        if !is_sound(stripped) {
            let what = format!("`{name}` is no path in the tree with {strip} parts stripped");
            return Err(self.bad(&what, "name its strip level in the series file (-p0, -p1)"));
        }
        Ok((stripped.to_owned(), absent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, strip: usize) -> Result<PatchText, Fault> {
        parse_plain(text.as_bytes(), Path::new("x.patch"), strip)
    }

    #[test]
    fn quilt_and_diff_and_git_lines_are_read_alike() {
        let hunk = "@@ -1,2 +1,2 @@ int f(void)\n a\n-b\n+c\n";
        let heads = [
            "Index: b/src/a.c\n===================\n--- b.orig/src/a.c\n+++ b/src/a.c\n",
            "--- a/src/a.c\t2020-01-01 00:00:00.0 +0000\n+++ b/src/a.c\t2020-01-01\n",
            "diff -ru old/src/a.c new/src/a.c\n--- old/src/a.c\n+++ new/src/a.c\n",
            "diff --git a/src/a.c b/src/a.c\n--- a/src/a.c\n+++ b/src/a.c\n",
            "--- x/src/a.c.orig\n+++ x/src/a.c\n",
        ];
        for head in heads {
            let text = read(&format!("Description: why\n\n{head}{hunk}"), 1).unwrap();
            assert_eq!(text.message, b"Description: why\n\n", "{head}");
            assert_eq!(text.files.len(), 1);
            assert_eq!(text.files[0].path, "src/a.c");
            assert_eq!(text.files[0].hunks[0].lines.len(), 3);
        }
        let text = read(&format!("--- src/a.c\n+++ src/a.c\n{hunk}"), 0).unwrap();
        assert_eq!(text.files[0].path, "src/a.c");
    }

    #[test]
    fn a_new_file_is_known_by_its_date_and_two_files_are_two() {
        let text = "--- a/n\t1970-01-01 01:00:00.0 +0100\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\
                    some words\n--- /dev/null\n+++ b/m\n@@ -0,0 +1 @@\n+y\n";
        let text = read(text, 1).unwrap();
        let new = Change::Create { mode: REGULAR };
        assert!(text.files.iter().all(|f| f.change == new) && text.files.len() == 2);
    }

    #[test]
    fn an_empty_file_and_crlf_content_are_kept() {
        let empty = "diff --git a/x b/x\nnew file mode 100755\nindex 0000000..e69de29\n";
        let crlf = "diff --git a/y b/y\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\r\n+b\r\n";
        let text = read(&format!("{empty}{crlf}"), 1).unwrap();
        assert_eq!(text.files[0].change, Change::Create { mode: 0o100_755 });
        assert!(text.files[0].hunks.is_empty());
        assert_eq!(text.files[1].hunks[0].lines[1].text, b"b\r\n");
        let written = text.to_bytes();
        assert_eq!(parse_plain(&written, Path::new("x.patch"), 1).unwrap().files, text.files);
    }

    #[test]
    fn what_cannot_be_carried_is_refused_with_its_line() {
        let cases = [
            ("--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", "x.patch:2: a file is removed"),
            ("--- a/x\n+++ b/y\n@@ -1 +1 @@\n-x\n+y\n", "not of one file: x and y"),
            ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-x\n+y\n", "no path in the tree"),
            ("--- x\n+++ x\n@@ -1 +1 @@\n-x\n+y\n", "no path in the tree with 1 parts"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n+z\n", "x.patch:6: this line belongs to no"),
            ("--- a/x\r\n+++ b/x\r\n@@ -1 +1 @@\r\n-x\r\n+y\r\n", "ends in CRLF"),
            (
                "*** a/x\n--- b/x\n***************\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n",
                "context",
            ),
            (
                "diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\n",
                "x.patch:1: the paths are not",
            ),
            ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "x.patch:2: the mode"),
            ("diff --git a/x b/x\nindex 1111..2222\nGIT binary patch\n", "x.patch:3: a binary"),
            ("words\n", "holds no diff"),
            ("Index: x\n===\n--- a/x\n+++ b/x\n-- \n@@ -1 +1 @@\n-x\n+y\n", "x.patch:5: x has no"),
            (
                "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n-- \n2.47\ndiff --git a/y b/y\n",
                "x.patch:8: a diff below the signature",
            ),
        ];
        for (text, said) in cases {
            let fault = read(text, 1).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }
}
