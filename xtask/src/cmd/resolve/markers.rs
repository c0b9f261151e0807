// SPDX-License-Identifier: MIT
//! What a person edits: the merged file with git's markers around what collides.

use super::Work;
use crate::rebase::{Memory, Piece, Resolution};

/// The merged file, with git's markers around what collides; and what is put in from memory, with
/// its line (from 1).
pub(super) fn marked<'a>(
    work: &Work,
    pieces: &[Piece],
    memory: &'a Memory,
) -> (Vec<u8>, Vec<(&'a Resolution, usize)>) {
    let mut out = Vec::new();
    let mut remembered = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Merged(text) => out.extend_from_slice(text),
            Piece::Conflict(conflict) => {
                if let Some(known) = memory.get(conflict) {
                    remembered.push((known, memchr::memchr_iter(b'\n', &out).count() + 1));
                    out.extend_from_slice(known.resolved.as_bytes());
                    continue;
                }
                let sides = [
                    (format!("<<<<<<< systemd {}\n", work.version), &conflict.ours),
                    (format!("||||||| systemd {}, before the patch\n", work.base), &conflict.base),
                    ("=======\n".to_owned(), &conflict.theirs),
                ];
                for (head, side) in sides {
                    out.extend_from_slice(head.as_bytes());
                    out.extend_from_slice(side);
                    if !side.is_empty() && !side.ends_with(b"\n") {
                        out.push(b'\n');
                    }
                }
                out.extend_from_slice(format!(">>>>>>> {}\n", work.patch).as_bytes());
            }
        }
    }
    (out, remembered)
}

/// The first line (from 1) that is a marker of [`marked`] still.
pub(super) fn marker(bytes: &[u8]) -> Option<usize> {
    let markers = [&b"<<<<<<< systemd "[..], b"||||||| systemd ", b">>>>>>> "];
    let mut lines = crate::patch::split_lines(bytes);
    lines.position(|l| markers.iter().any(|m| l.starts_with(m))).map(|n| n + 1)
}
