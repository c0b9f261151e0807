// SPDX-License-Identifier: MIT
//! One container: started with exactly the flags that a check names, removed by its guard.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::{Engine, Kind, owner};
use crate::exec::{Answer, Call, Running};
use crate::fault::Fault;

const MINUTE: Duration = Duration::from_secs(60);

/// How a container is started: `docker run -d OPTIONS… IMAGE COMMAND…`.
///
/// The only thing added to `options` is a label that names the run, unless it is to be kept; it gives
/// the container nothing.
#[derive(Debug, Clone, Default)]
pub struct Start {
    pub options: Vec<String>,
    pub image: String,
    /// Empty: the image's own.
    pub command: Vec<String>,
    /// Leave the container in the engine when its guard is dropped, and out of later sweeps.
    pub keep: bool,
    /// podman sees that systemd is to run, and by itself mounts a tmpfs on /run and /tmp and makes
    /// the cgroup tree writable. Unless this is set it is told not to: what runs is then as plain as
    /// Docker's.
    pub prepared: bool,
}

impl Start {
    /// `docker run -d IMAGE` and nothing else.
    pub fn plain(image: &str) -> Start {
        Start { image: image.to_owned(), ..Start::default() }
    }

    pub fn keep(mut self, keep: bool) -> Start {
        self.keep = keep;
        self
    }

    pub fn prepared(mut self) -> Start {
        self.prepared = true;
        self
    }

    pub fn options(mut self, options: &[&str]) -> Start {
        self.options.extend(options.iter().map(|&o| o.to_owned()));
        self
    }

    pub fn command(mut self, command: &[&str]) -> Start {
        self.command.extend(command.iter().map(|&c| c.to_owned()));
        self
    }

    /// The arguments a user would type, without our label.
    pub fn arguments(&self, kind: Kind) -> Vec<String> {
        let mut all = vec!["run".to_owned(), "--detach".to_owned()];
        if kind == Kind::Podman && !self.prepared {
            all.push("--systemd=false".to_owned());
        }
        all.extend(self.options.iter().cloned());
        all.push(self.image.clone());
        all.extend(self.command.iter().cloned());
        all
    }
}

/// What the engine says about a container that has ended or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub running: bool,
    /// Meaningless while it runs.
    pub exit_code: i64,
}

/// A container of this run; dropping it removes it, with its volumes.
#[derive(Debug)]
pub struct Container<'e> {
    engine: &'e Engine,
    pub id: String,
    /// When `docker run` was called and when it returned.
    pub called: Instant,
    pub returned: Instant,
    keep: bool,
}

impl Engine {
    /// Starts a container.
    pub fn start(&self, start: &Start) -> Result<Container<'_>> {
        let mut arguments = start.arguments(self.facts.kind);
        if let Some(me) = owner::Owner::me().filter(|_| !start.keep) {
            arguments.insert(2, format!("--label={}={me}", owner::LABEL));
        }
        let called = Instant::now();
        // Cut short, a start could leave a container that nobody knows: it runs to its end, which
        // the deadline bounds, and the guard then removes it.
        let call = self.call(&arguments).deadline(self.patience(MINUTE)).uninterruptible();
        let answer = call.output()?;
        let id = answer.text();
        if id.len() != 64 {
            return Err(Fault::new(format!(
                "the engine did not start a container: {}",
                answer.error_text()
            ))
            .hint(format!("{} {}", self.prompt(), start.arguments(self.facts.kind).join(" ")))
            .into());
        }
        let returned = Instant::now();
        let container = Container { engine: self, id, called, returned, keep: start.keep };
        // An id with a failed status: created, but its process could not be started.
        if answer.status.success() {
            Ok(container)
        } else {
            let said = answer.error_text();
            Err(Fault::new(format!("the engine could not start the container: {said}")).into())
        }
    }
}

