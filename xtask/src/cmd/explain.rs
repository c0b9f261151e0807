// SPDX-License-Identifier: MIT
//! `cargo xtask explain`

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::{Context, explain_words};
use crate::boot::checks::{self, Check, Group};
use crate::boot::expect::ROWS;
use crate::boot::known::KnownFailures;
use crate::fault::{Fault, Status};
use crate::names;
use crate::rebase::Outcome;
use crate::series::{self, Series};
use crate::ui::{Tone, Ui};

/// Say what a check, an outcome, a verdict, an error or a patch means, and what to do about it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask explain boot.running
  cargo xtask explain resolved
  cargo xtask explain 0002-cgroup
  cargo xtask explain 77
  cargo xtask explain              # everything that can be asked for")]
pub struct Args {
    /// The id of a check or a patch, an outcome such as `conflict`, or an exit code
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

/// One thing that can be asked for.
#[derive(Debug, Serialize)]
pub(super) struct Topic {
    pub id: String,
    pub kind: &'static str,
    pub title: String,
    /// Paragraphs: what it means, why it matters.
    pub text: Vec<String>,
    /// Commands, or what a person does.
    pub next: Vec<String>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let series = series::load(&context.checkout.patches())?;
    let known = KnownFailures::load()?;
    let topics = topics(&series, &known);
    let Some(id) = &args.id else {
        if context.global.json {
            context.ui.json(&serde_json::json!({ "schema": 1, "topics": topics }))?;
        } else {
            context.ui.result(&list(&topics));
        }
        return Ok(Status::Yes);
    };
    let same = |t: &&Topic| t.id == *id || t.id.replace(' ', "-") == *id;
    let Some(topic) = topics.iter().find(same) else {
        let hint =
            names::hint(id, topics.iter().map(|t| t.id.as_str()), "cargo xtask explain lists all");
        return Err(Fault::new(format!("nothing is called `{id}`")).hint(hint).into());
    };
    if context.global.json {
        context.ui.json(&serde_json::json!({ "schema": 1, "topic": topic }))?;
    } else {
        context.ui.result(&text(topic, context.ui));
    }
    Ok(Status::Yes)
}

fn topics(series: &Series, known: &KnownFailures) -> Vec<Topic> {
    let mut all: Vec<Topic> = OUTCOMES.iter().map(outcome).collect();
    all.extend(EXITS.iter().map(|(code, title, means, next)| Topic {
        id: (*code).to_owned(),
        kind: "exit code",
        title: (*title).to_owned(),
        text: vec![(*means).to_owned()],
        next: vec![(*next).to_owned()],
    }));
    all.extend(explain_words::errors());
    all.extend(explain_words::verdicts());
    all.extend(explain_words::results());
    all.extend(series.patches.iter().map(|patch| Topic {
        id: patch.id.clone(),
        kind: "patch",
        title: patch.title.clone(),
        text: vec![
            patch.why.trim().replace('\n', " "),
            format!("Upstream: {}.", patch.upstream),
            format!("These checks fail without it: {}.", patch.checks.join(", ")),
        ],
        next: vec![
            format!("cargo xtask test-image --ablate {}", patch.id),
            format!("less patches/{}/*.patch", patch.id),
        ],
    }));
    all.extend(checks::every().map(|check| of_check(check, known)));
    all
}

fn of_check(check: &Check, known: &KnownFailures) -> Topic {
    let rows: Vec<&str> =
        ROWS.iter().filter(|r| check.modes.contains(&r.mode)).map(|r| r.name).collect();
    let mut text = vec![group(check.group).to_owned(), format!("Tried in: {}.", rows.join("; "))];
    if !check.proves.is_empty() {
        text.push(format!("It fails without {}.", check.proves.join(", ")));
    }
    for (_, rows, versions, why) in known.entries().filter(|(id, ..)| *id == check.id) {
        let versions = if versions.is_empty() { "all versions" } else { &versions };
        text.push(format!("Known to fail ({}; {versions}): {why}.", rows.join("; ")));
    }
    Topic {
        id: check.id.to_owned(),
        kind: "check",
        title: check.title.to_owned(),
        text,
        next: vec![
            format!("cargo xtask {}", checks::tried_by(check.id).unwrap_or_default()),
            "the run's `transcript:` folder has the log, the journal and the container's settings"
                .to_owned(),
        ],
    }
}

fn group(group: Group) -> &'static str {
    match group {
        Group::Precondition => {
            "It is about the proof: the container must have no privilege, or nothing is proved. If \
             it fails, look at the engine's configuration, not at systemd."
        }
        Group::Control => {
            "It is the negative control: the same image without the patches must work where it may \
             write control groups, and be refused in a plain container. If it fails, the image or \
             the engine is at fault."
        }
        Group::Boot => "It is about the boot of PID 1 and its units.",
        Group::Services => "It is about what users do with services once the system runs.",
        Group::Logs => "It is about what the engine's log and the journal show.",
        Group::Exit => "It is about the end of the container: signals, exit codes, restarts.",
        Group::Rows => "It is about other ways to run the container, each with what is expected.",
        Group::Faults => "It is about load, and about what breaks around a container or in it.",
    }
}

