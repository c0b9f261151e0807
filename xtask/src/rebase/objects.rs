// SPDX-License-Identifier: MIT
//! The objects of the repository, each read once by whichever thread comes first.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use git2::{FileMode, ObjectType, Oid, Repository};
use sha1::Digest as _;

use super::content::Content;
use super::declared::{Declared, Header};
use super::deeper::Method;
use super::parallel::Memo;

/// Trees and files that versions have in common.
#[derive(Debug, Default)]
pub struct Blobs {
    files: Memo<Oid, Result<Arc<Content>, String>>,
    folders: Memo<Oid, Result<Arc<[u8]>, String>>,
    /// How alike two files are.
    alike: Memo<(Oid, Oid), f64>,
    /// Merges of three blobs, with what was needed for them.
    pub merged: Memo<(Oid, Oid, Oid), Option<MergedFile>>,
    headers: Memo<Oid, Option<Arc<Header>>>,
    declared: Memo<Oid, Option<Arc<Declared>>>,
    /// Where a path of the second tree may have gone in the first.
    pub moved: Memo<(Oid, Oid, String), Arc<Vec<String>>>,
}

/// A merged file, and what its clashes took.
pub type MergedFile = (Arc<Content>, Option<Clashes>);

/// How clashes were solved: the least sure method, and the evidence.
pub type Clashes = (Method, String);

/// What a tree says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The git mode, such as 0o100644.
    pub mode: i32,
    pub oid: Oid,
}

impl Entry {
    /// A file, and no link, folder or submodule.
    pub fn is_regular(self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub fn is_folder(self) -> bool {
        self.mode == i32::from(FileMode::Tree)
    }
}

/// A folder that a tree names and the repository does not hold, or not as it was.
#[derive(Debug)]
pub struct MissingTree {
    oid: Oid,
    why: String,
}

impl fmt::Display for MissingTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tree {} is missing: {}", self.oid, self.why)
    }
}

impl Blobs {
    /// The content of a blob.
    ///
    /// # Errors
    /// The repository does not hold it, or something else under its name.
    pub fn get(&self, repo: &Repository, oid: Oid) -> Result<Arc<Content>, String> {
        self.files.get(oid, || {
            let bytes = read(repo, oid, ObjectType::Blob)?;
            Ok(Arc::new(Content::with_oid(oid, bytes)))
        })
    }

    /// What the tree `root` has at `path`; `None` if nothing.
    pub fn entry(
        &self,
        repo: &Repository,
        root: Oid,
        path: &str,
    ) -> Result<Option<Entry>, MissingTree> {
        let mut at = root;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let folder = self.folder(repo, at)?;
            let Some(entry) = find(&folder, part.as_bytes()) else { return Ok(None) };
            if parts.peek().is_none() {
                return Ok(Some(entry));
            }
            if !entry.is_folder() {
                return Ok(None);
            }
            at = entry.oid;
        }
        Ok(None)
    }

    /// The share of lines that two files have in common, empty ones left out.
    pub fn alike(&self, a: &Content, b: &Content) -> f64 {
        self.alike.get((a.oid, b.oid), || {
            let lines = |c: &Content| -> Vec<u64> {
                let long = (0..c.len()).filter(|&i| c.line(i).is_some_and(|l| l.len() > 1));
                long.map(|i| c.hashes()[i]).collect()
            };
            let (a, b) = (lines(a), lines(b));
            let mut counts: HashMap<u64, isize> = HashMap::with_capacity(a.len());
            a.iter().for_each(|line| *counts.entry(*line).or_default() += 1);
            let mut common = 0_usize;
            for line in &b {
                if let Some(left) = counts.get_mut(line).filter(|left| **left > 0) {
                    *left -= 1;
                    common += 1;
                }
            }
            common as f64 / a.len().max(b.len()).max(1) as f64
        })
    }

    /// What the headers of a tree declare; `None` if a folder of it is missing.
    pub fn declared(&self, repo: &Repository, tree: Oid) -> Option<Arc<Declared>> {
        self.declared.get(tree, || Declared::of(repo, self, tree).ok().map(Arc::new))
    }

    /// What a header declares; `None` if it cannot be read. The file itself is not kept.
    pub fn header(&self, repo: &Repository, oid: Oid) -> Option<Arc<Header>> {
        self.headers.get(oid, || {
            let bytes = read(repo, oid, ObjectType::Blob).ok()?;
            Some(Arc::new(Header::of(&bytes)))
        })
    }

    /// A tree object as git stores it.
    pub fn folder(&self, repo: &Repository, oid: Oid) -> Result<Arc<[u8]>, MissingTree> {
        self.folders
            .get(oid, || read(repo, oid, ObjectType::Tree).map(Into::into))
            .map_err(|why| MissingTree { oid, why })
    }
}

/// The entries of a tree object: name, mode, id.
pub fn entries(tree: &[u8]) -> impl Iterator<Item = (&[u8], Entry)> {
    let mut rest = tree;
    std::iter::from_fn(move || {
        let space = memchr::memchr(b' ', rest)?;
        let end = space + memchr::memchr(0, &rest[space..])?;
        let (mode, name) = (&rest[..space], &rest[space + 1..end]);
        let id = rest.get(end + 1..end + 1 + ID)?;
        rest = &rest[end + 1 + ID..];
        let mode = mode.iter().fold(0, |mode, digit| mode << 3 | i32::from(digit & 7));
        Some((name, Entry { mode, oid: Oid::from_bytes(id).ok()? }))
    })
}

