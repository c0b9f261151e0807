// SPDX-License-Identifier: MIT
//! `cargo xtask test-image`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::prepare::{self, Installed};
use super::via::{self, Via};
use super::{Context, ablate};
use crate::boot::ablation;
use crate::boot::checks::{self, CHECKS, Check};
use crate::boot::known::KnownFailures;
use crate::boot::record::{self, Record};
use crate::boot::verdict::{Outcome, Verdict};
use crate::boot::{self, Candidate};
use crate::engine::{self, Choice, Engine};
use crate::exec;
use crate::fault::{Fault, Status};
use crate::image::base::Debian;
use crate::image::{self, Identity, Image};
use crate::profile::Profile;
use crate::requirements::{self, Need};
use crate::sources::{Booted, Lock, TreeId};
use crate::version::SystemdVersion;

/// Boot patched systemd in a plain container and judge it
///
/// Starts `docker run -d IMAGE` with no option at all, proves that the container is unprivileged,
/// runs the checks, and runs stock systemd as the control: it must work with a writable cgroup tree
/// and be refused in the plain container.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Versions to test, such as 262 or 257.13 (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION", num_args = 1..)]
    pub systemd: Vec<String>,

    /// Judge stock systemd instead, which is refused (exit code 1)
    #[arg(long)]
    pub stock: bool,

    /// Leave out each patch and each entry of the profile in turn, or these alone: a check that names
    /// it must then fail. No other checks are run
    #[arg(long, value_name = "PART", num_args = 0..)]
    #[arg(conflicts_with_all = ["stock", "only", "record", "tree", "stock_tree"])]
    pub ablate: Option<Vec<String>>,

    /// Boot nginx, PostgreSQL, Redis and OpenSSH of Debian's in one container instead, and ask each
    /// from another one
    #[arg(long, conflicts_with_all = ["ablate", "record", "tree", "stock_tree"])]
    pub services: bool,

    /// Judge an image that the engine has already, made elsewhere (NixOS, build-image), by the checks
    /// that need nothing in it but systemd and a shell
    #[arg(long, value_name = "IMAGE")]
    #[arg(conflicts_with_all = ["stock", "ablate", "services", "record", "tree", "stock_tree"])]
    pub image: Option<String>,

    /// How systemd gets onto the image's base: what users do with what build-image makes
    #[arg(long, value_enum, default_value = "layer")]
    #[arg(conflicts_with_all = ["ablate", "record", "services", "image"])]
    pub via: Via,

    /// The engine to use
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Choice,

    /// Run only these checks, and the preconditions
    #[arg(long, value_name = "CHECK", num_args = 1..)]
    pub only: Vec<String>,

    /// Let these checks alone be skipped where the engine cannot try them (default: any)
    #[arg(long, value_name = "CHECK", num_args = 0..)]
    pub may_skip: Option<Vec<String>>,

    /// Note in patches/sources.lock which versions were proved to run
    #[arg(long, conflicts_with_all = ["stock", "only", "tree", "stock_tree"])]
    pub record: bool,

    /// Leave the containers in the engine; a private engine then runs on until Ctrl-C
    #[arg(long)]
    pub keep: bool,

    /// List the checks
    #[arg(long)]
    pub list_checks: bool,

    /// List them as the document CHECKS.md
    #[arg(long, requires = "list_checks", conflicts_with = "json")]
    pub markdown: bool,

    /// Use this install tree (a DESTDIR) of patched systemd instead of building one
    #[arg(long, value_name = "DIR", requires = "systemd", hide = true)]
    pub tree: Option<PathBuf>,

    /// Use this install tree of stock systemd instead of building one
    #[arg(long, value_name = "DIR", requires = "systemd", hide = true)]
    pub stock_tree: Option<PathBuf>,
}

/// The label of nix/profile.json that says which systemd is in an image.
const VERSION_LABEL: &str = "plainboot.systemd.version";

/// Transcripts of older runs are removed.
const RUNS_KEPT: usize = 100;

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    if args.list_checks {
        return list(context, args);
    }
    known_checks(args)?;
    let begin = Instant::now();
    let ready = ready_made(args)?;
    if ready.is_none() && args.image.is_none() {
        let needs = [Need::Sources, Need::Build, Need::Image, Need::Engine];
        requirements::ensure(&needs, context.ui, &context.cache)?;
    }
    // First, since without an engine all other work is in vain.
    let engine = engine::find(args.engine, &context.cache, context.ui)?;
    let run = Run::new(context, "test-image", begin);
    run_on(context, args, ready, &engine, run)
}

