// SPDX-License-Identifier: MIT
//! Source packages of the host's distribution: each carries upstream's exact release tarball.
//!
//! The chain of checks is apt's own up to the list, and ours from there: the signature of
//! `InRelease` by the distribution's key, the SHA-256 of `Sources` in it, the SHA-256 of the
//! tarball in that, and the tarball's contents.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::apt::{Apt, Archive, Suite, Update};
use super::host;
use super::model::{OLDEST_MAJOR, Origin, Tarball};
use super::provider::{Answer, Freshness, Listing, Offer, Provider};
use super::repository::{Record, Repository};
use super::tarball;
use crate::atomic;
use crate::fault::Fault;
use crate::ui::Ui;
use crate::version::SystemdVersion;

/// Lists younger than this are not fetched again, unless a version is missing.
const KEEP_LISTS: Duration = Duration::from_secs(6 * 3600);
const ANSWER: &str = "answer.json";

/// A source package that holds a supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    version: SystemdVersion,
    /// Such as `257.13-1~deb13u1`.
    package: String,
    tarball: String,
    sha256: String,
}

/// The distribution's source packages.
#[derive(Debug)]
pub struct Distribution<'a> {
    dir: PathBuf,
    offline: bool,
    ui: &'a Ui,
    archive: OnceCell<Result<Archive, String>>,
    /// The distribution's name, once it is known.
    distribution: OnceCell<String>,
}

impl<'a> Distribution<'a> {
    /// Works in `dir`. With `offline`, only lists and tarballs that are there are used.
    pub fn new(dir: PathBuf, offline: bool, ui: &'a Ui) -> Self {
        Distribution { dir, offline, ui, archive: OnceCell::new(), distribution: OnceCell::new() }
    }

    /// The same for a known archive (tests).
    #[cfg(test)]
    fn with_archive(self, archive: Archive) -> Self {
        let _ = self.archive.set(Ok(archive));
        self
    }

    /// The answer of an earlier run, with its age, if it is recent or nothing newer can be had.
    fn kept(&self, freshness: Freshness) -> Option<(Kept, Duration)> {
        let age = Apt::age_in(&self.dir)?;
        let usable = self.offline || (freshness == Freshness::Kept && age < KEEP_LISTS);
        let text = std::fs::read(self.dir.join(ANSWER)).ok().filter(|_| usable)?;
        Some((serde_json::from_slice(&text).ok()?, age))
    }

    fn archive(&self) -> Result<&Result<Archive, String>> {
        if let Some(archive) = self.archive.get() {
            return Ok(archive);
        }
        let archive = host::archive()?;
        Ok(self.archive.get_or_init(|| archive))
    }

    /// Lists that can be read, refreshed where that is due; `Err` inside is the reason for none.
    fn apt(&self, freshness: Freshness) -> Result<Result<(Apt, &Archive, Lists), String>> {
        let archive = match self.archive()? {
            Ok(archive) => archive,
            Err(reason) => return Ok(Err(reason.clone())),
        };
        let (apt, changed) = Apt::configure(&self.dir, archive)?;
        let recent = |age: Duration| age < KEEP_LISTS && freshness == Freshness::Kept && !changed;
        let mut lists = Lists { kept: apt.age().is_some_and(recent), complaints: Vec::new() };
        if !lists.kept && !self.offline {
            let step =
                self.ui.step(format!("read {}'s lists of source packages", archive.distribution));
            match apt.update(|line| step.detail(line))? {
                Update::Came { complaints } => {
                    lists.complaints = complaints;
                    step.done("");
                }
                Update::Nothing { reason } if apt.age().is_none() => return Ok(Err(reason)),
                Update::Nothing { reason } => {
                    lists.complaints.push(reason);
                    step.done("not reached, older lists are used");
                }
            }
        }
        if apt.age().is_none() {
            return Ok(Err("offline, and no lists were fetched before".into()));
        }
        Ok(Ok((apt, archive, lists)))
    }
}

#[derive(Debug)]
struct Lists {
    kept: bool,
    complaints: Vec<String>,
}

/// The last answer, kept beside the lists: reading them takes a second.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    distribution: String,
    suites: usize,
    offers: Vec<Offer>,
    /// Versions that are older than what plainboot supports.
    older: Vec<SystemdVersion>,
}

impl Kept {
    fn listing(self, age: Option<Duration>, complaints: &[String]) -> Listing {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut said =
            format!("{} from {}", count(self.offers.len(), "version"), count(self.suites, "suite"));
        if let Some(age) = age {
            said += &format!(", lists of {} min ago", age.as_secs() / 60);
        }
        for version in &self.older {
            said += &format!(", {version} is too old");
        }
        Listing {
            answer: Answer::Answered,
            said,
            complaints: complaints.to_vec(),
            offers: self.offers,
            kept: age.is_some(),
        }
    }
}

