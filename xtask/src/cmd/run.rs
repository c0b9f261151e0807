// SPDX-License-Identifier: MIT
//! `cargo xtask run`

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Result;

use super::Context;
use super::build_image::{self, Patched};
use crate::boot::bench;
use crate::engine::{self, Choice, Start};
use crate::fault::{Fault, Status};
use crate::image::Image;
use crate::image::base::{self, Debian, Origin};
use crate::image::needs::{self, Needs};
use crate::requirements::{self, Need};

/// Start a container with patched systemd, and give you a shell in it
///
/// Builds what is missing. The container is started by `docker run --detach IMAGE`, with what follows
/// `--` and nothing else, so it has no privileges. It is removed when the shell ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask run
  cargo xtask run --systemd 257 --with nginx -- --publish 8080:80
  cargo xtask run --base my/app
  echo 'systemctl status' | cargo xtask run     # a script instead of a shell")]
pub struct Args {
    /// The version, such as 262 or 257.13 (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION")]
    pub systemd: Option<String>,

    /// What to put systemd onto: `debian`, a root file system as .tar, an image archive, or an image
    /// that the engine has
    #[arg(long, value_name = "BASE", default_value = "debian")]
    pub base: String,

    /// Also install these packages (with --base debian)
    #[arg(long, value_name = "PACKAGE", num_args = 1..)]
    pub with: Vec<String>,

    /// The engine to use
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: Choice,

    /// More options for `docker run`
    #[arg(last = true, value_name = "OPTION")]
    pub options: Vec<String>,
}

/// Slow machines exist.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);

/// bash, where the base has it.
const SHELL: &str = "command -v bash >/dev/null && exec bash -l; exec sh -l";

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let origin = Origin::parse(&args.base);
    if origin == Origin::Scratch {
        return Err(Fault::new(
            "an image of scratch holds no shell, and nothing that systemd needs",
        )
        .hint("cargo xtask build-image --base scratch is for COPY --from")
        .into());
    }
    if origin != Origin::Debian && !args.with.is_empty() {
        return Err(Fault::new("--with is for --base debian").into());
    }
    let ui = context.ui;
    let needed = [Need::Sources, Need::Build, Need::Image, Need::Engine];
    requirements::ensure(&needed, ui, &context.cache)?;
    let engine = engine::find(args.engine, &context.cache, ui)?;
    let (patched, status) = build_image::patched(context, args.systemd.as_ref())?;
    let Some(Patched { installed, layer, profile }) = patched else { return Ok(status) };
    let debian = Debian { extra: args.with.clone(), pinned: None, arch: None };
    let base = base::get(&origin, &debian, Some(&engine), &context.cache, ui)?;
    for advice in Needs::of(&layer)?.check(&base, &needs::triplet())? {
        ui.warn(&format!("{} {advice}", base.name));
    }
    let base = base.with_users(&installed.tree)?;
    let mut identity = installed.identity;
    // So that this image is no other command's older one.
    identity.flavour = "patched, to run".to_owned();
    let image = Image::on(&base, &identity, &profile, layer, None);
    let reference = engine.load(&image, ui)?;
    let options: Vec<&str> = args.options.iter().map(String::as_str).collect();
    let start = Start::plain(&reference).options(&options);
    let container = engine.start(&start)?;
    let booted = bench::boot(&container, engine.patience(BOOT_DEADLINE))?;
    if booted.is_over() {
        return Err(Fault::new(format!("the container has {}", booted.state))
            .hint(container.log()?.lines().rev().take(5).collect::<Vec<_>>().join("\n"))
            .into());
    }
    let (version, ms) = (identity.version, booted.elapsed.as_millis());
    ui.note(&format!("{} {}", engine.prompt(), start.arguments(engine.facts.kind).join(" ")));
    ui.note(&format!("systemd {version} is `{}` after {ms} ms; `exit` removes it", booted.state));
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let how = if terminal { "--interactive --tty" } else { "--interactive" };
    let shell = engine
        .call(["exec"])
        .args(how.split(' '))
        .args([container.id.as_str(), "sh", "-c", SHELL])
        .foreground()?;
    // 128 and more: the shell ended by a signal, or with the container.
    Ok(if terminal || shell.success() { Status::Yes } else { Status::No })
}