/// Refuses names of checks that do not exist.
pub fn known_checks(args: &Args) -> Result<()> {
    let named = args.only.iter().chain(args.may_skip.iter().flatten());
    if let Some(unknown) = named.into_iter().find(|id| checks::find(id).is_none()) {
        return Err(Fault::new(format!("there is no check `{unknown}`"))
            .hint("cargo xtask test-image --list-checks")
            .into());
    }
    Ok(())
}

/// One run on its way, of this command or of one that brings its own engine.
pub struct Run {
    /// The words after `cargo xtask` that repeat it, up to the choice of versions.
    pub command: String,
    begin: Instant,
    now: SystemTime,
    id: String,
    /// Where its record and its transcripts go.
    pub dir: PathBuf,
}

impl Run {
    pub fn new(context: &Context<'_>, command: impl Into<String>, begin: Instant) -> Run {
        let now = SystemTime::now();
        let id = record::run_id(now, std::process::id());
        let dir = context.cache.runs().join(&id);
        Run { command: command.into(), begin, now, id, dir }
    }
}

/// Examines what the arguments name on this engine.
pub fn run_on(
    context: &Context<'_>,
    args: &Args,
    ready: Option<(Installed, Option<Installed>)>,
    engine: &Engine,
    run: Run,
) -> Result<Status> {
    let Run { command, begin, now, id, dir } = run;
    let mut record = Record {
        schema: record::SCHEMA,
        id,
        started_s: now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        plainboot: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine.facts.clone(),
        subjects: Vec::new(),
        ablations: Vec::new(),
        seconds: 0.0,
    };
    let all = |check: &Check| match args.only.as_slice() {
        // Of stock systemd, and of what is no layer, there are no two images to compare.
        [] => !((args.stock || args.via != Via::Layer) && check.id == "control.same-layers"),
        only => only.iter().any(|id| id == check.id),
    };
    let mut judge = |main: &Installed, stock: Option<&Installed>| -> Result<()> {
        let bench = Bench { context, engine, dir: &dir, args };
        let subject = bench.examine(main, stock, &all)?;
        if args.record && subject.complete && subject.verdict == Verdict::Proven {
            bench.record(&main.identity)?;
        }
        record.subjects.push(subject);
        // After each, so that an interrupt loses nothing.
        record.seconds = begin.elapsed().as_secs_f64();
        save(&dir, &record)
    };
    let mut status = Status::Yes;
    if let Some(image) = &args.image {
        let bench = Bench { context, engine, dir: &dir, args };
        record.subjects.push(bench.examine_made(image, &all)?);
        record.seconds = begin.elapsed().as_secs_f64();
        save(&dir, &record)?;
    } else if let Some((main, stock)) = &ready {
        judge(main, stock.as_ref())?;
    } else {
        let sources = prepare::sources(context)?;
        let versions = prepare::versions(&sources, &args.systemd)?;
        let (pairs, fits) = prepare::recipes(context, &sources, &versions)?;
        status = fits;
        let whole = if args.ablate.is_none() { pairs.as_slice() } else { &[] };
        for pair in whole {
            // Stock first: the patched build then compiles only what the patches touch.
            let stock = prepare::install(context, &sources, &pair.stock)?;
            match &pair.patched {
                _ if args.stock => judge(&stock, Some(&stock))?,
                // Its table has no control.
                Some(recipe) if args.services => {
                    judge(&prepare::install(context, &sources, recipe)?, None)?;
                }
                Some(recipe) => judge(&prepare::install(context, &sources, recipe)?, Some(&stock))?,
                None => {}
            }
        }
        if let Some(parts) = &args.ablate {
            let bench = Bench { context, engine, dir: &dir, args };
            for pair in &pairs {
                let seen = ablate::ablate(&bench, &sources, pair, parts)?;
                record.subjects.extend(seen.whole);
                record.ablations.extend(seen.ablations);
                record.seconds = begin.elapsed().as_secs_f64();
                save(&dir, &record)?;
            }
        }
    }
    record::prune(&context.cache.runs(), RUNS_KEPT);
    report(context, args, &command, &record, &dir)?;
    if args.keep {
        hold(context, engine)?;
    }
    let status = record.subjects.iter().fold(status, |all, s| all.and(s.verdict.into()));
    Ok(record.ablations.iter().fold(status, |all, a| all.and(a.status())))
}

