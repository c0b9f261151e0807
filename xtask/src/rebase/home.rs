// SPDX-License-Identifier: MIT
//! Where the code of a file is on a version that does not have the file: split off later, or moved
//! and rewritten since.

use git2::{Oid, Repository};

use super::blocks::FILE_SCOPE;
use super::content::Content;
use super::merge;
use super::objects::{self, Blobs, MissingTree};
use crate::patch;

/// The files of the tree `here` that hold what is changed from `before` to `after` in the file
/// `path` of the tree `there`: one of the functions, or all lines of a hunk. Files that hold the
/// same in `there` do not count. Only files beside `path` and files of its name are looked at.
///
/// # Errors
/// libgit2 failed. Files that cannot be read count as not there.
pub fn find(
    repo: &Repository,
    blobs: &Blobs,
    (there, here): (Oid, Oid),
    path: &str,
    before: &Content,
    after: &Content,
) -> Result<Vec<(String, i32)>, git2::Error> {
    let mut names: Vec<String> =
        merge::groups(before, after).into_iter().flat_map(|g| g.functions).collect();
    names.retain(|name| name != FILE_SCOPE);
    let hunks = patch::hunks(&before.bytes, &after.bytes, 3)?;
    let holds = |file: &Content| {
        names.iter().any(|name| file.blocks().iter().any(|b| b.name == *name))
            || hunks.iter().any(|hunk| {
                let old: Vec<u8> = hunk.old_side().flatten().copied().collect();
                !old.is_empty() && !file.find(&old, 1).is_empty()
            })
    };
    let content = |tree: Oid, path: &str| {
        let entry = blobs.entry(repo, tree, path).ok()??;
        Some((entry.mode, blobs.get(repo, entry.oid).ok()?))
    };
    let paths = neighbours(repo, blobs, here, path).unwrap_or_default();
    let homes = paths.into_iter().filter_map(|candidate| {
        let (mode, file) = content(here, &candidate)?;
        let there_too = || content(there, &candidate).is_some_and(|(_, file)| holds(&file));
        (holds(&file) && !there_too()).then_some((candidate, mode))
    });
    Ok(homes.collect())
}

/// The files in the folder of `path` that are of its kind, and those of its name anywhere.
fn neighbours(
    repo: &Repository,
    blobs: &Blobs,
    tree: Oid,
    path: &str,
) -> Result<Vec<String>, MissingTree> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let kind = |name: &str| name.rsplit_once('.').map(|(_, kind)| kind.to_owned());
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), tree)];
    while let Some((at, oid)) = folders.pop() {
        let tree = blobs.folder(repo, oid)?;
        for (leaf, entry) in objects::entries(&tree) {
            let Ok(leaf) = std::str::from_utf8(leaf) else { continue };
            let full = if at.is_empty() { leaf.to_owned() } else { format!("{at}/{leaf}") };
            if entry.is_folder() {
                folders.push((full, entry.oid));
            } else if entry.is_regular()
                && (leaf == name || (at == folder && kind(leaf) == kind(name)))
            {
                found.push(full);
            }
        }
    }
    found.sort();
    Ok(found)
}
