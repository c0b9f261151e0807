// SPDX-License-Identifier: MIT
//! The one door to the terminal.
//!
//! stdout carries the result of a command and nothing else; progress, notes and errors go to
//! stderr. Nothing outside this module prints.

mod looks;
mod times;

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::fault;
use looks::Looks;
use times::Times;

/// How often a log that is no terminal hears of a long step that has something to say.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// When a log hears of a step that says nothing.
const SILENCE: Duration = Duration::from_secs(60);

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

    /// Starts a step: something that can take longer than a second. The step ends when the
    /// returned guard is dropped, also on `?`; only [`Step::done`] marks it as good.
    #[must_use = "the step ends when this is dropped"]
    pub fn step(&self, title: impl Into<String>) -> Step<'_> {
        let title = title.into();
        let expected = self.shared.times.lock().ok().and_then(|times| times.expected(&title));
        let outermost = match self.shared.open.lock() {
            Ok(mut open) => {
                *open += 1;
                *open == 1
            }
            Err(_) => false,
        };
        let group = self.looks.groups && !self.quiet && outermost;
        let usual = expected.map_or(String::new(), |expected| {
            self.paint_note(Tone::Dim, &format!(" ({})", expected.told()))
        });
        let expected = expected.map(|expected| expected.time);
        if group {
            self.line(&format!("::group::{title}{usual}"));
        } else if !self.looks.live {
            self.note(&format!("… {title}{usual}"));
        }
        let start = Instant::now();
        let said = Said { counted: None, expected, detail: String::new(), at: start };
        let said = Arc::new(Mutex::new(said));
        let bar =
            if self.looks.live { self.live_line(&title, &said) } else { ProgressBar::hidden() };
        let log = !self.looks.live && !self.quiet;
        let pulse = log.then(|| pulse(&self.shared, &title, &said, start));
        Step { ui: self, title, bar, start, outcome: None, group, said, pulse }
    }

    fn live_line(&self, title: &str, said: &Arc<Mutex<Said>>) -> ProgressBar {
        let bar = self.shared.lines.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {standing}") {
            // Drawn anew with each tick: the clock goes on while the step says nothing.
            let said = Arc::clone(said);
            bar.set_style(style.with_key(
                "standing",
                move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                    if let Ok(said) = said.lock() {
                        let _ = text.write_str(&said.standing(state.elapsed()));
                    }
                },
            ));
        }
        bar.set_message(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
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

/// Tells a log, where nothing is redrawn, that a step goes on although it says nothing. It stops when
/// what is returned is dropped.
fn pulse(shared: &Arc<Shared>, title: &str, said: &Arc<Mutex<Said>>, start: Instant) -> Sender<()> {
    let (over, ends) = mpsc::channel();
    let (shared, title, said) = (Arc::clone(shared), title.to_owned(), Arc::clone(said));
    let beat = move || {
        let mut wait = SILENCE;
        while let Err(RecvTimeoutError::Timeout) = ends.recv_timeout(wait) {
            let Ok(mut said) = said.lock() else { return };
            let silent = said.at.elapsed();
            if silent < SILENCE {
                wait = SILENCE - silent;
                continue;
            }
            wait = SILENCE;
            said.at = Instant::now();
            let text = if said.detail.is_empty() { "goes on" } else { &said.detail };
            shared.line(&format!("  {}: {title}: {text}", said.standing(start.elapsed())));
        }
    };
    // A machine that has no thread for it does without.
    if let Err(error) = std::thread::Builder::new().spawn(beat) {
        tracing::debug!(%error, "silent steps stay silent");
    }
    over
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

/// A running step; see [`Ui::step`].
#[derive(Debug)]
pub struct Step<'a> {
    ui: &'a Ui,
    title: String,
    bar: ProgressBar,
    start: Instant,
    outcome: Option<String>,
    /// It has a group of the CI log for itself.
    group: bool,
    said: Arc<Mutex<Said>>,
    pulse: Option<Sender<()>>,
}

/// What a step last said of itself, and what earlier ones took.
#[derive(Debug)]
struct Said {
    expected: Option<Duration>,
    /// Done, of how many, and how far into the step counting began.
    counted: Option<(u64, u64, Duration)>,
    detail: String,
    /// When a log was last told.
    at: Instant,
}

impl Said {
    /// `0:20, about 1:40 left`
    fn standing(&self, elapsed: Duration) -> String {
        let left = times::left(elapsed, self.counted, self.expected);
        let comma = if left.is_empty() { "" } else { ", " };
        format!("{}{comma}{left}", times::clock(elapsed))
    }
}

impl Step<'_> {
    /// Shows where the step stands, such as the last line of a build. A terminal shows it at once, a
    /// log hears of it now and then.
    pub fn detail(&self, text: &str) {
        self.say(|said| said.detail = text.to_owned());
    }

    /// Shows how much of the step is done; the time left then follows from that.
    pub fn count(&self, done: u64, all: u64) {
        let elapsed = self.start.elapsed();
        self.say(|said| {
            let since = said.counted.map_or(elapsed, |(.., since)| since);
            said.counted = Some((done, all, since));
            said.detail = format!("{done}/{all}");
        });
    }

    fn say(&self, what: impl FnOnce(&mut Said)) {
        let Ok(mut said) = self.said.lock() else { return };
        what(&mut said);
        if self.ui.looks.live {
            let detail = paint(self.ui.looks.colour, Tone::Dim, &said.detail);
            // Drawing asks for the lock.
            drop(said);
            self.bar.set_message(format!("{}  {detail}", self.title));
        } else if said.at.elapsed() >= HEARTBEAT || self.ui.verbose {
            said.at = Instant::now();
            let standing = said.standing(self.start.elapsed());
            self.ui.note(&format!("  {standing}: {}", said.detail));
        }
    }

    /// Ends the step as good, with a short remark (may be empty).
    pub fn done(mut self, remark: &str) {
        self.outcome = Some(remark.to_owned());
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        drop(self.pulse.take());
        self.bar.finish_and_clear();
        self.ui.shared.lines.remove(&self.bar);
        let seconds = self.start.elapsed().as_secs_f64();
        if let Ok(mut steps) = self.ui.steps.lock() {
            steps.push(StepRecord { title: self.title.clone(), seconds });
        }
        if let Ok(mut open) = self.ui.shared.open.lock() {
            *open -= 1;
        }
        // The time of a step that broke off says nothing of the next one.
        if self.outcome.is_some()
            && let Ok(mut times) = self.ui.shared.times.lock()
        {
            times.add(&self.title, seconds);
        }
        if self.group {
            self.ui.line("::endgroup::");
        }
        let mark = match self.outcome {
            Some(_) => self.ui.paint_note(Tone::Good, "✓"),
            None => self.ui.paint_note(Tone::Bad, "✗"),
        };
        let remark = self.outcome.as_deref().unwrap_or("not finished");
        let sep = if remark.is_empty() { "" } else { ", " };
        self.ui.note(&format!("{mark} {}: {seconds:.1} s{sep}{remark}", self.title));
    }
}
