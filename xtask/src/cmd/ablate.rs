// SPDX-License-Identifier: MIT
//! `cargo xtask test-image --ablate`: each patch, and each entry of the profile that names a check,
//! is left out in turn.

use anyhow::Result;

use super::prepare::{self, Pair, Recipe};
use super::test_image::Bench;
use crate::boot::ablation::{Ablation, Part};
use crate::boot::checks;
use crate::boot::evidence::Evidence;
use crate::boot::expect::Row;
use crate::boot::record::{CheckRecord, Subject};
use crate::boot::verdict::Outcome;
use crate::fault::{Fault, Kind, kind_of};
use crate::image::base::Debian;
use crate::image::{self, Base, Image, lived_in};
use crate::names;
use crate::profile::Profile;
use crate::series::{self, Patch, Series};
use crate::sources::Sources;

/// What the ablation of one version has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// With nothing left out, which everything else is compared with.
    pub whole: Vec<Subject>,
    pub ablations: Vec<Ablation>,
}

/// Leaves out what `parts` names (a patch's id, a profile entry's name); everything, if it is empty.
///
/// # Errors
/// A part that does not exist, or the harness itself fails. A part that cannot be left out, since
/// others build on it, is not decided.
pub fn ablate(
    bench: &Bench<'_>,
    sources: &Sources<'_>,
    pair: &Pair,
    parts: &[String],
) -> Result<Seen> {
    let Some(patched) = &pair.patched else { return Ok(Seen::default()) };
    let series = series::load(&bench.context.checkout.patches())?;
    let profile = Profile::load(&bench.context.checkout)?;
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|p| p == name);
    let known = |name: &String| {
        series.patches.iter().any(|p| p.id == *name)
            || profile.without_each().iter().any(|l| l.entry == *name)
    };
    if let Some(unknown) = parts.iter().find(|p| !known(p)) {
        let lacking = profile.without_each();
        let entries: Vec<String> = lacking.iter().map(|l| format!("'{}'", l.entry)).collect();
        let all = format!("a patch of patches/series.toml, or one of {}", entries.join(", "));
        let names = series.patches.iter().map(|p| p.id.as_str());
        let names = names.chain(lacking.iter().map(|l| l.entry.as_str()));
        return Err(Fault::new(format!("there is no patch or entry `{unknown}` to leave out"))
            .hint(names::hint(unknown, names, &all))
            .into());
    }
    let systemd = prepare::install(bench.context, sources, patched)?;
    let base = Debian::default()
        .base(&bench.context.cache, bench.context.ui)?
        .with_users(&systemd.tree)?;
    let mut seen = Seen::default();
    let one = Without { bench, sources, series: &series, pair, patched, base };
    one.patches(&profile, &wanted, &mut seen)?;
    one.entries(&profile, &systemd, &wanted, &mut seen)?;
    Ok(seen)
}

struct Without<'a> {
    bench: &'a Bench<'a>,
    sources: &'a Sources<'a>,
    series: &'a Series,
    pair: &'a Pair,
    patched: &'a Recipe,
    base: Base,
}

