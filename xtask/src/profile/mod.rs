// SPDX-License-Identifier: MIT
//! What makes a system into a container image: `nix/profile.json`, the one file that the Nix module
//! and the image builder both read, so that the image that is tested is the one that users get.
//!
//! Each entry says why it is there and names either the check that fails without it or the engine
//! that asks for it. One that can name neither does not load.

mod entry;
mod files;

use std::collections::BTreeMap;

use anyhow::Result;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::version::SystemdVersion;
use crate::workspace::Checkout;

pub use self::entry::{Entry, Need};
pub use self::files::{Node, Placement};

/// The container profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Profile {
    /// The layout of the file; this code reads 1.
    pub schema: u32,
    /// What the container runs: the image's `Cmd`.
    pub command: Entry<Vec<String>>,
    /// The signal that the engine's `stop` sends first.
    pub stop_signal: Entry<String>,
    /// Environment of PID 1. Nothing is needed today: systemd sees by `/.dockerenv`,
    /// `/run/.containerenv` or its namespaces that it is in a container.
    pub environment: BTreeMap<String, Entry<String>>,
    /// The content of `/etc/machine-id`.
    pub machine_id: Option<Entry<String>>,
    pub default_target: Option<Entry<String>>,
    pub masked_units: Vec<Entry<String>>,
    /// Settings of the `[Manager]` section of `system.conf`.
    pub manager: BTreeMap<String, Entry<String>>,
    /// Settings of the `[Journal]` section.
    pub journald: BTreeMap<String, Entry<String>>,
    /// Settings of the `[Login]` section.
    pub logind: BTreeMap<String, Entry<String>>,
    /// Lines of tmpfiles.d(5).
    pub tmpfiles: Vec<Entry<String>>,
    /// Settings added to units by a drop-in.
    pub unit_settings: Vec<Entry<UnitSetting>>,
    /// Labels; `@systemd@` and `@patches@` in a value are filled in, see [`Profile::labels`].
    pub labels: BTreeMap<String, Entry<String>>,
}

/// The types of units; see systemd(1).
const UNIT_TYPES: [&str; 11] = [
    "service",
    "socket",
    "target",
    "device",
    "mount",
    "automount",
    "swap",
    "timer",
    "path",
    "slice",
    "scope",
];

/// One line of a unit's drop-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitSetting {
    /// A unit's name; or a unit type such as `service`, for all units of that type.
    pub unit: String,
    pub section: String,
    pub key: String,
    pub value: String,
}

/// A profile without one of its entries; see [`Profile::without_each`].
#[derive(Debug, Clone)]
pub struct Lacking {
    /// For the reader: `maskedUnits tmp.mount`.
    pub entry: String,
    /// The check that the entry names.
    pub check: String,
    pub profile: Profile,
}

/// What the labels tell of one image.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    pub systemd: SystemdVersion,
    /// Patch ids in the order of the series; none for the stock control.
    pub patches: &'a [&'a str],
}

