// SPDX-License-Identifier: MIT
//! The start-up program of the image that builds its system when it starts (nix/config-at-start), run by
//! an unprivileged container with a real Nix and a real systemd.
//!
//! The nixpkgs is a stand-in, whose systems take a second to build and nothing to download: that shows
//! what the program does, and not what NixOS makes of a configuration.

mod bad;
mod compose;
mod stand_in;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Case, Said, Trial};
use crate::exec;

pub use stand_in::prepare;

/// What must hold.
pub const CASES: &[Case] = &[
    Case {
        id: "start.once",
        title: "a configuration is built when the container starts, and once",
        run: built_once,
    },
    Case {
        id: "start.last-good",
        title: "a failure says why, and the last good system goes on",
        run: last_good,
    },
    Case { id: "start.flake", title: "a flake that /options.nix names", run: flake },
    Case {
        id: "start.stopped",
        title: "a container that is stopped while it builds",
        run: stopped,
    },
    Case {
        id: "start.docker-nixos",
        title: "the options with which docker-nixos is run",
        run: options_of_docker_nixos,
    },
    Case {
        id: "start.shared-store",
        title: "a container whose programs are in the host's store",
        run: shared_store,
    },
    Case {
        id: "start.bad-input",
        title: "bad input without a system ends with 1",
        run: bad::bad_input,
    },
    Case {
        id: "start.no-lock",
        title: "a flake with inputs and without a lock file ends with 1",
        run: bad::no_lock,
    },
    Case {
        id: "start.no-network",
        title: "a flake that cannot be fetched ends with 1",
        run: bad::no_network,
    },
    Case {
        id: "start.compose",
        title: "the Dockerfile builds an image, and the compose file runs it",
        run: compose::compose,
    },
];

/// A container of the start-up program, removed when it goes.
struct Started<'t> {
    trial: &'t Trial<'t>,
    name: String,
    /// For /config.
    folder: std::path::PathBuf,
}

impl<'t> Started<'t> {
    /// Runs one with a configuration and more options.
    fn with(
        trial: &'t Trial<'t>,
        name: &str,
        configuration: &str,
        options: &[&str],
    ) -> Result<Self> {
        let folder = trial.scratch.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("configuration.nix"), configuration)?;
        let volume = format!("{}:/config:ro", folder.display());
        Started::run(trial, name, folder, &[&["--volume", &volume], options].concat())
    }

    fn run(
        trial: &'t Trial<'t>,
        name: &str,
        folder: std::path::PathBuf,
        options: &[&str],
    ) -> Result<Self> {
        let name = format!("{}{name}", super::containers::PREFIX);
        let program = format!("{}:/opt/plainboot:ro", trial.program.display());
        let words = [
            &["run", "--detach", "--name", &name, "--volume", &program][..],
            // Nothing is to be downloaded, and a machine without a network is long in finding that out.
            &["--env", "NIX_CONFIG=substituters ="],
            options,
            &[&trial.image, "/opt/plainboot/start"],
        ]
        .concat();
        let started = Started { trial, name: name.clone(), folder };
        trial.ask(&words)?;
        Ok(started)
    }

    fn configure(&self, configuration: &str) -> Result<()> {
        Ok(std::fs::write(self.folder.join("configuration.nix"), configuration)?)
    }

    /// All that it has said: both streams, as `docker logs` gives them.
    fn log(&self) -> Result<String> {
        let said: Said = self.trial.engine.call(["logs", &self.name]).output()?.into();
        Ok(format!("{}\n{}", said.out, said.err))
    }

    /// Waits until the log has it, or the container has ended. Notes it if it does not come.
    fn says(&self, text: &str) -> Result<()> {
        self.says_times(text, 1)
    }

    fn says_times(&self, text: &str, times: usize) -> Result<()> {
        let end = Instant::now() + self.trial.engine.patience(Duration::from_secs(60));
        loop {
            let over = self.state("Running")? != "true";
            let log = self.log()?;
            if log.matches(text).count() >= times {
                return Ok(());
            }
            if over || Instant::now() > end {
                self.trial.note(format!("the log of {} has no `{text}`: {log}", self.name));
                return Ok(());
            }
            exec::sleep(Duration::from_millis(200))?;
        }
    }

    fn state(&self, what: &str) -> Result<String> {
        self.trial.ask(&["inspect", "--format", &format!("{{{{.State.{what}}}}}"), &self.name])
    }

    fn exec(&self, words: &[&str]) -> Result<Said> {
        let all = [&["exec", self.name.as_str()], words].concat();
        let call = self.trial.engine.call(all).deadline(Duration::from_secs(120));
        Ok(call.output()?.into())
    }

    /// Notes if systemd does not run, or not the system of that name.
    fn runs(&self, name: &str) -> Result<()> {
        let end = Instant::now() + self.trial.engine.patience(Duration::from_secs(60));
        loop {
            let said = self.exec(&["systemctl", "is-system-running"])?;
            if said.out == "running" {
                break;
            }
            if Instant::now() > end {
                self.trial.note(format!(
                    "{}: {} {} {}",
                    self.name,
                    said.out,
                    said.err,
                    self.log()?
                ));
                return Ok(());
            }
            exec::sleep(Duration::from_millis(200))?;
        }
        let greeting = self.exec(&["cat", "/var/greeting", "/proc/1/comm"])?;
        self.trial.same("what runs", &greeting.out, &format!("{name}\nsystemd"));
        Ok(())
    }

    fn health(&self, code: i32, text: &str) -> Result<()> {
        let said = self.exec(&["/opt/plainboot/healthy"])?;
        self.trial.compare("healthy", &said, code, &[text]);
        Ok(())
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        let words = ["rm", "--force", "--volumes", self.name.as_str()];
        let _ = self.trial.engine.call(words).uninterruptible().output();
    }
}

