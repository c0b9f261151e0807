// SPDX-License-Identifier: MIT
//! What history is good for: naming the commit that breaks a patch, going through the commits in
//! between, and following a function to another file. On small repositories made here.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::HashMap;
use std::path::Path;

use git2::{Oid, Repository, Signature, Time};
use xtask::patch::{self, FileDiff, PatchText};
use xtask::rebase::{Cause, Engine, History, Method, Outcome, Target, VersionRun};
use xtask::series::{Needed, Patch, Series, Variant};
use xtask::version::SystemdVersion;

/// A repository in which each commit replaces whole files.
struct Upstream {
    dir: tempfile::TempDir,
    files: HashMap<String, String>,
    tip: Option<Oid>,
    day: i64,
}

impl Upstream {
    fn new(files: &[(&str, &str)]) -> (Upstream, Oid) {
        let dir = tempfile::tempdir().unwrap();
        Repository::init_bare(dir.path()).unwrap();
        let mut upstream = Upstream { dir, files: HashMap::new(), tip: None, day: 0 };
        let first = upstream.commit("first", files);
        (upstream, first)
    }

    /// Puts files in place (empty text: removes) and commits; returns the commit.
    fn commit(&mut self, subject: &str, files: &[(&str, &str)]) -> Oid {
        for (path, text) in files {
            match *text {
                "" => self.files.remove(*path),
                text => self.files.insert((*path).to_owned(), text.to_owned()),
            };
        }
        let parents: Vec<Oid> = self.tip.into_iter().collect();
        self.write(subject, &parents)
    }

    fn merge(&mut self, subject: &str, main: Oid, side: Oid) -> Oid {
        self.write(subject, &[main, side])
    }

    fn write(&mut self, subject: &str, parents: &[Oid]) -> Oid {
        let repo = self.repo();
        self.day += 1;
        let who = Signature::new("Ann", "ann@x", &Time::new(self.day * 86_400, 0)).unwrap();
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, text) in &self.files {
            update.upsert(path.as_str(), repo.blob(text.as_bytes()).unwrap(), git2::FileMode::Blob);
        }
        let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let tree = update.create_updated(&repo, &empty).unwrap();
        let tree = repo.find_tree(tree).unwrap();
        let parents: Vec<git2::Commit<'_>> =
            parents.iter().map(|p| repo.find_commit(*p).unwrap()).collect();
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        let id = repo.commit(None, &who, &who, subject, &tree, &parents).unwrap();
        self.tip = Some(id);
        id
    }

    fn repo(&self) -> Repository {
        Repository::open_bare(self.dir.path()).unwrap()
    }
}

fn v(major: u32) -> SystemdVersion {
    SystemdVersion::new(major, 0)
}

fn series(path: &str, before: &str, after: &str) -> Series {
    let diff: FileDiff =
        patch::diff(path, Some(before.as_bytes()), 0o100_644, after.as_bytes(), 3).unwrap();
    let text = PatchText { message: b"Subject: [PATCH] a\n".to_vec(), files: vec![diff] };
    let needed: Needed = toml::from_str("from = '254'").unwrap();
    let patch = Patch {
        id: "0001-a".into(),
        title: "a".into(),
        why: "a".into(),
        upstream: "a".into(),
        needed,
        checks: Vec::new(),
        requires: Vec::new(),
        variants: vec![Variant { base: v(257), ranges: Vec::new(), text }],
    };
    Series { patches: vec![patch] }
}

/// Carries the patch from 257, at commit `from`, to 258, at commit `to`.
fn carried(repo: &Path, series: &Series, from: Oid, to: Oid, accept: bool) -> VersionRun {
    let git = Repository::open_bare(repo).unwrap();
    let tree = |id: Oid| git.find_commit(id).unwrap().tree_id();
    let targets =
        [Target { version: v(257), tree: tree(from) }, Target { version: v(258), tree: tree(to) }];
    let link = Some("https://example.com/".to_owned());
    let history = History { commits: HashMap::from([(v(257), from), (v(258), to)]), link };
    let mut engine = Engine::open(repo).unwrap().with_history(history).accepting_resolved(accept);
    engine.run(series, &targets, &[v(258)]).unwrap().remove(0)
}

const BODY: &str = "int setup(int a) {
        int r;

        r = prepare(a);
        if (r < 0)
                return log_error(r);

        finish_it(a);
        return 0;
}
";

fn with(lines: usize, body: &str) -> String {
    let filler: String = (0..lines).map(|i| format!("int filler_{i};\n")).collect();
    format!("{filler}\n{body}")
}

fn patched(text: &str) -> String {
    text.replace(
        "        r = prepare(a);\n",
        "        if (refused())\n                return 0;\n\n        r = prepare(a);\n",
    )
}