impl Profile {
    /// Reads and validates `nix/profile.json` of a checkout.
    ///
    /// # Errors
    /// A [`Fault`] that names the file and the line, for a file that is missing or not valid.
    pub fn load(checkout: &Checkout) -> Result<Self> {
        let path = checkout.nix().join("profile.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Fault::new(format!("cannot read {}: {e}", path.display())))?;
        Self::parse(&text)
            .map_err(|e| e.context(format!("the container profile {}", path.display())))
    }

    /// Reads a profile from JSON.
    pub fn parse(text: &str) -> Result<Self> {
        let profile: Profile = serde_json::from_str(text).map_err(|e| Fault::new(e.to_string()))?;
        profile.validate()?;
        Ok(profile)
    }

    fn validate(&self) -> Result<(), Fault> {
        let rule = |holds: bool, message: String| if holds { Ok(()) } else { Err(message) };
        let check = || -> Result<(), String> {
            rule(self.schema == 1, format!("schema {} is not known, only 1", self.schema))?;
            rule(
                self.command.value.first().is_some_and(|c| c.starts_with('/')),
                "the command does not start with an absolute path".to_owned(),
            )?;
            let unit = |name: &str| {
                !name.contains(['/', ' ', '\n'])
                    && name.rsplit_once('.').is_some_and(|(stem, kind)| {
                        !stem.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase())
                    })
            };
            let units = self.masked_units.iter().chain(&self.default_target).map(|e| &e.value);
            for name in units {
                rule(unit(name), format!("`{name}` is not a unit's name"))?;
            }
            for name in self.unit_settings.iter().map(|e| &e.value.unit) {
                rule(
                    unit(name) || UNIT_TYPES.contains(&name.as_str()),
                    format!("`{name}` is neither a unit's name nor a unit type"),
                )?;
            }
            let settings =
                [&self.manager, &self.journald, &self.logind, &self.environment, &self.labels];
            let settings = settings.into_iter().flatten().map(|(key, e)| (key, &e.value));
            let added = self.unit_settings.iter().map(|e| (&e.value.key, &e.value.value));
            for (key, value) in settings.chain(added) {
                let clean = |text: &str| !text.contains(['\n', '\0']);
                rule(
                    !key.is_empty() && !key.contains('=') && clean(key) && clean(value),
                    format!("`{key}` cannot be written as one line KEY=VALUE"),
                )?;
            }
            let line = Regex::new(r"^[a-zA-Z][-+!=~^$?]* /[^\n]*$").map_err(|e| e.to_string())?;
            for text in self.tmpfiles.iter().map(|e| &e.value) {
                rule(line.is_match(text), format!("`{text}` is not a line of tmpfiles.d(5)"))?;
            }
            for (key, entry) in &self.labels {
                let left = entry.value.replace("@systemd@", "").replace("@patches@", "");
                rule(!left.contains('@'), format!("label `{key}` has an unknown @placeholder@"))?;
            }
            for id in self.checks() {
                rule(is_check_id(id), format!("`{id}` is not the id of a check"))?;
            }
            Ok(())
        };
        check().map_err(Fault::new)
    }

