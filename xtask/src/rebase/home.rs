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
        names.iter().any(|name| file.blocks().iter().any(|b| *b.name == **name))
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

/// A file of the tree `here` that holds half of the lines around one of the changes, in whatever order:
/// the code may be there in another shape. Only lines that say something count, and only files beside
/// `path` and files of its name are looked at.
///
/// # Errors
/// libgit2 failed. Files that cannot be read count as not there.
pub fn traces(
    repo: &Repository,
    blobs: &Blobs,
    here: Oid,
    path: &str,
    before: &Content,
    after: &Content,
) -> Result<Option<String>, git2::Error> {
    /// Shorter lines, such as `return 0;`, are everywhere.
    const LONG: usize = 16;
    /// So many of them tell something.
    const FEW: usize = 3;
    let hunks: Vec<Vec<Vec<u8>>> = patch::hunks(&before.bytes, &after.bytes, 3)?
        .iter()
        .map(|hunk| {
            let telling = hunk.old_side().filter(|line| line.trim_ascii().len() >= LONG);
            telling.map(<[u8]>::to_vec).collect()
        })
        .filter(|lines: &Vec<Vec<u8>>| lines.len() >= FEW)
        .collect();
    let holds = |file: &Content| {
        hunks.iter().any(|lines| {
            let there = lines.iter().filter(|line| !file.find(line, 1).is_empty()).count();
            there * 2 >= lines.len()
        })
    };
    let paths = neighbours(repo, blobs, here, path).unwrap_or_default();
    Ok(paths.into_iter().find(|path| {
        let entry = blobs.entry(repo, here, path).ok().flatten();
        entry.and_then(|e| blobs.get(repo, e.oid).ok()).is_some_and(|file| holds(&file))
    }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::blob_id;
    use crate::rebase::objects::Entry;

    /// A tree of these files, which are all in one folder.
    fn tree(repo: &Repository, files: &[(&str, &str)]) -> Oid {
        let mut folder = repo.treebuilder(None).unwrap();
        for (name, text) in files {
            let oid = repo.blob(text.as_bytes()).unwrap();
            assert_eq!(oid, blob_id(text.as_bytes()));
            folder.insert(name, oid, 0o100_644).unwrap();
        }
        let mut root = repo.treebuilder(None).unwrap();
        root.insert("src", folder.write().unwrap(), 0o040_000).unwrap();
        root.write().unwrap()
    }

    fn function(name: &str) -> String {
        format!(
            "static int {name}(Context *context) {{\n        prepare_everything(context);\n        \
             start_the_service(context);\n        clean_up_afterwards(context);\n        return 0;\n}}\n"
        )
    }

    #[test]
    fn code_that_was_split_off_later_is_found_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(dir.path()).unwrap();
        let blobs = Blobs::default();
        let (run, rest) = (function("run"), "int rest;\n".to_owned());
        let there = tree(&repo, &[("invoke.c", &run), ("execute.c", &rest), ("run.h", "")]);
        let here =
            tree(&repo, &[("execute.c", &(rest.clone() + &run)), ("b.c", &rest), ("c.h", &run)]);
        let before = Content::new(run.clone().into_bytes());
        let changed = run.replace("        return", "        log();\n        return");
        let after = Content::new(changed.clone().into_bytes());
        let find =
            |here, path: &str| find(&repo, &blobs, (there, here), path, &before, &after).unwrap();
        // Only files of its kind, and only what was not there as well.
        assert_eq!(find(here, "src/invoke.c"), [("src/execute.c".to_owned(), 0o100_644)]);
        assert_eq!(find(there, "src/other.c"), []);
        let bare = tree(&repo, &[("b.c", &rest)]);
        assert_eq!(find(bare, "src/invoke.c"), []);
        // Written anew there, it is not the same function, and still leaves traces.
        let other = function("start").replace("        clean_up_afterwards(context);\n", "");
        let rewritten = tree(&repo, &[("execute.c", &other)]);
        assert_eq!(find(rewritten, "src/invoke.c"), []);
        let traces = |here| traces(&repo, &blobs, here, "src/invoke.c", &before, &after).unwrap();
        assert_eq!(traces(rewritten).as_deref(), Some("src/execute.c"));
        assert_eq!(traces(bare), None);
        let entry = blobs.entry(&repo, here, "src/execute.c").unwrap();
        assert!(entry.is_some_and(Entry::is_regular));
    }
}
