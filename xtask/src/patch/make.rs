// SPDX-License-Identifier: MIT
//! Making the diff of one file.

use super::{Change, FileDiff, Hunk, Kind, Line, split_lines};

/// Bytes of a function line that git shows after `@@`.
const SECTION_BYTES: usize = 80;

/// The diff that turns `before` into `after`, with `context` lines around each change. `None` as
/// `before` makes a new file. `mode` is the file's git mode.
///
/// # Errors
/// libgit2 could not compare the two (out of memory).
pub fn diff(
    path: &str,
    before: Option<&[u8]>,
    mode: i32,
    after: &[u8],
    context: u32,
) -> Result<FileDiff, git2::Error> {
    let old_id = before.map_or(git2::Oid::ZERO_SHA1, blob_id);
    Ok(FileDiff {
        path: path.to_owned(),
        change: if before.is_some() { Change::Modify { mode } } else { Change::Create { mode } },
        index: Some((old_id.to_string(), blob_id(after).to_string())),
        hunks: hunks(before.unwrap_or_default(), after, context)?,
    })
}

/// The id that git gives a file's content.
pub fn blob_id(bytes: &[u8]) -> git2::Oid {
    use sha1::Digest as _;
    // libgit2's SHA-1 looks for collision attacks in each block, at a sixth of the speed. These ids
    // only name what is in memory or was just computed; objects that are fetched are checked there.
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    git2::Oid::from_bytes(&hash.finalize()).unwrap_or(git2::Oid::ZERO_SHA1)
}

/// The hunks that turn `old` into `after`.
///
/// # Errors
/// As [`diff`].
pub fn hunks(old: &[u8], after: &[u8], context: u32) -> Result<Vec<Hunk>, git2::Error> {
    let mut options = git2::DiffOptions::new();
    options.context_lines(context).interhunk_lines(0).indent_heuristic(true).force_text(true);
    let patch = git2::Patch::from_buffers(old, None, after, None, Some(&mut options))?;
    let old_lines: Vec<&[u8]> = split_lines(old).collect();
    let mut hunks = Vec::with_capacity(patch.num_hunks());
    for h in 0..patch.num_hunks() {
        let (header, count) = patch.hunk(h)?;
        let mut lines: Vec<Line> = Vec::with_capacity(count);
        for l in 0..count {
            let line = patch.line_in_hunk(h, l)?;
            let kind = match line.origin() {
                ' ' => Kind::Context,
                '-' => Kind::Remove,
                '+' => Kind::Add,
                _ => continue, // "no newline" marks: the content says it by itself
            };
            lines.push(Line { kind, text: line.content().to_vec() });
        }
        let old_start = header.old_start() as usize;
        hunks.push(Hunk {
            old_start,
            new_start: header.new_start() as usize,
            section: section(old_lines.iter().copied().take(old_start.saturating_sub(1)).rev()),
            lines,
        });
    }
    Ok(hunks)
}

/// The text after `@@`: of the lines above a hunk, from the nearest one on, the first that starts a
/// function by git's rule for C: a letter or underscore in the first column, and not a label.
pub fn section<'a>(mut above: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let found = above.find(|l| starts_function(l));
    let text = found.map_or(&b""[..], |l| &l[..l.len().min(SECTION_BYTES)]);
    text.trim_ascii_end().to_vec()
}

fn starts_function(line: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    if !line.first().is_some_and(letter) {
        return false;
    }
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let is_label = line.get(name) == Some(&b':') && {
        let rest = line[name + 1..].trim_ascii_start();
        rest.is_empty() || rest.starts_with(b"//") || rest.starts_with(b"/*")
    };
    !is_label
}
