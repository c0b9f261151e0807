// SPDX-License-Identifier: MIT
//! Names that a version does not know: a sign that a merge fits by its lines and not by its
//! meaning.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use imara_diff::Algorithm;

use super::content::Content;
use super::lines;
use super::tokens;

/// So many tokens in a row are looked at: a name, what is done with it (`->`, `(`), and with what.
const MOST: usize = 3;

/// A use of a name in the lines that are new in `after`, compared with `ours`, which the file that
/// the patch was made on has and `ours` has not: a variable that has another name here, a field of
/// another type, a function that takes something else.
pub fn unknown(base: &Content, ours: &Content, after: &Content) -> Option<String> {
    let (there, here) = (uses(&base.bytes), uses(&ours.bytes));
    lines::changes(Algorithm::Myers, ours.hashes(), after.hashes()).into_iter().find_map(|hunk| {
        let added = after.lines(hunk.after.start as usize, hunk.after.end as usize);
        let tokens = solid(added);
        let mut uses = (1..=MOST).flat_map(|n| tokens.windows(n)).filter(|w| named(w));
        let strange = uses.find(|w| {
            let hash = hash(w);
            there.contains(&hash) && !here.contains(&hash)
        })?;
        Some(String::from_utf8_lossy(&strange.concat()).into_owned())
    })
}

fn solid(text: &[u8]) -> Vec<&[u8]> {
    tokens::tokens(text).into_iter().filter(|t| !tokens::is_blank(t)).collect()
}

fn named(tokens: &[&[u8]]) -> bool {
    tokens.iter().any(|t| t.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_'))
}

fn uses(text: &[u8]) -> HashSet<u64> {
    let tokens = solid(text);
    (1..=MOST).flat_map(|n| tokens.windows(n)).filter(|w| named(w)).map(hash).collect()
}

fn hash(tokens: &[&[u8]]) -> u64 {
    const FIXED: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0);
    FIXED.hash_one(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(base: &str, ours: &str, after: &str) -> Option<String> {
        let content = |text: &str| Content::new(text.as_bytes().to_vec());
        unknown(&content(base), &content(ours), &content(after))
    }

    #[test]
    fn a_name_of_the_other_version_is_found() {
        let base = "call(pamh, 1);\ni->first = 2;\n";
        let ours = "call(handle, 1);\ni.first = 2;\ni = j;\n";
        assert_eq!(said(base, ours, &format!("{ours}log(pamh);\n")).unwrap(), "pamh");
        assert_eq!(said(base, ours, &format!("{ours}use(i->first);\n")).unwrap(), "i-");
        // What both know, and what the patch itself brings.
        assert_eq!(said(base, ours, &format!("{ours}call(handle, 1);\nnew_one();\n")), None);
        assert_eq!(said(base, base, &format!("{base}log(pamh);\n")), None);
    }
}
