// SPDX-License-Identifier: MIT
//! The tree of a version with some patches of the series: for builds, ablation and the stock image.

use anyhow::Result;
use git2::{Oid, Repository};

use super::carry::{self, Base};
use super::content::Content;
use super::facts::Facts;
use super::objects::Blobs;
use super::tree::{State, Unreadable};
use crate::fault::Fault;
#[cfg(doc)]
use crate::fault::Kind;
use crate::patch::Change;
use crate::series::Series;
use crate::version::SystemdVersion;

/// Writes the tree of `version` (whose own tree is `tree`) with the patches `ids` into the
/// repository. Patches that the version does not need, and those that are upstream there and so
/// have no variant for it, count as applied. No ids give `tree` itself.
///
/// # Errors
/// The series was not rebased onto the version; an id is unknown; a patch cannot do without one
/// that is left out; or, of the kind [`Kind::Unavailable`], the sources are not here as a whole.
pub fn patched_tree(
    repo: &Repository,
    series: &Series,
    tree: Oid,
    version: SystemdVersion,
    ids: &[&str],
) -> Result<Oid> {
    for id in ids {
        series.index_of(id)?;
    }
    let (blobs, facts) = (Blobs::default(), Facts::default());
    // The whole series, and beside it the part that is asked for.
    let mut full = State::new(version, tree);
    let mut part = State::new(version, tree);
    for patch in &series.patches {
        let Some(variant) = patch.variant_for(version) else { continue };
        let wanted = ids.contains(&patch.id.as_str());
        for diff in &variant.text.files {
            let stale = |why: &str| {
                Fault::new(format!(
                    "patches/{} does not apply to systemd {version}: {}: {why}",
                    patch.file(variant.base).display(),
                    diff.path
                ))
                .hint(format!("cargo xtask rebase-patches {version}"))
            };
            if let Change::Create { mode } = diff.change {
                let entry = (mode, Content::new(diff.created()).into());
                full.touched.insert(diff.path.clone(), entry);
                if wanted {
                    let entry = full.touched[&diff.path].clone();
                    part.touched.insert(diff.path.clone(), entry);
                }
                continue;
            }
            let (mode, before) = full
                .file(repo, &blobs, &diff.path)
                .map_err(|m| unreadable(&m))?
                .ok_or_else(|| stale("no such file"))?;
            let applied = carry::on_base(diff, &before).map_err(|m| stale(&m.reason))?;
            let after = std::sync::Arc::new(Content::new(applied.bytes(diff, &before)));
            full.touched.insert(diff.path.clone(), (mode, after.clone()));
            if !wanted {
                continue;
            }
            let (mode, ours) = part
                .file(repo, &blobs, &diff.path)
                .map_err(|m| unreadable(&m))?
                .ok_or_else(|| stale("no such file"))?;
            let carried = if ours.oid == before.oid {
                Some(after)
            } else {
                let base = Base::new(diff, before);
                let carried = carry::carry(diff, base.as_ref(), &ours, &facts)?;
                carried.after.filter(|_| carried.outcome.is_applied())
            };
            let carried = carried.ok_or_else(|| {
                Fault::new(format!(
                    "{} needs a patch that is left out: {} does not fit without it",
                    patch.id, diff.path
                ))
                .hint("leave this patch out too")
            })?;
            part.touched.insert(diff.path.clone(), (mode, carried));
        }
    }
    Ok(part.write(repo)?)
}

fn unreadable(missing: &Unreadable) -> Fault {
    Fault::unavailable(format!("{} of systemd {}: {}", missing.path, missing.version, missing.why))
        .hint("get the version from another place: --systemd-git PATH-OR-URL")
}
