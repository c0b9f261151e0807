// SPDX-License-Identifier: MIT
//! The independent check of what is about to be written: the patch files are read again and applied
//! with diffy, and the trees must be the ones that the engine computed.

use std::path::Path;

use anyhow::Result;
use git2::{Oid, Repository};

use super::engine::Engine;
use super::facts::Facts;
use super::objects::Blobs;
use super::parallel::{Memo, in_parallel};
use super::solved::{SolvedFile, VersionRun};
use super::tree::State;
use crate::fault::Fault;
use crate::patch::{self, Change, FileDiff};
use crate::series;
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
    let known = Known::default();
    let (repos, blobs, facts) = engine.parts();
    let counts = in_parallel(repos, runs, |repo, run| {
        if run.patched.is_some() {
            return Err(fault("the series", run, "its files are not known").into());
        }
        let mut state = State::new(run.version, run.state.tree);
        let mut count = 0;
        for (index, patch) in series.patches.iter().enumerate() {
            let Some(Some(solved)) = run.solved.get(index) else { continue };
            let variant = patch.variant_for(run.version).ok_or("no variant is for it");
            let variant = variant.map_err(|what| fault(&patch.id, run, what))?;
            for (file, diff) in variant.text.files.iter().enumerate() {
                let claimed = solved.files.iter().find(|f| f.path == diff.path);
                let question = Question { patch: index, variant: variant.base, file };
                check(repo, blobs, facts, &known, question, diff, claimed, &mut state)
                    .map_err(|why| fault(&patch.id, run, &format!("{}: {why}", diff.path)))?;
                count += 1;
            }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    patch: usize,
    variant: SystemdVersion,
    file: usize,
}

/// Answers by question, and the file before and after.
type Known = Memo<(Question, Option<Oid>, Oid), Result<(), String>>;

fn fault(what: &str, run: &VersionRun, why: &str) -> Fault {
    Fault::new(format!("{what} on systemd {}: {why}; nothing was written", run.version))
        .hint("this is a fault of plainboot; please report it with the output of -v")
}

/// Applies the diff with diffy, which must give what the engine claims.
#[expect(clippy::too_many_arguments, reason = "each is something else")]
fn check(
    repo: &Repository,
    blobs: &Blobs,
    facts: &Facts,
    known: &Known,
    question: Question,
    diff: &FileDiff,
    claimed: Option<&SolvedFile>,
    state: &mut State,
) -> Result<(), String> {
    let before = state.file(repo, blobs, &diff.path).map_err(|missing| missing.why)?;
    let (mode, bytes) = match (diff.change, &before) {
        (Change::Create { mode }, None) => (mode, &b""[..]),
        (Change::Modify { .. }, Some((mode, content))) => (*mode, content.bytes.as_slice()),
        _ => return Err("it is not there, or should not be".into()),
    };
    let after = &claimed.ok_or("the engine has not changed it")?.after;
    let before = before.as_ref().map(|b| b.1.oid);
    known.get((question, before, after.oid), || {
        let text = diff.to_bytes();
        let mut said = Ok(());
        let before = before.unwrap_or(Oid::ZERO_SHA1);
        let parts = [&text[..], before.as_bytes(), after.oid.as_bytes()];
        facts.proved("diffy gives", &parts, || {
            said = diffy_gives(&text, bytes, &after.bytes);
            said.is_ok()
        });
        said
    })?;
    state.touched.insert(diff.path.clone(), (mode, after.clone()));
    Ok(())
}

fn diffy_gives(text: &[u8], before: &[u8], wanted: &[u8]) -> Result<(), String> {
    let lines = patch::split_lines(text).take_while(|l| !l.starts_with(b"--- "));
    let from = lines.map(<[u8]>::len).sum::<usize>();
    let parsed = diffy::Patch::from_bytes(&text[from..]).map_err(|e| e.to_string())?;
    let after = diffy::apply_bytes(before, &parsed).map_err(|e| e.to_string())?;
    if after == wanted { Ok(()) } else { Err("diffy gives another file".into()) }
}
