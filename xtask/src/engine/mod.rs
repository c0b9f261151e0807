// SPDX-License-Identifier: MIT
//! A container engine is an address: a CLI, where its service listens, and facts about it.
//!
//! [`find`](find::find) gives one: the engine the user already has, or a [`private`] `dockerd`.
//! Everything is asked through the CLI, so Docker 20.10 and today's are the same code. What is
//! started on an engine is a [`Container`], and ends with it.

mod cli;
pub mod container;
pub mod find;
pub mod owner;
pub mod private;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use cli::Cli;
pub use container::{Container, Start};
pub use find::{Choice, find};

use crate::exec::{Call, Job};
use crate::fault::Fault;
use crate::image::{Image, PURPOSE, archive};
use crate::ui::Ui;

/// Seen of QEMU 7.2 on two cores: a `docker run` takes 4 s where it takes 0.3 s on the host.
const EMULATION: u32 = 12;

/// What is known about an engine; a part of each record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `docker` or `podman`: the kind, whatever the program is called.
    pub kind: Kind,
    /// The service's version, such as `20.10.24+dfsg1`.
    pub version: String,
    /// 1 or 2.
    pub cgroup_version: u32,
    pub cgroup_driver: String,
    pub rootless: bool,
    /// Root in a container is another user on the host.
    pub userns_remap: bool,
    pub storage: String,
    pub architecture: String,
    pub kernel: String,
    /// Its containers have a cgroup controller that limits memory.
    #[serde(default)]
    pub memory_limit: bool,
    /// … and one that limits the number of processes.
    #[serde(default)]
    pub pids_limit: bool,
    /// Its processor is emulated: everything takes ten times as long.
    #[serde(default)]
    pub emulated: bool,
    /// It runs in a virtual machine of the harness' own, where anything may be broken.
    #[serde(default)]
    pub guest: bool,
    /// As the engine lists them, such as `name=seccomp,profile=default`.
    pub security: Vec<String>,
    /// Started by this run, and gone after it.
    pub private: bool,
}

impl Facts {
    /// Docker's name for the architecture, as images and registries use it.
    pub fn arch(&self) -> &str {
        match self.architecture.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// How long something may take that takes at most `usual` on hardware.
    pub fn patience(&self, usual: Duration) -> Duration {
        usual * self.slower()
    }

    /// How many times longer than on hardware.
    pub fn slower(&self) -> u32 {
        if self.emulated { EMULATION } else { 1 }
    }

    /// Kind and release, such as `Docker 20.10`.
    pub fn release(&self) -> String {
        let release: Vec<&str> = self.version.split('.').take(2).collect();
        let kind = match self.kind {
            Kind::Docker => "Docker",
            Kind::Podman => "podman",
        };
        format!("{kind} {}", release.join("."))
    }
}

/// Which engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Docker,
    Podman,
}

/// What an engine says of an image.
#[derive(Debug)]
pub struct ImageFacts {
    pub id: String,
    pub labels: std::collections::BTreeMap<String, String>,
}

/// An engine that answers.
#[derive(Debug)]
pub struct Engine {
    cli: Cli,
    pub facts: Facts,
    /// Kept for its `Drop`: containers borrow the engine, so they end before it does.
    keeper: Option<Box<dyn Keeper>>,
}

/// What an engine runs in, such as a daemon of our own or a virtual machine; dropping it ends it.
pub trait Keeper: std::fmt::Debug + Send + Sync {
    /// A call that runs a shell script as root on the machine that the engine runs on, where that is
    /// the harness' own.
    fn shell(&self, _script: &str) -> Option<Call> {
        None
    }

    /// Brings an image archive to that machine faster than the engine's socket would, and gives the
    /// call that has the engine load it; `None` where there is no faster way.
    fn bring(&self, _archive: &Archive<'_>) -> Option<Result<Call>> {
        None
    }

