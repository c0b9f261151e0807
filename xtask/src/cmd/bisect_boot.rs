// SPDX-License-Identifier: MIT
//! `cargo xtask bisect --boot`: the first commit or release from which on patched systemd no longer works
//! in a plain container.

mod text;

use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use git2::Oid;

use self::text::{Answer, Document, FirstBad, Tried, Untried, announced, said, text};
use super::test_image::{self, Bench};
use super::{Context, bisect, prepare, rebase_select};
use crate::boot::record::{self, Subject};
use crate::boot::search::{self, First, Left, Trial};
use crate::boot::verdict::{Outcome, Verdict};
use crate::engine::{self, Choice};
use crate::fault::{Fault, Kind, Status, kind_of};
use crate::rebase::{self, Cause};
use crate::requirements::{self, Need};
use crate::series::{self, Series};
use crate::sources::{OLDEST_MAJOR, Sources};
use crate::version::SystemdVersion;

/// Whatever patch is asked about: without it the others prove nothing.
const BOOTS: &str = "boot.running";

/// Something to build and boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate {
    Release(SystemdVersion),
    Commit(Oid),
}

pub fn run(context: &Context<'_>, args: &bisect::Args) -> Result<Status> {
    let begin = Instant::now();
    let needs = [Need::Sources, Need::Build, Need::Image, Need::Engine];
    requirements::ensure(&needs, context.ui, &context.cache)?;
    let series = series::load(&context.checkout.patches())?;
    let checks = checks(&series, &args.patches)?;
    let sources = prepare::sources(context)?;
    let (from, candidates) = if args.releases {
        releases(&sources, args)?
    } else {
        commits(context, &sources, &series, args)?
    };
    let engine = engine::find(args.engine.unwrap_or(Choice::Auto), &context.cache, context.ui)?;
    let dir = context.cache.runs().join(record::run_id(SystemTime::now()));
    let options = test_image::Args::default();
    let bench = Bench { context, engine: &engine, dir: &dir, args: &options };
    let (checks, tried) = (checks, Vec::new());
    let mut trials = Trials { context, sources: &sources, bench, checks, tried };
    let first = trials.first(from, &candidates)?;
    let document = Document {
        schema: 1,
        from: name(from),
        to: candidates.last().map_or_else(|| name(from), |to| name(*to)),
        candidates: candidates.len(),
        first,
        checks: trials.checks,
        tried: trials.tried,
        seconds: begin.elapsed().as_secs_f64(),
    };
    if context.global.json {
        context.ui.json(&document)?;
    } else {
        context.ui.result(&text(&document));
        context.ui.note(&format!("transcripts: {}", dir.display()));
    }
    Ok(if document.first.is_none() { Status::Yes } else { Status::No })
}

/// What the patches are there for.
fn checks(series: &Series, asked: &[String]) -> Result<Vec<String>, Fault> {
    let mut checks = vec![BOOTS.to_owned()];
    for id in asked {
        let index = series.index_of(id)?;
        checks.extend(series.patches[index].checks.iter().cloned());
    }
    let mut seen = std::collections::BTreeSet::new();
    checks.retain(|check| seen.insert(check.clone()));
    Ok(checks)
}

/// The releases after `--from`, up to `--to`.
fn releases(sources: &Sources<'_>, args: &bisect::Args) -> Result<(Candidate, Vec<Candidate>)> {
    let named = |flag: &str, word: Option<String>| -> Result<SystemdVersion> {
        let word = word.ok_or_else(|| {
            Fault::new(format!("--releases needs {flag}")).hint("--from 257 --to 257.13, say")
        })?;
        Ok(word.parse::<SystemdVersion>()?)
    };
    let from = named("--from", args.from.map(|v| v.to_string()))?;
    let to = named("--to", args.to.clone())?;
    let mut all: Vec<SystemdVersion> = sources
        .available()?
        .into_iter()
        .filter(|a| a.refused.is_none() && a.version.major >= OLDEST_MAJOR)
        .map(|a| a.version)
        .filter(|v| *v > from && *v <= to)
        .collect();
    all.sort();
    if all.last() != Some(&to) {
        return Err(Fault::new(format!("no release {to} after {from} can be had here"))
            .hint("cargo xtask sources lists those that can")
            .into());
    }
    Ok((Candidate::Release(from), all.into_iter().map(Candidate::Release).collect()))
}

