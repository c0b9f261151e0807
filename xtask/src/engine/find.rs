// SPDX-License-Identifier: MIT
//! Which engine is used: the user's own if it can show the claim, else a private one.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{Cli, Engine, Facts, Kind, owner, private};
use crate::exec;
use crate::fault::{self, Fault};
use crate::ui::Ui;
use crate::workspace::Cache;

/// `--engine`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// The user's Docker if it runs with cgroup v2, else a private one
    #[default]
    Auto,
    /// A dockerd started for this run alone (needs root and Debian's docker.io)
    Private,
    /// The Docker that `docker` reaches
    Docker,
    /// The podman that `podman` reaches
    Podman,
}

/// Finds an engine that answers and sweeps what dead runs left in it.
///
/// # Errors
/// [`fault::Kind::CannotTry`] with every reason when there is none.
pub fn find(choice: Choice, cache: &Cache, ui: &Ui) -> Result<Engine> {
    let engine = match choice {
        Choice::Docker => users_own("docker", "docker.io")?,
        Choice::Podman => users_own("podman", "podman")?,
        Choice::Private => private_one(cache, ui)?,
        Choice::Auto => match users_own("docker", "docker.io") {
            Ok(engine) => engine,
            Err(error) if fault::kind_of(&error) == fault::Kind::CannotTry => {
                if let Err(reason) = private::possible() {
                    return Err(Fault::cannot_try(format!("no engine: {error}; {reason}"))
                        .hint("as root: apt-get install docker.io iptables iproute2, and run again as root")
                        .into());
                }
                tracing::info!("not the user's engine: {error}");
                private_one(cache, ui)?
            }
            Err(error) => return Err(error),
        },
    };
    sweep(&engine, ui)?;
    Ok(engine)
}

fn private_one(cache: &Cache, ui: &Ui) -> Result<Engine> {
    let (daemon, facts) = private::Daemon::start(cache, ui)?;
    let cli = Cli::local("docker", Some(daemon.host()));
    Ok(Engine { cli, facts, keeper: Some(Box::new(daemon)) })
}

fn users_own(program: &str, package: &str) -> Result<Engine> {
    if !exec::have(program) {
        return Err(Fault::cannot_try(format!("`{program}` is not installed"))
            .hint(format!("as root: apt-get install {package}"))
            .into());
    }
    let cli = Cli::local(program, None);
    let facts = facts(&cli, ANSWER)?;
    if facts.cgroup_version != 2 {
        return Err(Fault::cannot_try(format!(
            "{} runs on cgroup v{}, where systemd 258 and newer cannot boot at all",
            facts.release(),
            facts.cgroup_version
        ))
        .hint("use --engine private (as root), or a host with cgroup v2")
        .into());
    }
    Ok(Engine { cli, facts, keeper: None })
}

/// How long an engine on this host may take to tell about itself.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// Asks an engine about itself.
pub(super) fn facts(cli: &Cli, deadline: Duration) -> Result<Facts> {
    let name = cli.call().line();
    let call = cli.call().args(["info", "--format", "{{json .}}"]).deadline(deadline);
    let answer = call.output().map_err(|e| match fault::kind_of(&e) {
        fault::Kind::Interrupted => e,
        _ => Fault::cannot_try(format!("`{name}` does not answer: {e}")).into(),
    })?;
    // Without a service the CLI still prints a document, with its error inside.
    parse(&answer.text()).map_err(|reason| {
        let said = answer.error_text();
        let reason = said.lines().last().map_or(reason, str::to_owned);
        Fault::cannot_try(format!("`{name}` reaches no engine: {reason}"))
            .hint("start it, or use --engine private (as root)")
            .into()
    })
}

