// SPDX-License-Identifier: MIT
//! Writing an answer down: the cell of the matrix, and the state of the version behind it.

use super::attempt::Attempt;
use super::outcome::{Cell, Outcome};
use super::solved::{Solved, VersionRun};
use super::tree::State;
use crate::series::Patch;
use crate::version::SystemdVersion;

/// The answer where `series.toml` says that a version does without the patch.
pub fn not_needed(patch: &Patch) -> Cell {
    Cell {
        patch: patch.id.clone(),
        outcome: Outcome::NotNeeded,
        from: None,
        cross_checked: false,
        reason: None,
        files: Vec::new(),
        broken: Vec::new(),
        without: Vec::new(),
        rivals: Vec::new(),
    }
}

/// The patches that have no settled answer.
pub fn missing(cells: &[Cell]) -> Vec<String> {
    cells.iter().filter(|c| !c.outcome.is_settled()).map(|c| c.patch.clone()).collect()
}

/// The answer for a patch, and how it changed the version's files if it was applied.
pub fn record(
    patch: &Patch,
    from: Option<SystemdVersion>,
    attempt: Attempt,
    message: Vec<u8>,
    without: Vec<String>,
    rivals: Vec<SystemdVersion>,
) -> (Cell, Option<Solved>) {
    let Attempt { outcome, reason, cross_checked, reports, files } = attempt;
    let solved = outcome.is_applied().then_some(Solved {
        message,
        applies: from.filter(|_| outcome <= Outcome::Moved),
        files,
    });
    let cell = Cell {
        patch: patch.id.clone(),
        outcome,
        from,
        cross_checked,
        reason,
        files: reports,
        broken: Vec::new(),
        without,
        rivals,
    };
    (cell, solved)
}

/// Takes a better answer for the patch that was tried last.
pub fn replace_last(
    patch: &Patch,
    run: &mut VersionRun,
    from: Option<SystemdVersion>,
    attempt: Attempt,
    message: Vec<u8>,
) {
    run.cells.pop();
    run.solved.pop();
    let without = missing(&run.cells);
    let (cell, solved) = record(patch, from, attempt, message, without, Vec::new());
    if let Some(solved) = &solved {
        apply_to(&mut run.state, solved);
    }
    run.cells.push(cell);
    run.solved.push(solved);
}

/// Puts the patched files on top of a version.
pub fn apply_to(state: &mut State, solved: &Solved) {
    for file in &solved.files {
        state.touched.insert(file.path.clone(), (file.mode, file.after.clone()));
    }
}