impl Provider for Distribution<'_> {
    fn name(&self) -> String {
        let known = match self.archive.get() {
            Some(Ok(archive)) => Some(&archive.distribution),
            _ => self.distribution.get(),
        };
        known.map_or("distribution source packages".into(), |d| format!("{d} source packages"))
    }

    fn list(&self, freshness: Freshness) -> Result<Listing> {
        if let Some((kept, age)) = self.kept(freshness) {
            let _ = self.distribution.set(kept.distribution.clone());
            return Ok(kept.listing(Some(age), &[]));
        }
        let (apt, archive, lists) = match self.apt(freshness)? {
            Ok(ready) => ready,
            Err(reason) => {
                let answer = match self.archive()? {
                    Ok(_) if !self.offline => Answer::Unreachable,
                    _ => Answer::NotAsked,
                };
                return Ok(Listing::none(answer, reason));
            }
        };
        let suites = apt.suites()?;
        let packages = parse_paragraphs(&apt.paragraphs()?);
        let madison = apt.madison()?;
        let mut offers: Vec<Offer> = Vec::new();
        for package in packages.iter().filter(|p| p.version.major >= OLDEST_MAJOR) {
            let suite = suite_of(&package.package, &madison, &suites);
            let from = format!("{} {}", archive.distribution, suite.map_or("", |s| &s.codename));
            if !offers.iter().any(|o| o.version == package.version) {
                offers.push(Offer { version: package.version, from, commit: None, tree: None });
            }
        }
        let older = packages.iter().map(|p| p.version).filter(|v| v.major < OLDEST_MAJOR);
        let answer = Kept {
            distribution: archive.distribution.clone(),
            suites: suites.len(),
            offers,
            older: older.collect(),
        };
        atomic::write(&self.dir.join(ANSWER), &serde_json::to_vec_pretty(&answer)?)?;
        let age = apt.age().filter(|_| lists.kept || self.offline);
        Ok(answer.listing(age, &lists.complaints))
    }

    fn fetch(&self, version: SystemdVersion, into: &Repository) -> Result<Record> {
        let (apt, archive, _) = self.apt(Freshness::Kept)?.map_err(Fault::new)?;
        let packages = parse_paragraphs(&apt.paragraphs()?);
        let package = packages.into_iter().find(|p| p.version == version).ok_or_else(|| {
            Fault::new(format!("no source package of {version} in {}", archive.distribution))
        })?;
        let suites = apt.suites()?;
        let suite = suite_of(&package.package, &apt.madison()?, &suites)
            .filter(|s| s.trusted)
            .ok_or_else(|| {
                Fault::new(format!(
                    "apt found no good signature over the list that names systemd {}",
                    package.package
                ))
                .hint("install the distribution's archive keyring, or see `apt-key(8)`")
            })?;

        let path = apt.downloads().join(&package.tarball);
        if path.exists() {
            tarball::verify(&path, &package.sha256)?;
        } else if self.offline {
            return Err(Fault::unavailable(format!("{} is not in the cache", package.tarball))
                .hint("run the command again without --offline")
                .into());
        } else {
            let step = self.ui.step(format!("download {} ({})", package.tarball, suite.codename));
            apt.download(&package.package, &package.tarball, |line| step.detail(line))
                .with_context(|| format!("cannot download {}", package.tarball))?;
            tarball::verify(&path, &package.sha256)?;
            step.done("signature chain and SHA-256 hold");
        }
        let step = self.ui.step(format!("import systemd {version}"));
        let imported = tarball::import(into.git(), &path)?;
        let keyring = archive
            .signed_by
            .as_deref()
            .and_then(|s| s.split_whitespace().next())
            .and_then(|s| s.rsplit('/').next())
            .filter(|s| s.ends_with("gpg") || s.ends_with("pgp"))
            .unwrap_or("apt's keyring");
        let tarball = Tarball {
            name: package.tarball,
            sha256: package.sha256,
            package: package.package,
            verified: format!("{keyring} > InRelease > Sources > SHA-256"),
        };
        let tip = into.commit_tarball(version, imported.tree, &tarball)?;
        step.done(&format!("tree {}", &imported.tree.to_string()[..12]));
        Ok(Record {
            tree: imported.tree.into(),
            commit: imported.commit,
            tip: tip.into(),
            origin: Origin::Distribution {
                distribution: archive.distribution.clone(),
                suite: suite.codename.clone(),
            },
            verified: format!("signed list of {} {}", archive.distribution, suite.codename),
            tarball: Some(tarball),
        })
    }
}

/// Reads the paragraphs of `apt-cache showsrc`, newest package of a version first.
fn parse_paragraphs(text: &str) -> Vec<Package> {
    let mut packages: Vec<Package> = text
        .split("\n\n")
        .filter_map(|paragraph| {
            let mut field = "";
            let mut package = None;
            let mut tarball = None;
            for line in paragraph.lines() {
                if !line.starts_with(' ') {
                    let (key, value) = line.split_once(':')?;
                    field = key;
                    if key == "Version" {
                        package = Some(value.trim());
                    }
                } else if field == "Checksums-Sha256" {
                    let mut words = line.split_whitespace();
                    if let (Some(sum), Some(name)) = (words.next(), words.nth(1))
                        && name.starts_with("systemd_")
                        && name.ends_with(".orig.tar.gz")
                        && sum.len() == 64
                    {
                        tarball = Some((name, sum));
                    }
                }
            }
            let (package, (tarball, sha256)) = (package?, tarball?);
            Some(Package {
                version: upstream_version(package)?,
                package: package.to_owned(),
                tarball: tarball.to_owned(),
                sha256: sha256.to_owned(),
            })
        })
        .collect();
    packages.sort_by_key(|p| p.version);
    packages
}

/// `257.13` of `1:257.13-1~deb13u1`.
fn upstream_version(package: &str) -> Option<SystemdVersion> {
    let (upstream, _revision) = package.rsplit_once('-')?;
    upstream.split_once(':').map_or(upstream, |(_, rest)| rest).parse().ok()
}

/// The suite that holds a package, read from `apt-cache madison`.
fn suite_of<'s>(package: &str, madison: &str, suites: &'s [Suite]) -> Option<&'s Suite> {
    let line =
        madison.lines().find(|l| l.split('|').nth(1).is_some_and(|v| v.trim() == package))?;
    let place = line.split('|').nth(2)?.split_whitespace().nth(1)?;
    let release = place.rsplit_once('/').map_or(place, |(release, _)| release);
    suites.iter().find(|s| s.release == release)
}

#[cfg(test)]
#[path = "debian_tests.rs"]
mod tests;