    /// Called when images were loaded: they may be kept for later runs.
    fn keep(&self) -> Result<()> {
        Ok(())
    }
}

/// What writes an image archive.
pub type Archive<'a> = dyn Fn(&mut dyn std::io::Write) -> Result<()> + 'a;

impl Engine {
    /// The engine in a guest of the harness. `emulated`: see [`Facts::emulated`].
    ///
    /// # Errors
    /// It does not answer within `deadline`.
    pub fn in_guest(
        cli: Cli,
        emulated: bool,
        deadline: Duration,
        keeper: Box<dyn Keeper>,
    ) -> Result<Engine> {
        let facts = find::facts(&cli, deadline)?;
        let facts = Facts { emulated, private: true, guest: true, ..facts };
        Ok(Engine { cli, facts, keeper: Some(keeper) })
    }

    /// How long something may take on this engine that takes at most `usual` on hardware.
    pub fn patience(&self, usual: Duration) -> Duration {
        self.facts.patience(usual)
    }

    /// A call that runs a shell script as root beside the engine; `None` where that machine is not the
    /// harness' own.
    pub fn shell(&self, script: &str) -> Option<Call> {
        let call = self.keeper.as_ref()?.shell(script)?;
        Some(call.deadline(self.patience(Duration::from_secs(30))))
    }

    /// A call of the engine's CLI.
    pub fn call<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Call {
        let usual = Duration::from_secs(30);
        self.cli.call().args(args).deadline(self.patience(usual))
    }

