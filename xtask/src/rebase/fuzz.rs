// SPDX-License-Identifier: MIT
//! Random input for the patch reader, the applier and the engine.
//!
//! A few hundred cases run with the tests. `PLAINBOOT_FUZZ_CASES=4000000 cargo test --release --lib
//! fuzz` is the long run. The oracles are independent of what they judge: the generator knows which
//! function it changed, sites are found again by comparing line by line, and diffy applies anew.

mod functions;

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::apply::{self, Expected};
use super::content::Content;
use crate::patch::{self, FileDiff, PatchText};

fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases = std::env::var("PLAINBOOT_FUZZ_CASES").ok().and_then(|v| v.parse().ok());
    let config =
        Config { cases: cases.unwrap_or(400), failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap();
}

/// One of few lines, so that sites repeat; some are no text, one has no line end if it is the last.
fn line() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b"        a();\n"[..],
        b"        b();\n",
        b"        c();\n",
        b"\n",
        b"        if (r < 0)\n",
        b"        return r;\r\n",
        b"\xff\xfe\x00 bytes\n",
        b"-- \n",
        b"@@ -1 +1 @@\n",
        b"diff --git a/x b/x\n",
        b"--- a/x\n",
        b"\\ No newline at end of file\n",
    ])
}

fn lines(most: usize) -> impl Strategy<Value = Vec<&'static [u8]>> {
    prop::collection::vec(line(), 0..most)
}

/// What is done to a text at a place: lines taken away and lines put there.
type Edit = (prop::sample::Index, usize, Vec<&'static [u8]>);

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3, lines(3)), 1..most)
}

fn edited<'a>(
    lines: &[&'a [u8]],
    edits: &[(prop::sample::Index, usize, Vec<&'a [u8]>)],
) -> Vec<&'a [u8]> {
    let mut lines = lines.to_vec();
    for (at, remove, insert) in edits {
        let at = at.index(lines.len() + 1);
        let end = (at + remove).min(lines.len());
        lines.splice(at..end, insert.iter().copied());
    }
    lines
}

/// The bytes of the lines; `open` takes the last line end away.
fn text(lines: &[&[u8]], open: bool) -> Vec<u8> {
    let mut bytes = lines.concat();
    if open && bytes.ends_with(b"\n") {
        bytes.pop();
    }
    bytes
}

fn made(before: &[u8], after: &[u8]) -> PatchText {
    let file = patch::diff("src/a.c", Some(before), 0o100_644, after, 3).unwrap();
    PatchText { message: b"Subject: [PATCH] x\n\nwhy\n".to_vec(), files: vec![file] }
}

fn read(bytes: &[u8]) -> [Option<PatchText>; 2] {
    let path = Path::new("x.patch");
    [patch::parse(bytes, path).ok(), patch::parse_plain(bytes, path, 1).ok()]
}

fn with_diffy(file: &FileDiff, to: &[u8]) -> Option<Vec<u8>> {
    let bytes = file.to_bytes();
    let at = memchr::memmem::find(&bytes, b"\n--- ")?;
    diffy::apply_bytes(to, &diffy::Patch::from_bytes(&bytes[at + 1..]).ok()?).ok()
}

/// Whatever is written reads back, applies strictly, and its reverse gives the file before.
#[test]
fn fuzz_what_is_written_applies_and_its_reverse_undoes_it() {
    run(&(lines(40), edits(5), any::<[bool; 2]>()), |(before, edits, open)| {
        let after = text(&edited(&before, &edits), open[1]);
        let before = text(&before, open[0]);
        if before == after {
            return Ok(());
        }
        let made = made(&before, &after);
        let bytes = made.to_bytes();
        for again in read(&bytes) {
            let again = again.ok_or_else(|| TestCaseError::fail("it does not read back"))?;
            prop_assert_eq!(&again, &made);
        }
        let file = &made.files[0];
        let apply = |diff: &FileDiff, to: &[u8]| {
            let file = Content::new(to.to_vec());
            apply::apply_at_headers(diff, &file).map(|a| a.bytes(diff, &file))
        };
        prop_assert!(apply(file, &before).as_ref() == Some(&after), "apply(file, &before)");
        prop_assert!(
            apply(&file.reversed(), &after).as_ref() == Some(&before),
            "apply(&file.reversed(), &after)"
        );
        prop_assert!(
            with_diffy(file, &before).as_ref() == Some(&after),
            "with_diffy(file, &before)"
        );
        prop_assert!(
            with_diffy(&file.reversed(), &after).as_ref() == Some(&before),
            "with_diffy(&file.reversed(), &after)"
        );
        Ok(())
    });
}

/// How a patch's text is damaged.
#[derive(Debug, Clone)]
enum Damage {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index),
    Twice(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Swap(prop::sample::Index, prop::sample::Index),
    Crlf,
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let head = prop::sample::select(vec![
        &b"@@ -1,2 +1,3 @@\n"[..],
        b"@@ -0,0 +1 @@\n",
        b"@@ -999999999,999999999 +1 @@\n",
        b"@@ -18446744073709551616 +1 @@\n",
        b"--- /dev/null\n",
        b"+++ b/src/a.c\n",
        b"diff --git a/src/b.c b/src/b.c\n",
        b"diff --git a/\"x\" b/\"x\"\n",
        b"index 0000..1111 100755\n",
        b"new file mode 100644\n",
        b"deleted file mode 100644\n",
        b"rename from x\n",
        b"GIT binary patch\n",
        b"\\ No newline at end of file\n",
        b"-- \n",
        b"Index: x\n=====\n",
        b"\n",
        b" \n",
    ]);
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(i, b)| Damage::Byte(i, b)),
        1 => at().prop_map(Damage::Cut),
        2 => at().prop_map(Damage::Drop),
        2 => at().prop_map(Damage::Twice),
        3 => (at(), head).prop_map(|(i, l)| Damage::Insert(i, l.to_vec())),
        1 => (at(), at()).prop_map(|(i, j)| Damage::Swap(i, j)),
        1 => Just(Damage::Crlf),
    ]
}

