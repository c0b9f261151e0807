// SPDX-License-Identifier: MIT
//! `cargo xtask build-image`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Context;
use super::prepare::{self, Installed};
use crate::atomic;
use crate::engine::{self, Choice, Engine};
use crate::fault::{Fault, Status};
use crate::image::base::{self, Debian, Origin};
use crate::image::needs::{self, Needs};
use crate::image::{self, Image, Layer, deb};
use crate::profile::Profile;
use crate::requirements::{self, Need};

/// Make an image with patched systemd that boots in a plain `docker run`
///
/// Without --output the image is loaded into your engine under its --tag. The same version, base and
/// packages give the same digest, on any day and in any folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask build-image --tag my/systemd
  cargo xtask build-image --base debian:bookworm --systemd 257 --tag my/app
  cargo xtask build-image --base rootfs.tar --output image.tar
  cargo xtask build-image --base scratch --tag plainboot/layer   # for COPY --from
  cargo xtask build-image --deb packages                         # for apt install ./FILE")]
pub struct Args {
    /// What to put systemd onto: `debian`, `scratch`, a root file system as .tar, an image archive,
    /// or an image that the engine has
    #[arg(long, value_name = "BASE", default_value = "debian")]
    pub base: String,

    /// The version, such as 262 or 257.13 (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION")]
    pub systemd: Option<String>,

    /// What to call the image
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,

    /// Write an archive for `docker load`, `podman load` or skopeo, instead of loading the image
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Write a Debian package of systemd and its container profile into this folder instead, to be
    /// installed into an image of the same Debian or Ubuntu as this machine's
    #[arg(long, value_name = "DIR")]
    #[arg(conflicts_with_all = ["base", "tag", "output", "with", "packages", "engine"])]
    pub deb: Option<PathBuf>,

    /// Also install these packages (with --base debian)
    #[arg(long, value_name = "PACKAGE", num_args = 1.., conflicts_with = "packages")]
    pub with: Vec<String>,

    /// Install exactly the packages that an earlier image recorded (with --base debian)
    #[arg(long, value_name = "FILE")]
    pub packages: Option<PathBuf>,

    /// The engine that has the base and gets the image
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Choice,
}

/// What came out.
#[derive(Debug, Serialize)]
struct Made {
    schema: u32,
    name: String,
    systemd: String,
    base: String,
    /// The digest of the configuration, and of the OCI manifest.
    digest: String,
    manifest: String,
    /// In bytes: what systemd adds to the base, and all of it.
    systemd_size: u64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<PathBuf>,
    /// Where the package list was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<PathBuf>,
    /// What the base lacks that systemd can do without.
    advice: Vec<String>,
}

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    if let Some(dir) = &args.deb {
        requirements::ensure(&[Need::Sources, Need::Build], context.ui, &context.cache)?;
        let (patched, status) = patched(context, args.systemd.as_ref())?;
        return patched.map_or(Ok(status), |systemd| package(context, &systemd, dir));
    }
    let origin = Origin::parse(&args.base);
    let debian = debian(args, &origin)?;
    let mut needed = vec![Need::Sources, Need::Build];
    if origin == Origin::Debian {
        needed.push(Need::Image);
    }
    requirements::ensure(&needed, context.ui, &context.cache)?;
    // Before the work: an image that nobody can be given is made in vain.
    let engine = engine(context, args, &origin)?;
    let (patched, status) = patched(context, args.systemd.as_ref())?;
    let Some(Patched { installed, layer, profile }) = patched else { return Ok(status) };
    let base = base::get(&origin, &debian, engine.as_ref(), &context.cache, context.ui)?;
    let advice = Needs::of(&layer)?.check(&base, &needs::triplet())?;
    let base = base.with_users(&installed.tree)?;
    let version = installed.identity.version;
    let name = args.tag.clone().unwrap_or_else(|| format!("plainboot:{version}"));
    let image = Image::on(&base, &installed.identity, &profile, layer, Some(&named(&name)));
    let [digest, manifest, _] = image.digests();
    let mut made = Made {
        schema: 1,
        name,
        systemd: version.to_string(),
        base: base.name.clone(),
        digest,
        manifest,
        systemd_size: image.top().size,
        size: image.size(),
        output: None,
        packages: None,
        advice,
    };
    match (&args.output, &engine) {
        (Some(path), _) => {
            let step = context.ui.step(format!("write {}", path.display()));
            atomic::stream(path, |out| image.write_archive(out))?;
            step.done(&format!("{} MB", image.size().div_ceil(1 << 20)));
            made.output = Some(path.clone());
            if !base.packages.is_empty() {
                let list = path.with_extension("packages");
                let text = base.packages.iter().map(|p| format!("{p}\n")).collect::<String>();
                atomic::write(&list, text.as_bytes())?;
                made.packages = Some(list);
            }
        }
        (None, Some(engine)) => {
            engine.load(&image, context.ui)?;
        }
        (None, None) => return Err(anyhow::anyhow!("neither a file nor an engine")),
    }
    report(context, &made, engine.as_ref())?;
    Ok(Status::Yes)
}

/// Patched systemd, built, with its profile.
pub(super) struct Patched {
    pub installed: Installed,
    pub layer: Layer,
    pub profile: Profile,
}

