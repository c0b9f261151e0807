// SPDX-License-Identifier: MIT
//! What the user may ask of `test-image`, and the command that asks it again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::prepare::Installed;
use super::via::Via;
use crate::arch::Arch;
use crate::boot::checks::{self, Check, Group};
use crate::engine::Choice;
use crate::exec;
use crate::fault::Fault;
use crate::image::Identity;
use crate::names;
use crate::version::SystemdVersion;

/// Boot patched systemd in a plain container and judge it
///
/// Starts `docker run -d IMAGE` with no option at all, proves that the container is unprivileged,
/// runs the checks, and runs stock systemd as the control: it must work with a writable cgroup tree
/// and be refused in the plain container.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test-image
  cargo xtask test-image --systemd 257 262 --stock
  cargo xtask test-image --only boot.running --keep
  cargo xtask test-image --ablate
  cargo xtask test-image --image my/systemd")]
pub struct Args {
    /// Versions to test, such as 262 or 257.13 (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION", num_args = 1..)]
    pub systemd: Vec<String>,

    /// Test a branch of upstream's, such as main, or any revision of the clone that --systemd-git names
    #[arg(long, value_name = "REV")]
    #[arg(conflicts_with_all = ["systemd", "arch", "ablate", "image", "record", "tree", "stock_tree"])]
    pub revision: Option<String>,

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

    /// Put load on the engine and break things instead: many containers at once, signals in the middle
    /// of the boot, no memory, no space
    #[arg(long, conflicts_with_all = ["ablate", "record", "services", "image"])]
    pub faults: bool,

    /// Judge an image that the engine has already, made elsewhere (NixOS, build-image), by the checks
    /// that need nothing in it but systemd and a shell
    #[arg(long, value_name = "IMAGE")]
    #[arg(conflicts_with_all = ["stock", "ablate", "services", "record", "tree", "stock_tree"])]
    pub image: Option<String>,

    /// How systemd gets onto the image's base: what users do with what build-image makes
    #[arg(long, value_enum, default_value = "layer")]
    #[arg(conflicts_with_all = ["ablate", "record", "services", "image"])]
    pub via: Via,

    /// The image's architecture (default: this machine's). Another one is built by a cross compiler
    /// and boots in a virtual machine, as by `test-vm --arch`
    #[arg(long, value_enum)]
    #[arg(conflicts_with_all = ["ablate", "engine", "image", "keep", "services", "tree", "stock_tree", "via"])]
    pub arch: Option<Arch>,

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

impl Args {
    /// The checks that this run is about.
    pub(super) fn table(&self) -> &'static [&'static Check] {
        match self {
            Args { image: Some(_), .. } => checks::MADE,
            Args { services: true, .. } => checks::REAL,
            Args { faults: true, .. } => checks::FAULTS,
            _ => checks::CHECKS,
        }
    }

    /// Whether this run is about a check.
    pub fn is_about(&self, check: &Check) -> bool {
        match self.only.as_slice() {
            // Of stock systemd, and of what is no layer, there are no two images to compare.
            [] => !((self.stock || self.via != Via::Layer) && check.id == "control.same-layers"),
            only => only.iter().any(|id| id == check.id),
        }
    }

    /// Whether stock systemd is looked at, be it as the control.
    pub fn looks_at_stock(&self) -> bool {
        let control = |c: &&Check| c.group == Group::Control && self.is_about(c);
        self.stock || self.table().iter().any(control)
    }

    /// What records call that which is examined, `made` by its recipe: only one of a release itself, made
    /// and tried in the usual way, may stand for the release.
    pub(super) fn flavour(&self, made: &str) -> String {
        let mut flavour = made.to_owned();
        if self.faults {
            flavour += ", under load";
        }
        if self.via != Via::Layer {
            flavour += &format!(", by {}", self.via.word());
        }
        flavour
    }
}

