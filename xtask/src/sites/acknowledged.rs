// SPDX-License-Identifier: MIT
//! `patches/sites.toml`: the sites that a person has looked at, and why each does no harm.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::Site;
use crate::fault::Fault;
use crate::version::SystemdVersion;

const SCHEMA: u32 = 1;

/// The entries of `sites.toml`.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(BTreeMap<Site, Entry>);

/// What a person says of a site.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The versions at which it appears, ascending: several if it went away in between, or if it
    /// came to stable branches by backport.
    pub since: Vec<SystemdVersion>,
    /// The patch that keeps a refused control group from it.
    pub handled_by: Option<String>,
    /// Why it does no harm.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    #[serde(default)]
    site: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    file: String,
    function: String,
    what: String,
    since: Vec<SystemdVersion>,
    handled_by: Option<String>,
    why: String,
}

impl Acknowledged {
    /// Reads the file; one that does not exist holds nothing.
    ///
    /// # Errors
    /// It cannot be read, or is malformed.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        match std::fs::read_to_string(path) {
            Ok(text) => Acknowledged::parse(&text)
                .map_err(|f| Fault { message: format!("{}: {}", path.display(), f.message), ..f }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Acknowledged::default()),
            Err(e) => Err(Fault::new(format!("cannot read {}: {e}", path.display()))),
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// It is malformed, names a site twice, or gives no reason.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |what: String| Fault::new(what).hint("CONTRIBUTING.md describes the file");
        let file: File = toml::from_str(text).map_err(|e| bad(e.to_string().trim().to_owned()))?;
        if file.schema != SCHEMA {
            return Err(bad(format!("schema {} is not known, only {SCHEMA}", file.schema)));
        }
        let mut entries = BTreeMap::new();
        for Row { file, function, what, since, handled_by, why } in file.site {
            let name = format!("{file}: {function}: {what}");
            if why.trim().is_empty() {
                return Err(bad(format!("{name}: `why` is empty")));
            }
            if since.is_empty() || !since.is_sorted() {
                return Err(bad(format!("{name}: `since` names no version, or not in order")));
            }
            let entry = Entry { since, handled_by, why };
            if entries.insert(Site { file, function, what }, entry).is_some() {
                return Err(bad(format!("{name} is there twice")));
            }
        }
        Ok(Acknowledged(entries))
    }

    pub fn get(&self, site: &Site) -> Option<&Entry> {
        self.0.get(site)
    }

    /// The site as it is stored here.
    pub(super) fn key(&self, site: &Site) -> Option<&Site> {
        self.0.get_key_value(site).map(|(key, _)| key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Site, &Entry)> {
        self.0.iter()
    }
}
