// SPDX-License-Identifier: MIT
//! `cargo xtask bench boot`: patched systemd in a plain container, and stock systemd with a writable
//! cgroup tree, side by side; and with `--load`, many of the patched.

use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use super::prepare::{self, Installed};
use crate::boot::expect::writable;
use crate::boot::figures::{self, Failure, Sample, Spread};
use crate::boot::record::run_id;
use crate::engine::{self, Choice, Engine, Facts, Start};
use crate::fault::{Fault, Status};
use crate::image::base::Debian;
use crate::image::{self, Image};
use crate::profile::Profile;
use crate::requirements::{self, Need};
use crate::version::SystemdVersion;

/// Boot patched systemd in a plain container and stock systemd with a writable cgroup tree, in turns
///
/// The same base and settings; one container at a time, the two kinds alternating, so that what else
/// the machine does slows both. The status is no if any container does not come up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench boot
  cargo xtask bench boot --systemd 257 --load   # also restarts, and many at once")]
pub struct Args {
    /// The version (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION")]
    systemd: Option<String>,

    /// Boots of each kind
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Also restart one container three times, kill it and start it again, boot twenty at once, and
    /// a hundred in a row
    #[arg(long)]
    load: bool,

    /// The engine to use
    #[arg(long, value_enum, default_value = "auto")]
    engine: Choice,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    schema: u32,
    version: SystemdVersion,
    engine: Facts,
    rounds: u32,
    patched: Kind,
    stock: Kind,
    /// With `--load`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    load: Vec<Load>,
    failures: Vec<Failure>,
}

/// What was measured of one kind of container.
#[derive(Debug, Default, Serialize)]
struct Kind {
    boot_ms: Option<Spread>,
    stop_ms: Option<Spread>,
    rss_kb: Option<Spread>,
    pss_kb: Option<Spread>,
    processes: Option<Spread>,
}

/// Many boots of one sort.
#[derive(Debug, Serialize)]
struct Load {
    what: &'static str,
    tried: usize,
    came_up: usize,
    /// Milliseconds to `running`, of those that came up.
    ms: Option<Spread>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let ui = context.ui;
    let needs = [Need::Sources, Need::Build, Need::Image, Need::Engine];
    requirements::ensure(&needs, ui, &context.cache)?;
    let engine = engine::find(args.engine, &context.cache, ui)?;
    let sources = prepare::sources(context)?;
    let named: Vec<String> = args.systemd.iter().cloned().collect();
    let versions = prepare::versions(&sources, &named)?;
    let (pairs, _) = prepare::recipes(context, &sources, &versions)?;
    let pair = pairs.first().filter(|p| p.patched.is_some());
    let Some((pair, patched)) = pair.and_then(|p| Some((p, p.patched.as_ref()?))) else {
        return Err(Fault::new("the series does not fit this version")
            .hint("cargo xtask rebase-patches")
            .into());
    };
    let stock = load(context, &engine, &prepare::install(context, &sources, &pair.stock)?)?;
    let version = patched.identity.version;
    let patched = load(context, &engine, &prepare::install(context, &sources, patched)?)?;
    let dir = context.cache.runs().join(run_id(SystemTime::now()));

    let mut failures = Vec::new();
    // SIGTERM makes stock systemd re-execute: it is asked by the signal that it understands.
    let plain = (Start::plain(&patched), "SIGTERM");
    let unlocked = (writable(&stock, &engine.facts).options(&["--tmpfs=/run"]), "SIGRTMIN+3");
    let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
    let step = ui.step(format!("boot systemd {version}, patched and stock in turns"));
    for round in 1..=args.rounds {
        step.detail(&format!("round {round} of {}", args.rounds));
        for (all, ((start, signal), name)) in
            samples.iter_mut().zip([(&plain, "patched"), (&unlocked, "stock")])
        {
            match figures::sample(&engine, start, signal, &format!("{name} {round}"), &dir)? {
                Ok(sample) => all.push(sample),
                Err(failure) => failures.push(failure),
            }
        }
    }
    step.done("");
    let load = if args.load {
        under_load(context, &engine, &plain.0, &dir, &mut failures)?
    } else {
        Vec::new()
    };
    let [patched, stock] = samples.map(|samples| kind(&samples));
    let document = Document {
        schema: 1,
        version,
        engine: engine.facts.clone(),
        rounds: args.rounds,
        patched,
        stock,
        load,
        failures,
    };
    if context.global.json {
        ui.json(&document)?;
    } else {
        ui.result(&table(&document));
    }
    Ok(if document.failures.is_empty() { Status::Yes } else { Status::No })
}