/// The first parents after the version `--from`, up to the revision `--to`.
fn commits(
    context: &Context<'_>,
    sources: &Sources<'_>,
    series: &Series,
    args: &bisect::Args,
) -> Result<(Candidate, Vec<Candidate>)> {
    let start = bisect::start(sources, series, args.from)?;
    let to = bisect::commit(context, sources, args.to())?;
    let ways = rebase::first_parents(sources.git(), start.commit, to);
    let Some((down, up)) = ways else {
        return Err(bisect::no_way(start.version, args.to()).into());
    };
    // A release of a stable branch is not on the way to the main one; where that left it is.
    let left = *down.last().context("a way has an end")?;
    if left != start.commit {
        return Err(Fault::new(format!("{} is not on the way to {}", start.version, args.to()))
            .hint("--from VERSION names a release that is, such as 262 rather than 262.1")
            .into());
    }
    let candidates = up.into_iter().skip(1).map(Candidate::Commit);
    Ok((Candidate::Release(start.version), candidates.collect()))
}

struct Trials<'a> {
    context: &'a Context<'a>,
    sources: &'a Sources<'a>,
    bench: Bench<'a>,
    checks: Vec<String>,
    tried: Vec<Tried>,
}

/// The first bad one, and all of which it is one.
type Among<C> = (Vec<C>, First<Vec<String>>);

/// The first bad candidate after `from`, which must be good; none if the last one is. If it is a merge,
/// then the first one in the pull request that it brought in (`inside`, oldest first).
fn first_of<C: Copy>(
    from: C,
    candidates: &[C],
    mut trial: impl FnMut(C, Option<Left>) -> Result<Trial<Vec<String>>>,
    inside: impl Fn(C) -> Option<Vec<C>>,
    name: impl Fn(C) -> String,
) -> Result<Option<Among<C>>> {
    // Both ends have to be known, or nothing that is found between them means anything.
    let mut end = |candidate: C| match trial(candidate, None)? {
        Trial::Good => Ok(None),
        Trial::Bad(failed) => Ok(Some(failed)),
        Trial::Skipped(why) => Err(anyhow::Error::from(
            Fault::new(format!("{} cannot be tried: {why}", name(candidate)))
                .hint("choose another --from or --to"),
        )),
    };
    let Some(last) = candidates.last() else { return Ok(None) };
    let Some(bad) = end(*last)? else { return Ok(None) };
    if let Some(failed) = end(from)? {
        let what = name(from);
        return Err(Fault::new(format!("{what} does not work either: {}", failed.join("; ")))
            .hint("--from VERSION names an older one that does")
            .into());
    }
    let mut among = candidates.to_vec();
    let mut first = search::first_bad(among.len(), bad, |at, left| trial(among[at], Some(left)))?;
    if first.untried.is_empty()
        && let Some(side) = inside(among[first.at])
    {
        among = side.into_iter().chain([among[first.at]]).collect();
        first = search::first_bad(among.len(), first.bad, |at, left| trial(among[at], Some(left)))?;
    }
    Ok(Some((among, first)))
}