fn damaged(bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = patch::split_lines(&bytes).map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return bytes;
    }
    let count = lines.len();
    match damage {
        Damage::Byte(at, byte) => {
            let mut bytes = bytes;
            let at = at.index(bytes.len());
            bytes[at] = *byte;
            return bytes;
        }
        Damage::Cut(at) => return bytes[..at.index(bytes.len())].to_vec(),
        Damage::Drop(at) => {
            lines.remove(at.index(count));
        }
        Damage::Twice(at) => lines.insert(at.index(count), lines[at.index(count)].clone()),
        Damage::Insert(at, line) => lines.insert(at.index(count), line.clone()),
        Damage::Swap(a, b) => lines.swap(a.index(count), b.index(count)),
        Damage::Crlf => {
            return bytes
                .iter()
                .flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] })
                .collect();
        }
    }
    lines.concat()
}

/// Damaged text gets an answer, never a panic; what is read is written and read as the same.
#[test]
fn fuzz_damaged_patches_are_read_whole_or_refused() {
    let all = (lines(20), edits(3), prop::collection::vec(damage(), 1..4));
    run(&all, |(before, edits, damages)| {
        let (after, before) = (text(&edited(&before, &edits), false), text(&before, false));
        let bytes = damages.iter().fold(made(&before, &after).to_bytes(), damaged);
        for (reader, text) in read(&bytes).into_iter().enumerate() {
            let Some(text) = text else { continue };
            let again = read(&text.to_bytes())[reader].take();
            let again = again.ok_or_else(|| {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                TestCaseError::fail(format!("what was read is not readable: {text}"))
            })?;
            prop_assert_eq!(&again.files, &text.files);
            // Applying it to anything ends with an answer, too.
            let file = Content::new(before.clone());
            for diff in &text.files {
                if let Ok(applied) = apply::apply(diff, &file, &Expected::Headers) {
                    prop_assert_eq!(applied.sites.len(), diff.hunks.len());
                }
                let _ = apply::apply_at_headers(diff, &file);
                let _ = apply::apply_at_headers(&diff.reversed(), &file);
            }
        }
        Ok(())
    });
}

