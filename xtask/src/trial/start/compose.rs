// SPDX-License-Identifier: MIT
//! The Dockerfile and the compose file of nix/config-at-start, as a user has them: `docker build`, then
//! `docker compose up`, of every example.
//!
//! The image with Nix that the Dockerfile starts from is Debian's, with a stand-in for nixpkgs whose image
//! is that Debian.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Said, Started, Trial, stand_in};
use crate::engine::Kind;
use crate::exec;

const BUILDER: &str = "pbtest-nix";
const IMAGE: &str = "pbtest-config-at-start";

/// What a user types for compose, where there is one.
fn program(trial: &Trial<'_>) -> Result<Option<Compose>> {
    let plugin = trial.engine.call(["compose", "version"]).output()?.status.success();
    Ok(if plugin {
        Some(Compose::Plugin)
    } else {
        exec::have("docker-compose").then_some(Compose::Alone)
    })
}

enum Compose {
    Plugin,
    Alone,
}

/// A project of compose, taken down when it goes.
struct Project<'t> {
    trial: &'t Trial<'t>,
    compose: Compose,
    file: PathBuf,
}

impl Project<'_> {
    fn call(&self, words: &[&str]) -> exec::Call {
        let engine = self.trial.engine;
        let call = match self.compose {
            Compose::Plugin => engine.call(["compose"]),
            Compose::Alone => engine.beside(Path::new("docker-compose")),
        };
        call.args(["--project-name", "pbtest-compose", "--file"])
            .arg(&self.file)
            .args(words)
            .deadline(engine.patience(Duration::from_secs(300)))
    }

    fn expect(&self, words: &[&str]) -> Result<Said> {
        let said: Said = self.call(words).output()?.into();
        self.trial.compare(&format!("compose {}", words.join(" ")), &said, 0, &[]);
        Ok(said)
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        let down = ["down", "--volumes", "--timeout", "10"];
        let _ = self.call(&down).uninterruptible().output();
        for image in [IMAGE, BUILDER] {
            let _ = self.trial.engine.forget(image);
        }
        // What the stages of the Dockerfile have left, where nothing else is.
        if self.trial.engine.facts.private {
            let prune = self.trial.engine.call(["image", "prune", "--force"]);
            let _ = prune.deadline(Duration::from_secs(60)).uninterruptible().output();
        }
    }
}

/// The examples, of which the flake takes its nixpkgs from a folder, and the image has another name.
fn examples(trial: &Trial<'_>) -> Result<PathBuf> {
    let to = trial.scratch.join("examples");
    let from = trial.checkout.join("nix/config-at-start/examples");
    copy(&from, &to)?;
    let change = |file: &str, old: &str, new: &str| -> Result<()> {
        let text = std::fs::read_to_string(to.join(file))?;
        if !text.contains(old) {
            trial.note(format!("{file} has no `{old}`"));
        }
        Ok(std::fs::write(to.join(file), text.replace(old, new))?)
    };
    let nixpkgs = "path:/opt/plainboot/nixpkgs";
    change("flake/flake.nix", "github:NixOS/nixpkgs/nixos-unstable", nixpkgs)?;
    change("compose.yaml", "image: plainboot-config-at-start", &format!("image: {IMAGE}"))?;
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            std::fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

fn build(trial: &Trial<'_>, words: &[&str]) -> Result<Said> {
    let patience = trial.engine.patience(Duration::from_secs(600));
    let said = trial.engine.call(["build"]).args(words).deadline(patience).output()?.into();
    trial.compare(&format!("build {}", words.join(" ")), &said, 0, &[]);
    Ok(said)
}

pub fn compose(trial: &Trial<'_>) -> Result<()> {
    let Some(compose) = program(trial)? else {
        trial.skip("there is no docker compose here (Debian: docker-compose)");
        return Ok(());
    };
    let folder = examples(trial)?;
    let project = Project { trial, compose, file: folder.join("compose.yaml") };
    let context = trial.scratch.join("builder");
    stand_in::builder(trial, &context)?;
    build(trial, &["--tag", BUILDER, &context.display().to_string()])?;
    let checkout = trial.checkout.display().to_string();
    let dockerfile = format!("{checkout}/nix/config-at-start/Dockerfile");
    let argument = format!("NIX={BUILDER}");
    let words = ["--build-arg", &argument, "--file", &dockerfile, "--tag", IMAGE, &checkout];
    if build(trial, &words)?.code != Some(0) {
        return Ok(());
    }
    if trial.engine.facts.kind == Kind::Podman {
        trial.skip("podman has built the image; compose reaches it through a service alone");
        return Ok(());
    }
    super::lock(trial, &[IMAGE], &folder.join("flake"))?;
    project.expect(&["up", "--detach"])?;
    let services = ["nginx", "postgresql", "redis", "flake"];
    let mut all = Vec::new();
    for service in services {
        let id = project.expect(&["ps", "--quiet", service])?.out;
        let started = Started { trial, name: id, folder: folder.clone() };
        let greeting = if service == "flake" { "unnamed" } else { service };
        started.says(&format!("nixos-system-{greeting}"))?;
        started.runs(greeting)?;
        started.becomes_healthy()?;
        all.push(started);
    }
    let said = project.expect(&["logs", "nginx"])?;
    trial.compare("what compose has of the log", &said, 0, &["plainboot: builds the system of"]);
    let get = "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let page = all[0].exec(&["bash", "-c", get])?;
    trial.compare("what nginx serves", &page, 0, &["from a container"]);
    let ports = trial.ask(&["port", &all[0].name])?;
    trial.same("its port", ports.lines().next().unwrap_or_default(), "80/tcp -> 0.0.0.0:8080");
    project.expect(&["restart", "--timeout", "10"])?;
    for started in &all {
        started.says("has not changed: starts system-1-link")?;
    }
    Ok(())
}

impl Started<'_> {
    /// Waits until the engine says so, of the image's own check.
    fn becomes_healthy(&self) -> Result<()> {
        let end = Instant::now() + self.trial.engine.patience(Duration::from_secs(60));
        loop {
            let health = self.state("Health.Status")?;
            if health == "healthy" {
                return Ok(());
            }
            if Instant::now() > end {
                let said = self.state("Health")?;
                self.trial.note(format!("{} is {health}: {said}\n{}", self.name, self.log()?));
                return Ok(());
            }
            exec::sleep(Duration::from_millis(200))?;
        }
    }
}