fn built_once(trial: &Trial<'_>) -> Result<()> {
    let started = Started::with(trial, "once", "{ name = \"first\"; }", &[])?;
    started.says("plainboot: builds the system of /config/configuration.nix")?;
    // What Nix and the builder say.
    started.says("builds first")?;
    started.says("plainboot: built system-1-link")?;
    started.runs("first")?;
    started.health(0, "running")?;
    let plain = trial.ask(&[
        "inspect",
        "--format",
        "{{.HostConfig.Privileged}} {{.HostConfig.CapAdd}} {{.HostConfig.SecurityOpt}}",
        &started.name,
    ])?;
    trial.same("its privileges", &plain, "false [] []");
    trial.ask(&["restart", &started.name])?;
    started.says("/config/configuration.nix has not changed: starts system-1-link")?;
    started.runs("first")?;
    trial.same("builds", &started.log()?.matches("builds first").count().to_string(), "1");
    Ok(())
}

fn last_good(trial: &Trial<'_>) -> Result<()> {
    let started = Started::with(trial, "good", "{ name = \"first\"; }", &[])?;
    started.runs("first")?;
    started.configure("{ name = \"second\"; build = \"echo no such thing; exit 3\"; }")?;
    trial.ask(&["restart", &started.name])?;
    started.says("no such thing")?;
    started.says("cannot be built, as Nix says above")?;
    started.says("starts the last good system, system-1-link")?;
    started.runs("first")?;
    started.health(
        1,
        "an older system runs: the system of /config/configuration.nix cannot be built",
    )?;
    started.configure("{ name = \"second\"; oops }")?;
    trial.ask(&["restart", &started.name])?;
    // Nix names the file and the line.
    started.says("configuration.nix:1:")?;
    started.says_times("starts the last good system", 2)?;
    started.runs("first")?;
    started.configure("{ name = \"second\"; }")?;
    trial.ask(&["restart", &started.name])?;
    started.says("built system-2-link")?;
    started.runs("second")?;
    started.health(0, "running")
}

fn flake(trial: &Trial<'_>) -> Result<()> {
    let folder = trial.scratch.join("flake");
    std::fs::create_dir_all(&folder)?;
    let text = r#"{
  inputs.nixpkgs.url = "path:/opt/plainboot/nixpkgs";
  outputs = { nixpkgs, ... }: {
    nixosConfigurations.default = nixpkgs.lib.nixosSystem { modules = [ ./configuration.nix ]; };
  };
}"#;
    std::fs::write(folder.join("flake.nix"), text)?;
    let program = format!("{}:/opt/plainboot:ro", trial.program.display());
    lock(trial, &["--volume", &program, &trial.image], &folder)?;
    std::fs::write(folder.join("configuration.nix"), "{ name = \"flaky\"; }")?;
    let options = trial.scratch.join("options.nix");
    let named =
        |name: &str| format!("{{ flakeUrl = \"path:/config\"; nixosConfiguration = \"{name}\"; }}");
    std::fs::write(&options, named("default"))?;
    let volumes = [
        format!("{}:/config:ro", folder.display()),
        format!("{}:/options.nix:ro", options.display()),
    ];
    let words = ["--volume", &volumes[0], "--volume", &volumes[1]];
    let started = Started::run(trial, "flake", folder.clone(), &words)?;
    started.says("builds the system of the flake of /options.nix")?;
    started.runs("flaky")?;
    trial.ask(&["restart", &started.name])?;
    started.says("the flake of /options.nix has not changed")?;
    // In place: a bind mount of a file follows the file, and not its name.
    std::fs::write(&options, named("other"))?;
    trial.ask(&["restart", &started.name])?;
    started.says("path:/config has no nixosConfigurations.other; there are: default")?;
    started.runs("flaky")?;
    std::fs::write(&options, "{ flakeUrl = 1 }")?;
    trial.ask(&["restart", &started.name])?;
    started.says("/options.nix is not { flakeUrl")?;
    started.runs("flaky")?;
    let elsewhere = "{ flakeUrl = \"path:/elsewhere\"; nixosConfiguration = \"default\"; }";
    std::fs::write(&options, elsewhere)?;
    trial.ask(&["restart", &started.name])?;
    started.says("both /config/configuration.nix and /options.nix are mounted")?;
    started.runs("flaky")?;
    // The same folder in other words.
    let elsewhere = elsewhere.replace("path:/elsewhere", "/config");
    std::fs::write(&options, elsewhere)?;
    trial.ask(&["restart", &started.name])?;
    started.says_times("builds the system of the flake of /options.nix", 3)?;
    started.runs("flaky")?;
    started.health(0, "running")
}

