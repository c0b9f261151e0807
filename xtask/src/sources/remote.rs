// SPDX-License-Identifier: MIT
//! A git server, asked with the `git` command, since git2 is built without HTTPS.
//!
//! Only the tags that are needed are fetched, each without its history: that is what a build
//! needs, and takes seconds. Whoever wants history gives a clone with `--systemd-git PATH`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::model::{CommitId, OLDEST_MAJOR, Origin, is_object_id};
use super::provider::{Answer, Freshness, Listing, Offer, Provider};
use super::repository::{Record, Repository};
use crate::atomic;
use crate::exec::{self, Job};
use crate::fault::Fault;
use crate::ui::Ui;
use crate::version::SystemdVersion;
use crate::workspace::Cache;

/// Upstream's repositories: releases, and the point releases of the stable branches.
const UPSTREAM: [&str; 2] =
    ["https://github.com/systemd/systemd.git", "https://github.com/systemd/systemd-stable.git"];

/// How long a server may take to name its tags.
const LIST_DEADLINE: Duration = Duration::from_secs(10);
const FETCH_DEADLINE: Duration = Duration::from_secs(20 * 60);
/// How long an answer is kept, so that a warm run asks no network.
const KEEP_ANSWER: Duration = Duration::from_secs(6 * 3600);
const KEEP_SILENCE: Duration = Duration::from_secs(10 * 60);

/// One or more git servers that hold parts of the same history.
#[derive(Debug)]
pub struct Remote<'a> {
    name: String,
    /// For the table of versions.
    short: &'static str,
    urls: Vec<String>,
    keep_silence: Duration,
    /// The user wants no network to be asked.
    offline: bool,
    /// Transcripts and kept answers.
    dir: PathBuf,
    ui: &'a Ui,
}

/// The answer of one server, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Seconds since the epoch.
    asked: u64,
    /// Why there was no answer.
    silence: Option<String>,
    tags: BTreeMap<SystemdVersion, CommitId>,
}

/// True if `text` is a URL or an `host:path` address rather than a path.
pub fn is_url(text: &str) -> bool {
    let scp_like = || {
        text.split_once(':').is_some_and(|(host, _)| {
            !host.is_empty() && !host.contains('/') && !std::path::Path::new(text).exists()
        })
    };
    text.contains("://") || scp_like()
}

impl<'a> Remote<'a> {
    /// The server that the user named.
    pub fn given(url: &str, offline: bool, cache: &Cache, ui: &'a Ui) -> Self {
        Remote {
            name: format!("--systemd-git {url}"),
            short: "--systemd-git",
            urls: vec![url.to_owned()],
            keep_silence: Duration::ZERO,
            offline: offline && !url.starts_with("file://"),
            dir: cache.root().join("remotes"),
            ui,
        }
    }

    /// Upstream's own servers.
    pub fn upstream(offline: bool, cache: &Cache, ui: &'a Ui) -> Self {
        Remote {
            name: "upstream git".into(),
            short: "upstream",
            urls: UPSTREAM.map(str::to_owned).into(),
            keep_silence: KEEP_SILENCE,
            offline,
            dir: cache.root().join("remotes"),
            ui,
        }
    }

    fn file(&self, url: &str, suffix: &str) -> PathBuf {
        let digest = Sha256::digest(url.as_bytes());
        let key: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        self.dir.join(format!("{key}.{suffix}"))
    }

    fn kept(&self, url: &str) -> Option<Kept> {
        let kept: Kept =
            serde_json::from_slice(&std::fs::read(self.file(url, "json")).ok()?).ok()?;
        let age = Duration::from_secs(now().checked_sub(kept.asked)?);
        let limit = if kept.silence.is_some() { self.keep_silence } else { KEEP_ANSWER };
        (age < limit).then_some(kept)
    }

    /// Asks all servers at once. Their order is that of `urls`.
    fn ask(&self) -> Result<Vec<Kept>> {
        let running: Vec<_> = self
            .urls
            .iter()
            .map(|url| {
                git(&self.file(url, "log"))
                    .args(["ls-remote", "--tags", "--", url, "refs/tags/v[2-9][0-9][0-9]*"])
                    .deadline(LIST_DEADLINE)
                    .spawn()
            })
            .collect::<Result<_>>()?;
        let mut answers = Vec::new();
        for (mut job, url) in running.into_iter().zip(&self.urls) {
            let mut tags = BTreeMap::new();
            let mut last = String::new();
            let status = job.wait(|line| match parse_tag(line) {
                Some((version, commit)) => {
                    tags.insert(version, commit);
                }
                None => line.clone_into(&mut last),
            });
            exec::check_interrupt()?;
            let silence = match status {
                Ok(status) if status.success() => None,
                Ok(_) => Some(last.trim_start_matches("fatal: ").to_owned()),
                Err(_) => Some(format!("no answer within {} s", LIST_DEADLINE.as_secs())),
            };
            let kept = Kept { asked: now(), silence, tags };
            atomic::write(&self.file(url, "json"), &serde_json::to_vec(&kept)?)?;
            answers.push(kept);
        }
        Ok(answers)
    }
}

