// SPDX-License-Identifier: MIT
//! Writing a patch file as `git format-patch --full-index --no-signature` lays it out.

use std::io::Write as _;

use super::{Change, FileDiff, Hunk, Kind, PatchText};

impl PatchText {
    /// The bytes of the patch file: message, diffstat, one diff per file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.message.clone();
        out.extend_from_slice(b"---\n");
        out.extend_from_slice(self.diffstat().as_bytes());
        out.push(b'\n');
        for file in &self.files {
            out.extend_from_slice(&file.to_bytes());
        }
        out
    }

    /// git's summary of the changed lines, at the 72 columns of format-patch.
    fn diffstat(&self) -> String {
        let counts: Vec<(usize, usize)> = self.files.iter().map(FileDiff::counts).collect();
        let total = |c: &(usize, usize)| c.0 + c.1;
        let most = counts.iter().map(total).max().unwrap_or(0);
        let digits = most.to_string().len();
        let longest = self.files.iter().map(|f| f.path.len()).max().unwrap_or(0);
        // As show_stats() of git 2.47 shares the columns between name and graph.
        let room = 72_usize.saturating_sub(digits + 6);
        let (mut name, mut graph) = (longest, most);
        if name + graph > room {
            graph = graph.min((72 * 3 / 8_usize).saturating_sub(digits + 6).max(6));
            if name > room - graph {
                name = room - graph;
            } else {
                graph = room - name;
            }
        }
        let mut text = String::new();
        for (file, &(added, removed)) in self.files.iter().zip(&counts) {
            let (plus, minus) = bars(added, removed, most, graph);
            let (plus, minus) = ("+".repeat(plus), "-".repeat(minus));
            let shown = shortened(&file.path, name);
            text += &format!(" {shown:name$} | {:>digits$} {plus}{minus}\n", added + removed);
        }
        let (added, removed) =
            counts.iter().fold((0, 0), |(a, r), (added, removed)| (a + added, r + removed));
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        text += &format!(" {} changed", plural(self.files.len(), "file"));
        if added > 0 || removed == 0 {
            text += &format!(", {}(+)", plural(added, "insertion"));
        }
        if removed > 0 || added == 0 {
            text += &format!(", {}(-)", plural(removed, "deletion"));
        }
        text.push('\n');
        for file in &self.files {
            if let Change::Create { mode } = file.change {
                text += &format!(" create mode {mode:o} {}\n", file.path);
            }
        }
        text
    }
}

/// Lengths of the `+` and `-` bars, scaled as git does if `most` is wider than `graph`.
fn bars(added: usize, removed: usize, most: usize, graph: usize) -> (usize, usize) {
    if most <= graph {
        return (added, removed);
    }
    let scale = |n: usize| if n == 0 { 0 } else { 1 + n * graph.saturating_sub(1) / most };
    let mut total = scale(added + removed);
    if total < 2 && added > 0 && removed > 0 {
        total = 2;
    }
    if added < removed {
        let plus = scale(added);
        (plus, total - plus)
    } else {
        let minus = scale(removed);
        (total - minus, minus)
    }
}

/// A path cut at the front to `width` columns, at a slash where there is one.
fn shortened(path: &str, width: usize) -> String {
    if path.len() <= width {
        return path.to_owned();
    }
    let tail = path.get(path.len() - width.saturating_sub(3)..).unwrap_or(path);
    let tail = tail.find('/').and_then(|at| tail.get(at..)).unwrap_or(tail);
    format!("...{tail}")
}

impl FileDiff {
    /// Numbers of added and removed lines.
    pub fn counts(&self) -> (usize, usize) {
        let count =
            |kind| self.hunks.iter().flat_map(|h| &h.lines).filter(|l| l.kind == kind).count();
        (count(Kind::Add), count(Kind::Remove))
    }

    /// From `diff --git` to the last line of the last hunk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let path = &self.path;
        let mut out = format!("diff --git a/{path} b/{path}\n");
        let index = self.index.as_ref().map(|(old, new)| format!("index {old}..{new}"));
        let from = match self.change {
            Change::Modify { mode } => {
                out += &index.map(|i| format!("{i} {mode:o}\n")).unwrap_or_default();
                format!("a/{path}")
            }
            Change::Create { mode } => {
                out += &format!("new file mode {mode:o}\n");
                out += &index.map(|i| i + "\n").unwrap_or_default();
                "/dev/null".to_owned()
            }
        };
        if !self.hunks.is_empty() {
            out += &format!("--- {from}\n+++ b/{path}\n");
        }
        let mut out = out.into_bytes();
        self.hunks.iter().for_each(|h| h.write(&mut out));
        out
    }
}

impl Hunk {
    /// Header and lines. Writing to memory cannot fail.
    pub fn write(&self, out: &mut Vec<u8>) {
        let side = |start: usize, count: usize| match count {
            1 => start.to_string(),
            _ => format!("{start},{count}"),
        };
        let old = side(self.old_start, self.old_side().count());
        let new = side(self.new_start, self.new_side().count());
        let _ = write!(out, "@@ -{old} +{new} @@");
        if !self.section.is_empty() {
            out.push(b' ');
            out.extend_from_slice(&self.section);
        }
        out.push(b'\n');
        for line in &self.lines {
            out.push(match line.kind {
                Kind::Context => b' ',
                Kind::Remove => b'-',
                Kind::Add => b'+',
            });
            out.extend_from_slice(&line.text);
            if !line.text.ends_with(b"\n") {
                out.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    }
}
