// SPDX-License-Identifier: MIT
//! Series of others on repositories of others: read from quilt folders, `debian/patches`, folders
//! of `git format-patch` and mailboxes; written back as any of these, or as a branch.

mod branch;
mod mail;
mod output;
mod read;
mod trees;
mod variants;

pub use branch::{branch_exists, write_branch};
pub use mail::{file_name, slug, to_mail};
pub use output::{Format, change_set, check};
pub use read::{Item, one, read};
pub use trees::{Place, Trees, release};
pub use variants::variants;

use crate::series::{Bound, Needed, Patch, Series, Variant};
use crate::version::SystemdVersion;

/// The series that the engine works on: every patch has the one text that it was read with, made
/// on `base`.
pub fn series(items: &[Item], base: SystemdVersion) -> Series {
    let patch = |item: &Item| Patch {
        id: item.name.clone(),
        title: item.text.subject().unwrap_or_else(|| item.name.clone()),
        why: String::new(),
        upstream: String::new(),
        needed: Needed { from: Bound::Major(0), to: None },
        checks: Vec::new(),
        requires: Vec::new(),
        variants: vec![Variant { base, ranges: Vec::new(), text: item.text.clone() }],
    };
    Series { patches: items.iter().map(patch).collect() }
}