/// Exit code, title, meaning, what to do.
const EXITS: [(&str, &str, &str, &str); 4] = [
    ("0", "yes", "What the command asks is so: it fits, it boots, it is up to date.", "nothing"),
    (
        "1",
        "no",
        "The question was answered, and the answer is no: a patch does not fit, a check fails, a file \
         is out of date. The tool and the machine are in order.",
        "read the lines with ✗; each names the command that looks closer",
    ),
    (
        "2",
        "a fault",
        "Wrong usage, or a fault of the tool or the machine: there is no answer.",
        "the line `hint:` says what to type; -vv shows every child process; cargo xtask doctor",
    ),
    (
        "77",
        "not tried",
        "It could not be tried here: something is missing, and the message names it. In the manner of \
         automake's tests, that is neither a success nor a failure.",
        "cargo xtask doctor",
    ),
];

type Explained = (Outcome, &'static str, &'static [&'static str]);

const OUTCOMES: [Explained; 12] = [
    (
        Outcome::Clean,
        "The text applies where its headers say, a three-way merge gives the same files, and every \
         hunk is in the function that it was made in.",
        &["nothing: the release is covered by the variant as it is"],
    ),
    (
        Outcome::Moved,
        "As clean, but at other lines, or in a renamed file. The function is the same.",
        &["nothing: a variant is written if the text itself no longer applies strictly"],
    ),
    (
        Outcome::Merged,
        "The text does not apply, since lines around it changed; a three-way merge puts it into the \
         same functions.",
        &[
            "read the new variant once: cargo xtask range-diff PATCH OLD NEW",
            "boot it: cargo xtask test-image --systemd VERSION",
        ],
    ),
    (
        Outcome::Accepted,
        "A deeper method found a place, and you said with --accept-resolved to take such results.",
        &["boot it: cargo xtask test-image --systemd VERSION"],
    ),
    (
        Outcome::AlreadyUpstream,
        "The change is in upstream's sources: its reverse applies, in the right functions.",
        &["set `needed` in patches/series.toml to end before this version"],
    ),
    (
        Outcome::Empty,
        "Merging the patch changes nothing, though its reverse does not apply as it is.",
        &["compare by hand: upstream may have the change in another form"],
    ),
    (
        Outcome::NotNeeded,
        "patches/series.toml says that this version does without it.",
        &["nothing"],
    ),
    (
        Outcome::Resolved,
        "Neither the text nor a merge fits, but a method that goes further does (by tokens, through \
         each upstream commit, after a function to another file, or a solution from before). Its \
         evidence is shown. It is a proposal: on upstream's own backports such results are right \
         most of the time, not always.",
        &[
            "read the evidence, then: cargo xtask rebase-patches VERSION --accept-resolved",
            "or by hand: cargo xtask resolve PATCH VERSION",
        ],
    ),
    (
        Outcome::PartlyUpstream,
        "Some hunks are in upstream's sources, and some are not.",
        &["cargo xtask resolve PATCH VERSION", "leave out what upstream has"],
    ),
    (
        Outcome::NeedsReview,
        "Something fits, but not beyond doubt: the two methods disagree, a hunk lands in another \
         function, more than one place matches, or a refused control group can reach a new place in \
         the sources.",
        &["cargo xtask rebase-patches VERSION says which", "cargo xtask resolve PATCH VERSION"],
    ),
    (
        Outcome::Conflict,
        "No method finds a place. The upstream commit that broke each hunk is named if history is \
         there.",
        &[
            "cargo xtask resolve PATCH VERSION, edit, then --continue: other versions get it too",
            "cargo xtask bisect PATCH: where it began",
        ],
    ),
    (
        Outcome::Unreadable,
        "A source file that the patch touches could not be read: the clone is partial or damaged.",
        &["pass another --systemd-git, or fetch the missing object that the message names"],
    ),
];

fn outcome((outcome, means, next): &Explained) -> Topic {
    let settled = if outcome.is_settled() {
        "It needs nobody."
    } else {
        "It needs a person, and is never written without being asked."
    };
    Topic {
        id: outcome.word().to_owned(),
        kind: "outcome",
        title: "of a patch on a version".to_owned(),
        text: vec![(*means).to_owned(), settled.to_owned()],
        next: next.iter().map(|n| (*n).to_owned()).collect(),
    }
}

fn list(topics: &[Topic]) -> String {
    let mut text = String::new();
    for kind in topics.chunk_by(|a, b| a.kind == b.kind) {
        let more = if kind[0].kind.ends_with("ch") { "es" } else { "s" };
        let _ = writeln!(text, "{}{more}:", kind[0].kind);
        for topic in kind {
            let _ = writeln!(text, "  {:<26} {}", topic.id, topic.title);
        }
    }
    text
}

fn text(topic: &Topic, ui: &Ui) -> String {
    let mut text =
        format!("{} ({}): {}\n", ui.paint(Tone::Bold, &topic.id), topic.kind, topic.title);
    for paragraph in &topic.text {
        text += "\n";
        for line in crate::ui::wrap(paragraph, 78) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text += "\n";
    for next in &topic.next {
        let _ = writeln!(text, "  → {next}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Checkout;

    fn all() -> Vec<Topic> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let series = series::load(&Checkout::at(root).patches()).unwrap();
        topics(&series, &KnownFailures::load().unwrap())
    }

    #[test]
    fn every_name_has_one_meaning_and_something_to_do() {
        let all = all();
        let mut ids: Vec<&str> = all.iter().map(|t| t.id.as_str()).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|w| w[0] != w[1]), "{ids:?}");
        assert!(all.iter().all(|t| !t.text.is_empty() && !t.next.is_empty()));
        for id in [
            "clean",
            "conflict",
            "77",
            "proven",
            "known",
            "fault",
            "0002-cgroup",
            "boot.running",
            "real.redis",
        ] {
            assert!(ids.contains(&id), "{id}");
        }
    }

    /// Those of another table are tried by another command.
    #[test]
    fn a_check_is_tried_by_the_command_that_has_it() {
        let all = all();
        for (id, next) in [
            ("boot.running", "cargo xtask test-image --only boot.running"),
            ("real.redis", "cargo xtask test-image --services --only real.redis"),
            ("fault.no-memory", "cargo xtask test-vm --faults --only fault.no-memory"),
        ] {
            assert_eq!(all.iter().find(|t| t.id == id).unwrap().next[0], next);
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let all = all();
        let near = |word: &str| names::nearest(word, all.iter().map(|t| t.id.as_str()));
        assert_eq!(near("boot.runing"), Some("boot.running"));
        assert_eq!(near("0002-cgroups"), Some("0002-cgroup"));
        assert_eq!(near("conflcit"), Some("conflict"));
        assert_eq!(near("xyzzy"), None);
    }
}
