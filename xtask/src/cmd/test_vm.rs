// SPDX-License-Identifier: MIT
//! `cargo xtask test-vm`

use std::time::{Duration, Instant};

use anyhow::Result;

use super::prepare::{self, Flavours};
use super::test_image::{self, Run};
use super::{Context, test_nixos};
use crate::arch::Arch;
use crate::engine::{self, Engine};
use crate::exec::Call;
use crate::fault::{Fault, Status};
use crate::image::base::Debian;
use crate::requirements::{self, Need};
use crate::vm::{
    self,
    disk::{self, Disk},
};

/// Boot patched systemd in containers of a virtual machine and judge it by the same checks
///
/// Makes a Debian guest with Docker (cached), boots it under QEMU, with KVM where that works and by
/// emulation elsewhere, and runs the checks of test-image on its engine: another kernel, another
/// Docker, AppArmor, and a cgroup tree with every controller. The guest has no network, and its
/// engine is reached without any open port.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test-vm
  cargo xtask test-vm --guest bookworm --systemd 257
  cargo xtask test-vm --arch arm64")]
pub struct Args {
    /// Versions to test, such as 262 or 257.13 (default: the newest in patches/sources.lock)
    #[arg(long, value_name = "VERSION", num_args = 1..)]
    pub systemd: Vec<String>,

    /// The guest's architecture (default: this machine's)
    #[arg(long, value_enum)]
    pub arch: Option<Arch>,

    /// The guest's Debian: bookworm has Docker 20.10, trixie 26.1, forky 28.5; or `nixos`: the tests
    /// of vm-tests/ in NixOS machines, with its image, Docker and podman (needs Nix and KVM)
    #[arg(long, value_name = "SUITE", default_value = disk::SUITE, value_parser = GUESTS)]
    pub guest: String,

    /// How the guest runs its engine; but for `docker` only the checks that are about it are tried
    #[arg(long, value_enum, default_value = "docker")]
    pub engine: vm::Mode,

    /// Do not try KVM
    #[arg(long)]
    pub emulate: bool,

    /// Put load on the engine and break things instead: fifty containers at once, the engine restarted
    /// under them, no memory, no space, a clock that jumps
    #[arg(long, conflicts_with = "record")]
    pub faults: bool,

    /// Judge stock systemd instead, which is refused (exit code 1)
    #[arg(long)]
    pub stock: bool,

    /// Run only these checks, and the preconditions
    #[arg(long, value_name = "CHECK", num_args = 1..)]
    pub only: Vec<String>,

    /// Let these checks alone be skipped where the engine cannot try them (default: any)
    #[arg(long, value_name = "CHECK", num_args = 0..)]
    pub may_skip: Option<Vec<String>>,

    /// Note in patches/sources.lock which versions were proved to run (of `nixos`: in
    /// vm-tests/executed.json which tests held)
    #[arg(long, conflicts_with_all = ["stock", "only"])]
    pub record: bool,

    /// How long the guest may take to boot (default: 60 with KVM, 300 by emulation)
    #[arg(long, value_name = "SECONDS")]
    pub boot_deadline: Option<u64>,

    /// Words for the guest's kernel command line
    #[arg(long, value_name = "WORD", num_args = 1.., allow_hyphen_values = true)]
    pub append: Vec<String>,
}

/// Every guest there is.
const GUESTS: [&str; 4] = [disk::SUITES[0], disk::SUITES[1], disk::SUITES[2], test_nixos::GUEST];

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    if args.guest == test_nixos::GUEST {
        return if args.is_plain() {
            test_nixos::run(context, args.record)
        } else {
            Err(Fault::new("--guest nixos takes none but --record: its image is NixOS' own")
                .hint("cargo xtask test-vm --guest nixos")
                .into())
        };
    }
    let (inner, arch) = (args.inner(), args.guest_arch()?);
    test_image::known_checks(&inner)?;
    let options = vm::Options {
        deadline: args.boot_deadline.map(Duration::from_secs),
        append: args.append.clone(),
        emulate: args.emulate,
        mode: args.engine,
    };
    examine(context, &inner, arch, &args.guest, &options, again(args))
}

/// Makes what [`run`] would make and test-image would not: a guest's disk, and of another architecture
/// also systemd and the image's base. So both may go on at the same time.
///
/// # Errors
/// As [`run`], up to the boot.
pub fn make_ready(context: &Context<'_>, args: &Args) -> Result<()> {
    let arch = args.guest_arch()?;
    if arch.is_native() {
        let overlay = context.checkout.guest();
        return disk::disk(&context.cache, &overlay, arch, &args.guest, context.ui).map(drop);
    }
    make(context, &args.inner(), arch, &args.guest).map(drop)
}