impl Trials<'_> {
    fn first(&mut self, from: Candidate, candidates: &[Candidate]) -> Result<Option<FirstBad>> {
        let repo = self.sources.git();
        let inside = |candidate| match candidate {
            Candidate::Release(_) => None,
            Candidate::Commit(id) => {
                let side = rebase::pull_request(repo, id)?;
                Some(side.into_iter().map(Candidate::Commit).collect())
            }
        };
        let found = first_of(from, candidates, |c, left| self.trial(c, left), inside, name)?;
        let Some((among, first)) = found else { return Ok(None) };
        let untried = first.untried.into_iter().map(|(at, why)| {
            let (what, commit) = (name(among[at]), self.cause(among[at]));
            Untried { what, commit, why }
        });
        let (what, commit) = (name(among[first.at]), self.cause(among[first.at]));
        Ok(Some(FirstBad { what, commit, untried: untried.collect(), failed: first.bad }))
    }

    fn trial(&mut self, candidate: Candidate, left: Option<Left>) -> Result<Trial<Vec<String>>> {
        // The middle one: the first builds everything.
        let mut times: Vec<f64> = self.tried.iter().map(|t| t.seconds).collect();
        times.sort_by(f64::total_cmp);
        let each = times.get(times.len() / 2).copied().unwrap_or_default();
        self.context.ui.note(&announced(self.tried.len() + 1, &self.title(candidate), left, each));
        let begin = Instant::now();
        let answer = self.look(candidate)?;
        let (word, why) = match &answer {
            Trial::Good => (Answer::Good, Vec::new()),
            Trial::Bad(failed) => (Answer::Bad, failed.clone()),
            Trial::Skipped(why) => (Answer::Skipped, vec![why.clone()]),
        };
        let seconds = begin.elapsed().as_secs_f64();
        self.context.ui.note(&format!("  {} ({seconds:.0} s)", said(word, &why)));
        self.tried.push(Tried { what: name(candidate), answer: word, why, seconds });
        Ok(answer)
    }

    fn look(&self, candidate: Candidate) -> Result<Trial<Vec<String>>> {
        let (context, sources) = (self.context, self.sources);
        let recipe = match candidate {
            Candidate::Release(version) => prepare::patched_of(context, sources, version),
            Candidate::Commit(id) => prepare::patched_at(context, sources, id),
        };
        let mut recipe = match recipe? {
            Ok(recipe) => recipe,
            Err(open) => {
                let open: Vec<String> =
                    open.iter().map(|c| format!("{} ({})", c.patch, c.outcome.word())).collect();
                return Ok(Trial::Skipped(format!("the series does not fit: {}", open.join(", "))));
            }
        };
        // An image of its own, not the one that test-image keeps for this version.
        recipe.identity.flavour = format!("patched, {}", short(candidate));
        let installed = match prepare::install(context, sources, &recipe) {
            Ok(installed) => installed,
            Err(error) if kind_of(&error) == Kind::Fault => {
                let said = format!("{error:#}");
                let said = said.lines().next().unwrap_or_default();
                return Ok(Trial::Skipped(format!("it does not build: {said}")));
            }
            Err(error) => return Err(error),
        };
        let wanted =
            |check: &crate::boot::checks::Check| self.checks.iter().any(|id| id == check.id);
        Ok(judged(&self.bench.examine_once(&installed, &wanted)?))
    }

    fn cause(&self, candidate: Candidate) -> Option<Cause> {
        match candidate {
            Candidate::Release(_) => None,
            Candidate::Commit(id) => rebase::named(self.sources.git(), rebase_select::LINK, id),
        }
    }

    fn title(&self, candidate: Candidate) -> String {
        match self.cause(candidate) {
            Some(Cause::Commit { subject, .. }) => format!("{} {subject}", short(candidate)),
            _ => format!("systemd {}", name(candidate)),
        }
    }
}

/// A version, or all of a commit's id.
fn name(candidate: Candidate) -> String {
    match candidate {
        Candidate::Release(version) => version.to_string(),
        Candidate::Commit(id) => id.to_string(),
    }
}

fn short(candidate: Candidate) -> String {
    name(candidate).chars().take(10).collect()
}