fn parse(json: &str) -> Result<Facts, String> {
    let info: Value = serde_json::from_str(json).map_err(|e| e.to_string())?;
    if info.get("host").is_some() {
        return podman(&info).ok_or_else(|| "unknown answer of podman".to_owned());
    }
    let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    if let Some(error) = info["ServerErrors"].get(0).and_then(Value::as_str) {
        return Err(error.to_owned());
    }
    let version = text("ServerVersion");
    if version.is_empty() {
        return Err("no version in its answer".into());
    }
    let security: Vec<String> = info["SecurityOptions"]
        .as_array()
        .map(|a| a.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let has = |name: &str| security.iter().any(|s| s.split(',').any(|p| p == name));
    Ok(Facts {
        kind: Kind::Docker,
        version,
        // Engines before 20.10 do not say, and know version 1 only.
        cgroup_version: text("CgroupVersion").parse().unwrap_or(1),
        cgroup_driver: text("CgroupDriver"),
        rootless: has("name=rootless"),
        userns_remap: has("name=userns"),
        storage: text("Driver"),
        architecture: text("Architecture"),
        kernel: text("KernelVersion"),
        memory_limit: info["MemoryLimit"].as_bool().unwrap_or_default(),
        pids_limit: info["PidsLimit"].as_bool().unwrap_or_default(),
        emulated: false,
        guest: false,
        security,
        private: false,
    })
}

fn podman(info: &Value) -> Option<Facts> {
    let host = &info["host"];
    let controller = |name: &str| {
        host["cgroupControllers"].as_array().is_some_and(|a| a.iter().any(|c| c == name))
    };
    Some(Facts {
        kind: Kind::Podman,
        version: info["version"]["Version"].as_str()?.to_owned(),
        cgroup_version: if host["cgroupVersion"].as_str()? == "v2" { 2 } else { 1 },
        cgroup_driver: host["cgroupManager"].as_str().unwrap_or_default().to_owned(),
        rootless: host["security"]["rootless"].as_bool().unwrap_or_default(),
        userns_remap: false,
        storage: info["store"]["graphDriverName"].as_str().unwrap_or_default().to_owned(),
        architecture: host["arch"].as_str().unwrap_or_default().to_owned(),
        kernel: host["kernel"].as_str().unwrap_or_default().to_owned(),
        memory_limit: controller("memory"),
        pids_limit: controller("pids"),
        emulated: false,
        guest: false,
        security: Vec::new(),
        private: false,
    })
}

/// Removes containers whose run was killed before it could.
fn sweep(engine: &Engine, ui: &Ui) -> Result<()> {
    let filter = format!("label={}", owner::LABEL);
    let listed = engine.call(["ps", "--all", "--filter", &filter, "--format", "{{.ID}}"]).text()?;
    let format = format!("{{{{index .Config.Labels \"{}\"}}}}", owner::LABEL);
    for id in listed.lines() {
        // One that is gone by now has no label.
        let inspect = engine.call(["inspect", "--type=container", "--format", &format, id]);
        let label = inspect.output()?.text();
        if label.parse::<owner::Owner>().is_ok_and(|o| o.is_gone()) {
            ui.note(&format!("removing container {id}, left by a run that was killed"));
            engine.call(["rm", "--force", "--volumes", id]).text()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_service_is_no_engine() {
        let json = r#"{"ServerErrors":["Cannot connect to the Docker daemon at unix:///x"]}"#;
        assert!(parse(json).unwrap_err().contains("Cannot connect"));
        assert!(parse("").is_err());
        assert!(parse("{}").is_err());
    }

    #[test]
    fn facts_of_docker_20_10_with_cgroup_v2() {
        let json = r#"{"Driver":"overlay2","CgroupDriver":"cgroupfs","CgroupVersion":"2",
            "KernelVersion":"6.1.0","Architecture":"x86_64","ServerVersion":"20.10.24+dfsg1",
            "SecurityOptions":["name=seccomp,profile=default","name=cgroupns"]}"#;
        let facts = parse(json).unwrap();
        assert_eq!((facts.cgroup_version, facts.rootless), (2, false));
        assert_eq!(facts.storage, "overlay2");
        let rootless = json.replace("name=cgroupns", "name=rootless");
        assert!(parse(&rootless).unwrap().rootless);
    }
}
