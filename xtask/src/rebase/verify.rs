// SPDX-License-Identifier: MIT
//! The independent check of what is about to be written: the bytes of the files are read again and
//! applied with diffy, and the trees must be the ones that the engine computed.

use std::path::Path;

use anyhow::Result;
use git2::Repository;

use super::solved::VersionRun;
use super::tree::{Blobs, State};
use crate::fault::Fault;
use crate::patch::{self, Change};
use crate::series::{self, Series};

/// Reads the series in `dir` with `read`, which sees pending changes, and applies it with diffy to
/// every version of `runs`. Returns the number of applied files.
///
/// diffy searches the whole file for a hunk and does not say where it put it, so its word alone
/// proves nothing: every resulting tree is compared with the engine's.
///
/// # Errors
/// A difference, which is a fault of this program; or an object that cannot be read.
pub fn verify(
    repo: &Repository,
    dir: &Path,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    runs: &[&VersionRun],
) -> Result<usize> {
    let series = series::load_with(dir, read)?;
    let blobs = Blobs::default();
    let mut count = 0;
    for run in runs {
        let mut state = State::new(run.version, run.state.tree);
        for (index, patch) in series.patches.iter().enumerate() {
            if run.solved.get(index).is_none_or(Option::is_none) {
                continue;
            }
            count += apply_variant(repo, &blobs, &series, index, &mut state)
                .map_err(|what| fault(&patch.id, run, &what))?;
        }
        let (ours, theirs) = (run.state.write(repo)?, state.write(repo)?);
        if ours != theirs {
            let what = format!("diffy gives the tree {theirs}, the engine {ours}");
            return Err(fault("the series", run, &what).into());
        }
    }
    Ok(count)
}

fn fault(what: &str, run: &VersionRun, why: &str) -> Fault {
    Fault::new(format!("{what} on systemd {}: {why}; nothing was written", run.version))
        .hint("this is a fault of plainboot; please report it with the output of -v")
}

fn apply_variant(
    repo: &Repository,
    blobs: &Blobs,
    series: &Series,
    index: usize,
    state: &mut State,
) -> Result<usize, String> {
    let patch = &series.patches[index];
    let variant = patch.variant_for(state.version).ok_or("no variant is for it")?;
    for diff in &variant.text.files {
        let path = &diff.path;
        let before = state.file(repo, blobs, path).map_err(|m| format!("{path}: {}", m.why))?;
        let (mode, bytes) = match (diff.change, &before) {
            (Change::Create { mode }, None) => (mode, &b""[..]),
            (Change::Modify { .. }, Some((mode, content))) => (*mode, content.bytes.as_slice()),
            _ => return Err(format!("{path} is not there, or should not be")),
        };
        let text = diff.to_bytes();
        let from = patch::split_lines(&text)
            .take_while(|l| !l.starts_with(b"--- "))
            .map(<[u8]>::len)
            .sum::<usize>();
        let parsed = diffy::Patch::from_bytes(&text[from..]).map_err(|e| format!("{path}: {e}"))?;
        let after = diffy::apply_bytes(bytes, &parsed).map_err(|e| format!("{path}: {e}"))?;
        let content = super::Content::new(after).map_err(|e| e.message().to_owned())?;
        state.touched.insert(path.clone(), (mode, content.into()));
    }
    Ok(variant.text.files.len())
}
