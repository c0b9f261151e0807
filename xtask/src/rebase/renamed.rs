// SPDX-License-Identifier: MIT
//! Functions that have another name on another version.
//!
//! A patch that lands in a function of another name has most likely landed astray: beside a function
//! that was removed there may be one that looks like it. It has not if only one function is gone that
//! the new one can have been, and only one is new that the old one can have become.

use std::collections::HashMap;

use super::content::Content;

/// Share of lines that both have of a function that was renamed.
const ALIKE: f64 = 0.75;
/// Share from which on another function may be the one as well.
const RIVAL: f64 = 0.5;
/// Shorter functions are alike by chance. Blank lines do not count.
const FEW: usize = 5;

/// True if the function `old` of `base` is called `new` in `ours`, and nothing else can be meant.
pub fn is_renamed(base: &Content, ours: &Content, old: &str, new: &str) -> bool {
    let (there, here) = (named(base), named(ours));
    if there.contains_key(new) || here.contains_key(old) {
        return false;
    }
    let (Some(Some(was)), Some(Some(is))) = (there.get(old), here.get(new)) else { return false };
    if was.len() < FEW || alike(was, is) < ALIKE {
        return false;
    }
    // One that is there twice is a rival with both bodies unknown.
    let rivals = |from: &Names, without: &Names, itself: &str, to: &[u64]| {
        from.iter().any(|(name, body)| {
            name != itself
                && !without.contains_key(name)
                && body.as_ref().is_none_or(|body| alike(body, to) >= RIVAL)
        })
    };
    !rivals(&there, &here, old, is) && !rivals(&here, &there, new, was)
}

/// The functions of a file by name, with the hashes of their lines; none for a name that is there
/// twice.
type Names = HashMap<String, Option<Vec<u64>>>;

fn named(file: &Content) -> Names {
    let mut names = Names::new();
    for block in file.blocks().iter() {
        let lines = block.start..block.end + 1;
        let said = lines.filter(|&i| file.line(i).is_some_and(|l| !l.trim_ascii().is_empty()));
        let body = said.map(|i| file.hashes()[i]).collect();
        let twice = names.contains_key(&*block.name);
        names.insert(block.name.to_string(), if twice { None } else { Some(body) });
    }
    names
}

/// The share of lines that two functions have in common.
fn alike(a: &[u64], b: &[u64]) -> f64 {
    let mut counts: HashMap<u64, isize> = HashMap::with_capacity(a.len());
    a.iter().for_each(|line| *counts.entry(*line).or_default() += 1);
    let mut common = 0_usize;
    for line in b {
        if let Some(left) = counts.get_mut(line).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    common as f64 / a.len().max(b.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(functions: &[(&str, &str)]) -> Content {
        let one = |(name, body): &(&str, &str)| {
            let lines: String = body.chars().map(|c| format!("        {c}();\n")).collect();
            format!("int {name}(void) {{\n{lines}}}\n\n")
        };
        Content::new(functions.iter().map(one).collect::<String>().into_bytes())
    }

    #[test]
    fn a_function_is_followed_only_if_no_other_can_be_meant() {
        let body = "abcdefgh";
        let base = file(&[("one", body), ("two", "xyz")]);
        let renamed = |base: &Content, ours: &Content| is_renamed(base, ours, "one", "new");
        assert!(renamed(&base, &file(&[("new", body), ("two", "xyz")])));
        assert!(renamed(&base, &file(&[("two", "xyz"), ("new", "abcdefgi")])));
        // It is still there, the other one was there before, or is hardly alike.
        assert!(!renamed(&base, &file(&[("new", body), ("one", "r")])));
        assert!(!renamed(&file(&[("one", body), ("new", "r")]), &file(&[("new", body)])));
        assert!(!renamed(&base, &file(&[("new", "abcdxyzw")])));
        // Another one that is gone looks like it, or another new one: copies, splits.
        let twins = file(&[("one", body), ("two", "abcdefxy")]);
        assert!(!renamed(&twins, &file(&[("new", body)])));
        assert!(renamed(&twins, &file(&[("new", body), ("two", "abcdefxy")])));
        assert!(!renamed(&base, &file(&[("new", body), ("newer", "abcdef")])));
        let twice = file(&[("one", body), ("two", "xyz"), ("two", "xyzz")]);
        assert!(!renamed(&twice, &file(&[("new", body)])));
        // Short ones are alike by chance.
        let short = file(&[("one", "a")]);
        assert!(!renamed(&short, &file(&[("new", "a")])));
    }
}