impl Container<'_> {
    /// The first twelve digits, as engines show them.
    pub fn short(&self) -> &str {
        &self.id[..12]
    }

    /// Runs a program in the container; any exit status is an answer. 125 to 127 may be the
    /// engine's own.
    pub fn exec(&self, deadline: Duration, words: &[&str]) -> Result<Answer> {
        self.engine.call(["exec", &self.id]).args(words).deadline(deadline).output()
    }

    /// Runs a shell script in the container.
    pub fn shell(&self, deadline: Duration, script: &str) -> Result<Answer> {
        self.exec(deadline, &["sh", "-c", script])
    }

    /// Unpacks a tar archive into a folder of the container.
    pub fn copy_in(&self, archive: Vec<u8>, folder: &str) -> Result<()> {
        let target = format!("{}:{folder}", self.id);
        let feed = move |out: &mut dyn std::io::Write| out.write_all(&archive);
        self.engine.call(["cp", "-", &target]).input(feed).text().map(drop)
    }

    /// The content of a file, also of a container that has ended; `None` if there is no such file.
    pub fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let answer = self.engine.call(["cp", &format!("{}:{path}", self.id), "-"]).output()?;
        if !answer.status.success() {
            return Ok(None);
        }
        let mut archive = tar::Archive::new(answer.stdout.as_slice());
        let mut content = Vec::new();
        for entry in archive.entries()? {
            std::io::Read::read_to_end(&mut entry?, &mut content)?;
        }
        Ok(Some(content))
    }

    /// Everything the engine knows about it.
    pub fn inspect(&self) -> Result<Value> {
        let text = self.engine.call(["inspect", "--type=container", &self.id]).text()?;
        let all: Value = serde_json::from_str(&text)?;
        Ok(all.get(0).cloned().unwrap_or_default())
    }

    pub fn state(&self) -> Result<State> {
        let format = "{{.State.Running}} {{.State.ExitCode}}";
        let text = self.engine.call(["inspect", "--format", format, &self.id]).text()?;
        let (running, code) = text.split_once(' ').unwrap_or((&text, ""));
        Ok(State { running: running == "true", exit_code: code.parse().unwrap_or(-1) })
    }

    /// The engine's log: what came on stdout and stderr (one stream, with a tty).
    pub fn log(&self) -> Result<String> {
        let answer = self.engine.call(["logs", &self.id]).output()?;
        let mut text = String::from_utf8_lossy(&answer.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&answer.stderr));
        Ok(text)
    }

    pub fn kill(&self, signal: &str) -> Result<()> {
        self.engine.call(["kill", "--signal", signal, &self.id]).text().map(drop)
    }

    /// `docker restart`: the image's stop signal, ten seconds' patience (as many more as the engine is
    /// slower than hardware), a new start.
    pub fn restart(&self) -> Result<()> {
        let time = format!("--time={}", self.patience(Duration::from_secs(10)).as_secs());
        let call = self.call(&["restart", &time, &self.id]);
        call.deadline(self.engine.patience(MINUTE)).text().map(drop)
    }

    /// Starts it again once it has ended.
    pub fn start_again(&self) -> Result<()> {
        self.call(&["start", &self.id]).deadline(self.engine.patience(MINUTE)).text().map(drop)
    }

    /// A client that follows its output, into a file. Dropping it ends the client alone.
    pub fn attach(&self, transcript: &Path) -> Result<Running> {
        let words = ["attach", "--no-stdin", "--sig-proxy=false", &self.id];
        self.engine.job(transcript).args(words).spawn()
    }

    /// See [`Engine::patience`].
    pub fn patience(&self, usual: Duration) -> Duration {
        self.engine.patience(usual)
    }

    /// Waits for the end; `None` if it still runs after `deadline`.
    pub fn wait(&self, deadline: Duration) -> Result<Option<i64>> {
        let start = Instant::now();
        // A call that waits, not a poll: a poll's own time would be measured as the container's. Asked
        // some times, since Docker 26.1 in an emulated guest was seen to leave one without an answer
        // for two minutes after the end.
        let patience = (deadline / 4).max(self.patience(Duration::from_secs(5)));
        while let Some(left) = deadline.checked_sub(start.elapsed()) {
            let (asked, patience) = (Instant::now(), left.min(patience));
            match self.engine.call(["wait", &self.id]).deadline(patience).output() {
                Ok(answer) if answer.status.success() => return Ok(answer.text().parse().ok()),
                Ok(answer) => {
                    return Err(Fault::new(format!("cannot wait: {}", answer.error_text())).into());
                }
                Err(error) if asked.elapsed() < patience => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Its address on the engine's bridge.
    pub fn address(&self) -> Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.engine.call(["inspect", "--format", format, &self.id]).text()
    }

    /// Writes what a reader needs later into `dir`: log, inspection, journal. Nothing here may fail
    /// the run, since it is also called for containers that went wrong.
    pub fn keep_transcript(&self, dir: &Path) {
        let put = |name: &str, content: Result<Vec<u8>>| {
            let content =
                content.unwrap_or_else(|e| format!("(not to be had: {e})\n").into_bytes());
            if let Err(error) = crate::atomic::write(&dir.join(name), &content) {
                tracing::warn!("{error:#}");
            }
        };
        if self.state().is_ok_and(|s| s.running) {
            let words = ["journalctl", "--no-pager", "--output=short-monotonic"];
            put(
                "journal.txt",
                self.exec(self.engine.patience(Duration::from_secs(10)), &words).map(|a| a.stdout),
            );
        }
        put("log.txt", self.log().map(String::into_bytes));
        let pretty = self.inspect().and_then(|v| Ok(serde_json::to_vec_pretty(&v)?));
        put("inspect.json", pretty);
    }

    fn call(&self, words: &[&str]) -> Call {
        self.engine.call(words)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let mut words = vec!["rm", "--force", "--volumes"];
        if self.engine.facts.kind == Kind::Podman {
            // Docker kills at once, podman would wait.
            words.push("--time=0");
        }
        words.push(&self.id);
        let call = self.call(&words).uninterruptible();
        if let Err(error) = call.text() {
            tracing::warn!("container {} could not be removed: {error:#}", self.short());
        }
    }
}