impl Without<'_> {
    fn patches(
        &self,
        profile: &Profile,
        wanted: &dyn Fn(&str) -> bool,
        seen: &mut Seen,
    ) -> Result<()> {
        let applied = |id: &String| self.patched.identity.patches.contains(id) && wanted(id);
        let patches: Vec<_> = self.series.patches.iter().filter(|p| applied(&p.id)).collect();
        let named: Vec<&str> = patches.iter().flat_map(|p| &p.checks).map(String::as_str).collect();
        if patches.is_empty() {
            return Ok(());
        }
        let image = |systemd: &prepare::Installed| {
            let layer = image::systemd_layer(&systemd.tree, profile)?;
            anyhow::Ok(Image::on(&self.base, &systemd.identity, profile, layer, None))
        };
        // What nothing is left out of is tried in the same way as the others, beside the compilers of the
        // next one, so that what fails of time alone fails there, too.
        let recipe = |patch: &&Patch| {
            prepare::without(self.sources, self.series, self.pair, self.patched, &patch.id)
        };
        let recipes = [Ok(self.patched.clone())].into_iter().chain(patches.iter().map(recipe));
        let mut left_out = patches.iter();
        let mut whole = None;
        prepare::install_ahead(self.bench.context, self.sources, recipes.collect(), |made| {
            let Some(whole) = &whole else {
                whole = Some(self.examine(&image(&made?)?, &named)?);
                return Ok(());
            };
            let Some(patch) = left_out.next() else { return Ok(()) };
            let checks = match made {
                Ok(installed) => {
                    let names: Vec<&str> = patch.checks.iter().map(String::as_str).collect();
                    self.look(&image(&installed)?, &names)?
                }
                Err(error) if kind_of(&error) == Kind::Interrupted => return Err(error),
                Err(error) => self.not_to_be_had(&patch.checks, &error),
            };
            self.add(Part::Patch, &patch.id, checks, whole, seen);
            Ok(())
        })?;
        seen.whole.extend(whole);
        Ok(())
    }

    /// On a base that brings along what the entries guard against.
    fn entries(
        &self,
        profile: &Profile,
        systemd: &prepare::Installed,
        wanted: &dyn Fn(&str) -> bool,
        seen: &mut Seen,
    ) -> Result<()> {
        let mut lacking = profile.without_each();
        lacking.retain(|l| wanted(&l.entry));
        if lacking.is_empty() {
            return Ok(());
        }
        let below =
            Base::of("lived in", [self.base.layers.clone(), vec![lived_in::layer()?]].concat());
        let image = |profile: &Profile, flavour: &str| {
            let mut identity = systemd.identity.clone();
            identity.flavour = flavour.to_owned();
            let layer = image::systemd_layer(&systemd.tree, profile)?;
            anyhow::Ok(Image::on(&below, &identity, profile, layer, None))
        };
        let named: Vec<&str> = lacking.iter().map(|l| l.check.as_str()).collect();
        let whole = image(profile, "patched, on a lived-in base")?;
        let whole_seen = self.examine(&whole, &named)?;
        self.bench.engine.forget(&whole.reference())?;
        for one in &lacking {
            let image = image(&one.profile, &format!("without {}", one.entry))?;
            let checks = self.look(&image, &[&one.check])?;
            self.add(Part::Entry, &one.entry, checks, &whole_seen, seen);
        }
        seen.whole.push(whole_seen);
        Ok(())
    }

    fn examine(&self, image: &Image, named: &[&str]) -> Result<Subject> {
        let version = self.patched.identity.version;
        self.bench.examine_image(version, image, None, &|check| named.contains(&check.id))
    }

    /// The named checks on an image that is not asked for again.
    fn look(&self, image: &Image, named: &[&str]) -> Result<Vec<CheckRecord>> {
        let subject = self.examine(image, named)?;
        self.bench.engine.forget(&image.reference())?;
        Ok(subject.checks.into_iter().filter(|c| named.contains(&c.id.as_str())).collect())
    }

    /// A series that does not build without a patch says nothing about the patch's checks.
    fn not_to_be_had(&self, named: &[String], error: &anyhow::Error) -> Vec<CheckRecord> {
        let row = Row::plain(&self.bench.engine.facts).map_or("", |row| row.name);
        let checks = named.iter().filter_map(|id| checks::find(id));
        let record = |check: &checks::Check| CheckRecord {
            id: check.id.to_owned(),
            group: check.group,
            row: row.to_owned(),
            title: check.title.to_owned(),
            outcome: Outcome::Broken(format!("it cannot be left out: {error:#}")),
            ms: 0,
            evidence: Evidence::default(),
        };
        checks.map(record).collect()
    }

    fn add(
        &self,
        kind: Part,
        name: &str,
        checks: Vec<CheckRecord>,
        whole: &Subject,
        seen: &mut Seen,
    ) {
        let version = self.patched.identity.version;
        seen.ablations.push(Ablation::new(version, kind, name, checks, &whole.checks));
    }
}
