// SPDX-License-Identifier: MIT
//! The independent check of what is about to be written: the patch files are read again and applied
//! with diffy, and the trees must be the ones that the engine computed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use git2::{Oid, Repository};

use super::content::Content;
use super::engine::Engine;
use super::objects::Blobs;
use super::parallel::{Memo, in_parallel};
use super::solved::VersionRun;
use super::tree::State;
use crate::fault::Fault;
use crate::patch::{self, Change, FileDiff};
use crate::series::{self, Series};
use crate::version::SystemdVersion;

/// Reads the series in `dir` with `read`, which sees pending changes, and applies it with diffy to
/// every version of `runs`. Returns the number of applied files.
///
/// diffy searches the whole file for a hunk and does not say where it put it, so its word alone
/// proves nothing: every resulting tree is compared with the engine's.
///
/// # Errors
/// A difference, which is a fault of this program; or an object that cannot be read.
pub fn verify(
    engine: &mut Engine,
    dir: &Path,
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    runs: &[&VersionRun],
) -> Result<usize> {
    let series = series::load_with(dir, read)?;
    let known = Memo::default();
    let (repos, blobs) = engine.parts();
    let counts = in_parallel(repos, runs, |repo, run| {
        let mut state = State::new(run.version, run.state.tree);
        let mut count = 0;
        for (index, patch) in series.patches.iter().enumerate() {
            if run.solved.get(index).is_none_or(Option::is_none) {
                continue;
            }
            count += apply_variant(repo, blobs, &known, &series, index, &mut state)
                .map_err(|what| fault(&patch.id, run, &what))?;
        }
        // The same files on top of the same tree: the same tree.
        if let Some(path) = state.differs(&run.state) {
            let what = format!("diffy and the engine disagree about {path}");
            return Err(fault("the series", run, &what).into());
        }
        Ok(count)
    });
    counts.into_iter().sum()
}

/// Files by patch, variant, file of its text, and the file before.
type Known = Memo<(usize, SystemdVersion, usize, Option<Oid>), Result<Arc<Content>, String>>;

fn fault(what: &str, run: &VersionRun, why: &str) -> Fault {
    Fault::new(format!("{what} on systemd {}: {why}; nothing was written", run.version))
        .hint("this is a fault of plainboot; please report it with the output of -v")
}

fn apply_variant(
    repo: &Repository,
    blobs: &Blobs,
    known: &Known,
    series: &Series,
    index: usize,
    state: &mut State,
) -> Result<usize, String> {
    let patch = &series.patches[index];
    let variant = patch.variant_for(state.version).ok_or("no variant is for it")?;
    for (file, diff) in variant.text.files.iter().enumerate() {
        let path = &diff.path;
        let before = state.file(repo, blobs, path).map_err(|m| format!("{path}: {}", m.why))?;
        let (mode, bytes) = match (diff.change, &before) {
            (Change::Create { mode }, None) => (mode, &b""[..]),
            (Change::Modify { .. }, Some((mode, content))) => (*mode, content.bytes.as_slice()),
            _ => return Err(format!("{path} is not there, or should not be")),
        };
        let key = (index, variant.base, file, before.as_ref().map(|b| b.1.oid));
        let after = known.get(key, || diffy(diff, bytes).map(|b| Content::new(b).into()));
        let after = after.map_err(|why| format!("{path}: {why}"))?;
        state.touched.insert(path.clone(), (mode, after));
    }
    Ok(variant.text.files.len())
}

fn diffy(diff: &FileDiff, before: &[u8]) -> Result<Vec<u8>, String> {
    let text = diff.to_bytes();
    let from = patch::split_lines(&text)
        .take_while(|l| !l.starts_with(b"--- "))
        .map(<[u8]>::len)
        .sum::<usize>();
    let parsed = diffy::Patch::from_bytes(&text[from..]).map_err(|e| e.to_string())?;
    diffy::apply_bytes(before, &parsed).map_err(|e| e.to_string())
}