/// Refuses names of checks that do not exist, and to try those that this run does not have: it would
/// look at the preconditions alone, and call that a proof.
pub fn known_checks(args: &Args) -> Result<()> {
    let named = args.only.iter().chain(args.may_skip.iter().flatten());
    if let Some(unknown) = named.into_iter().find(|id| checks::find(id).is_none()) {
        return Err(Fault::new(format!("there is no check `{unknown}`"))
            .hint(names::hint(
                unknown,
                checks::every().map(|c| c.id),
                "cargo xtask test-image --list-checks",
            ))
            .into());
    }
    let table = args.table();
    if let Some(other) = args.only.iter().find(|id| table.iter().all(|c| c.id != **id)) {
        let hint = match checks::tried_by(other) {
            Some(words) if args.image.is_none() => format!("cargo xtask {words}"),
            _ => format!("they are: {}", table.iter().map(|c| c.id).collect::<Vec<_>>().join(", ")),
        };
        return Err(Fault::new(format!("this run has no check `{other}`")).hint(hint).into());
    }
    Ok(())
}

/// The trees of `--tree` and `--stock-tree`: what to examine, with its control.
pub(super) fn ready_made(args: &Args) -> Result<Option<(Installed, Option<Installed>)>> {
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

/// The command that repeats what failed. `clone` is the user's `--systemd-git`, without which nobody may
/// know a revision.
pub(super) fn again(
    args: &Args,
    clone: Option<&str>,
    command: &str,
    version: SystemdVersion,
    failed: &BTreeSet<&str>,
) -> String {
    let mut words = vec![format!("cargo xtask {command}")];
    match &args.revision {
        None => words.push(format!("--systemd {version}")),
        Some(revision) => {
            words.push(format!("--revision {}", exec::quote(revision)));
            words.extend(clone.map(|path| format!("--systemd-git {}", exec::quote(path))));
        }
    }
    if let Some(image) = &args.image {
        words.push(format!("--image {}", exec::quote(image)));
    }
    if args.stock {
        words.push("--stock".into());
    }
    if args.services {
        words.push("--services".into());
    }
    if args.faults && !command.contains("--faults") {
        words.push("--faults".into());
    }
    if let Some(engine) = clap::ValueEnum::to_possible_value(&args.engine)
        && args.engine != Choice::Auto
    {
        words.push(format!("--engine {}", engine.get_name()));
    }
    if args.via != Via::Layer {
        words.push(format!("--via {}", args.via.word()));
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Flags};

    fn args(words: &[&str]) -> Args {
        let words = ["cargo xtask", "test-image"].iter().chain(words);
        match Flags::try_parse_from(words).unwrap().command {
            Command::TestImage(args) => args,
            other => panic!("{other:?}"),
        }
    }

    /// The page takes what is called `patched` for the release's own run.
    #[test]
    fn what_is_made_or_tried_in_another_way_has_another_name() {
        let flavour = |words: &[&str]| args(words).flavour("patched");
        assert_eq!(flavour(&["--only", "boot.pid1", "--keep"]), "patched");
        assert_eq!(flavour(&["--faults"]), "patched, under load");
        assert_eq!(flavour(&["--via", "deb"]), "patched, by deb");
    }

    /// A control that is not built is not tried, and so proves nothing.
    #[test]
    fn stock_systemd_is_built_for_those_who_look_at_it() {
        let looks = |words: &[&str]| args(words).looks_at_stock();
        assert!(looks(&[]) && looks(&["--only", "boot.pid1", "control.refused"]));
        assert!(looks(&["--stock", "--only", "boot.pid1"]) && looks(&["--via", "deb"]));
        assert!(!looks(&["--only", "boot.pid1"]) && !looks(&["--services"]));
    }

    /// A branch is called by the release that it is on the way to, which is not what was tried.
    #[test]
    fn the_command_that_repeats_a_run_names_what_was_tried() {
        let version = SystemdVersion::new(257, 13);
        let again = |words: &[&str], clone: Option<&str>| {
            again(&args(words), clone, "test-image", version, &["boot.running"].into())
        };
        assert_eq!(
            again(&["--via", "deb"], Some("/a clone")),
            "cargo xtask test-image --systemd 257.13 --via deb --only boot.running"
        );
        assert_eq!(
            again(&["--revision", "v257-stable", "--engine", "private"], Some("/a clone")),
            "cargo xtask test-image --revision v257-stable --systemd-git '/a clone' \
             --engine private --only boot.running"
        );
        assert_eq!(
            again(&["--revision", "main"], None),
            "cargo xtask test-image --revision main --only boot.running"
        );
    }
}