/// What the checks of one systemd say of it.
fn judged(subject: &Subject) -> Trial<Vec<String>> {
    let told = |wanted: &dyn Fn(&Outcome) -> Option<String>| -> Vec<String> {
        let one = |c: &record::CheckRecord| Some(format!("{}: {}", c.id, wanted(&c.outcome)?));
        subject.checks.iter().filter_map(one).collect()
    };
    let fails = told(&|outcome| match outcome {
        Outcome::Fails(why) => Some(why.clone()),
        _ => None,
    });
    match subject.verdict {
        Verdict::Proven => Trial::Good,
        Verdict::Refuted => Trial::Bad(fails),
        Verdict::Unsound => Trial::Skipped(format!("nothing is proved: {}", fails.join("; "))),
        Verdict::Broken | Verdict::Incomplete => {
            let why = told(&|outcome| match outcome {
                Outcome::Broken(why) | Outcome::NotTried(why) => Some(why.clone()),
                _ => None,
            });
            Trial::Skipped(format!("no verdict: {}", why.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer for the first parents 1 to 9, of which 6 merges 61 to 64, and what was tried.
    fn asked(answer: &dyn Fn(u32) -> Trial<Vec<String>>) -> (String, Vec<u32>) {
        let mut tried = Vec::new();
        let candidates: Vec<u32> = (1..10).collect();
        let inside = |c: u32| (c == 6).then(|| (61..65).collect());
        let trial = |c: u32, _: Option<Left>| {
            tried.push(c);
            Ok(answer(c))
        };
        let found = first_of(0, &candidates, trial, inside, |c| c.to_string());
        let told = match found {
            Err(error) => format!("error: {error}"),
            Ok(None) => "none".into(),
            Ok(Some((among, first))) => {
                let untried: Vec<u32> = first.untried.iter().map(|(at, _)| among[*at]).collect();
                format!("{} {untried:?} {}", among[first.at], first.bad.join(" "))
            }
        };
        (told, tried)
    }

    fn bad(c: u32) -> Trial<Vec<String>> {
        Trial::Bad(vec![format!("as {c}")])
    }

    #[test]
    fn both_ends_are_tried_and_the_pull_request_is_gone_into() {
        let from = |first: u32| move |c: u32| if c >= first { bad(c) } else { Trial::Good };
        assert_eq!(asked(&from(100)), ("none".into(), vec![9]));
        assert_eq!(asked(&from(3)).0, "3 [] as 3");
        assert_eq!(asked(&from(9)).0, "9 [] as 9");
        assert_eq!(asked(&from(0)), ("error: 0 does not work either: as 0".into(), vec![9, 0]));
        // 6 is bad, and of what it brought in, 63 is the first.
        let inside = |c: u32| if [6, 7, 8, 9, 63, 64].contains(&c) { bad(c) } else { Trial::Good };
        let (told, tried) = asked(&inside);
        assert_eq!(told, "63 [] as 63");
        assert!(tried.len() <= 9, "{tried:?}");
        // The merge itself, where all that it brought in is good.
        let merge = |c: u32| if (6..10).contains(&c) { bad(c) } else { Trial::Good };
        assert_eq!(asked(&merge).0, "6 [] as 6");
    }

    #[test]
    fn what_does_not_build_is_gone_around_but_not_at_an_end() {
        let skipped = |c: u32, broken: &[u32]| match c {
            _ if broken.contains(&c) => Trial::Skipped("it does not build".into()),
            4.. => bad(c),
            _ => Trial::Good,
        };
        assert_eq!(asked(&|c| skipped(c, &[5])).0, "4 [] as 4");
        assert_eq!(asked(&|c| skipped(c, &[3, 4])).0, "5 [3, 4] as 5");
        // Before what may be the first, nothing is to be gone into.
        assert_eq!(asked(&|c| skipped(c, &[4, 5])).0, "6 [4, 5] as 6");
        for end in [0, 9] {
            let told = asked(&|c| skipped(c, &[end])).0;
            assert_eq!(told, format!("error: {end} cannot be tried: it does not build"));
        }
    }

    #[test]
    fn the_checks_are_those_of_the_patches() {
        let series = Series { patches: Vec::new() };
        assert_eq!(checks(&series, &[]).unwrap(), [BOOTS]);
        assert!(checks(&series, &["0009-none".into()]).is_err());
    }
}
