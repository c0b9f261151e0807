// SPDX-License-Identifier: MIT
//! A record as JUnit's XML, which CI systems show: a suite for each image, a case for each check.

use std::io::Write;

use anyhow::Result;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::record::{CheckRecord, Record};
use super::verdict::Outcome;

/// The whole document. A known failure passes, as it does in the verdict; what was skipped or not tried
/// is skipped, and says why.
pub fn junit(record: &Record) -> Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").write_inner_content(|writer| {
        for subject in &record.subjects {
            let count = |kind: Kind| {
                subject.checks.iter().filter(|c| Kind::of(c) == kind).count().to_string()
            };
            let name = format!("systemd {} ({})", subject.version, subject.flavour);
            let ms: u64 = subject.checks.iter().map(|c| c.ms).sum();
            writer
                .create_element("testsuite")
                .with_attribute(("name", name.as_str()))
                .with_attribute(("hostname", record.engine.release().as_str()))
                .with_attribute(("tests", subject.checks.len().to_string().as_str()))
                .with_attribute(("failures", count(Kind::Failure).as_str()))
                .with_attribute(("errors", count(Kind::Error).as_str()))
                .with_attribute(("skipped", count(Kind::Skipped).as_str()))
                .with_attribute(("time", seconds(ms).as_str()))
                .write_inner_content(|writer| {
                    subject.checks.iter().try_for_each(|check| case(writer, check))
                })?;
        }
        Ok(())
    })?;
    let mut bytes = writer.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(PartialEq)]
enum Kind {
    Passed,
    Failure,
    Error,
    Skipped,
}

impl Kind {
    fn of(check: &CheckRecord) -> Kind {
        match check.outcome {
            Outcome::Holds | Outcome::Known(_) => Kind::Passed,
            Outcome::Fails(_) => Kind::Failure,
            Outcome::Broken(_) => Kind::Error,
            Outcome::Skipped(_) | Outcome::NotTried(_) => Kind::Skipped,
        }
    }
}

fn case<W: Write>(writer: &mut Writer<W>, check: &CheckRecord) -> std::io::Result<()> {
    let element = writer
        .create_element("testcase")
        .with_attribute(("classname", check.row.as_str()))
        .with_attribute(("name", check.id.as_str()))
        .with_attribute(("time", seconds(check.ms).as_str()));
    let (word, because) = match &check.outcome {
        Outcome::Holds => return element.write_empty().map(drop),
        Outcome::Known(because) => ("system-out", format!("known to fail: {because}")),
        Outcome::Fails(because) => ("failure", because.clone()),
        Outcome::Broken(because) => ("error", because.clone()),
        Outcome::Skipped(because) | Outcome::NotTried(because) => ("skipped", because.clone()),
    };
    element
        .write_inner_content(|writer| {
            let inner = writer.create_element(word);
            // XML has no word for the other control characters.
            let printable = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
            let because: String = because.chars().filter(printable).collect();
            if word == "system-out" {
                return inner.write_text_content(BytesText::new(&because)).map(drop);
            }
            inner.with_attribute(("message", because.as_str())).write_empty().map(drop)
        })
        .map(drop)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::evidence::Evidence;

    fn record(outcomes: Vec<Outcome>) -> Record {
        let mut record: Record = serde_json::from_str(include_str!("testdata/junit.json")).unwrap();
        let one = |outcome| CheckRecord {
            id: "boot.running".into(),
            group: super::super::checks::Group::Boot,
            row: "Docker, plain".into(),
            title: "title".into(),
            outcome,
            ms: 1234,
            evidence: Evidence::default(),
        };
        record.subjects[0].checks = outcomes.into_iter().map(one).collect();
        record
    }

    #[test]
    fn each_outcome_has_its_word_and_bad_characters_go() {
        let text = |t: &str| t.to_owned();
        let record = record(vec![
            Outcome::Holds,
            Outcome::Fails(text("it is `<x>` & \"y\"\u{1b}[0m")),
            Outcome::Known(text("because")),
            Outcome::Skipped(text("no memory")),
            Outcome::NotTried(text("gone")),
            Outcome::Broken(text("ssh")),
        ]);
        insta::assert_snapshot!(String::from_utf8(junit(&record).unwrap()).unwrap());
    }
}
