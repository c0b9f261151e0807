// SPDX-License-Identifier: MIT
//! The one door to the terminal.
//!
//! stdout carries the result of a command and nothing else; progress, notes and errors go to
//! stderr. Nothing outside this module prints.

mod looks;
mod step;
mod times;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::fault;
use looks::Looks;
pub use step::{Step, StepRecord};
use times::Times;

/// The words of a text in lines of at most `width` characters; a longer word is a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How much the user wants to see. Passed by reference.
#[derive(Debug)]
pub struct Ui {
    quiet: bool,
    /// `-v`: what steps say of themselves is kept line by line, and nothing is redrawn.
    verbose: bool,
    looks: Looks,
    /// Results go to stderr too; see [`Ui::aside`].
    aside: bool,
    steps: Mutex<Vec<StepRecord>>,
    shared: Arc<Shared>,
}

/// What a [`Ui`] and those aside of it have in common.
#[derive(Debug)]
struct Shared {
    lines: MultiProgress,
    times: Mutex<Times>,
    /// Steps that have not ended: groups of a CI log cannot hold groups.
    open: Mutex<usize>,
}

impl Shared {
    fn line(&self, text: &str) {
        self.lines.suspend(|| {
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "{text}");
        });
    }
}

/// Colours used for meaning alone; dropped where the terminal or `NO_COLOR` asks for it.
#[derive(Debug, Clone, Copy)]
pub enum Tone {
    Good,
    Bad,
    Warn,
    Dim,
    Bold,
}

impl Ui {
    pub fn new(quiet: bool) -> Self {
        Ui::with(quiet, false, None)
    }

    /// `times` is the file that keeps how long steps took, to say how long they may take.
    pub fn with(quiet: bool, verbose: bool, times: Option<PathBuf>) -> Self {
        let looks = Looks::here();
        let live = looks.live && !quiet && !verbose;
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let shared = Shared {
            lines: MultiProgress::with_draw_target(target),
            times: Mutex::new(times.map(Times::open).unwrap_or_default()),
            open: Mutex::new(0),
        };
        Ui {
            quiet,
            verbose,
            looks: Looks { live, ..looks },
            aside: false,
            steps: Mutex::new(Vec::new()),
            shared: Arc::new(shared),
        }
    }

    /// The same terminal for a command that runs inside another one: what would be its result on
    /// stdout goes to stderr, so that the outer command's result stands alone.
    pub fn aside(&self) -> Ui {
        let looks = Looks { colour_result: self.looks.colour, ..self.looks };
        let (steps, shared) = (Mutex::new(Vec::new()), Arc::clone(&self.shared));
        Ui { quiet: self.quiet, verbose: self.verbose, looks, aside: true, steps, shared }
    }

    /// The same terminal for work that goes on behind other work: it folds nothing away in a CI log, and
    /// how long it takes says nothing of the next run, which may do it alone.
    pub fn behind(&self) -> Ui {
        let shared = Shared {
            lines: self.shared.lines.clone(),
            times: Mutex::default(),
            open: Mutex::default(),
        };
        let aside = self.aside();
        let looks = Looks { groups: false, ..aside.looks };
        Ui { looks, shared: Arc::new(shared), ..aside }
    }

    /// Says how long this command took before, if it was long, and returns what notes its time at the
    /// end. `command` is what the user typed.
    pub fn whole(&self, command: &str) -> Whole<'_> {
        let title = format!("$ {command}");
        let before = self.shared.times.lock().ok().and_then(|times| times.expected(&title));
        if let Some(expected) = before.filter(|e| e.time > Duration::from_secs(30)) {
            let which = if expected.others { "commands like this" } else { "this" };
            let time = times::clock(expected.time);
            self.note(&format!("{which} took {time} minutes before"));
        }
        Whole { ui: self, title, start: Instant::now() }
    }

    /// One line for the reader, dropped by `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// One line that matters even with `--quiet`.
    pub fn warn(&self, text: &str) {
        self.line(&format!("{} {text}", self.paint_note(Tone::Warn, "warning:")));
    }

    /// Prints an error chain and its hint.
    pub fn error(&self, error: &anyhow::Error) {
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        self.line(&format!("{} {}", self.paint_note(Tone::Bad, "error:"), chain.join(": ")));
        if let Some(hint) = fault::hint_of(error) {
            for (i, line) in hint.lines().enumerate() {
                let label = if i == 0 { "hint:" } else { "     " };
                self.line(&format!("{} {line}", self.paint_note(Tone::Bold, label)));
            }
        }
    }

    /// The result of a command, on stdout, ended by a newline. A reader that went away is no error.
    pub fn result(&self, text: &str) {
        if self.aside {
            return self.line(text.trim_end_matches('\n'));
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.shared.lines.suspend(|| {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes());
            let _ = out.write_all(end.as_bytes());
            let _ = out.flush();
        });
    }

    /// A document on stdout, for `--json`.
    pub fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.result(&serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// Colours a part of a result, where its reader wants colours.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.looks.colour_result, tone, text)
    }

    fn paint_note(&self, tone: Tone, text: &str) -> String {
        paint(self.looks.colour, tone, text)
    }

    /// The steps that ended so far, in order.
    pub fn steps(&self) -> Vec<StepRecord> {
        self.steps.lock().map(|s| s.clone()).unwrap_or_default()
    }

    fn line(&self, text: &str) {
        self.shared.line(text);
    }
}

fn paint(colour: bool, tone: Tone, text: &str) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Warn => "33",
        Tone::Dim => "2",
        Tone::Bold => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A running command; see [`Ui::whole`].
#[derive(Debug)]
pub struct Whole<'a> {
    ui: &'a Ui,
    title: String,
    start: Instant,
}

impl Whole<'_> {
    /// Ends it as one whose time may be told to the next.
    pub fn done(self) {
        if let Ok(mut times) = self.ui.shared.times.lock() {
            times.add(&self.title, self.start.elapsed().as_secs_f64());
        }
    }
}
