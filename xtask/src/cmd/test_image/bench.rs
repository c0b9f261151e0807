// SPDX-License-Identifier: MIT
//! From a built systemd, or an image of the engine's, to what the checks say of it.

use std::path::Path;

use anyhow::Result;

use super::super::Context;
use super::super::prepare::Installed;
use super::Args;
use super::via::{self, Via};
use crate::arch::Arch;
use crate::boot::checks::{self, Check};
use crate::boot::{self, Candidate, record};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::image::base::Debian;
use crate::image::{self, Identity, Image};
use crate::profile::Profile;
use crate::sources::{Booted, Lock, TreeId};
use crate::version::SystemdVersion;

/// The label of nix/profile.json that says which systemd is in an image.
const VERSION_LABEL: &str = "plainboot.systemd.version";

/// What every image of a run is examined with.
pub(in crate::cmd) struct Bench<'a> {
    pub context: &'a Context<'a>,
    pub engine: &'a Engine,
    pub dir: &'a Path,
    pub args: &'a Args,
}

/// Removes an image when it is dropped.
struct Gone<'a> {
    engine: &'a Engine,
    reference: String,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = self.engine.forget(&self.reference);
    }
}

impl Bench<'_> {
    pub(super) fn examine(
        &self,
        main: &Installed,
        stock: Option<&Installed>,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let ui = self.context.ui;
        let more: &[&str] = if self.args.services { &checks::REAL_PACKAGES } else { &[] };
        let extra = more.iter().map(|&name| name.to_owned()).collect();
        let base = Debian { extra, pinned: None, arch: Arch::named(self.engine.facts.arch()) }
            .base(&self.context.cache, ui)?;
        let with_users = base.clone().with_users(&main.tree)?;
        let profile = Profile::load(&self.context.checkout)?;
        let made = |installed: &Installed| -> Result<Image> {
            let systemd = image::systemd_layer(&installed.tree, &profile)?;
            let mut identity = installed.identity.clone();
            if self.args.services {
                identity.flavour += ", with services";
            }
            Ok(Image::on(&with_users, &identity, &profile, systemd, None))
        };
        let stock = stock.map(made).transpose()?;
        if self.args.via == Via::Layer {
            return self.examine_image(main.identity.version, &made(main)?, stock.as_ref(), wanted);
        }
        let systemd = image::systemd_layer(&main.tree, &profile)?;
        let made =
            via::make(self.args.via, self.engine, &base, &main.identity, &profile, systemd, ui)?;
        let stock = stock.map(|stock| self.engine.load(&stock, ui)).transpose()?;
        let candidate = Candidate {
            version: main.identity.version,
            flavour: &main.identity.flavour,
            image: &made.reference,
            digest: &made.digest,
            stock: stock.as_deref(),
        };
        let purpose = format!("{}-{}", main.identity.version, self.args.via.word());
        self.judge(&candidate, &purpose, wanted)
    }

    /// Examines patched systemd in an image that is gone afterwards, also after Ctrl-C.
    pub fn examine_once(
        &self,
        installed: &Installed,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let base = Debian { arch: Arch::named(self.engine.facts.arch()), ..Debian::default() };
        let base = base.base(&self.context.cache, self.context.ui)?;
        let profile = Profile::load(&self.context.checkout)?;
        let systemd = image::systemd_layer(&installed.tree, &profile)?;
        let base = base.with_users(&installed.tree)?;
        let image = Image::on(&base, &installed.identity, &profile, systemd, None);
        let _gone = Gone { engine: self.engine, reference: image.reference() };
        self.examine_image(installed.identity.version, &image, None, wanted)
    }

    /// Examines a ready image, with the stock one to compare it with.
    pub fn examine_image(
        &self,
        version: SystemdVersion,
        image: &Image,
        stock: Option<&Image>,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let ui = self.context.ui;
        let both: Vec<&Image> = [image].into_iter().chain(stock).collect();
        self.engine.load_all(&both, ui)?;
        let reference = image.reference();
        let stock = stock.map(Image::reference);
        let candidate = Candidate {
            version,
            flavour: &image.flavour,
            image: &reference,
            digest: &image.digest(),
            stock: stock.as_deref(),
        };
        self.judge(&candidate, &image.purpose, wanted)
    }

    fn judge(
        &self,
        candidate: &Candidate<'_>,
        purpose: &str,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let table = self.args.table();
        let may_skip = self.args.may_skip.as_deref();
        let options = boot::Options { table, wanted, keep: self.args.keep, may_skip };
        let dir = self.dir.join(purpose);
        let flavour = self.args.flavour(candidate.flavour);
        let candidate = &Candidate { flavour: &flavour, ..*candidate };
        boot::examine(self.engine, candidate, &options, &dir, self.context.ui)
    }

    /// Examines an image that the engine has, whoever made it. Its label says which systemd is in it.
    pub(super) fn examine_made(
        &self,
        image: &str,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let facts = self.engine.image(image)?;
        let labelled = facts.labels.get(VERSION_LABEL).map(String::as_str);
        let version = match (self.args.systemd.as_slice(), labelled) {
            ([named], _) => named,
            ([], Some(label)) => label,
            ([], None) => {
                return Err(Fault::new(format!("{image} has no label `{VERSION_LABEL}`"))
                    .hint("say which systemd is in it: --systemd VERSION")
                    .into());
            }
            _ => return Err(Fault::new("--image goes with one --systemd VERSION").into()),
        };
        let candidate = Candidate {
            version: version.parse()?,
            flavour: "as it is",
            image,
            digest: &facts.id,
            stock: None,
        };
        self.judge(&candidate, "made", wanted)
    }

    /// Notes the proof in the lock.
    pub(super) fn record(&self, identity: &Identity) -> Result<()> {
        let Some(tree) = &identity.tree else { return Ok(()) };
        let path = self.context.checkout.lock();
        let mut lock = Lock::load(&path)?;
        let facts = &self.engine.facts;
        let proof = Booted {
            arch: facts.arch().to_owned(),
            engine: facts.release(),
            patched: TreeId(tree.clone()),
        };
        if lock.record_boot(identity.version, proof)? {
            crate::atomic::write(&path, lock.render().as_bytes())?;
        }
        Ok(())
    }
}