    /// The ids of the checks that the profile counts on.
    pub fn checks(&self) -> Vec<&str> {
        let texts = self
            .masked_units
            .iter()
            .chain(&self.tmpfiles)
            .chain([&self.stop_signal])
            .chain(&self.machine_id)
            .chain(&self.default_target)
            .chain(self.environment.values())
            .chain(self.manager.values())
            .chain(self.journald.values())
            .chain(self.logind.values())
            .chain(self.labels.values())
            .map(|entry| &entry.need);
        let added = self.unit_settings.iter().map(|entry| &entry.need);
        let needs = texts.chain([&self.command.need]).chain(added);
        let mut ids: Vec<&str> = needs
            .filter_map(|need| match need {
                Need::Check(id) => Some(id.as_str()),
                Need::Engine(_) => None,
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Each entry that names a check, with the profile that lacks it: that check must fail there.
    pub fn without_each(&self) -> Vec<Lacking> {
        let mut all = Vec::new();
        let mut lack = |entry: String, need: &Need, profile: Profile| {
            if let Need::Check(check) = need {
                all.push(Lacking { entry, check: check.clone(), profile });
            }
        };
        if let Some(entry) = &self.machine_id {
            let less = Profile { machine_id: None, ..self.clone() };
            lack("machineId".into(), &entry.need, less);
        }
        if let Some(entry) = &self.default_target {
            let less = Profile { default_target: None, ..self.clone() };
            lack("defaultTarget".into(), &entry.need, less);
        }
        for (i, entry) in self.masked_units.iter().enumerate() {
            let mut less = self.clone();
            less.masked_units.remove(i);
            lack(format!("maskedUnits {}", entry.value), &entry.need, less);
        }
        for (i, entry) in self.tmpfiles.iter().enumerate() {
            let mut less = self.clone();
            less.tmpfiles.remove(i);
            lack(format!("tmpfiles {}", entry.value), &entry.need, less);
        }
        for (i, entry) in self.unit_settings.iter().enumerate() {
            let mut less = self.clone();
            less.unit_settings.remove(i);
            let UnitSetting { unit, key, .. } = &entry.value;
            lack(format!("{unit} {key}"), &entry.need, less);
        }
        type Settings = BTreeMap<String, Entry<String>>;
        type Part = fn(&mut Profile) -> &mut Settings;
        let maps: [(&str, Part); 5] = [
            ("environment", |p| &mut p.environment),
            ("manager", |p| &mut p.manager),
            ("journald", |p| &mut p.journald),
            ("logind", |p| &mut p.logind),
            ("labels", |p| &mut p.labels),
        ];
        for (name, map) in maps {
            for (key, entry) in map(&mut self.clone()) {
                let mut less = self.clone();
                map(&mut less).remove(key);
                lack(format!("{name} {key}"), &entry.need, less);
            }
        }
        all
    }

    /// The image's labels.
    pub fn labels(&self, of: Labelled<'_>) -> BTreeMap<String, String> {
        let fill = |text: &str| {
            text.replace("@systemd@", &of.systemd.to_string())
                .replace("@patches@", &of.patches.join(","))
        };
        self.labels.iter().map(|(key, entry)| (key.clone(), fill(&entry.value))).collect()
    }
}

/// `stage.what-is-checked`: lower case, digits and hyphens around one dot.
fn is_check_id(id: &str) -> bool {
    Regex::new(r"^[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*$").is_ok_and(|r| r.is_match(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = include_str!("../../../nix/profile.json");

    fn refusal(text: &str) -> String {
        format!("{:#}", Profile::parse(text).unwrap_err())
    }

    #[test]
    fn the_profile_is_valid_and_survives_a_round_trip() {
        let profile = Profile::parse(REAL).unwrap();
        let again = serde_json::to_string(&profile).unwrap();
        assert_eq!(Profile::parse(&again).unwrap(), profile);
        assert!(profile.checks().contains(&"boot.no-failed-units"), "{:?}", profile.checks());
    }

    #[test]
    fn an_entry_names_a_check_or_an_engine_and_not_both() {
        let none = REAL.replacen(",\n    \"engine\": \"podman\"", "", 1);
        let both = REAL.replacen(
            "\"engine\": \"podman\"",
            "\"engine\": \"podman\", \"check\": \"a.b\"",
            1,
        );
        let blank = REAL.replacen("\"engine\": \"podman\"", "\"engine\": \" \"", 1);
        for text in [none, both, blank] {
            assert_ne!(text, REAL);
            let refusal = refusal(&text);
            assert!(refusal.contains("must name either the `check`"), "{refusal}");
        }
    }

    #[test]
    fn each_entry_that_names_a_check_can_be_left_out() {
        let profile = Profile::parse(REAL).unwrap();
        let lacking = profile.without_each();
        assert_eq!(lacking.len(), REAL.matches("\"check\":").count());
        for one in &lacking {
            assert_ne!(one.profile, profile, "{} is still there", one.entry);
            assert!(profile.checks().contains(&one.check.as_str()), "{}", one.entry);
        }
        let names: std::collections::BTreeSet<_> = lacking.iter().map(|l| &l.entry).collect();
        assert_eq!(names.len(), lacking.len(), "{names:?}");
    }

    #[test]
    fn mistakes_are_refused_by_name() {
        for (from, to, said) in [
            ("\"schema\": 1", "\"schema\": 2", "schema 2"),
            ("\"logind\"", "\"login\"", "login"),
            ("\"why\": \"systemd's", "\"reason\": \"systemd's", "reason"),
            ("\"tmp.mount\"", "\"../tmp\"", "`../tmp` is not a unit's name"),
            (
                "\"unit\": \"service\"",
                "\"unit\": \"services\"",
                "neither a unit's name nor a unit type",
            ),
            ("\"/sbin/init\"", "\"init\"", "absolute path"),
            ("@systemd@", "@version@", "plainboot.systemd.version"),
            ("\"d /run/lock", "\"/run/lock", "is not a line of tmpfiles.d(5)"),
            ("boot.running", "Boot Running", "`Boot Running` is not the id"),
            ("\"yes\"", "\"yes\\nStorage=none\"", "ForwardToConsole"),
        ] {
            let text = REAL.replacen(from, to, 1);
            assert_ne!(text, REAL, "{from} is not in the profile");
            assert!(refusal(&text).contains(said), "{}", refusal(&text));
        }
    }
}
