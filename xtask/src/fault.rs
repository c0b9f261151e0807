// SPDX-License-Identifier: MIT
//! Errors that the user can do something about, and the exit code of a run.
//!
//! An `Err` means that *we* could not do our work. A conflict or a failed boot is not an error but
//! an answer: it travels as a value and ends in [`Status::No`].

use std::fmt;
use std::process::ExitCode;

/// Why a command could not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wrong input, or a fault of the tool or of the machine: exit code 2.
    Fault,
    /// Something is known to exist, but not to be had now, such as what a server lists and does not
    /// give: exit code 2. Who did not ask for just that may go on without.
    Unavailable,
    /// The machine cannot do this (no engine, no root, no QEMU): exit code 77.
    CannotTry,
    /// The user pressed Ctrl-C, or the process was asked to end: exit code 130.
    Interrupted,
}

/// An error with a sentence for the reader and, apart from it, what to type next.
#[derive(Debug)]
pub struct Fault {
    pub kind: Kind,
    /// A lowercase fragment that names the path or the thing concerned.
    pub message: String,
    /// What to do about it; best a command that can be pasted.
    pub hint: Option<String>,
}

impl Fault {
    /// Wrong input or a broken environment (exit code 2).
    pub fn new(message: impl Into<String>) -> Self {
        Fault { kind: Kind::Fault, message: message.into(), hint: None }
    }

    /// Something that exists but is not to be had now (exit code 2).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Fault { kind: Kind::Unavailable, ..Fault::new(message) }
    }

    /// Something this machine cannot do (exit code 77).
    pub fn cannot_try(message: impl Into<String>) -> Self {
        Fault { kind: Kind::CannotTry, ..Fault::new(message) }
    }

    /// The run was interrupted by the user (exit code 130).
    pub fn interrupted() -> Self {
        Fault { kind: Kind::Interrupted, ..Fault::new("interrupted") }
    }

    /// Adds the next thing to type.
    #[must_use = "a hint is added to the returned fault"]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The kind of an error chain: that of the first [`Fault`] in it.
pub fn kind_of(error: &anyhow::Error) -> Kind {
    error.chain().find_map(|e| e.downcast_ref::<Fault>()).map_or(Kind::Fault, |f| f.kind)
}

/// The hint of an error chain, if any link carries one.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error.chain().filter_map(|e| e.downcast_ref::<Fault>()).find_map(|f| f.hint.as_deref())
}

/// How a command ended. The exit code is a conversion from this and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "return it from main, or fold it into the status of the whole run"]
pub enum Status {
    /// The answer is yes: everything asked for holds (0).
    Yes,
    /// The answer is no: a conflict, a failed boot, drift (1).
    No,
    /// Usage or harness fault: no answer could be had (2).
    Fault,
    /// It could not be tried on this machine (77).
    NotTried,
    /// Interrupted by the user (130).
    Interrupted,
}

impl Status {
    /// The status of two runs together: no wins over fault, fault over not tried, not tried over yes.
    pub fn and(self, other: Status) -> Status {
        let weight = |s: Status| match s {
            Status::Interrupted => 4,
            Status::No => 3,
            Status::Fault => 2,
            Status::NotTried => 1,
            Status::Yes => 0,
        };
        if weight(other) > weight(self) { other } else { self }
    }

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Status::Yes => 0,
            Status::No => 1,
            Status::Fault => 2,
            Status::NotTried => 77,
            Status::Interrupted => 130,
        }
    }
}

impl From<Kind> for Status {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Fault | Kind::Unavailable => Status::Fault,
            Kind::CannotTry => Status::NotTried,
            Kind::Interrupted => Status::Interrupted,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wins_over_fault_over_not_tried_over_yes() {
        let order = [Status::Yes, Status::NotTried, Status::Fault, Status::No, Status::Interrupted];
        for (i, &low) in order.iter().enumerate() {
            for &high in &order[i..] {
                assert_eq!(low.and(high), high);
                assert_eq!(high.and(low), high);
            }
        }
    }

    #[test]
    fn the_hint_and_the_kind_survive_context() {
        let e = anyhow::Error::from(Fault::cannot_try("no engine").hint("install docker"))
            .context("while booting");
        assert_eq!(kind_of(&e), Kind::CannotTry);
        assert_eq!(hint_of(&e), Some("install docker"));
    }
}
