// SPDX-License-Identifier: MIT
//! Names that a version does not know: a sign that a merge fits by its lines and not by its
//! meaning.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use imara_diff::Algorithm;

use super::blocks::FILE_SCOPE;
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
        });
        let strange = strange.map(<[&[u8]]>::concat).or_else(|| {
            let line = hunk.before.start as usize;
            foreign_variable(base, ours, line, &tokens)
        })?;
        Some(String::from_utf8_lossy(&strange).into_owned())
    })
}

/// A name that the new lines use, that the function has on the other version, and that it has not
/// here, where the file may well have it: a parameter that is called otherwise. Names of functions and
/// macros do not count.
fn foreign_variable(
    base: &Content,
    ours: &Content,
    line: usize,
    added: &[&[u8]],
) -> Option<Vec<u8>> {
    let name = ours.blocks().gap(line);
    if name == FILE_SCOPE {
        return None;
    }
    let block = |file: &Content| {
        let mut blocks = file.blocks().iter().filter(|b| b.name == name);
        let block = blocks.next().filter(|_| blocks.next().is_none())?;
        Some(file.lines(block.start, block.end + 1).to_vec())
    };
    let (there, here) = (block(base)?, block(ours)?);
    let (there, here) = (solid(&there), solid(&here));
    let is_variable = |token: &[u8], next: &[u8]| {
        let lower =
            token.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        lower && token.first().is_some_and(|b| !b.is_ascii_digit()) && next != b"("
    };
    let found = added.iter().enumerate().find(|(i, token)| {
        let next = added.get(i + 1).copied().unwrap_or_default();
        is_variable(token, next) && there.contains(token) && !here.contains(token)
    });
    found.map(|(_, token)| token.to_vec())
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
        // A name that the file has elsewhere.
        let base = "int f(int reterr) {\n        g(reterr);\n}\n\nint e(int reterr) {\n        g(reterr);\n}\n";
        let ours = base.replacen("reterr", "error", 2);
        let (base, ours) = (base, ours.as_str());
        let after = ours.replacen("        g", "        h(reterr);\n        g", 1);
        assert_eq!(said(base, ours, &after).unwrap(), "reterr");
        assert_eq!(said(base, ours, &after.replace("h(reterr", "h(error")), None);
        let (base, ours) = ("call(pamh, 1);\n", "call(handle, 1);\n");
        // What both know, and what the patch itself brings.
        assert_eq!(said(base, ours, &format!("{ours}call(handle, 1);\nnew_one();\n")), None);
        assert_eq!(said(base, base, &format!("{base}log(pamh);\n")), None);
    }
}