/// The trees of `--tree` and `--stock-tree`: what to examine, with its control.
fn ready_made(args: &Args) -> Result<Option<(Installed, Option<Installed>)>> {
    let one = |version: SystemdVersion, flavour: &str, tree: &Path| Installed {
        identity: Identity { version, flavour: flavour.into(), patches: Vec::new(), tree: None },
        tree: tree.to_owned(),
    };
    if args.tree.is_none() && args.stock_tree.is_none() {
        return Ok(None);
    }
    let [version] = args.systemd.as_slice() else {
        return Err(Fault::new("--tree and --stock-tree go with one --systemd VERSION").into());
    };
    let version = version.parse()?;
    match (&args.tree, &args.stock_tree) {
        (Some(tree), stock) if !args.stock => {
            let stock = stock.as_ref().map(|s| one(version, "stock", s));
            Ok(Some((one(version, "patched", tree), stock)))
        }
        (_, Some(stock)) if args.stock => {
            let stock = one(version, "stock", stock);
            Ok(Some((stock.clone(), Some(stock))))
        }
        _ => Err(Fault::new("--tree is for patched systemd, --stock-tree for stock").into()),
    }
}

/// What every image of a run is examined with.
pub(super) struct Bench<'a> {
    pub context: &'a Context<'a>,
    pub engine: &'a Engine,
    dir: &'a Path,
    args: &'a Args,
}

impl Bench<'_> {
    fn examine(
        &self,
        main: &Installed,
        stock: Option<&Installed>,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let ui = self.context.ui;
        let more: &[&str] = if self.args.services { &checks::REAL_PACKAGES } else { &[] };
        let extra = more.iter().map(|&name| name.to_owned()).collect();
        let base = Debian { extra, pinned: None }.base(&self.context.cache, ui)?;
        let with_users = base.clone().with_users(&main.tree)?;
        let profile = Profile::load(&self.context.checkout)?;
        let made = |installed: &Installed| -> Result<Image> {
            let systemd = image::systemd_layer(&installed.tree, &profile)?;
            let mut identity = installed.identity.clone();
            if self.args.services {
                identity.flavour += ", with services";
            }
            Ok(Image::on(&with_users, &identity, &profile, systemd, None))
        };
        let stock = stock.map(made).transpose()?;
        if self.args.via == Via::Layer {
            return self.examine_image(main.identity.version, &made(main)?, stock.as_ref(), wanted);
        }
        let systemd = image::systemd_layer(&main.tree, &profile)?;
        let made =
            via::make(self.args.via, self.engine, &base, &main.identity, &profile, systemd, ui)?;
        let stock = stock.map(|stock| self.engine.load(&stock, ui)).transpose()?;
        let candidate = Candidate {
            version: main.identity.version,
            flavour: &main.identity.flavour,
            image: &made.reference,
            digest: &made.digest,
            stock: stock.as_deref(),
        };
        let purpose = made.reference.replace(':', "-");
        let subject = self.judge(&candidate, &purpose, wanted);
        self.engine.forget(&made.reference)?;
        subject
    }

    /// Examines a ready image, with the stock one to compare it with.
    pub fn examine_image(
        &self,
        version: SystemdVersion,
        image: &Image,
        stock: Option<&Image>,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let ui = self.context.ui;
        let reference = self.engine.load(image, ui)?;
        let stock = stock.map(|stock| self.engine.load(stock, ui)).transpose()?;
        let candidate = Candidate {
            version,
            flavour: &image.flavour,
            image: &reference,
            digest: &image.digest(),
            stock: stock.as_deref(),
        };
        self.judge(&candidate, &image.purpose, wanted)
    }

    fn judge(
        &self,
        candidate: &Candidate<'_>,
        purpose: &str,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        let table = match self.args {
            Args { image: Some(_), .. } => checks::MADE,
            Args { services: true, .. } => checks::REAL,
            _ => CHECKS,
        };
        let may_skip = self.args.may_skip.as_deref();
        let options = boot::Options { table, wanted, keep: self.args.keep, may_skip };
        let dir = self.dir.join(purpose);
        boot::examine(self.engine, candidate, &options, &dir, self.context.ui)
    }

    /// Examines an image that the engine has, whoever made it. Its label says which systemd is in it.
    fn examine_made(
        &self,
        image: &str,
        wanted: &dyn Fn(&Check) -> bool,
    ) -> Result<record::Subject> {
        if let Some(unknown) =
            self.args.only.iter().find(|id| checks::MADE.iter().all(|c| c.id != **id))
        {
            let known: Vec<&str> = checks::MADE.iter().map(|c| c.id).collect();
            return Err(Fault::new(format!("`{unknown}` is no check of --image"))
                .hint(format!("they are: {}", known.join(", ")))
                .into());
        }
        let facts = self.engine.image(image)?;
        let labelled = facts.labels.get(VERSION_LABEL).map(String::as_str);
        let version = match (self.args.systemd.as_slice(), labelled) {
            ([named], _) => named,
            ([], Some(label)) => label,
            ([], None) => {
                return Err(Fault::new(format!("{image} has no label `{VERSION_LABEL}`"))
                    .hint("say which systemd is in it: --systemd VERSION")
                    .into());
            }
            _ => return Err(Fault::new("--image goes with one --systemd VERSION").into()),
        };
        let candidate = Candidate {
            version: version.parse()?,
            flavour: "as it is",
            image,
            digest: &facts.id,
            stock: None,
        };
        self.judge(&candidate, "made", wanted)
    }

    /// Notes the proof in the lock.
    fn record(&self, identity: &Identity) -> Result<()> {
        let Some(tree) = &identity.tree else { return Ok(()) };
        let path = self.context.checkout.lock();
        let mut lock = Lock::load(&path)?;
        let facts = &self.engine.facts;
        let proof = Booted {
            arch: facts.arch().to_owned(),
            engine: facts.release(),
            patched: TreeId(tree.clone()),
        };
        if lock.record_boot(identity.version, proof)? {
            crate::atomic::write(&path, lock.render().as_bytes())?;
        }
        Ok(())
    }
}

