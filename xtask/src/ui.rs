// SPDX-License-Identifier: MIT
//! The one door to the terminal.
//!
//! stdout carries the result of a command and nothing else; progress, notes and errors go to
//! stderr. Nothing outside this module prints.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::fault;

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

/// How much the user wants to see. Shared by reference; cheap to pass around.
#[derive(Debug)]
pub struct Ui {
    quiet: bool,
    /// stderr is a terminal, so a step may redraw its line.
    live: bool,
    colour: bool,
    /// Results go to stderr too; see [`Ui::aside`].
    aside: bool,
    steps: Mutex<Vec<StepRecord>>,
}

/// A finished step, for the table of minutes at the end of a run.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct StepRecord {
    pub title: String,
    pub seconds: f64,
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
        let live = std::io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Ui { quiet, live, colour: live && !no_colour, aside: false, steps: Mutex::new(Vec::new()) }
    }

    /// The same terminal for a command that runs inside another one: what would be its result on
    /// stdout goes to stderr, so that the outer command's result stands alone.
    pub fn aside(&self) -> Ui {
        Ui { aside: true, ..Ui::new(self.quiet) }
    }

    /// Starts a step: something that can take longer than a second. The step ends when the
    /// returned guard is dropped, also on `?`; only [`Step::done`] marks it as good.
    #[must_use = "the step ends when this is dropped"]
    pub fn step(&self, title: impl Into<String>) -> Step<'_> {
        let title = title.into();
        let bar = if self.live && !self.quiet {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar.set_message(title.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            if !self.quiet {
                self.line(&format!("… {title}"));
            }
            ProgressBar::hidden()
        };
        Step { ui: self, title, bar, start: Instant::now(), outcome: None }
    }

    /// One line for the reader, dropped by `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// One line that matters even with `--quiet`.
    pub fn warn(&self, text: &str) {
        self.line(&format!("{} {text}", self.paint(Tone::Warn, "warning:")));
    }

    /// Prints an error chain and its hint.
    pub fn error(&self, error: &anyhow::Error) {
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        self.line(&format!("{} {}", self.paint(Tone::Bad, "error:"), chain.join(": ")));
        if let Some(hint) = fault::hint_of(error) {
            for (i, line) in hint.lines().enumerate() {
                let label = if i == 0 { "hint:" } else { "     " };
                self.line(&format!("{} {line}", self.paint(Tone::Bold, label)));
            }
        }
    }

    /// The result of a command, on stdout, ended by a newline. A reader that went away is no error.
    pub fn result(&self, text: &str) {
        if self.aside {
            return self.line(text.trim_end_matches('\n'));
        }
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }

    /// A document on stdout, for `--json`.
    pub fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.result(&serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// Colours `text` where colours are wanted.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
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

    /// The steps that ended so far, in order.
    pub fn steps(&self) -> Vec<StepRecord> {
        self.steps.lock().map(|s| s.clone()).unwrap_or_default()
    }

    fn line(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "{text}");
    }
}

/// A running step; see [`Ui::step`].
#[derive(Debug)]
pub struct Step<'a> {
    ui: &'a Ui,
    title: String,
    bar: ProgressBar,
    start: Instant,
    outcome: Option<String>,
}

impl Step<'_> {
    /// Shows where the step stands, such as the last line of a build (live terminals only).
    pub fn detail(&self, text: &str) {
        self.bar.set_message(format!("{}  {}", self.title, self.ui.paint(Tone::Dim, text)));
    }

    /// Ends the step as good, with a short remark (may be empty).
    pub fn done(mut self, remark: &str) {
        self.outcome = Some(remark.to_owned());
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        let seconds = self.start.elapsed().as_secs_f64();
        if let Ok(mut steps) = self.ui.steps.lock() {
            steps.push(StepRecord { title: self.title.clone(), seconds });
        }
        let mark = match self.outcome {
            Some(_) => self.ui.paint(Tone::Good, "✓"),
            None => self.ui.paint(Tone::Bad, "✗"),
        };
        let remark = self.outcome.as_deref().unwrap_or("not finished");
        let sep = if remark.is_empty() { "" } else { ", " };
        self.ui.note(&format!("{mark} {}: {seconds:.1} s{sep}{remark}", self.title));
    }
}
