// SPDX-License-Identifier: MIT
//! The one door to child processes.
//!
//! [`read`] runs a short command through xshell and keeps its stderr for the error. [`Job`] runs a
//! long one: in a process group of its own, with a deadline, its output kept in a transcript, and
//! killed as a group when the deadline passes or the user interrupts. [`Call`] runs a short one
//! with a deadline and input of its own and gives back both outputs. Children get `SIGKILL` from
//! the kernel when this process dies, so even `kill -9` leaves nothing running.

mod call;
mod priority;

pub use call::{Answer, Call, quote};
pub use priority::yield_processors;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

use crate::fault::Fault;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C, SIGTERM and SIGHUP end the run in order: waiting functions return
/// [`Fault::interrupted`], and the scope guards clean up. A second signal ends the process at once.
pub fn install_signal_handler() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .context("cannot install the signal handler")
}

/// Fails once the user has interrupted the run; call it in every loop that can take long.
pub fn check_interrupt() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Fault::interrupted().into()) } else { Ok(()) }
}

/// Sleeps, but wakes up and fails when the run is interrupted.
pub fn sleep(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        check_interrupt()?;
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
    check_interrupt()
}

/// Runs a short command and returns its stdout, without the final newline.
///
/// xshell inherits stderr and leaves it out of its error; here both end in the error's text.
pub fn read(cmd: xshell::Cmd<'_>) -> Result<String> {
    check_interrupt()?;
    let name = cmd.to_string();
    let output =
        cmd.quiet().ignore_status().output().with_context(|| format!("cannot run `{name}`"))?;
    check_interrupt()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(
            Fault::new(format!("`{name}` failed ({}): {}", output.status, stderr.trim())).into()
        );
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// True if `program` can be found on the PATH.
pub fn have(program: &str) -> bool {
    path_of(program).is_some()
}

/// Where `program` is on the PATH.
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A long command: deadline, transcript, group kill.
#[derive(Debug)]
#[must_use = "nothing runs until `run` or `spawn`"]
pub struct Job {
    command: Command,
    /// For messages; the command's own program may be a wrapper.
    name: String,
    deadline: Duration,
    transcript: PathBuf,
    /// A shell takes the words apart again.
    quoted: bool,
}

impl Job {
    /// A job whose stdout and stderr both go to the file `transcript` (its folder is made).
    pub fn new(program: &str, transcript: &Path) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).process_group(0);
        let name = program.to_owned();
        let transcript = transcript.to_owned();
        Job { command, name, deadline: Duration::from_secs(600), transcript, quoted: false }
    }

    /// A job whose descendants cannot outlive it, for programs that start many of their own: as root
    /// it runs in PID and mount namespaces of its own, which the kernel ends with it. Other users
    /// get a plain job.
    pub fn contained(program: &str, transcript: &Path) -> Self {
        if !rustix::process::geteuid().is_root() || !have("unshare") || !have(program) {
            return Job::new(program, transcript);
        }
        let namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let job = Job::new("unshare", transcript).args(namespaces).arg("--").arg(program);
        Job { name: program.to_owned(), ..job }
    }

    pub fn args<S: AsRef<std::ffi::OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, |job, arg| job.arg(arg))
    }

    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        call::add(&mut self.command, arg.as_ref(), self.quoted);
        self
    }

    /// The arguments from here on go through a shell before they arrive, as ssh's do.
    pub fn through_a_shell(mut self) -> Self {
        self.quoted = true;
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts the job and leaves it running; it is killed when the returned guard is dropped.
    pub fn spawn(mut self) -> Result<Running> {
        check_interrupt()?;
        let name = self.name;
        if let Some(dir) = self.transcript.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let out = File::create(&self.transcript)
            .with_context(|| format!("cannot write {}", self.transcript.display()))?;
        self.command.stdout(out.try_clone()?).stderr(out);
        die_with_parent(&mut self.command);
        tracing::debug!(command = ?self.command, "spawn");
        let child = self.command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Fault::cannot_try(format!("`{name}` is not installed"))
                .hint("cargo xtask doctor names the package that brings it"),
            _ => Fault::new(format!("cannot start `{name}`: {e}")),
        })?;
        Ok(Running {
            child,
            name,
            transcript: self.transcript,
            deadline: self.deadline,
            start: Instant::now(),
            ended: None,
        })
    }

    /// Runs the job to its end. `progress` is called with new lines of its output as they come.
    /// A non-zero exit is an error that carries the end of the transcript and its path.
    pub fn run(self, progress: impl FnMut(&str)) -> Result<()> {
        let mut running = self.spawn()?;
        let status = running.wait(progress)?;
        if status.success() { Ok(()) } else { Err(running.failure(&status.to_string())) }
    }
}

