// SPDX-License-Identifier: MIT
//! apt with a configuration, lists and a cache of its own, so that nothing of the host changes
//! and no root is needed. Mirror, keyrings and proxies are the host's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::atomic;
use crate::exec::{self, Job};
use crate::fault::Fault;
use crate::workspace::require_space;

/// What six suites' lists take at their largest (110 MB seen), and one tarball with its import.
const LISTS_MB: u64 = 250;
const TARBALL_MB: u64 = 60;

const UPDATE_DEADLINE: Duration = Duration::from_secs(180);
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(600);

/// A mirror and the suites to be read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// `Debian` or `Ubuntu`.
    pub distribution: String,
    pub uri: String,
    pub suites: Vec<String>,
    /// The value of `Signed-By`: keyring files, or a key in its armour; `None` for apt's default.
    pub signed_by: Option<String>,
}

impl Archive {
    /// A suite's binary packages, as a paragraph of a `.sources` file.
    pub fn binaries(&self, suite: &str) -> String {
        let mut text =
            format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", self.uri);
        if let Some(signed_by) = &self.signed_by {
            text += &format!("Signed-By: {signed_by}\n");
        }
        text
    }
}

/// A private apt.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
}

/// A suite whose signed lists are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The name in our list of sources, such as `testing`.
    pub release: String,
    /// What it says itself, such as `forky`.
    pub codename: String,
    /// True if its `InRelease` carries a good signature by a key of the keyring.
    pub trusted: bool,
}

/// What fetching the lists came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// There are lists now; `complaints` tell which are missing.
    Came { complaints: Vec<String> },
    /// Nothing came: no network, or nothing with a good signature.
    Nothing { reason: String },
}

