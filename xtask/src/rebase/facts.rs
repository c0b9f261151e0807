// SPDX-License-Identifier: MIT
//! What checks have proved before, so that they need not prove it again.
//!
//! A fact is a hash over everything that the check saw and over the code of the check itself, with
//! the versions of all libraries. So a fact holds for ever.

use std::collections::HashSet;
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};

use super::code;

/// The start of a SHA-256.
type Fact = [u8; 16];

/// Facts that were loaded, and those that this run has asked for.
#[derive(Debug, Default)]
pub struct Facts {
    before: HashSet<Fact>,
    used: Mutex<HashSet<Fact>>,
}

/// Before the facts in a file.
const MAGIC: &[u8] = b"plainboot facts 1\n";

impl Facts {
    /// Reads what [`Facts::to_bytes`] wrote. Something else holds no facts.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let facts = bytes.strip_prefix(MAGIC).unwrap_or_default();
        let (facts, rest) = facts.as_chunks::<16>();
        let before = if rest.is_empty() { facts.iter().copied().collect() } else { HashSet::new() };
        Facts { before, used: Mutex::default() }
    }

    /// All facts; `None` if this run has proved nothing new. When there are very many, those that
    /// this run did not ask for are dropped.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        /// A matrix of 7 patches and 96 versions asks for 600.
        const MANY: usize = 100_000;
        let used = self.used.lock().ok()?;
        if used.is_subset(&self.before) {
            return None;
        }
        let mut facts: Vec<&Fact> = match self.before.len() + used.len() {
            ..=MANY => used.union(&self.before).collect(),
            _ => used.iter().collect(),
        };
        facts.sort_unstable();
        Some(MAGIC.iter().chain(facts.into_iter().flatten()).copied().collect())
    }

    /// True if `check` says so, or has said so of the same `parts` before.
    pub fn proved(&self, what: &str, parts: &[&[u8]], check: impl FnOnce() -> bool) -> bool {
        let fact = fact(what, parts);
        let holds = self.before.contains(&fact) || check();
        if holds && let Ok(mut used) = self.used.lock() {
            used.insert(fact);
        }
        holds
    }
}

fn fact(what: &str, parts: &[&[u8]]) -> Fact {
    let mut hash = Sha256::new();
    for part in [code::of_checks().as_slice(), what.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut fact = Fact::default();
    fact.copy_from_slice(&hash.finalize()[..16]);
    fact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_proved_once() {
        let first = Facts::default();
        assert!(!first.proved("a", &[b"x"], || false));
        assert!(first.proved("a", &[b"x", b"y"], || true));
        assert!(first.proved("a", &[b"z"], || true));
        let bytes = first.to_bytes().unwrap();
        let second = Facts::from_bytes(&bytes);
        assert!(second.proved("a", &[b"x", b"y"], || panic!("known")));
        // Other parts, even if they are the same bytes in a row, and other questions are others.
        assert!(!second.proved("a", &[b"xy"], || false));
        assert!(!second.proved("b", &[b"x", b"y"], || false));
        assert_eq!(second.to_bytes(), None);
        assert!(second.proved("b", &[b"xy"], || true));
        assert_eq!(second.to_bytes().unwrap().len(), bytes.len() + 16);
        for broken in [&b""[..], b"nonsense", &bytes[..bytes.len() - 1]] {
            assert!(Facts::from_bytes(broken).before.is_empty());
        }
    }
}
