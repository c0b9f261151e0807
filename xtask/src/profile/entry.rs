// SPDX-License-Identifier: MIT
//! An entry of the profile: a value, why it is there, and what is lost without it.

use serde::{Deserialize, Serialize};

/// A value and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawEntry<T>", into = "RawEntry<T>")]
#[serde(bound(serialize = "T: Clone + Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Entry<T> {
    pub value: T,
    /// One sentence for the reader.
    pub why: String,
    pub need: Need,
}

/// What is lost without an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// This check (an id such as `boot.running`) fails.
    Check(String),
    /// This engine, or command of an engine, asks for it.
    Engine(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry<T> {
    value: T,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
}

impl<T> TryFrom<RawEntry<T>> for Entry<T> {
    type Error = String;

    fn try_from(raw: RawEntry<T>) -> Result<Self, String> {
        let filled = |text: &String| !text.trim().is_empty();
        if !filled(&raw.why) {
            return Err("an entry has no `why`".to_owned());
        }
        let need = match (raw.check.filter(filled), raw.engine.filter(filled)) {
            (Some(check), None) => Need::Check(check),
            (None, Some(engine)) => Need::Engine(engine),
            _ => {
                return Err(format!(
                    "the entry \"{}\" must name either the `check` that fails without it or the \
                     `engine` that needs it",
                    raw.why
                ));
            }
        };
        Ok(Entry { value: raw.value, why: raw.why, need })
    }
}

impl<T> From<Entry<T>> for RawEntry<T> {
    fn from(entry: Entry<T>) -> Self {
        let (check, engine) = match entry.need {
            Need::Check(id) => (Some(id), None),
            Need::Engine(name) => (None, Some(name)),
        };
        RawEntry { value: entry.value, why: entry.why, check, engine }
    }
}