fn save(dir: &Path, record: &Record) -> Result<()> {
    let json = serde_json::to_vec_pretty(record).context("cannot write the record")?;
    crate::atomic::write(&dir.join("record.json"), &json).map(drop)
}

fn report(
    context: &Context<'_>,
    args: &Args,
    command: &str,
    record: &Record,
    dir: &Path,
) -> Result<()> {
    if context.global.json {
        context.ui.json(record)?;
    } else {
        for subject in &record.subjects {
            context.ui.result(&record::table(subject, context.ui));
        }
        for version in record.ablations.chunk_by(|a, b| a.version == b.version) {
            context.ui.result(&ablation::table(version, context.ui));
        }
    }
    for subject in &record.subjects {
        // Once each, although one may have failed in several rows.
        let failed: BTreeSet<&str> = subject
            .checks
            .iter()
            .filter(|c| matches!(c.outcome, Outcome::Fails(_) | Outcome::Broken(_)))
            .map(|c| c.id.as_str())
            .collect();
        if !failed.is_empty() {
            let again = again(args, command, subject.version, &failed);
            context.ui.note(&format!("transcript: {}", subject.transcript.display()));
            context.ui.note(&format!("repeat:     {again}"));
        }
    }
    context.ui.note(&format!("record:     {}", dir.join("record.json").display()));
    Ok(())
}

/// The command that repeats what failed.
fn again(args: &Args, command: &str, version: SystemdVersion, failed: &BTreeSet<&str>) -> String {
    let mut words = vec![format!("cargo xtask {command} --systemd {version}")];
    if let Some(image) = &args.image {
        words.push(format!("--image {}", exec::quote(image)));
    }
    if args.stock {
        words.push("--stock".into());
    }
    if args.services {
        words.push("--services".into());
    }
    if let Some(engine) = clap::ValueEnum::to_possible_value(&args.engine)
        && args.engine != Choice::Auto
    {
        words.push(format!("--engine {}", engine.get_name()));
    }
    if let Some(via) = clap::ValueEnum::to_possible_value(&args.via)
        && args.via != Via::Layer
    {
        words.push(format!("--via {}", via.get_name()));
    }
    for (flag, tree) in [("--tree", &args.tree), ("--stock-tree", &args.stock_tree)] {
        if let Some(tree) = tree {
            words.push(format!("{flag} {}", exec::quote(&tree.to_string_lossy())));
        }
    }
    words.push("--only".into());
    words.extend(failed.iter().map(|&f| f.to_owned()));
    words.join(" ")
}

fn hold(context: &Context<'_>, engine: &Engine) -> Result<()> {
    context.ui.note(&format!("kept: {} ps --all", engine.prompt()));
    if !engine.facts.private {
        return Ok(());
    }
    context.ui.note("the private engine runs on until Ctrl-C");
    while exec::sleep(std::time::Duration::from_secs(1)).is_ok() {}
    Ok(())
}

fn list(context: &Context<'_>, args: &Args) -> Result<Status> {
    #[derive(serde::Serialize)]
    struct Listed {
        id: &'static str,
        group: checks::Group,
        title: &'static str,
        timeout_s: u64,
        proves: &'static [&'static str],
    }
    let listed: Vec<Listed> = checks::every()
        .map(|c| Listed {
            id: c.id,
            group: c.group,
            title: c.title,
            timeout_s: c.timeout.as_secs(),
            proves: c.proves,
        })
        .collect();
    if args.markdown {
        context.ui.result(&checks::table::markdown(&KnownFailures::load()?));
    } else if context.global.json {
        context.ui.json(&serde_json::json!({ "schema": record::SCHEMA, "checks": listed }))?;
    } else {
        for check in &listed {
            context.ui.result(&format!("{:<23} {}", check.id, check.title));
        }
    }
    Ok(Status::Yes)
}