impl Provider for Remote<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn list(&self, freshness: Freshness) -> Result<Listing> {
        if self.offline {
            return Ok(Listing::none(Answer::NotAsked, "offline"));
        }
        let kept: Option<Vec<Kept>> = match freshness {
            Freshness::Kept => self.urls.iter().map(|url| self.kept(url)).collect(),
            Freshness::Now => None,
        };
        let is_kept = kept.is_some();
        if !is_kept && !exec::have("git") {
            return Ok(Listing::none(Answer::NotAsked, "git is not installed"));
        }
        let answers = match kept {
            Some(kept) => kept,
            None => self.ask()?,
        };
        let mut tags: BTreeMap<SystemdVersion, CommitId> = BTreeMap::new();
        for answer in &answers {
            for (version, commit) in &answer.tags {
                tags.entry(*version).or_insert_with(|| commit.clone());
            }
        }
        let silence: Vec<&str> = answers.iter().filter_map(|a| a.silence.as_deref()).collect();
        if let [first, ..] = silence[..]
            && tags.is_empty()
        {
            let mut none = Listing::none(Answer::Unreachable, first);
            none.kept = is_kept;
            return Ok(none);
        }
        let offers = tags.into_iter().map(|(version, commit)| Offer {
            version,
            from: self.short.into(),
            commit: Some(commit),
            tree: None,
        });
        let complaints = silence.iter().map(|s| (*s).to_owned()).collect();
        let listing = Listing::of(Answer::Answered, offers.collect());
        Ok(Listing { complaints, kept: is_kept, ..listing })
    }

    fn fetch(&self, version: SystemdVersion, into: &Repository) -> Result<Record> {
        let holder = self.urls.iter().find(|url| {
            self.kept(url).is_some_and(|k| k.tags.contains_key(&version)) || self.urls.len() == 1
        });
        let url = holder.ok_or_else(|| Fault::new(format!("no server has {}", version.tag())))?;
        let step = self.ui.step(format!("fetch systemd {version} from {}", self.name));
        let tag = format!("tags/{}", version.tag());
        let commit = self.fetch_tip(url, &tag, into, |line| step.detail(line))?;
        let record = Record {
            tree: commit.tree_id().into(),
            commit: Some(commit.id().into()),
            tip: commit.id().into(),
            origin: Origin::Remote { url: url.clone() },
            verified: "git object ids, from the tag on a git server".into(),
            tarball: None,
        };
        step.done("");
        Ok(record)
    }
}

impl Remote<'_> {
    /// The tip of a branch of the first server, brought into the repository without its history.
    pub fn branch(&self, name: &str, into: &Repository) -> Result<git2::Oid> {
        if self.offline {
            return Err(Fault::cannot_try(format!("{} is not asked for {name}", self.name))
                .hint("leave out --offline, or name a clone with --systemd-git PATH")
                .into());
        }
        let step = self.ui.step(format!("fetch {name} from {}", self.name));
        let commit = self
            .fetch_tip(&self.urls[0], &format!("heads/{name}"), into, |line| step.detail(line))?;
        step.done("");
        Ok(commit.id())
    }

    fn fetch_tip<'r>(
        &self,
        url: &str,
        reference: &str,
        into: &'r Repository,
        tell: impl FnMut(&str),
    ) -> Result<git2::Commit<'r>> {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let incoming = format!("refs/incoming/{reference}");
        git(&self.file(url, "log"))
            .arg("--git-dir")
            .arg(into.git().path())
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false", "fetch", "--depth=1"])
            .args(["--no-tags", "--no-write-fetch-head", "--", url])
            .arg(format!("+refs/{reference}:{incoming}"))
            .deadline(FETCH_DEADLINE)
            .run(tell)
            .with_context(|| format!("cannot fetch {name} from {url}"))?;
        let mut fetched = into.git().find_reference(&incoming)?;
        let commit = fetched.peel_to_commit()?;
        fetched.delete()?;
        Ok(commit)
    }
}

/// The `git` command, which must not ask for a password nor translate its messages.
fn git(transcript: &std::path::Path) -> Job {
    let ssh = std::env::var_os("GIT_SSH_COMMAND").unwrap_or_else(|| "ssh -oBatchMode=yes".into());
    Job::new("git", transcript)
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("GIT_SSH_COMMAND", ssh)
}

/// A line of `git ls-remote`. The peeled line of an annotated tag comes after the tag's own, so
/// the last one of a version is its commit.
fn parse_tag(line: &str) -> Option<(SystemdVersion, CommitId)> {
    let (id, name) = line.split_once('\t')?;
    let name = name.strip_prefix("refs/tags/")?;
    let version = SystemdVersion::from_tag(name.strip_suffix("^{}").unwrap_or(name))?;
    (is_object_id(id) && version.major >= OLDEST_MAJOR).then(|| (version, CommitId(id.to_owned())))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_told_apart() {
        for url in ["https://x/y.git", "file:///a", "git@host:a/b.git", "host:a"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["/a/b", "a", "../a:b", "./x:y", "."] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[test]
    fn lines_of_ls_remote() {
        let id = "70b5d110be7702afc4dbce012f60d49506d513da";
        let (version, commit) = parse_tag(&format!("{id}\trefs/tags/v257.13^{{}}")).unwrap();
        assert_eq!((version.tag().as_str(), commit.0.as_str()), ("v257.13", id));
        for line in [
            format!("{id}\trefs/tags/v252"),
            format!("{id}\trefs/tags/v257-something"),
            format!("{id} refs/tags/v257"),
            "fatal: nothing".to_owned(),
        ] {
            assert!(parse_tag(&line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(dir.path())).unwrap();
        let ui = Ui::new(true);
        let url = format!("file://{}/nothing.git", dir.path().display());
        let remote = Remote::given(&url, true, &cache, &ui);
        let listing = remote.list(Freshness::Kept).unwrap();
        assert_eq!(listing.answer, Answer::Unreachable);
        assert!(!listing.said.is_empty());
    }
}
