// SPDX-License-Identifier: MIT
//! Files of functions that upstream edits, renames, moves, removes and copies.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::carry::{self, Base};
use super::super::content::Content;
use super::super::facts::Facts;
use super::{Edit, edited, made, run, with_diffy};
use crate::patch::{self, FileDiff};

/// A function: its number and the lines of its body.
type Function = (usize, Vec<&'static [u8]>);

fn body() -> impl Strategy<Value = Vec<&'static [u8]>> {
    let line = prop::sample::select(vec![
        &b"        a();\n"[..],
        b"        b();\n",
        b"        c();\n",
        b"        d();\n",
        b"        r = 0;\n",
        b"\n",
    ]);
    prop::collection::vec(line, 1..9)
}

/// What upstream does to a file.
#[derive(Debug, Clone)]
enum Step {
    Body(prop::sample::Index, Edit),
    Rename(prop::sample::Index),
    Move(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
    Copy(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<prop::sample::Index>;
    let edit = (at(), 0_usize..3, body());
    prop_oneof![
        6 => (at(), edit).prop_map(|(i, e)| Step::Body(i, e)),
        1 => at().prop_map(Step::Rename),
        1 => (at(), at()).prop_map(|(i, j)| Step::Move(i, j)),
        1 => at().prop_map(Step::Remove),
        1 => at().prop_map(Step::Copy),
    ]
}

fn upstream(functions: &[Function], steps: &[Step]) -> Vec<Function> {
    let mut functions = functions.to_vec();
    let mut next = 100;
    for step in steps {
        let count = functions.len();
        if count == 0 {
            break;
        }
        match step {
            Step::Body(at, edit) => {
                let body = &mut functions[at.index(count)].1;
                *body = edited(body, std::slice::from_ref(edit));
            }
            Step::Rename(at) => {
                functions[at.index(count)].0 = next;
                next += 1;
            }
            Step::Move(from, to) => {
                let function = functions.remove(from.index(count));
                functions.insert(to.index(count), function);
            }
            Step::Remove(at) => {
                functions.remove(at.index(count));
            }
            Step::Copy(at) => {
                let body = functions[at.index(count)].1.clone();
                functions.push((next, body));
                next += 1;
            }
        }
    }
    functions
}

fn file_of(functions: &[Function]) -> Vec<u8> {
    let mut file = b"#include <a.h>\n".to_vec();
    for (number, body) in functions {
        file.extend_from_slice(format!("\nint f{number}(void) {{\n").as_bytes());
        file.extend(body.concat());
        file.extend_from_slice(b"}\n");
    }
    file
}

/// The functions that differ between two files made here, by number.
fn changed(before: &[Function], after: &[u8]) -> Result<Vec<usize>, String> {
    let after = String::from_utf8_lossy(after).into_owned();
    let mut numbers = Vec::new();
    let mut rest = after.as_str();
    for (number, body) in before {
        let head = format!("\nint f{number}(void) {{\n");
        let at = rest.find(&head).ok_or(format!("f{number} is gone or out of order"))?;
        let from = at + head.len();
        let end = rest[from..].find("\n}\n").map(|n| from + n + 1);
        let end = if rest[from..].starts_with("}\n") { Some(from) } else { end };
        let end = end.ok_or("a function has no end")?;
        if rest.as_bytes()[from..end] != body.concat() {
            numbers.push(*number);
        }
        rest = &rest[end..];
    }
    Ok(numbers)
}

/// Lines that two functions have in common, of those of the longer one, signatures and braces too.
fn alike(a: &[&'static [u8]], b: &[&'static [u8]]) -> f64 {
    let said = |lines: &[&'static [u8]]| -> Vec<&'static [u8]> {
        lines.iter().copied().filter(|l| *l != b"\n").collect()
    };
    let (a, mut b) = (said(a), said(b));
    // The closing brace is the same in all; the signatures are as different as the names.
    let most = a.len().max(b.len()) + 2;
    let mut common = 1;
    for line in a {
        if let Some(at) = b.iter().position(|l| *l == line) {
            b.remove(at);
            common += 1;
        }
    }
    f64::from(common) / most as f64
}

/// True if upstream's function `new` is the only one that number `old` can have become, and the other
/// way round: by the bodies alone, since that is all that anyone can see.
fn can_only_be(old: usize, new: usize, before: &[Function], ours: &[Function]) -> bool {
    let body = |all: &[Function], n: usize| all.iter().find(|f| f.0 == n).map(|f| f.1.clone());
    let (Some(was), Some(is)) = (body(before, old), body(ours, new)) else { return false };
    let gone = before.iter().filter(|f| f.0 != old && body(ours, f.0).is_none());
    let came = ours.iter().filter(|f| f.0 != new && body(before, f.0).is_none());
    body(before, new).is_none()
        && body(ours, old).is_none()
        && alike(&was, &is) >= 0.75
        && !gone.map(|f| alike(&f.1, &is)).any(|share| share >= 0.5)
        && !came.map(|f| alike(&f.1, &was)).any(|share| share >= 0.5)
}

/// What counts as carried is in the functions that the patch was made in, and in no other; the
/// generator knows which these are. One with another name must be the only one that it can be. What is
/// made of it applies strictly, and backwards.
#[test]
fn fuzz_nothing_lands_in_another_function() {
    let functions = prop::collection::vec(body(), 1..6);
    let change = (any::<prop::sample::Index>(), (any::<prop::sample::Index>(), 0_usize..3, body()));
    let all = (functions, change, prop::collection::vec(step(), 0..4));
    run(&all, |(bodies, (which, edit), steps)| {
        let before: Vec<Function> = bodies.into_iter().enumerate().collect();
        let which = which.index(before.len());
        let mut after = before.clone();
        after[which].1 = edited(&after[which].1, &[edit]);
        let ours = upstream(&before, &steps);
        let (old, new) = (file_of(&before), file_of(&after));
        if old == new {
            return Ok(());
        }
        let diff = &made(&old, &new).files[0];
        let base = Base::new(diff, Arc::new(Content::new(old)));
        let base = base.ok_or_else(|| TestCaseError::fail("it does not apply to its base"))?;
        let here = Arc::new(Content::new(file_of(&ours)));
        let carried = carry::carry(diff, Some(&base), &here, &Facts::default()).unwrap();
        let Some(result) = carried.after.filter(|_| carried.outcome.is_applied()) else {
            return Ok(());
        };
        match changed(&ours, &result.bytes) {
            Ok(numbers) => prop_assert!(
                numbers.iter().all(|n| *n == which || can_only_be(which, *n, &before, &ours)),
                "{:?}: made in f{}, changes {:?}",
                carried.outcome,
                which,
                numbers
            ),
            Err(what) => prop_assert!(false, "{:?}: {}", carried.outcome, what),
        }
        // A diff may tell the same change in more lines, but not in a longer file.
        let growth = |diff: &FileDiff| diff.hunks.iter().map(patch::Hunk::growth).sum::<isize>();
        let written = &made(&here.bytes, &result.bytes).files[0];
        prop_assert_eq!(growth(written), growth(diff), "lines were lost");
        prop_assert!(
            with_diffy(written, &here.bytes).as_ref() == Some(&result.bytes),
            "with_diffy(written, &here.bytes)"
        );
        prop_assert!(
            with_diffy(&written.reversed(), &result.bytes).as_ref() == Some(&here.bytes),
            "with_diffy(&written.reversed(), &result.bytes)"
        );
        Ok(())
    });
}