/// What `test-image` does for an architecture that this machine does not have.
pub fn on_guest_of(context: &Context<'_>, args: &test_image::Args, arch: Arch) -> Result<Status> {
    let again = format!("test-image --arch {arch}");
    examine(context, args, arch, disk::SUITE, &vm::Options::default(), again)
}

fn examine(
    context: &Context<'_>,
    inner: &test_image::Args,
    arch: Arch,
    suite: &str,
    options: &vm::Options,
    again: String,
) -> Result<Status> {
    let begin = Instant::now();
    let disk = make(context, inner, arch, suite)?;
    let run = Run::new(context, again, begin);
    let machine = vm::boot(&context.cache, &disk, options, &run.dir, context.ui)?;
    let emulated = machine.accelerator == vm::qemu::Accelerator::Tcg;
    let cli = machine.cli();
    let keeper = Box::new(Guest { machine });
    let engine = Engine::in_guest(cli, emulated, vm::link::FIRST_ANSWER, keeper)?;
    test_image::run_on(context, inner, None, &engine, run)
}

/// What is there before the guest is booted; its disk is given back.
fn make(context: &Context<'_>, inner: &test_image::Args, arch: Arch, suite: &str) -> Result<Disk> {
    let needs = match arch.is_native() {
        true => &[Need::Sources, Need::Build, Need::Image, Need::Vm][..],
        false => &[Need::Sources, Need::Build, Need::Image, Need::Vm, Need::Foreign],
    };
    requirements::ensure(needs, context.ui, &context.cache)?;
    // Otherwise the minutes of a build would be for nothing.
    disk::can_be_had(&context.cache, &context.checkout.guest(), arch, suite)?;
    // Built first: a compiler and an emulated machine would only take each other's time.
    let flavours = Flavours { stock: inner.looks_at_stock(), patched: !inner.stock };
    prepare::build(context, &inner.systemd, flavours, Some(arch))?;
    let disk = disk::disk(&context.cache, &context.checkout.guest(), arch, suite, context.ui)?;
    // The same goes for the image's base, which of another architecture takes minutes.
    Debian { extra: Vec::new(), pinned: None, arch: Some(arch) }
        .base(&context.cache, context.ui)?;
    Ok(disk)
}

impl Args {
    /// What test-image is asked for in the guest.
    fn inner(&self) -> test_image::Args {
        let only = match (self.only.as_slice(), self.engine.checks()) {
            ([], Some(checks)) if !self.faults => checks.into_iter().map(str::to_owned).collect(),
            (named, _) => named.to_vec(),
        };
        test_image::Args {
            systemd: self.systemd.clone(),
            stock: self.stock,
            arch: self.arch,
            only,
            may_skip: self.may_skip.clone(),
            record: self.record,
            faults: self.faults,
            ..test_image::Args::default()
        }
    }

    fn guest_arch(&self) -> Result<Arch> {
        self.arch.or(Arch::host()).ok_or_else(|| {
            Fault::cannot_try(format!("no guest for {}", std::env::consts::ARCH)).into()
        })
    }

    /// Nothing is asked for but the guest, and to note what it saw.
    fn is_plain(&self) -> bool {
        let Args { systemd, arch, guest: _, emulate, stock, only, may_skip, .. } = self;
        let none = systemd.is_empty() && arch.is_none() && only.is_empty() && may_skip.is_none();
        let set = *emulate
            || *stock
            || self.faults
            || self.engine != vm::Mode::default()
            || self.boot_deadline.is_some();
        none && !set && self.append.is_empty()
    }
}

/// The words that repeat the run.
fn again(args: &Args) -> String {
    let mut words = vec!["test-vm".to_owned()];
    if let Some(arch) = args.arch {
        words.push(format!("--arch {arch}"));
    }
    if args.guest != disk::SUITE {
        words.push(format!("--guest {}", args.guest));
    }
    if args.engine != vm::Mode::default() {
        words.push(format!("--engine {}", args.engine.name()));
    }
    if args.faults {
        words.push("--faults".to_owned());
    }
    if args.emulate {
        words.push("--emulate".to_owned());
    }
    words.join(" ")
}

/// Ends the machine with the engine.
#[derive(Debug)]
struct Guest {
    machine: vm::Machine,
}

impl engine::Keeper for Guest {
    fn shell(&self, script: &str) -> Option<Call> {
        Some(self.machine.shell(script))
    }

    fn bring(&self, archive: &engine::Archive<'_>) -> Option<Result<Call>> {
        Some(self.machine.bring(archive))
    }

    fn keep(&self) -> Result<()> {
        self.machine.keep()
    }
}