fn stopped(trial: &Trial<'_>) -> Result<()> {
    let slow = "{ name = \"slow\"; build = \"sleep 20\"; }";
    let started = Started::with(trial, "slow", slow, &[])?;
    started.says("builds slow")?;
    started.health(1, "the system is being built")?;
    let begun = Instant::now();
    trial.ask(&["stop", "--time", "10", &started.name])?;
    if begun.elapsed() > trial.engine.patience(Duration::from_secs(8)) {
        trial.note(format!("it took {} s to stop", begun.elapsed().as_secs()));
    }
    trial.same("its exit code", &started.state("ExitCode")?, "143");
    started.configure("{ name = \"quick\"; }")?;
    trial.ask(&["start", &started.name])?;
    started.runs("quick")?;
    // Killed while it builds, and then there is nothing to build.
    started.configure(slow)?;
    trial.ask(&["restart", &started.name])?;
    started.says_times("builds slow", 2)?;
    trial.ask(&["kill", &started.name])?;
    started.configure("{ name = \"quick\"; }")?;
    trial.ask(&["start", &started.name])?;
    started.runs("quick")?;
    started.health(0, "running")
}

fn options_of_docker_nixos(trial: &Trial<'_>) -> Result<()> {
    let file = trial.scratch.join("hosts.extra");
    std::fs::write(&file, "of the host\n")?;
    let extra = format!("{}:/etc/extra:ro", file.display());
    let options = ["--tmpfs", "/run", "--volume", &extra];
    let started = Started::with(trial, "tmpfs", "{ name = \"tmpfs\"; }", &options)?;
    started.runs("tmpfs")?;
    let said = started.exec(&["cat", "/etc/extra"])?;
    trial.same("a file that is mounted into /etc", &said.out, "of the host");
    let said =
        started.exec(&["sh", "-c", "test -s /etc/hostname && mountpoint -q /etc/resolv.conf"])?;
    trial.compare("the engine's files", &said, 0, &[]);
    drop(started);
    let tree = "/sys/fs/cgroup:/sys/fs/cgroup:rw";
    let options = ["--tmpfs", "/run", "--volume", tree, "--cgroupns=host"];
    let started = Started::with(trial, "cgroup", "{ name = \"cgroup\"; }", &options)?;
    started.runs("cgroup")
}

/// `nix flake lock` by the Nix of an image, whose name ends `run`: a flake with inputs has its lock file
/// beside it, and the Nix of Debian 12 builds none without.
fn lock(trial: &Trial<'_>, run: &[&str], folder: &std::path::Path) -> Result<()> {
    let config = format!("{}:/config", folder.display());
    let nix = "NIX_CONFIG=experimental-features = nix-command flakes\nbuild-users-group =\nsubstituters =";
    let options = ["run", "--rm", "--volume", &config, "--env", nix];
    let lock = ["/usr/bin/nix", "flake", "lock", "path:/config"];
    trial.ask(&[&options[..], run, &lock].concat())?;
    Ok(())
}

/// As `sharedStore` of `virtualisation.systemdContainers`: the store of the host in place of one in the
/// image, read-only. Here another container has built it.
fn shared_store(trial: &Trial<'_>) -> Result<()> {
    let store = trial.scratch.join("host");
    // podman makes none.
    std::fs::create_dir_all(&store)?;
    let volume = format!("{}:/nix", store.display());
    let builder =
        Started::with(trial, "builder", "{ name = \"shared\"; }", &["--volume", &volume])?;
    builder.runs("shared")?;
    let system = builder.exec(&["readlink", "-f", "/nix/var/nix/profiles/system"])?.out;
    drop(builder);
    let volume = format!("{}:/nix/store:ro", store.join("store").display());
    let name = format!("{}shared", super::containers::PREFIX);
    let init = format!("{system}/init");
    trial.ask(&["run", "--detach", "--name", &name, "--volume", &volume, &trial.image, &init])?;
    let started = Started { trial, name, folder: store };
    started.runs("shared")?;
    let said = started.exec(&["sh", "-c", "touch /nix/store/new"])?;
    trial.compare("a change of the host's store", &said, 1, &["Read-only file system"]);
    Ok(())
}