/// Bytes that never were a patch.
#[test]
fn fuzz_any_bytes_get_an_answer() {
    run(&prop::collection::vec(any::<u8>(), 0..200), |bytes| {
        let _ = read(&bytes);
        let _ = read(&[b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n", &bytes[..]].concat());
        let _ = Content::new(bytes).blocks();
        Ok(())
    });
}

/// Each hunk of an applied text sits where its lines are, byte for byte, and nowhere else in the
/// function; found again by comparing line by line.
#[test]
fn fuzz_a_site_is_the_only_one() {
    run(&(lines(30), edits(3), edits(5)), |(before, change, elsewhere)| {
        // None of the lines shall start a function: then a second site is always a doubt.
        let plain = |mut lines: Vec<&'static [u8]>| {
            lines.retain(|l| !l[0].is_ascii_alphabetic());
            lines
        };
        let before = plain(before);
        let after = text(&plain(edited(&before, &change)), false);
        let ours = text(&plain(edited(&before, &elsewhere)), false);
        let diff = &made(&text(&before, false), &after).files[0];
        let here = Content::new(ours);
        let Ok(applied) = apply::apply(diff, &here, &Expected::Headers) else { return Ok(()) };
        let mut rebuilt: Vec<u8> = Vec::new();
        let mut at = 0;
        for (hunk, site) in diff.hunks.iter().zip(&applied.sites) {
            let old: Vec<&[u8]> = hunk.old_side().collect();
            let matches =
                |line: usize| old.iter().enumerate().all(|(i, l)| here.line(line + i) == Some(*l));
            let found: Vec<usize> =
                (0..=here.len()).filter(|&l| !old.is_empty() && matches(l)).collect();
            prop_assert!(old.is_empty() || found.contains(&site.line));
            prop_assert!(found.len() <= 1, "sites {:?}, taken {}", found, site.line);
            prop_assert!(site.line >= at);
            rebuilt.extend_from_slice(here.lines(at, site.line));
            hunk.new_side().for_each(|l| rebuilt.extend_from_slice(l));
            at = site.line + old.len();
        }
        rebuilt.extend_from_slice(here.lines(at, here.len()));
        prop_assert_eq!(rebuilt, applied.bytes(diff, &here));
        Ok(())
    });
}

/// Long lines, many equal lines and deep ambiguity end in time.
#[test]
fn big_files_end_in_time() {
    let start = std::time::Instant::now();
    let long = vec![b'x'; 10_000_000];
    let before = [&b"a\nb\n"[..], &long, b"\nc\n"].concat();
    let after = [&b"a\nb\n"[..], &long, b"y\nc\n"].concat();
    let text = made(&before, &after);
    let [Some(strict), Some(plain)] = read(&text.to_bytes()) else { panic!("not read") };
    assert!(strict == text && plain == text);
    let file = Content::new(before);
    assert_eq!(
        apply::apply(&text.files[0], &file, &Expected::Headers)
            .unwrap()
            .bytes(&text.files[0], &file),
        after
    );

    let equal = b"a\n".repeat(1_000_000);
    let mut other = equal.clone();
    other.splice(1_000_000..1_000_000, *b"b\n");
    let diff = patch::diff("a.c", Some(&equal), 0o100_644, &other, 2_000).unwrap();
    let file = Content::new(equal);
    let misfit = apply::apply(&diff, &file, &Expected::Headers).unwrap_err();
    assert!(misfit.reason.contains("times"), "{}", misfit.reason);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
