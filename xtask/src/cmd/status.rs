// SPDX-License-Identifier: MIT
//! `cargo xtask status`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::Serialize;

use super::Context;
use super::status_known::{Known, Patched};
use crate::boot::record;
use crate::build;
use crate::fault::Status;
use crate::series;
use crate::sources::{Available, Booted, Lock, Options, Sources};
use crate::ui::{Tone, Ui};
use crate::version::SystemdVersion;

/// Show at a glance what is carried, what is proved to run, and what to do next
///
/// Asks no network and builds nothing: what others offer is what they said when they were last asked.
/// Exit code 1 if there is something to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask status
  cargo xtask sources --refresh && cargo xtask status   # ask everybody anew")]
pub struct Args {}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    patches: usize,
    variants: usize,
    majors: Vec<Major>,
    /// Released versions that somebody offers, or that are in the cache, newer than all carried ones.
    newer: Vec<Newer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<LastRun>,
    /// Commands, the most urgent first.
    next: Vec<String>,
}

/// The releases of one major version.
#[derive(Debug, Serialize)]
struct Major {
    major: u32,
    /// That can be had, or that the lock knows.
    releases: usize,
    carried: usize,
    newest: SystemdVersion,
    /// Versions of which a build is in the cache.
    built: Vec<SystemdVersion>,
    booted: Vec<Proof>,
}

#[derive(Debug, Serialize)]
pub(super) struct Newer {
    pub version: SystemdVersion,
    pub from: String,
    /// A sentence for each patch that waits for a person there; none if these patches were not
    /// carried to it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Vec<String>>,
}