/// The id of a tree with these entries in place of, or beside, its own.
pub fn tree_with(tree: &[u8], put: &[(&str, Entry)]) -> Oid {
    // Where nothing but content has changed, as a rule, only ids do.
    let mut bytes = tree.to_vec();
    let in_place = put.iter().all(|(name, entry)| {
        let there = place(tree, name.as_bytes()).filter(|at| {
            let mode = entries(&tree[at.start..]).next().map(|(_, old)| old.mode);
            mode == Some(entry.mode)
        });
        let id = there.and_then(|at| bytes.get_mut(at.end - ID..at.end));
        id.map(|id| id.copy_from_slice(entry.oid.as_bytes())).is_some()
    });
    if in_place {
        return object_id(ObjectType::Tree, &bytes);
    }
    let mut all: Vec<(&[u8], Entry)> = entries(tree).collect();
    for (name, entry) in put {
        match all.iter_mut().find(|(n, _)| *n == name.as_bytes()) {
            Some(there) => there.1 = *entry,
            None => all.push((name.as_bytes(), *entry)),
        }
    }
    tree_id(&mut all)
}

/// The id of a tree with these entries, which are put into git's order.
fn tree_id(entries: &mut [(&[u8], Entry)]) -> Oid {
    // A folder is sorted as if its name ended in a slash.
    entries.sort_by_cached_key(|(name, entry)| {
        let mut key = name.to_vec();
        key.extend(entry.is_folder().then_some(b'/'));
        key
    });
    let mut bytes = Vec::new();
    for (name, entry) in entries {
        bytes.extend_from_slice(format!("{:o} ", entry.mode).as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(entry.oid.as_bytes());
    }
    object_id(ObjectType::Tree, &bytes)
}

/// Bytes of an id in a tree object.
const ID: usize = 20;

/// The entry of this name.
pub fn find(tree: &[u8], name: &[u8]) -> Option<Entry> {
    entries(tree.get(place(tree, name)?)?).next().map(|(_, entry)| entry)
}

/// Where the entry of this name is. Of the others nothing is read but where they end.
fn place(tree: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    loop {
        let rest = tree.get(at..)?;
        let end = memchr::memchr(0, rest)?;
        let next = at + end + 1 + ID;
        let mode = rest[..end].strip_suffix(name).and_then(|mode| mode.strip_suffix(b" "));
        if mode.is_some_and(|mode| !mode.contains(&b' ')) {
            return (next <= tree.len()).then_some(at..next);
        }
        at = next;
    }
}

/// Reads an object and makes sure that it is the one that its name promises.
fn read(repo: &Repository, oid: Oid, kind: ObjectType) -> Result<Vec<u8>, String> {
    let failed = |e: git2::Error| e.message().to_owned();
    let odb = repo.odb().map_err(failed)?;
    let object = odb.read(oid).map_err(failed)?;
    if object.kind() != kind {
        return Err(format!("it is a {}", object.kind()));
    }
    let data = object.data();
    if object_id(kind, data) != oid {
        return Err("its content is not what its name says".into());
    }
    Ok(data.to_vec())
}

fn object_id(kind: ObjectType, data: &[u8]) -> Oid {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("{} {}\0", kind.str(), data.len()));
    hash.update(data);
    Oid::from_bytes(&hash.finalize()).unwrap_or(Oid::ZERO_SHA1)
}

/// While one of these lives, libgit2 does not hash what it reads: [`Blobs`] does so itself, six
/// times as fast. libgit2 has one such setting for the whole program.
#[derive(Debug)]
#[must_use = "libgit2 hashes again when this is dropped"]
pub struct HashedHere(());

static HASHED_HERE: AtomicUsize = AtomicUsize::new(0);

impl HashedHere {
    pub fn start() -> Self {
        if HASHED_HERE.fetch_add(1, Ordering::SeqCst) == 0 {
            git2::opts::strict_hash_verification(false);
        }
        HashedHere(())
    }
}

impl Drop for HashedHere {
    fn drop(&mut self) {
        if HASHED_HERE.fetch_sub(1, Ordering::SeqCst) == 1 {
            git2::opts::strict_hash_verification(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_with_other_entries_is_the_one_that_git_makes() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(dir.path()).unwrap();
        let blob = |text: &str| repo.blob(text.as_bytes()).unwrap();
        let (file, program) = (0o100_644, 0o100_755);
        let write = |files: &[(&str, i32, &str)]| {
            let mut tree = repo.treebuilder(None).unwrap();
            for (name, mode, text) in files {
                tree.insert(name, blob(text), *mode).unwrap();
            }
            tree.write().unwrap()
        };
        let files = [("a", file, "1"), ("b a", file, "2"), ("ba", program, "3"), ("c", file, "4")];
        let old = repo.odb().unwrap().read(write(&files)).unwrap().data().to_vec();
        // Changed, new, of another mode; one whose name ends another one's.
        let cases = [("a", file, "5"), ("ba", program, "6"), ("ba", file, "3"), ("aa", file, "7")];
        for put in cases {
            let mut wanted: Vec<_> = files.into_iter().filter(|f| f.0 != put.0).collect();
            wanted.push(put);
            let entry = Entry { mode: put.1, oid: blob(put.2) };
            assert_eq!(tree_with(&old, &[(put.0, entry)]), write(&wanted), "{put:?}");
        }
        assert_eq!(find(&old, b"a").map(|e| e.oid), Some(blob("1")));
        assert_eq!(find(&old, b"b"), None);
        assert_eq!(find(&old[..old.len() - 1], b"c"), None);
    }
}