fn load(context: &Context<'_>, engine: &Engine, installed: &Installed) -> Result<String> {
    let base = Debian::default().base(&context.cache, context.ui)?.with_users(&installed.tree)?;
    let profile = Profile::load(&context.checkout)?;
    let systemd = image::systemd_layer(&installed.tree, &profile)?;
    engine.load(&Image::on(&base, &installed.identity, &profile, systemd, None), context.ui)
}

fn under_load(
    context: &Context<'_>,
    engine: &Engine,
    start: &Start,
    dir: &std::path::Path,
    failures: &mut Vec<Failure>,
) -> Result<Vec<Load>> {
    const AT_ONCE: usize = 20;
    const IN_A_ROW: usize = 100;
    let mut all = Vec::new();
    let mut add = |what, results: Vec<Result<f64, Failure>>| {
        let tried = results.len();
        let (mut times, mut bad) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(ms) => times.push(ms),
                Err(failure) => bad.push(failure),
            }
        }
        failures.append(&mut bad);
        all.push(Load { what, tried, came_up: times.len(), ms: Spread::of(times) });
    };
    let step = context.ui.step("restart three times, kill and start");
    add("restarts, and a start after SIGKILL", figures::restarts(engine, start, dir)?);
    step.done("");
    let step = context.ui.step(format!("boot {AT_ONCE} containers at once"));
    add("at once", figures::at_once(engine, start, AT_ONCE, dir)?);
    step.done("");
    let step = context.ui.step(format!("boot {IN_A_ROW} containers in a row"));
    let mut row = Vec::new();
    for n in 1..=IN_A_ROW {
        step.detail(&format!("{n} of {IN_A_ROW}"));
        row.push(figures::one_boot(engine, start, &format!("boot {n} of {IN_A_ROW}"), dir)?);
    }
    add("in a row", row);
    step.done("");
    Ok(all)
}

fn kind(samples: &[Sample]) -> Kind {
    let some = |get: fn(&Sample) -> Option<f64>| Spread::of(samples.iter().filter_map(get));
    Kind {
        boot_ms: some(|s| Some(s.boot_ms)),
        stop_ms: some(|s| Some(s.stop_ms)),
        rss_kb: some(|s| s.rss_kb),
        pss_kb: some(|s| s.pss_kb),
        processes: some(|s| s.processes),
    }
}

fn table(document: &Document) -> String {
    let Document { version, rounds, patched, stock, .. } = document;
    let mut out = format!(
        "systemd {version}, {rounds} boots each (medians)   patched   stock  ratio\n\
         {:45}   plain  writable\n",
        ""
    );
    let mut row = |name: &str, ours: Option<Spread>, theirs: Option<Spread>| {
        let number = |s: Option<Spread>| s.map_or("-".into(), |s| format!("{:.0}", s.median));
        let ratio = match (ours, theirs) {
            (Some(a), Some(b)) if b.median > 0.0 => format!("{:.2}", a.median / b.median),
            _ => "-".into(),
        };
        let _ = writeln!(out, "  {name:<41} {:>8} {:>8} {ratio:>6}", number(ours), number(theirs));
    };
    row("boot to `running`, ms", patched.boot_ms, stock.boot_ms);
    row("SIGTERM (stock: SIGRTMIN+3) to exit, ms", patched.stop_ms, stock.stop_ms);
    row("PID 1's resident memory, kB", patched.rss_kb, stock.rss_kb);
    row("PID 1's share of it (PSS), kB", patched.pss_kb, stock.pss_kb);
    row("processes", patched.processes, stock.processes);
    for Load { what, tried, came_up, ms } in &document.load {
        let times = ms.map_or(String::new(), |s| {
            format!(": median {:.0} ms, p95 {:.0} ms, max {:.0} ms", s.median, s.p95, s.max)
        });
        let _ = writeln!(out, "  {came_up} of {tried} {what}{times}");
    }
    for Failure { what, because, transcript } in &document.failures {
        let _ = writeln!(out, "  ✗ {what}: {because}\n    {}", transcript.display());
    }
    out
}