/// Where one version was proved to run, and whether that is still what the patches give.
#[derive(Debug, Serialize)]
struct Proof {
    version: SystemdVersion,
    arch: String,
    engine: String,
    state: Freshness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Freshness {
    Current,
    /// The patches give another tree than the one that was booted.
    Stale,
    /// The version's sources are not in the cache, or not all of them.
    Unknown,
}

#[derive(Debug, Serialize)]
struct LastRun {
    seconds_ago: u64,
    subjects: Vec<String>,
}

pub fn run(context: &Context<'_>, _: &Args) -> Result<Status> {
    let lock = Lock::load(&context.checkout.lock())?;
    let series = series::load(&context.checkout.patches())?;
    let options = Options { offline: true, ..context.global.into() };
    let sources = Sources::open(&context.cache, lock, &options, context.ui)?;
    let known: Vec<Available> =
        sources.available()?.into_iter().filter(|a| !a.version.is_candidate()).collect();
    let mut answers = Known::open(&context.cache, &context.checkout.patches(), &series);
    let proofs = proofs(&sources, &known, &mut answers);
    let mut newer = newer(&sources, &known);
    for newer in &mut newer {
        let tree = known.iter().find(|a| a.version == newer.version).and_then(|a| a.tree.as_ref());
        newer.waiting = tree.and_then(|t| answers.judgement(&t.to_string())).map(<[_]>::to_vec);
    }
    let mut document = Document {
        schema: 1,
        patches: series.patches.len(),
        variants: series.patches.iter().map(|p| p.variants.len()).sum(),
        majors: majors(context, &sources, &known, proofs),
        newer,
        last_run: last_run(context),
        next: Vec::new(),
    };
    document.next = next(&document);
    if context.global.json {
        context.ui.json(&document)?;
    } else {
        context.ui.result(&text(&document, context.ui));
    }
    Ok(if document.next.is_empty() { Status::Yes } else { Status::No })
}

fn proofs(sources: &Sources<'_>, known: &[Available], answers: &mut Known<'_>) -> Vec<Proof> {
    let tree = |version: SystemdVersion| {
        let here = known.iter().find(|a| a.version == version && a.present)?;
        here.tree.as_ref()?.oid().ok()
    };
    let mut proofs = Vec::new();
    for locked in sources.lock().iter().filter(|l| !l.booted.is_empty()) {
        let now = tree(locked.version)
            .map_or(Patched::Unknown, |t| answers.patched(sources.git(), locked.version, t));
        for Booted { arch, engine, patched } in &locked.booted {
            let state = match now {
                Patched::Unknown => Freshness::Unknown,
                Patched::Tree(tree) if Some(tree) == patched.oid().ok() => Freshness::Current,
                // A series that no longer applies is stale, too.
                Patched::Tree(_) | Patched::Misfit => Freshness::Stale,
            };
            let (arch, engine) = (arch.clone(), engine.clone());
            proofs.push(Proof { version: locked.version, arch, engine, state });
        }
    }
    proofs
}

fn majors(
    context: &Context<'_>,
    sources: &Sources<'_>,
    known: &[Available],
    proofs: Vec<Proof>,
) -> Vec<Major> {
    let mut majors: BTreeMap<u32, Major> = BTreeMap::new();
    let locked = sources.lock().iter().map(|l| l.version);
    let mut all: Vec<SystemdVersion> = known.iter().map(|a| a.version).chain(locked).collect();
    all.sort_unstable();
    all.dedup();
    for version in all {
        let major = majors.entry(version.major).or_insert_with(|| Major {
            major: version.major,
            releases: 0,
            carried: 0,
            newest: version,
            built: Vec::new(),
            booted: Vec::new(),
        });
        major.releases += 1;
        major.carried += usize::from(sources.lock().get(version).is_some());
        major.newest = version;
        if build::is_here(&context.cache, version) {
            major.built.push(version);
        }
    }
    for proof in proofs {
        if let Some(major) = majors.get_mut(&proof.version.major) {
            major.booted.push(proof);
        }
    }
    majors.into_values().collect()
}

pub(super) fn newer(sources: &Sources<'_>, known: &[Available]) -> Vec<Newer> {
    let newest_of =
        |major: u32| sources.lock().iter().map(|l| l.version).filter(|v| v.major == major).max();
    let newest = sources.lock().iter().map(|l| l.version).max();
    known
        .iter()
        .filter(|a| !a.version.is_candidate() && a.refused.is_none())
        .filter(|a| !a.locked && (newest_of(a.version.major) < Some(a.version)))
        // Of majors before the oldest that is carried there is nothing to want.
        .filter(|a| newest_of(a.version.major).is_some() || newest < Some(a.version))
        .map(|a| Newer { version: a.version, from: a.origin.clone(), waiting: None })
        .collect()
}

/// The newest record of this machine that can be read.
fn last_run(context: &Context<'_>) -> Option<LastRun> {
    let record = record::newest(&context.cache.runs())?;
    let subject = |s: &record::Subject| {
        format!(
            "systemd {} ({}): {}\n    {}",
            s.version,
            s.flavour,
            s.verdict.sentence(),
            record::counts(&s.checks)
        )
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(LastRun {
        seconds_ago: now.as_secs().saturating_sub(record.started_s),
        subjects: record.subjects.iter().map(subject).collect(),
    })
}

fn next(document: &Document) -> Vec<String> {
    let mut next = Vec::new();
    if !document.newer.is_empty() {
        let versions: Vec<String> = document.newer.iter().map(|n| n.version.to_string()).collect();
        next.push(format!("cargo xtask new-release {}", versions.join(" ")));
    }
    let proofs = || document.majors.iter().flat_map(|m| &m.booted);
    let mut again: Vec<String> =
        proofs().filter(|p| p.state == Freshness::Stale).map(|p| p.version.to_string()).collect();
    // Carried, and not one release of the major ever seen to run.
    let never = document.majors.iter().filter(|m| m.carried > 0 && m.booted.is_empty());
    again.extend(never.map(|m| m.newest.to_string()));
    again.dedup();
    if !again.is_empty() {
        next.push(format!("cargo xtask test-image --record --systemd {}", again.join(" ")));
    }
    next
}

fn text(document: &Document, ui: &Ui) -> String {
    let mut text = String::new();
    let carried: usize = document.majors.iter().map(|m| m.carried).sum();
    let _ = writeln!(
        text,
        "{} patches in {} variants, carried to {carried} releases\n",
        document.patches, document.variants
    );
    let _ = writeln!(text, "{:<7}{:<9}{:<9}{:<8}BOOTED", "MAJOR", "NEWEST", "CARRIED", "BUILT");
    for major in &document.majors {
        let count = format!("{}/{}", major.carried, major.releases);
        let mut lines = major.booted.iter().map(|p| {
            let (tone, more) = match p.state {
                Freshness::Current => (Tone::Good, ""),
                Freshness::Stale => (Tone::Warn, ", with older patches"),
                Freshness::Unknown => (Tone::Dim, ", sources not here"),
            };
            ui.paint(tone, &format!("{} on {} {}{more}", p.version, p.engine, p.arch))
        });
        let first = lines.next().unwrap_or_else(|| "-".to_owned());
        let newest = major.newest.to_string();
        let built = major.built.last().map_or("-".to_owned(), SystemdVersion::to_string);
        let _ = writeln!(text, "{:<7}{newest:<9}{count:<9}{built:<8}{first}", major.major);
        for line in lines {
            let _ = writeln!(text, "{:<33}{line}", "");
        }
    }
    let _ = writeln!(text);
    for newer in &document.newer {
        let said = match newer.waiting.as_deref() {
            None => "the patches were not carried to it yet".to_owned(),
            Some([]) => "the patches fit".to_owned(),
            Some(waiting) => waiting.join(", "),
        };
        let line = format!("{} is new ({}): {said}", newer.version, newer.from);
        let _ = writeln!(text, "{}", ui.paint(Tone::Warn, &line));
    }
    if let Some(last) = &document.last_run {
        let _ = writeln!(text, "last run, {}:", ago(Duration::from_secs(last.seconds_ago)));
        for subject in &last.subjects {
            let _ = writeln!(text, "  {subject}");
        }
    }
    match document.next.as_slice() {
        [] => {
            let _ = writeln!(text, "{}", ui.paint(Tone::Good, "nothing to do"));
        }
        commands => {
            for command in commands {
                let _ = writeln!(text, "next: {command}");
            }
        }
    }
    text
}

/// `2 minutes ago`
fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5400 => (seconds / 60, "minute"),
        5401..=129_600 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn major(major: u32, carried: usize, states: &[Freshness]) -> Major {
        let version = SystemdVersion::new(major, 1);
        let proof = |state: &Freshness| Proof {
            version,
            arch: "amd64".into(),
            engine: "Docker 20.10".into(),
            state: *state,
        };
        let booted = states.iter().map(proof).collect();
        Major { major, releases: 2, carried, newest: version, built: vec![version], booted }
    }

    fn document(majors: Vec<Major>, newer: Vec<Newer>) -> Document {
        let mut document = Document {
            schema: 1,
            patches: 7,
            variants: 20,
            majors,
            newer,
            last_run: None,
            next: Vec::new(),
        };
        document.next = next(&document);
        document
    }

    #[test]
    fn what_is_new_stale_or_never_booted_is_next() {
        use Freshness::{Current, Stale, Unknown};
        assert!(document(vec![major(261, 2, &[Current, Unknown])], Vec::new()).next.is_empty());
        let majors = vec![major(260, 2, &[]), major(261, 2, &[Current, Stale]), major(263, 0, &[])];
        let newer = vec![Newer {
            version: SystemdVersion::new(263, 1),
            from: "upstream".into(),
            waiting: Some(vec!["0002-cgroup: conflict".into()]),
        }];
        let document = document(majors, newer);
        assert_eq!(
            document.next,
            [
                "cargo xtask new-release 263.1",
                "cargo xtask test-image --record --systemd 261.1 260.1"
            ]
        );
        let text = text(&document, &Ui::new(true));
        assert!(text.lines().all(|l| l.len() <= 80), "{text}");
        assert!(text.contains("263.1 is new (upstream): 0002-cgroup: conflict"), "{text}");
    }

    #[test]
    fn times_are_in_words() {
        let said = [1, 90, 91, 5400, 7200, 200_000].map(|s| ago(Duration::from_secs(s)));
        let wanted = [
            "1 second ago",
            "90 seconds ago",
            "1 minute ago",
            "90 minutes ago",
            "2 hours ago",
            "2 days ago",
        ];
        assert_eq!(said, wanted);
    }
}
