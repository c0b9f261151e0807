// SPDX-License-Identifier: MIT
//! A short command whose answer matters: deadline, both outputs apart, optional input.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{check_interrupt, die_with_parent, group_of, sleep};
use crate::fault::Fault;

type Feed = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()> + Send>;

/// A command to be run to its end within a deadline; see [`Call::output`].
#[must_use = "nothing runs until `output` or `text`"]
pub struct Call {
    command: Command,
    deadline: Duration,
    feed: Option<Feed>,
    /// Cleaning up must go on after Ctrl-C.
    uninterruptible: bool,
    /// A shell takes the words apart again.
    quoted: bool,
}

/// What a finished [`Call`] said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub elapsed: Duration,
}

impl Answer {
    /// stdout as text, without blanks at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// stderr as text, without blanks around it.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

impl Call {
    /// A call of `program` with a deadline of 30 s and no input.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let command = Command::new(program);
        Call {
            command,
            deadline: Duration::from_secs(30),
            feed: None,
            uninterruptible: false,
            quoted: false,
        }
    }

    pub fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, |call, arg| call.arg(arg))
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        add(&mut self.command, arg.as_ref(), self.quoted);
        self
    }

    /// The arguments from here on go through a shell before they arrive, as ssh's do.
    pub fn through_a_shell(mut self) -> Self {
        self.quoted = true;
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Writes the child's input with `feed`, in a thread of its own.
    pub fn input(
        mut self,
        feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        self.feed = Some(Box::new(feed));
        self
    }

    /// Runs to the end (or the deadline) even after the user has interrupted the run.
    pub fn uninterruptible(mut self) -> Self {
        self.uninterruptible = true;
        self
    }

    /// The command as one line, for messages.
    pub fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|w| quote(&w.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Runs the command at the user's terminal, to its end. It stays in the terminal's foreground, so
    /// that it may read and gets Ctrl-C itself; there is no deadline.
    ///
    /// # Errors
    /// The program is missing, or the user interrupted the run; the child is dead then.
    pub fn foreground(mut self) -> Result<ExitStatus> {
        check_interrupt()?;
        let line = self.line();
        die_with_parent(&mut self.command);
        tracing::debug!(%line, "call in the foreground");
        let mut child = self.command.spawn().map_err(|e| start_fault(&line, &e))?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if let Err(interrupted) = sleep(Duration::from_millis(50)) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(interrupted);
            }
        }
    }

    /// Runs the command; any exit status is an answer.
    ///
    /// # Errors
    /// The program is missing, the deadline passed, the input could not be produced, or the user
    /// interrupted the run; in each case the whole process group is dead before this returns.
    pub fn output(mut self) -> Result<Answer> {
        if !self.uninterruptible {
            check_interrupt()?;
        }
        let line = self.line();
        let stdin = if self.feed.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.process_group(0);
        die_with_parent(&mut self.command);
        tracing::debug!(%line, "call");
        let start = Instant::now();
        let mut child = self.command.spawn().map_err(|e| start_fault(&line, &e))?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let feeder = self.feed.take().and_then(|feed| feed_thread(&mut child, feed));
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let stop = if start.elapsed() > self.deadline {
                Some(Fault::new(format!("`{line}` has not ended in {:?}", self.deadline)).into())
            } else if self.uninterruptible {
                None
            } else {
                check_interrupt().err()
            };
            if let Some(error) = stop {
                if let Some(group) = group_of(&child) {
                    let _ =
                        rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                let _ = child.wait();
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let answer = Answer {
            status,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
            elapsed: start.elapsed(),
        };
        if let Some(Ok(Err(error))) = feeder.map(JoinHandle::join)
            // A child that answers before it has read everything is no fault of the input.
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(Fault::new(format!("cannot feed `{line}`: {error}")).into());
        }
        tracing::trace!(%line, status = %answer.status, ms = answer.elapsed.as_millis(), "answer");
        Ok(answer)
    }

    /// Runs the command and returns its stdout; any exit status but 0 is an error that carries
    /// stderr.
    pub fn text(self) -> Result<String> {
        let line = self.line();
        let answer = self.output()?;
        if answer.status.success() {
            return Ok(answer.text());
        }
        let said = match answer.error_text() {
            s if s.is_empty() => answer.text(),
            s => s,
        };
        Err(Fault::new(format!("`{line}` failed ({}): {said}", answer.status)).into())
    }
}

/// Adds one argument, quoted if a shell is to take it apart again.
pub(super) fn add(command: &mut Command, arg: &OsStr, quoted: bool) {
    if quoted {
        command.arg(quote(&arg.to_string_lossy()));
    } else {
        command.arg(arg);
    }
}

fn start_fault(line: &str, error: &std::io::Error) -> Fault {
    let program = line.split(' ').next().unwrap_or(line);
    match error.kind() {
        std::io::ErrorKind::NotFound => Fault::cannot_try(format!("`{program}` is not installed"))
            .hint("cargo xtask doctor names the package that brings it"),
        _ => Fault::new(format!("cannot start `{program}`: {error}")),
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn feed_thread(child: &mut Child, feed: Feed) -> Option<JoinHandle<std::io::Result<()>>> {
    let stdin = child.stdin.take()?;
    Some(std::thread::spawn(move || {
        let mut stdin = std::io::BufWriter::with_capacity(1 << 18, stdin);
        feed(&mut stdin)?;
        stdin.flush()
    }))
}

/// Quotes a word the way a shell wants it, so that a shown command can be pasted.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

use std::os::unix::process::CommandExt;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_and_the_status_come_back() {
        let answer =
            Call::new("sh").args(["-c", "cat; echo no >&2; exit 3"]).input(|w| w.write_all(b"in"));
        let answer = answer.output().unwrap();
        assert_eq!((answer.text().as_str(), answer.error_text().as_str()), ("in", "no"));
        assert_eq!(answer.status.code(), Some(3));
    }

    #[test]
    fn a_failed_call_says_what_the_child_said() {
        let error = Call::new("sh").args(["-c", "echo broken >&2; exit 1"]).text().unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }

    #[test]
    fn the_deadline_holds() {
        let start = Instant::now();
        let call = Call::new("sleep").arg("60").deadline(Duration::from_millis(100));
        assert!(call.output().unwrap_err().to_string().contains("has not ended"));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn words_arrive_whole_behind_a_shell() {
        let words = ["printf", "%s\n", "it's one", "$HOME", ""];
        // As ssh does: every word behind the host's name, joined by blanks, for a shell over there.
        let ssh = ["-c", "eval \"$*\"", "ssh"];
        let call = Call::new("sh").args(ssh).through_a_shell().args(words);
        assert_eq!(call.output().unwrap().stdout, b"it's one\n$HOME\n\n");
    }

    #[test]
    fn shown_commands_can_be_pasted() {
        assert_eq!(Call::new("a").args(["b c", "it's", ""]).line(), r"a 'b c' 'it'\''s' ''");
    }
}
