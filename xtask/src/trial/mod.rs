// SPDX-License-Identifier: MIT
//! Programs that use an engine as a user's tool does, tried on a real one with a real image.
//!
//! A case calls the program and notes what is otherwise than it should be. That is an answer: only an
//! engine that cannot be asked is an error.

pub mod containers;
pub mod start;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::engine::Engine;
use crate::exec::Answer;
use crate::fault::{self, Kind};

/// One thing that must hold.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The part it is of, a point, and its name.
    pub id: &'static str,
    pub title: &'static str,
    pub run: fn(&Trial<'_>) -> Result<()>,
}

/// A program, an engine, and an image that boots.
#[derive(Debug)]
pub struct Trial<'e> {
    pub engine: &'e Engine,
    /// An image whose systemd boots.
    pub image: String,
    /// The program, where the checkout has it.
    pub program: PathBuf,
    /// The checkout that the program is of.
    pub checkout: &'e Path,
    /// For files of the cases.
    pub scratch: &'e Path,
    wrong: RefCell<Vec<String>>,
    skipped: RefCell<Option<String>>,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Holds,
    /// What is otherwise than it should be.
    Wrong(Vec<String>),
    /// It cannot be tried here, for this reason.
    Skipped(String),
}

/// What the program said, for a case to look at.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Answer> for Said {
    fn from(answer: Answer) -> Said {
        Said { code: answer.status.code(), out: answer.text(), err: answer.error_text() }
    }
}

impl Said {
    /// What is otherwise than it should be: another exit code, a text that is in neither output.
    fn differences(&self, what: &str, code: i32, texts: &[&str]) -> Vec<String> {
        let both = format!("{}\n{}", self.out, self.err);
        let mut all = Vec::new();
        if self.code != Some(code) {
            let shown = self.code.map_or("a signal".to_owned(), |c| c.to_string());
            all.push(format!("`{what}` ended with {shown} in place of {code}: {both}"));
        }
        let absent = texts.iter().filter(|text| !both.contains(**text));
        all.extend(absent.map(|text| format!("`{what}` does not say `{text}`: {both}")));
        all
    }
}

impl<'e> Trial<'e> {
    pub fn new(
        engine: &'e Engine,
        image: String,
        program: PathBuf,
        checkout: &'e Path,
        scratch: &'e Path,
    ) -> Self {
        let (wrong, skipped) = Default::default();
        Trial { engine, image, program, checkout, scratch, wrong, skipped }
    }

    /// Runs a case. Once something is otherwise than it should be, a question that then fails only follows
    /// from it.
    ///
    /// # Errors
    /// The engine or the program could not be asked, with nothing amiss before; or an interrupt.
    pub fn judge(&self, case: &Case) -> Result<Outcome> {
        let ran = (case.run)(self);
        let (mut wrong, skipped) = (self.wrong.take(), self.skipped.take());
        match ran {
            Ok(()) => {}
            Err(error) if !wrong.is_empty() && fault::kind_of(&error) == Kind::Fault => {
                wrong.push(format!("and then: {error:#}"));
            }
            Err(error) => return Err(error),
        }
        Ok(match skipped {
            _ if !wrong.is_empty() => Outcome::Wrong(wrong),
            Some(reason) => Outcome::Skipped(reason),
            None => Outcome::Holds,
        })
    }

    /// Notes why the case, or a part of it, cannot be tried here.
    pub fn skip(&self, reason: &str) {
        self.skipped.replace(Some(reason.to_owned()));
    }

    /// Calls the program.
    ///
    /// # Errors
    /// It cannot be started, or does not end in time.
    pub fn call(&self, words: &[&str]) -> Result<Said> {
        self.call_with(words, &[])
    }

    /// The same, with variables.
    ///
    /// # Errors
    /// As [`Trial::call`].
    pub fn call_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Result<Said> {
        let mut call = self.engine.beside(&self.program).args(words);
        for (name, value) in variables {
            call = call.env(name, value);
        }
        Ok(call.deadline(self.engine.patience(Duration::from_secs(180))).output()?.into())
    }

    /// Calls another one, such as a shell that calls the program.
    ///
    /// # Errors
    /// As [`Trial::call`].
    pub fn beside(&self, program: &str, words: &[&str]) -> Result<Said> {
        let call = self.engine.beside(Path::new(program)).args(words);
        Ok(call.deadline(self.engine.patience(Duration::from_secs(180))).output()?.into())
    }

    /// Calls the program, and notes if its exit code is another, or a text is in neither output.
    ///
    /// # Errors
    /// As [`Trial::call`].
    pub fn expect(&self, words: &[&str], code: i32, texts: &[&str]) -> Result<Said> {
        let said = self.call(words)?;
        self.compare(&words.join(" "), &said, code, texts);
        Ok(said)
    }

    /// Notes what of `said` is otherwise.
    pub fn compare(&self, what: &str, said: &Said, code: i32, texts: &[&str]) {
        self.wrong.borrow_mut().extend(said.differences(what, code, texts));
    }

    /// Notes that something is not as it should be.
    pub fn note(&self, text: String) {
        self.wrong.borrow_mut().push(text);
    }

    /// Notes a difference.
    pub fn same(&self, what: &str, seen: &str, wanted: &str) {
        if seen != wanted {
            self.note(format!("{what} is `{seen}` in place of `{wanted}`"));
        }
    }

    /// Asks the engine itself.
    ///
    /// # Errors
    /// It refuses.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        self.engine.call(words).deadline(self.engine.patience(Duration::from_secs(60))).text()
    }

    /// Removes what a listing finds, also after the user has interrupted the run.
    ///
    /// # Errors
    /// The engine refuses.
    fn clear(&self, list: &[&str], remove: &[&str]) -> Result<()> {
        let patience = self.engine.patience(Duration::from_secs(60));
        let ask =
            |words: &[&str]| self.engine.call(words).deadline(patience).uninterruptible().text();
        // An image with two names is listed twice.
        let listed = ask(&[list, &["--quiet"]].concat())?;
        for id in listed.lines().collect::<BTreeSet<_>>() {
            ask(&[remove, &[id]].concat())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_told() {
        let said = |code, err: &str| Said { code: Some(code), out: "up".into(), err: err.into() };
        assert_eq!(said(0, "").differences("status", 0, &["up"]), [""; 0]);
        assert_eq!(
            said(1, "no such").differences("status", 0, &["up", "down"]),
            [
                "`status` ended with 1 in place of 0: up\nno such",
                "`status` does not say `down`: up\nno such",
            ]
        );
    }
}
