// SPDX-License-Identifier: MIT
//! How an engine's own command line is reached: here, or in a guest through ssh.

use std::path::Path;

use crate::exec::{Call, Job, quote};

/// An engine's CLI, with its address.
#[derive(Debug, Clone)]
pub struct Cli {
    /// The program that is started here, and the arguments before any of the engine's own.
    words: Vec<String>,
    /// `DOCKER_HOST`; `None` uses the CLI's own default.
    pub(super) host: Option<String>,
    /// How many of `words` are this machine's; a shell elsewhere takes the rest apart.
    here: usize,
}

impl Cli {
    /// A program of this machine. `host`: see `DOCKER_HOST` of docker(1).
    pub fn local(program: &str, host: Option<String>) -> Cli {
        Cli { words: vec![program.to_owned()], host, here: 1 }
    }

    /// A program of another machine, which `way` (ssh and what it needs) leads to.
    pub fn behind(way: &[String], program: &[&str]) -> Cli {
        let words = way.iter().cloned().chain(program.iter().map(|&w| w.to_owned())).collect();
        Cli { words, host: None, here: way.len() }
    }

    /// A call without arguments yet.
    pub fn call(&self) -> Call {
        let call = Call::new(&self.words[0]).args(&self.words[1..self.here]);
        let call = match &self.host {
            Some(host) => call.env("DOCKER_HOST", host),
            None => call,
        };
        match &self.words[self.here..] {
            [] => call,
            there => call.through_a_shell().args(there),
        }
    }

    /// A long-running client, without arguments yet.
    pub(super) fn job(&self, transcript: &Path) -> Job {
        let job = Job::new(&self.words[0], transcript).args(&self.words[1..self.here]);
        let job = match &self.host {
            Some(host) => job.env("DOCKER_HOST", host),
            None => job,
        };
        match &self.words[self.here..] {
            [] => job,
            there => job.through_a_shell().args(there),
        }
    }

    /// What a user types before the arguments.
    pub fn prompt(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|w| quote(w)).collect();
        match &self.host {
            Some(host) => format!("DOCKER_HOST={host} {}", words.join(" ")),
            None => words.join(" "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_through_a_shell_is_quoted() {
        let way = ["ssh", "-S", "/a b", "root@guest"].map(str::to_owned);
        let cli = Cli::behind(&way, &["podman"]);
        let line = cli.call().args(["exec", "true $x"]).line();
        // Once for the shell over there, and once more for the reader's.
        assert_eq!(line, r"ssh -S '/a b' root@guest podman exec ''\''true $x'\'''");
        let cli = Cli::local("docker", Some("unix:///x".into()));
        assert_eq!(cli.prompt(), "DOCKER_HOST=unix:///x docker");
        assert_eq!(cli.call().args(["exec", "true $x"]).line(), "docker exec 'true $x'");
    }
}
