// SPDX-License-Identifier: MIT
//! The image's own report of what is not enforced is compared with what units really get.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::services::with_units;
use super::{Check, Evidence, Expect, Group, Mode, Outcome, Probe};

/// Options of the report that no unit tries, each with one that is tried and depends on the same:
/// these need disk images, a second root, a block device, or only widen what the other narrows.
const LIKE: [(&str, &str); 9] = [
    ("RootDirectory", "TemporaryFileSystem"),
    ("RootImage", "TemporaryFileSystem"),
    ("MountImages", "TemporaryFileSystem"),
    ("ExtensionImages", "TemporaryFileSystem"),
    ("ExtensionDirectories", "TemporaryFileSystem"),
    ("IOReadBandwidthMax", "IOWeight"),
    ("IOWriteBandwidthMax", "IOWeight"),
    ("IPAddressAllow", "IPAddressDeny"),
    ("DeviceAllow", "DevicePolicy"),
];

/// What `report --json` prints, as far as it is judged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: u32,
    run_on_disk: bool,
    options: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    option: String,
    state: String,
}

pub const MATCHES: Check = Check {
    id: "report.matches",
    group: Group::Services,
    title: "the image's report of unenforced options matches real units",
    // More than forty units are started.
    timeout: Duration::from_secs(60),
    modes: &[Mode::Plain, Mode::Writable],
    probe: Probe::Main(|bench| {
        with_units(
            bench,
            &[
                ("report", "/usr/lib/plainboot/report --json"),
                ("units", "sh /etc/systemd/system/plainboot-options.sh | LC_ALL=C sort"),
                ("run", "stat --file-system --format=%T /run"),
            ],
        )
    }),
    judge,
    ..super::BASE
};

fn judge(seen: &Evidence, _: &Expect) -> Outcome {
    let report: Report = match serde_json::from_str(seen.get("report")) {
        Ok(report) => report,
        Err(error) => return Outcome::Fails(format!("the report is no JSON: {error}")),
    };
    let units: BTreeMap<&str, &str> =
        seen.get("units").lines().filter_map(|l| l.split_once(' ')).collect();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for Entry { option, state } in &report.options {
        let like = LIKE.iter().find(|(o, _)| o == option).map(|(_, tried)| *tried);
        match units.get(like.unwrap_or(option)) {
            // This systemd has no such option.
            Some(&"unknown") => {}
            Some(real) if real == state => compared += 1,
            Some(real) => wrong.push(format!("{option}= is `{real}`, the report says `{state}`")),
            None => wrong.push(format!("{option}= was not tried")),
        }
    }
    for option in units.keys().filter(|o| report.options.iter().all(|e| e.option != **o)) {
        wrong.push(format!("the report does not know {option}="));
    }
    let on_disk = !["tmpfs", "ramfs"].contains(&seen.get("run"));
    if report.schema != 1 || report.run_on_disk != on_disk {
        wrong.push(format!("/run is on `{}`, runOnDisk {}", seen.get("run"), report.run_on_disk));
    }
    Outcome::holds_if(wrong.is_empty() && compared > 0, || match wrong.as_slice() {
        [] => "nothing could be compared".to_owned(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::expect;
    use super::*;

    /// Notes of a real run, in which only `from` is replaced by `to` in the observation `name`.
    fn judged(name: &str, from: &str, to: &str) -> Outcome {
        let records: Vec<crate::boot::record::CheckRecord> =
            serde_json::from_str(include_str!("../testdata/patched-262.json")).unwrap();
        let record = records.into_iter().find(|r| r.id == MATCHES.id).unwrap();
        let mut seen = record.evidence;
        let spoilt = seen.get(name).replacen(from, to, 1);
        assert!(from == to || spoilt != seen.get(name), "{from} is not in {name}");
        seen.put(name, spoilt);
        judge(&seen, &expect())
    }

    #[test]
    fn each_untruth_is_named() {
        assert_eq!(judged("run", "", ""), Outcome::Holds);
        let says = |outcome: Outcome, text: &str| match outcome {
            Outcome::Fails(why) => assert!(why.contains(text), "{why}"),
            other => panic!("{other:?}"),
        };
        let real = "PrivateTmp= is `enforced`, the report says `ignored`";
        says(judged("units", "PrivateTmp ignored", "PrivateTmp enforced"), real);
        says(judged("units", "PrivateTmp ignored\n", ""), "PrivateTmp= was not tried");
        says(judged("units", "PrivateTmp ignored", "New ignored\nPrivateTmp ignored"), "New=");
        says(judged("report", "\"runOnDisk\":true", "\"runOnDisk\":false"), "runOnDisk");
        says(judged("report", "]}", ""), "no JSON");
    }
}