    /// Another program that uses this engine.
    pub fn beside(&self, program: &Path) -> Call {
        let kind = match self.facts.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
        };
        let call = Call::new(program).env("PLAINBOOT_ENGINE", kind);
        match &self.cli.host {
            Some(host) => call.env("DOCKER_HOST", host),
            None => call,
        }
    }

    /// A long-running client of the engine, without its arguments yet.
    pub fn job(&self, transcript: &Path) -> Job {
        self.cli.job(transcript)
    }

    /// What a user types before the arguments, to reach this engine.
    pub fn prompt(&self) -> String {
        self.cli.prompt()
    }

    /// Brings an image into the engine unless it is there already. Gives its reference.
    pub fn load(&self, image: &Image, ui: &Ui) -> Result<String> {
        self.load_all(&[image], ui)?;
        Ok(image.reference())
    }

    /// Brings those images into the engine that are not there already, in one go: what they share
    /// is sent once.
    ///
    /// A reference's tag is the image's own digest, so a name never means another image. Images
    /// of earlier runs that no name points to are removed: each edit of a patch makes a new one.
    pub fn load_all(&self, images: &[&Image], ui: &Ui) -> Result<()> {
        let mut lacking = Vec::new();
        for image in images {
            if !self.has(image)? {
                lacking.push(*image);
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let titles: Vec<&str> = lacking.iter().map(|i| i.title.as_str()).collect();
        let whose = if self.facts.guest { "a guest's" } else { "the" };
        let step = ui.step(format!("load {} into {whose} engine", titles.join(", ")));
        let brought = self.keeper.as_ref().and_then(|keeper| {
            keeper.bring(&|out: &mut dyn std::io::Write| archive::write(&lacking, out))
        });
        let call = match brought {
            Some(call) => call?,
            None => {
                let sources: Vec<Image> = lacking.iter().map(|&image| image.clone()).collect();
                self.call(["load", "--quiet"]).input(move |out| {
                    let sources: Vec<&Image> = sources.iter().collect();
                    archive::write(&sources, out).map_err(std::io::Error::other)
                })
            }
        };
        call.deadline(self.patience(Duration::from_secs(300)))
            .text()
            .map_err(|e| self.no_space(e))?;
        for image in &lacking {
            if !self.has(image)? {
                let told = format!("the engine took {} but does not list it", image.reference());
                let hint = format!("see {} image ls", self.prompt());
                return Err(Fault::new(told).hint(hint).into());
            }
            if !image.is_named() {
                self.forget_older(image)?;
            }
        }
        if let Some(keeper) = &self.keeper {
            keeper.keep()?;
        }
        let own: u64 = lacking.iter().map(|image| image.top().size).sum();
        step.done(&format!("{} MB of its own", own.div_ceil(1 << 20)));
        Ok(())
    }

    /// What the engine says of an image that it has.
    ///
    /// # Errors
    /// It does not have it; it is not asked to download it.
    pub fn image(&self, name: &str) -> Result<ImageFacts> {
        // podman 4.3 takes only a format that begins with a plain field.
        let format = "{{.Id}} {{json .Config.Labels}}";
        let answer = self.call(["image", "inspect", "--format", format, name]).output()?;
        if !answer.status.success() {
            let hint = if self.facts.private {
                "the private engine holds no images of yours: use --engine docker".to_owned()
            } else {
                format!("{prompt} pull {name}, or {prompt} load", prompt = self.prompt())
            };
            return Err(Fault::new(format!("the engine has no image `{name}`")).hint(hint).into());
        }
        let text = answer.text();
        let (id, labels) = text.split_once(' ').unwrap_or((&text, "null"));
        let labels: Option<_> = serde_json::from_str(labels)?;
        // Engines write `null` for no labels.
        Ok(ImageFacts { id: id.to_owned(), labels: labels.unwrap_or_default() })
    }

    /// Writes an image of the engine's to a file, as an archive.
    ///
    /// # Errors
    /// See [`Engine::image`].
    pub fn save(&self, name: &str, to: &std::path::Path) -> Result<()> {
        self.image(name)?;
        let call = self.call(["save", "--output"]).arg(to).arg(name);
        call.deadline(Duration::from_secs(600)).text().map(drop)
    }

    /// Says what to do about a full disk, where that is what the engine complains about.
    fn no_space(&self, error: anyhow::Error) -> anyhow::Error {
        if !error.to_string().contains("no space left") {
            return error;
        }
        let hint = if self.facts.private {
            "free some space, or pass --cache-dir DIR on a larger disk".to_owned()
        } else {
            format!("{} system df shows what the engine keeps", self.prompt())
        };
        Fault::new(format!("{error}")).hint(hint).into()
    }

    /// Engines with a classic store name an image by its configuration's digest, those with
    /// containerd's by that of the manifest or the index.
    fn has(&self, image: &Image) -> Result<bool> {
        let answer =
            self.call(["image", "inspect", "--format", "{{.Id}}", &image.reference()]).output()?;
        let id = answer.text();
        // podman leaves the algorithm out.
        let id = id.strip_prefix("sha256:").unwrap_or(&id);
        let is_it = |digest: &String| digest.strip_prefix("sha256:") == Some(id);
        Ok(answer.status.success() && image.digests().iter().any(is_it))
    }

    /// Removes an image that nobody will ask for again, also after Ctrl-C. One that is in use stays.
    pub fn forget(&self, reference: &str) -> Result<()> {
        self.call(["image", "rm", reference]).uninterruptible().output().map(drop)
    }

    /// Removes images made for the same purpose (version and flavour) by earlier runs.
    fn forget_older(&self, image: &Image) -> Result<()> {
        let filter = format!("label={PURPOSE}={}", image.purpose);
        let format = "{{.Repository}}:{{.Tag}}";
        let listed = self.call(["image", "ls", "--filter", &filter, "--format", format]).text()?;
        // podman puts a registry before the name.
        let reference = image.reference();
        let current = |l: &str| l == reference || l.ends_with(&format!("/{reference}"));
        for old in listed.lines().filter(|l| !current(l) && !l.contains("<none>")) {
            // One that a container of another run still uses stays: the engine refuses.
            let _ = self.call(["image", "rm", old]).output()?;
        }
        Ok(())
    }
}