impl Apt {
    /// Writes the configuration under `dir`. Returns also whether the list of sources changed.
    pub fn configure(dir: &Path, archive: &Archive) -> Result<(Self, bool)> {
        let d = dir.to_str().filter(|s| !s.contains(['"', '\n', ' '])).ok_or_else(|| {
            Fault::new(format!("apt cannot work in {}", dir.display()))
                .hint("pass --cache-dir DIR with a path without spaces and quotes")
        })?;
        for folder in ["state/lists/partial", "cache/archives/partial", "download", "log"] {
            let folder = dir.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        // Given with -c, so that it is read after the host's configuration and wins over it. The
        // hooks are cleared: they would work on the host's own caches.
        let configuration = format!(
            r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb-src;
Acquire::IndexTargets::deb-src::Sources {{
  MetaKey "$(COMPONENT)/source/Sources";
  ShortDescription "Sources";
  Description "$(RELEASE)/$(COMPONENT) Sources";
}};
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::AllowReleaseInfoChange "true";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Get::AllowUnauthenticated "false";
Dir::State "{d}/state";
Dir::State::lists "{d}/state/lists";
Dir::State::status "/dev/null";
Dir::Cache "{d}/cache";
Dir::Cache::archives "{d}/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{d}/plainboot.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"#
        );
        atomic::write(&dir.join("apt.conf"), configuration.as_bytes())?;
        let mut sources = format!(
            "Types: deb-src\nURIs: {}\nSuites: {}\nComponents: main\n",
            archive.uri,
            archive.suites.join(" ")
        );
        if let Some(signed_by) = &archive.signed_by {
            sources += &format!("Signed-By: {signed_by}\n");
        }
        let changed = atomic::write(&dir.join("plainboot.sources"), sources.as_bytes())?;
        Ok((Apt { dir: dir.to_owned() }, changed))
    }

    /// How old the lists are; `None` if there are none.
    pub fn age(&self) -> Option<Duration> {
        Apt::age_in(&self.dir)
    }

    /// The same for a folder that was not configured yet in this run.
    pub fn age_in(dir: &Path) -> Option<Duration> {
        std::fs::metadata(dir.join("updated")).ok()?.modified().ok()?.elapsed().ok()
    }

    /// Where tarballs are downloaded to.
    pub fn downloads(&self) -> PathBuf {
        self.dir.join("download")
    }

    fn job(&self, program: &str, log: &str) -> Job {
        Job::new(program, &self.dir.join("log").join(log))
            .arg("-c")
            .arg(self.dir.join("apt.conf"))
            .env("LC_ALL", "C")
    }

    /// Fetches the signed lists. Suites that the mirror lacks are left out.
    ///
    /// # Errors
    /// Only what the user has to mend here; a mirror that is out of reach is [`Update::Nothing`].
    pub fn update(&self, mut progress: impl FnMut(&str)) -> Result<Update> {
        require_space(&self.dir, LISTS_MB)?;
        let mut complaints = Vec::new();
        let mut came = false;
        let outcome =
            self.job("apt-get", "update.log").args(["-q", "update"]).deadline(UPDATE_DEADLINE).run(
                |line| {
                    came |= line.starts_with("Get:") || line.starts_with("Hit:");
                    complaints.extend(complaint(line));
                    progress(line);
                },
            );
        exec::check_interrupt()?;
        if let Some(fault) = self.no_space(&complaints) {
            return Err(fault.into());
        }
        // A suite whose signature is bad answers, too, but leaves no list.
        if came && !self.suites()?.is_empty() {
            let stamp = self.dir.join("updated");
            std::fs::write(&stamp, b"")
                .with_context(|| format!("cannot write {}", stamp.display()))?;
            return Ok(Update::Came { complaints });
        }
        let reason = match outcome {
            _ if !complaints.is_empty() => complaints.join("; "),
            Err(e) => format!("{e:#}"),
            Ok(()) => "apt gave no lists and no reason".into(),
        };
        Ok(Update::Nothing { reason })
    }

    /// The suites whose lists are there.
    pub fn suites(&self) -> Result<Vec<Suite>> {
        let format = "$(RELEASE)|$(CODENAME)|$(TRUSTED)";
        let text = self.read(&["apt-get", "indextargets", "--format", format])?;
        let mut suites: Vec<Suite> = text
            .lines()
            .filter_map(|line| {
                let [release, codename, trusted] =
                    line.split('|').collect::<Vec<_>>().try_into().ok()?;
                let codename = if codename.is_empty() { release } else { codename };
                Some(Suite {
                    release: release.to_owned(),
                    codename: codename.to_owned(),
                    trusted: trusted == "yes",
                })
            })
            .collect();
        suites.dedup();
        Ok(suites)
    }

    /// The `Sources` paragraphs of the package `systemd`.
    pub fn paragraphs(&self) -> Result<String> {
        let text = self.read(&["apt-cache", "showsrc", "--only-source", "systemd"]);
        // apt calls it an error that no suite has the package.
        match text {
            Err(e) if e.to_string().contains("Unable to ") => Ok(String::new()),
            text => text,
        }
    }

    /// Lines `package | version | mirror suite/component Sources`.
    pub fn madison(&self) -> Result<String> {
        self.read(&["apt-cache", "madison", "systemd"])
    }

    /// Downloads the upstream tarball of one source package as `name` into [`Apt::downloads`].
    /// It appears there whole; what an interrupted download leaves is removed with its folder.
    pub fn download(
        &self,
        package: &str,
        name: &str,
        mut progress: impl FnMut(&str),
    ) -> Result<()> {
        require_space(&self.dir, TARBALL_MB)?;
        let partial = tempfile::Builder::new()
            .prefix(".partial-")
            .tempdir_in(&self.dir)
            .with_context(|| format!("cannot write in {}", self.dir.display()))?;
        let mut complaints = Vec::new();
        let log = format!("systemd_{package}.log");
        let outcome = self
            .job("apt-get", &log)
            .args(["-q", "source", "--download-only", "--tar-only"])
            .arg(format!("systemd={package}"))
            .dir(partial.path())
            .deadline(DOWNLOAD_DEADLINE)
            .run(|line| {
                complaints.extend(complaint(line));
                progress(line);
            });
        exec::check_interrupt()?;
        if let Err(e) = outcome {
            return Err(self.no_download(&complaints, &log).unwrap_or(e));
        }
        let (from, to) = (partial.path().join(name), self.downloads().join(name));
        std::fs::rename(from, &to).with_context(|| format!("cannot write {}", to.display()))
    }

    /// Why a download failed, from apt's complaints.
    fn no_download(&self, complaints: &[String], log: &str) -> Option<anyhow::Error> {
        if let Some(fault) = self.no_space(complaints) {
            return Some(fault.into());
        }
        let first = complaints.first()?;
        let hint = if first.contains("404") {
            "the mirror lists a file that it does not hold (yet, or any more): try again later, \
             ask for another point release, or pass --systemd-git PATH-OR-URL"
                .into()
        } else {
            format!("apt's output: {}", self.dir.join("log").join(log).display())
        };
        Some(Fault::unavailable(first.clone()).hint(hint).into())
    }

    fn no_space(&self, complaints: &[String]) -> Option<Fault> {
        let is_full = |c: &&String| c.contains("No space left") || c.contains("enough free space");
        complaints.iter().find(is_full).map(|_| {
            Fault::new(format!("no space left in {}", self.dir.display()))
                .hint("free some, or pass --cache-dir DIR")
        })
    }

    fn read(&self, command: &[&str]) -> Result<String> {
        let shell = Shell::new()?;
        let [program, rest @ ..] = command else { return Ok(String::new()) };
        let conf = self.dir.join("apt.conf");
        exec::read(cmd!(shell, "{program} -c {conf} {rest...}").env("LC_ALL", "C"))
    }
}

/// An error line of apt, without the summing-up ones and the harmless ones.
fn complaint(line: &str) -> Option<String> {
    let text = line.strip_prefix("E: ").or_else(|| line.strip_prefix("W: "))?;
    let noise = ["unsandboxed", "Failed to fetch some archives", "Some index files failed"];
    (!noise.iter().any(|n| text.contains(n)))
        .then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complaints_that_say_something() {
        assert_eq!(
            complaint("E: Failed to fetch x  404  Not Found"),
            Some("Failed to fetch x 404 Not Found".into())
        );
        assert_eq!(complaint("W: Download is performed unsandboxed as root"), None);
        assert_eq!(complaint("E: Failed to fetch some archives."), None);
        assert_eq!(complaint("Get:1 E: x"), None);
    }
}
