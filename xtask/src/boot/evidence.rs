// SPDX-License-Identifier: MIT
//! What a check has seen: named texts, kept in the record, from which its judgement can be repeated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Named observations of one check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence(BTreeMap<String, String>);

impl Evidence {
    pub fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), value.to_string());
    }

    /// The observation, or nothing: an empty text is never what a check hopes for by accident, since
    /// judges compare with what they want to see.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The observation as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name).trim().parse().ok()
    }

    /// What was observed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Evidence {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Evidence(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
    }
}
