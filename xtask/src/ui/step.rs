// SPDX-License-Identifier: MIT
//! What takes long, and how that is shown: drawn anew on a terminal, told now and then to a log.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{Shared, Tone, Ui, paint, times};

/// How often a log that is no terminal hears of a long step that has something to say.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// When a log hears of a step that says nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// A finished step, for the table of minutes at the end of a run.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct StepRecord {
    pub title: String,
    pub seconds: f64,
}

impl Ui {
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
