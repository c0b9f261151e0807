// SPDX-License-Identifier: MIT
//! The part of `rebase-patches` that looks for places which a refusal can newly reach.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use super::Context;
use crate::fault::{Fault, Status};
use crate::rebase::VersionRun;
use crate::series::Series;
use crate::sites::{self, Acknowledged, Reader, Review, Sites};
use crate::sources::Sources;
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// Where the reviewed sites are listed, below `patches/`.
const FILE: &str = "sites.toml";

/// Compares the sites of all versions of the run.
///
/// # Errors
/// `sites.toml` is malformed or names an unknown patch.
pub fn review(
    context: &Context<'_>,
    sources: &Sources<'_>,
    series: &Series,
    runs: &[VersionRun],
) -> Result<Review> {
    let path = context.checkout.patches().join(FILE);
    let acknowledged = Acknowledged::load(&path)?;
    for (site, entry) in acknowledged.iter() {
        let unknown = |id: &&String| !series.patches.iter().any(|p| p.id == **id);
        if let Some(id) = entry.handled_by.as_ref().filter(unknown) {
            return Err(Fault::new(format!(
                "{}: {}: no patch `{id}`",
                path.display(),
                site.function
            ))
            .hint("`handled-by` is the `id` of a patch in series.toml")
            .into());
        }
    }
    let mut reader = Reader::open(&context.cache.root().join("sites.json"));
    let mut versions: BTreeMap<SystemdVersion, Sites> = BTreeMap::new();
    let mut unread = Vec::new();
    for run in runs {
        match reader.sites(sources.git(), run.state.tree) {
            Ok(sites) => {
                versions.insert(run.version, sites);
            }
            Err(error) => unread.push((run.version, format!("{error:#}"))),
        }
    }
    reader.close()?;
    let needs = |id: &str, version: SystemdVersion| {
        series.patches.iter().any(|p| p.id == id && p.needed.contains(version))
    };
    Ok(Review { unread, ..sites::review(&versions, &acknowledged, &needs) })
}

/// A new site or an untrue entry is a no; sites that could not be read are a fault.
pub fn status(review: &Review) -> Status {
    let no = !review.new.is_empty() || !review.stale.is_empty();
    let status = if no { Status::No } else { Status::Yes };
    if review.unread.is_empty() { status } else { status.and(Status::Fault) }
}

/// What a person must look at; `None` if there is nothing.
pub fn text(
    review: &Review,
    sources: &Sources<'_>,
    runs: &[VersionRun],
    ui: &Ui,
) -> Option<String> {
    if review.is_empty() {
        return None;
    }
    let mut text = String::new();
    for group in review.new.chunk_by(|a, b| a.version == b.version) {
        let (version, before) = (group[0].version, group[0].before);
        let head = match before {
            Some(before) => {
                format!("needs review: systemd {version} has places that {before} had not")
            }
            None => format!("needs review: systemd {version} has places nobody has looked at"),
        };
        let _ = writeln!(text, "{}", ui.paint(Tone::Bad, &head));
        let _ = writeln!(text, "  a refused control group or mount may reach them");
        let tree = runs.iter().find(|r| r.version == version).map(|r| r.state.tree);
        for new in group {
            let site = &new.site;
            let line = tree.and_then(|t| sites::line_of(sources.git(), t, site)).unwrap_or(0);
            let _ =
                writeln!(text, "  {}:{line} in {}\n    {}", site.file, site.function, site.what);
        }
    }
    if !review.new.is_empty() {
        let _ = writeln!(
            text,
            "  read each; if it does no harm, say why in patches/{FILE}, else mend a patch"
        );
    }
    for stale in &review.stale {
        let site = &stale.site;
        let head = format!("patches/{FILE} is wrong about systemd {}: {}", stale.since, stale.why);
        let _ = writeln!(
            text,
            "{}\n  {} in {}\n    {}",
            ui.paint(Tone::Bad, &head),
            site.file,
            site.function,
            site.what
        );
    }
    for (version, why) in &review.unread {
        let _ = writeln!(text, "places of systemd {version} were not looked at: {why}");
    }
    Some(text)
}