/// Has the kernel kill the child when the *thread* that starts it ends, however it ends.
fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl(PR_SET_PDEATHSIG) is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)
        });
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// A started [`Job`]; dropping it kills the process group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    transcript: PathBuf,
    deadline: Duration,
    start: Instant,
    ended: Option<ExitStatus>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn transcript(&self) -> &Path {
        &self.transcript
    }

    /// The exit status if the process has ended.
    pub fn poll(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for the end, the deadline or an interrupt, whichever is first.
    pub fn wait(&mut self, mut progress: impl FnMut(&str)) -> Result<ExitStatus> {
        let mut lines = BufReader::new(File::open(&self.transcript)?);
        let mut line = Vec::new();
        loop {
            let status = self.poll()?;
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if line.ends_with(b"\n") {
                    progress(String::from_utf8_lossy(&line).trim_end());
                    line.clear();
                }
            }
            if let Some(status) = status {
                // The last line may lack its newline, and an earlier turn may have read it.
                if !line.is_empty() {
                    progress(String::from_utf8_lossy(&line).trim_end());
                }
                return Ok(status);
            }
            if self.start.elapsed() > self.deadline {
                self.kill();
                return Err(self.failure(&format!("no end after {} s", self.deadline.as_secs())));
            }
            sleep(Duration::from_millis(20))?;
        }
    }

    /// Stops the process where it is, as a terminal's Ctrl-Z does; it is still killed with its guard.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.group().context("it has ended")?;
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("cannot signal `{}`", self.name))
    }

    /// Asks the process to end with SIGTERM and waits up to `grace`, then kills its group.
    pub fn terminate(&mut self, grace: Duration) {
        if let Some(pid) = self.group() {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + grace;
        while Instant::now() < end {
            if !matches!(self.poll(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// An error with the lines of the transcript that tell most, naming the file.
    pub fn failure(&self, how: &str) -> anyhow::Error {
        let tail = telling(&self.transcript).unwrap_or_default();
        Fault::new(format!("`{}` failed ({how})\n{tail}", self.name))
            .hint(format!("the whole output: {}", self.transcript.display()))
            .into()
    }

    fn group(&self) -> Option<Pid> {
        if self.ended.is_some() {
            return None;
        }
        group_of(&self.child)
    }

    fn kill(&mut self) {
        if let Some(group) = self.group() {
            let _ = kill_process_group(group, Signal::KILL);
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What to show of a failed job's output: its first complaints if it made any (a compiler's are far
/// above the end when others ran beside it), else its last lines; indented for an error message.
fn telling(path: &Path) -> Result<String> {
    const LINES: usize = 12;
    const COMPLAINTS: [&str; 4] = ["error: ", "ERROR: ", "FAILED: ", "fatal: "];
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 20)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let complains = |line: &&&str| COMPLAINTS.iter().any(|word| line.contains(word));
    let mut chosen: Vec<&str> = lines.iter().filter(complains).take(LINES).copied().collect();
    if chosen.is_empty() {
        chosen = lines[lines.len().saturating_sub(LINES)..].to_vec();
    }
    let short = |line: &str| line.chars().take(300).collect::<String>();
    Ok(chosen.iter().map(|l| format!("  | {}", short(l))).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(script: &str, dir: &tempfile::TempDir) -> Job {
        Job::new("sh", &dir.path().join("log")).args(["-c", script])
    }

    #[test]
    fn the_output_is_kept_and_shown_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        job("echo one; echo two >&2; printf three", &dir).run(|l| seen.push(l.to_owned())).unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_failure_names_the_transcript_and_shows_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let error = job("echo broken; exit 3", &dir).run(|_| ()).unwrap_err();
        assert!(error.to_string().contains("| broken"), "{error}");
        assert!(crate::fault::hint_of(&error).unwrap().contains("log"));
    }

    #[test]
    fn a_compiler_s_complaint_is_shown_although_others_ran_on() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo a.c:1:2: error: no such field; seq 100; exit 1";
        let error = job(script, &dir).run(|_| ()).unwrap_err().to_string();
        assert!(error.ends_with("  | a.c:1:2: error: no such field"), "{error}");
    }

    #[test]
    fn a_deadline_kills_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("sleep 60 & echo $! > {}; wait", pids.display());
        let error =
            job(&script, &dir).deadline(Duration::from_millis(300)).run(|_| ()).unwrap_err();
        assert!(error.to_string().contains("no end after"), "{error}");
        let pid: i32 = std::fs::read_to_string(pids).unwrap().trim().parse().unwrap();
        let gone = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        assert!(gone, "the grandchild {pid} outlived its group");
    }

    #[test]
    fn a_missing_program_cannot_be_tried() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            Job::new("plainboot-no-such-program", &dir.path().join("log")).run(|_| ()).unwrap_err();
        assert_eq!(crate::fault::kind_of(&error), crate::fault::Kind::CannotTry);
    }
}
