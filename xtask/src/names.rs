// SPDX-License-Identifier: MIT
//! Names that the user typed, and those that were meant.

/// The one of `words` that somebody who typed `word` may have meant.
pub fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    words
        .map(|w| (strsim::normalized_damerau_levenshtein(word, w), w))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, w)| w)
}

/// A hint: the word that may have been meant, and where all of them are.
pub fn hint<'a>(word: &str, words: impl Iterator<Item = &'a str>, all: &str) -> String {
    match nearest(word, words) {
        Some(near) => format!("did you mean `{near}`?\n{all}"),
        None => all.to_owned(),
    }
}
