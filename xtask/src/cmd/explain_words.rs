// SPDX-License-Identifier: MIT
//! What the words of checks, verdicts and errors mean, for `cargo xtask explain`.

use super::explain::Topic;
use crate::boot::verdict::{Outcome, Verdict};
use crate::fault::Kind;

const REPEAT: &str = "the run ends with the command that repeats it, and the folder with its logs";

/// The word by which records know a value.
fn word(value: &impl serde::Serialize, tag: &str) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let word = value.get(tag).unwrap_or(&value);
    word.as_str().unwrap_or_default().to_owned()
}

fn topic(id: String, kind: &'static str, title: &str, means: &str, next: &str) -> Topic {
    let (title, text, next) = (title.to_owned(), vec![means.to_owned()], vec![next.to_owned()]);
    Topic { id, kind, title, text, next }
}

/// How a check ends. One that the harness could not carry out is `broken`, as a run is.
pub(super) fn results() -> Vec<Topic> {
    let all = [
        Outcome::Holds,
        Outcome::Fails(String::new()),
        Outcome::Known(String::new()),
        Outcome::Skipped(String::new()),
        Outcome::NotTried(String::new()),
    ];
    let of = |outcome: &Outcome| {
        let (title, means, next) = match outcome {
            Outcome::Holds => ("✓ of a check", "What its title says was seen.", "nothing"),
            Outcome::Fails(_) => {
                ("✗ of a check", "Something else was seen: the run's answer is no.", REPEAT)
            }
            Outcome::Known(_) => (
                "≈ of a check",
                "It fails, in the very way that known-to-fail.toml lists, for the reason given there. \
                 The day it holds, or fails in another way, the run fails.",
                "nothing; cargo xtask explain CHECK has the reason",
            ),
            Outcome::Skipped(_) => (
                "– of a check",
                "This engine cannot try it, by its own facts. What was tried stands. With \
                 --may-skip, a skip that it does not name ends the run with 77.",
                "cargo xtask test-vm tries it on an engine that can, or accept it: --may-skip CHECK",
            ),
            Outcome::NotTried(_) | Outcome::Broken(_) => (
                "– of a check",
                "It could not be tried, for a reason outside of what it checks, such as a container \
                 that has died before. It is no pass: the run is incomplete.",
                REPEAT,
            ),
        };
        topic(word(outcome, "outcome"), "check's result", title, means, next)
    };
    all.iter().map(of).collect()
}

/// How a run of checks ends.
pub(super) fn verdicts() -> Vec<Topic> {
    let all =
        [Verdict::Proven, Verdict::Refuted, Verdict::Unsound, Verdict::Broken, Verdict::Incomplete];
    let of = |verdict: &Verdict| {
        let (means, next) = match verdict {
            Verdict::Proven => (
                "Every check holds or fails as it is known to, in a container that was proved to be \
                 plain, and stock systemd fails there.",
                "cargo xtask test-image --record notes it in patches/sources.lock",
            ),
            Verdict::Refuted => {
                ("At least one check of what systemd does fails: the answer is no.", REPEAT)
            }
            Verdict::Unsound => (
                "The container is not plain, or the control does not fail as it should: the other \
                 checks prove nothing.",
                "look at the engine's configuration; cargo xtask test-image --engine private is a clean one",
            ),
            Verdict::Broken => (
                "The harness failed, in one check or as a whole: there is no answer.",
                "cargo xtask test-image -vv shows every child process",
            ),
            Verdict::Incomplete => (
                "Nothing failed, but something was not tried: exit code 77.",
                "the run names what, and why; --may-skip CHECK accepts a skip",
            ),
        };
        topic(word(verdict, ""), "verdict", verdict.sentence(), means, next)
    };
    all.iter().map(of).collect()
}

/// What stands behind `error:`.
pub(super) fn errors() -> Vec<Topic> {
    let all = [Kind::Fault, Kind::Unavailable, Kind::CannotTry, Kind::Interrupted];
    let of = |kind: Kind| {
        let (id, title, means, next) = match kind {
            Kind::Fault => (
                "fault",
                "exit code 2",
                "Wrong input, or a fault of the tool or of the machine. The message names the path or \
                 the thing, its hint what to type.",
                "do what the hint says; -v and -vv show what went before",
            ),
            Kind::Unavailable => (
                "unavailable",
                "exit code 2",
                "A server lists something and does not give it now, as a mirror may that is being \
                 filled.",
                "try later, or name another place: --systemd-git PATH-OR-URL",
            ),
            Kind::CannotTry => (
                "cannot-try",
                "exit code 77",
                "This machine cannot do it: no engine, no root, no QEMU. It is never counted as a pass.",
                "cargo xtask doctor",
            ),
            Kind::Interrupted => (
                "interrupted",
                "exit code 130",
                "Ctrl-C, or the process was asked to end. Nothing stays behind: what was started has \
                 ended, and files are whole.",
                "run it again",
            ),
        };
        topic(id.to_owned(), "error", title, means, next)
    };
    all.into_iter().map(of).collect()
}