#[test]
fn the_commit_in_a_pull_request_that_breaks_a_hunk_is_named() {
    let base = with(5, BODY);
    let (mut up, first) = Upstream::new(&[("src/a.c", &base), ("b", "1\n")]);
    let other = up.commit("b: other", &[("b", "2\n")]);
    up.tip = Some(other);
    up.commit("a: more", &[("src/a.c", &with(6, BODY))]);
    let broken = with(
        6,
        &BODY.replace(
            "        int r;\n\n        r = prepare(a);",
            "        int r = prepare_all(a, 7);",
        ),
    );
    let culprit = up.commit("a: prepare all", &[("src/a.c", &broken)]);
    let side = up.commit("a: less", &[("src/a.c", &broken.replace("int filler_0;\n", ""))]);
    let merge = up.merge("Merge pull request", other, side);
    let last = up.commit("b: again", &[("b", "3\n")]);
    assert_ne!(merge, culprit);
    let series = series("src/a.c", &base, &patched(&base));
    let run = carried(up.dir.path(), &series, first, last, false);
    let cell = &run.cells[0];
    assert_eq!(cell.outcome, Outcome::Conflict, "{:?}", cell.reason);
    let [broken] = cell.broken.as_slice() else { panic!("{:?}", cell.broken) };
    let Some(Cause::Commit { id, date, author, subject, link, undone }) = &broken.cause else {
        panic!("{:?}", broken.cause)
    };
    assert_eq!((id.as_str(), subject.as_str()), (culprit.to_string().as_str(), "a: prepare all"));
    assert_eq!((date.as_str(), author.as_str(), *undone), ("1970-01-05", "Ann", false));
    assert_eq!(link.as_deref(), Some(format!("https://example.com/{culprit}").as_str()));
    assert!(broken.before.contains("r = prepare(a);"), "{}", broken.before);
    assert!(broken.after.contains("prepare_all(a, 7)"), "{}", broken.after);

    // The other way round the hunk needs that very commit.
    let text = up.files["src/a.c"].clone();
    let new = text.replace("prepare_all(a, 7);\n", "prepare_all(a, 7);\n        mark(a);\n");
    let series = self::series("src/a.c", &text, &new);
    let run = carried(up.dir.path(), &series, last, first, false);
    let Some(Cause::Commit { id, undone: true, .. }) = &run.cells[0].broken[0].cause else {
        panic!("{:?}", run.cells[0])
    };
    assert_eq!(*id, culprit.to_string());
}

#[test]
fn without_history_the_versions_are_named() {
    let base = with(5, BODY);
    let (mut up, first) = Upstream::new(&[("src/a.c", &base)]);
    up.tip = None;
    let broken =
        with(5, &BODY.replace("        int r;\n\n        r = prepare(a);", "        int r = -1;"));
    let last = up.commit("no parent", &[("src/a.c", &broken)]);
    let series = series("src/a.c", &base, &patched(&base));
    let run = carried(up.dir.path(), &series, first, last, false);
    assert_eq!(
        run.cells[0].broken[0].cause,
        Some(Cause::Versions { fits: v(257), broken: v(258) })
    );
}

#[test]
fn a_function_that_went_to_another_file_is_followed_and_taken_only_if_asked() {
    let base = with(5, BODY);
    let (mut up, first) = Upstream::new(&[("src/a.c", &base), ("src/b.c", "int other;\n")]);
    let rest = with(5, "");
    let moved = format!("int other;\n\n{BODY}");
    let culprit = up.commit("move setup()", &[("src/a.c", &rest), ("src/b.c", &moved)]);
    let last = up.commit("more", &[("src/c.c", "int c;\n")]);
    let series = series("src/a.c", &base, &patched(&base));
    let run = carried(up.dir.path(), &series, first, last, false);
    let cell = &run.cells[0];
    assert_eq!(cell.outcome, Outcome::Resolved, "{cell:?}");
    assert_eq!(cell.files[0].moved_to.as_deref(), Some("src/b.c"));
    assert_eq!(cell.files[0].method, Some(Method::Function));
    assert!(run.solved[0].is_none() && !run.is_settled(), "nobody was asked");
    assert_ne!(culprit, last);

    let run = carried(up.dir.path(), &series, first, last, true);
    assert_eq!(run.cells[0].outcome, Outcome::Accepted);
    let file = &run.solved[0].as_ref().unwrap().files[0];
    assert_eq!(
        (file.path.as_str(), file.after.bytes.as_slice()),
        ("src/b.c", patched(&moved).as_bytes())
    );
}

#[test]
fn lines_that_touch_are_joined_and_one_line_of_both_is_merged_by_tokens() {
    let base = with(5, BODY);
    let upstream = base.replace("log_error(r)", "log_error_errno(r)");
    let (mut up, first) = Upstream::new(&[("src/a.c", &base)]);
    let last = up.commit("rename", &[("src/a.c", &upstream)]);
    let cases = [
        (
            "if (r < 0)\n                return log",
            "if (r < 0 && !refused(r))\n                return log",
        ),
        ("return log_error(r)", "return log_error(r) + 1"),
    ];
    for ((from, to), method) in cases.into_iter().zip([Method::Lines, Method::Tokens]) {
        let new = base.replace(from, to);
        let wide = series("src/a.c", &base, &new);
        let run = carried(up.dir.path(), &wide, first, last, true);
        assert_eq!(run.cells[0].outcome, Outcome::Accepted, "{:?}", run.cells[0]);
        assert_eq!(run.cells[0].files[0].method, Some(method));
        let text = &run.solved[0].as_ref().unwrap().files[0].after.bytes;
        assert_eq!(*text, new.replace("log_error(r)", "log_error_errno(r)").into_bytes());
    }
}

/// The same lines, but what the patch adds uses a variable that has another name here.
#[test]
fn a_name_that_the_version_does_not_know_is_left_to_a_person() {
    let base = with(5, BODY);
    let (mut up, first) = Upstream::new(&[("src/a.c", &base)]);
    let renamed = base.replace("if (r < 0)", "if (q < 0)").replace("log_error(r)", "log_error(q)");
    let last = up.commit("rename", &[("src/a.c", &renamed)]);
    let old = "                return log_error(r);\n";
    assert!(base.contains(old));
    let new = base.replace(old, &format!("{old}        note(r);\n"));
    let run = carried(up.dir.path(), &series("src/a.c", &base, &new), first, last, true);
    assert_eq!(run.cells[0].outcome, Outcome::Conflict, "{:?}", run.cells[0]);
}