/// Builds the one version that is asked for; `None` if the series does not fit it.
pub(super) fn patched(
    context: &Context<'_>,
    systemd: Option<&String>,
) -> Result<(Option<Patched>, Status)> {
    let sources = prepare::sources(context)?;
    let words: Vec<String> = systemd.into_iter().cloned().collect();
    let versions = prepare::versions(&sources, &words)?;
    let (pairs, status) = prepare::recipes(context, &sources, &versions)?;
    let [pair] = pairs.as_slice() else {
        return Err(Fault::new("--systemd names several versions: an image has one").into());
    };
    let Some(recipe) = &pair.patched else { return Ok((None, status)) };
    let installed = prepare::install(context, &sources, recipe)?;
    let profile = Profile::load(&context.checkout)?;
    let layer = image::systemd_layer(&installed.tree, &profile)?;
    Ok((Some(Patched { installed, layer, profile }), status))
}

/// `--deb`
fn package(context: &Context<'_>, systemd: &Patched, dir: &Path) -> Result<Status> {
    let Patched { installed, layer, .. } = systemd;
    let relations = Needs::of(layer)?.relations(&needs::triplet())?;
    let path = dir.join(deb::file_name(&installed.identity));
    atomic::stream(&path, |out| deb::write(layer, &installed.identity, &relations, out))?;
    if context.global.json {
        context.ui.json(&serde_json::json!({
            "schema": 1,
            "output": path,
            "systemd": installed.identity.version.to_string(),
            "depends": relations.depends,
            "recommends": relations.recommends,
        }))?;
    } else {
        context.ui.result(&path.display().to_string());
        context
            .ui
            .note(&format!("in the image: apt-get install ./{}", deb::NAME.to_owned() + "_*.deb"));
        context.ui.note("and for it:   CMD [\"/sbin/init\"] and STOPSIGNAL SIGRTMIN+3");
    }
    Ok(Status::Yes)
}

/// Docker adds `:latest` to a name without a tag, when it is asked for and when it is loaded.
fn named(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

fn debian(args: &Args, origin: &Origin) -> Result<Debian> {
    if *origin != Origin::Debian && (args.packages.is_some() || !args.with.is_empty()) {
        return Err(Fault::new("--with and --packages are for --base debian")
            .hint("install the packages into the base, before it is given to build-image")
            .into());
    }
    let pinned = match &args.packages {
        None => None,
        Some(path) => Some(pins(path)?),
    };
    Ok(Debian { extra: args.with.clone(), pinned, arch: None })
}

/// A list as `--output` writes it beside the image.
fn pins(path: &Path) -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).filter(|l| !l.is_empty()).collect();
    match lines.iter().find(|l| !l.contains('=') || l.contains(char::is_whitespace)) {
        None if !lines.is_empty() => Ok(lines),
        bad => Err(Fault::new(format!(
            "{}: `{}` is not of the form name=version",
            path.display(),
            bad.map_or("", String::as_str)
        ))
        .hint("give the .packages file that build-image --output wrote")
        .into()),
    }
}

fn engine(context: &Context<'_>, args: &Args, origin: &Origin) -> Result<Option<Engine>> {
    if args.output.is_some() && !origin.needs_engine() {
        return Ok(None);
    }
    if args.engine == Choice::Auto {
        // A private engine would end with this command, and the image with it.
        return match engine::find(Choice::Docker, &context.cache, context.ui) {
            Ok(engine) => Ok(Some(engine)),
            Err(error) => Err(Fault::cannot_try(format!("no engine of yours: {error}"))
                .hint("--output FILE.tar writes an archive that any engine loads")
                .into()),
        };
    }
    engine::find(args.engine, &context.cache, context.ui).map(Some)
}

fn report(context: &Context<'_>, made: &Made, engine: Option<&Engine>) -> Result<()> {
    let ui = context.ui;
    if context.global.json {
        return ui.json(made);
    }
    let mb = |bytes: u64| bytes.div_ceil(1 << 20);
    ui.result(&format!(
        "{}: systemd {} on {}, {} MB ({} MB of them systemd)\ndigest {}",
        made.name,
        made.systemd,
        made.base,
        mb(made.size),
        mb(made.systemd_size),
        made.digest
    ));
    for advice in &made.advice {
        ui.warn(&format!("{} {advice}", made.base));
    }
    if let Some(list) = &made.packages {
        ui.note(&format!("packages: {} (--packages installs the same again)", list.display()));
    }
    if made.base == "scratch" {
        ui.note(&format!("in a Dockerfile: COPY --from={} / /", made.name));
        return Ok(());
    }
    let prompt = engine.map_or_else(|| "docker".to_owned(), Engine::prompt);
    if let Some(path) = &made.output {
        ui.note(&format!("load it:  docker load --input {}", path.display()));
    }
    ui.note(&format!("run it:   {prompt} run --detach {}", made.name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert_eq!(named("a/b"), "a/b:latest");
        assert_eq!(named("host:5000/b"), "host:5000/b:latest");
        assert_eq!(named("a/b:1"), "a/b:1");
    }

    #[test]
    fn package_lists_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.packages");
        std::fs::write(&path, "a=1\nb=2:3-4\n").unwrap();
        assert_eq!(pins(&path).unwrap(), ["a=1", "b=2:3-4"]);
        for text in ["", "a 1\n", "a=1\nb\n"] {
            std::fs::write(&path, text).unwrap();
            let error = format!("{:#}", pins(&path).unwrap_err());
            assert!(error.contains("name=version"), "{error}");
        }
    }
}
