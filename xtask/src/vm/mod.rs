// SPDX-License-Identifier: MIT
//! A virtual machine with an engine in it, reached without any open TCP port.
//!
//! [`disk`] makes a Debian guest (cached); [`boot`] starts it under QEMU, with KVM where that works
//! and by emulation elsewhere, and reads its console until the guest says how its engine came up
//! ([`console`]). An ssh connection over a virtio port then carries the engine's socket to a socket
//! of the host ([`link`]): for the checks it is an engine like any other. The guest has no network.
//!
//! The disk is opened with a throw-away overlay, which QEMU unlinks as soon as it is open, and both
//! QEMU and ssh get `SIGKILL` with this process: nothing is left however the run ends.

pub mod console;
pub mod disk;
pub mod link;
mod mode;
mod overlay;
mod parcels;
pub mod qemu;
mod qmp;
mod root;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engine::{Archive, Cli};
use crate::exec::{self, Call, Running};
use crate::fault::Fault;
use crate::ui::Ui;
use crate::workspace::{Cache, CacheLock, require_space};
use console::{Ending, Seen};
use disk::Disk;
use link::Link;
pub use mode::Mode;
use parcels::Parcels;
use qemu::{Accelerator, Parts};
use store::Store;

/// From the first instruction to an engine that answers: 20 s of a whole core pair are needed by
/// emulation, more on a busy machine.
const EMULATED_DEADLINE: Duration = Duration::from_secs(300);
const KVM_DEADLINE: Duration = Duration::from_secs(60);
/// A kernel under KVM says its name in well under a second. /dev/kvm of a nested machine may be
/// there and never run an instruction.
const KVM_FIRST_WORD: Duration = Duration::from_secs(10);
/// sshd may still be busy with keys when the engine is up already.
const LINK_DEADLINE: Duration = Duration::from_secs(180);

/// What the throw-away overlays grow to, with fifty containers.
const SPACE_MB: u64 = 1500;

/// How a guest is booted.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Longest time for the boot, instead of the defaults.
    pub deadline: Option<Duration>,
    /// Words for the kernel's command line.
    pub append: Vec<String>,
    /// Do not try KVM.
    pub emulate: bool,
    /// How its engine is run.
    pub mode: Mode,
}

/// A guest whose engine is up; dropping it switches it off.
#[derive(Debug)]
pub struct Machine {
    // Dropped first, so that no call is cut by a dead guest.
    link: Link,
    _qemu: Running,
    mode: Mode,
    store: Store,
    parcels: Mutex<Parcels>,
    monitor: Monitor,
    pub accelerator: Accelerator,
    /// From the start of QEMU to an engine that can be reached.
    pub took: Duration,
    _lock: CacheLock,
}

impl Machine {
    /// How its engine is called.
    pub fn cli(&self) -> Cli {
        self.mode.cli(&self.link)
    }

    /// Puts an image archive where the guest reads it, and gives the call that has its engine load it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn bring(&self, archive: &Archive<'_>) -> Result<Call> {
        let mut parcels = self.parcels.lock().unwrap_or_else(PoisonError::into_inner);
        let parcel = parcels.put(archive)?;
        let words = self.mode.words().join(" ");
        Ok(self.link.shell(&format!("{} | {words} load --quiet", parcel.script())))
    }

    /// Keeps the images that its engines have now for later runs.
    ///
    /// # Errors
    /// See [`Store::keep`].
    pub fn keep(&self) -> Result<()> {
        self.store.keep(&self.link, &self.monitor.0)
    }

    /// A call that runs a shell script in the guest, as root.
    pub fn shell(&self, script: &str) -> Call {
        self.link.shell(script)
    }
}

/// Boots the guest. Its console is kept in `dir`.
///
/// # Errors
/// QEMU is missing ([`crate::fault::Kind::CannotTry`]); the guest does not come up, with the reason that its
/// console tells and the transcript's path; another run uses this guest.
pub fn boot(cache: &Cache, disk: &Disk, options: &Options, dir: &Path, ui: &Ui) -> Result<Machine> {
    let program = qemu::program(disk.arch);
    if !exec::have(program) {
        return Err(Fault::cannot_try(format!("`{program}` is not installed"))
            .hint("cargo xtask doctor names the package that brings it")
            .into());
    }
    let home = cache.vm().join("run");
    // One at a time: two emulated machines on a laptop would both miss their deadlines.
    let lock = cache.lock("vm")?;
    std::fs::create_dir_all(&home)
        .map_err(|e| Fault::new(format!("cannot create {}: {e}", home.display())))?;
    // QEMU stops a guest whose writes find no space, and waits.
    require_space(&home, SPACE_MB)?;
    let mut accelerators = qemu::accelerators(disk.arch);
    accelerators.retain(|a| !(options.emulate && *a == Accelerator::Kvm));
    let mut refused = None;
    for accelerator in accelerators {
        let step = ui.step(format!(
            "boot Debian {} for {} under {}",
            disk.suite,
            disk.arch,
            accelerator.title()
        ));
        let store = Store::of(disk)?;
        let attempt = Attempt { disk, store: &store, options, accelerator, home: &home, dir };
        match attempt.run(|word| step.detail(word))? {
            Up::Reachable(up) => {
                let Reachable { qemu, link, parcels, monitor, took } = *up;
                step.done("its engine can be reached");
                // QEMU has opened it; from here on nobody else can.
                parcels.unlink();
                return Ok(Machine {
                    link,
                    _qemu: qemu,
                    mode: options.mode,
                    store,
                    parcels: Mutex::new(parcels),
                    monitor,
                    accelerator,
                    took,
                    _lock: lock,
                });
            }
            Up::Not(ending, console) => {
                drop(step);
                if accelerator == Accelerator::Kvm && ending.may_be_kvms_fault() {
                    ui.note(&format!("KVM does not work here ({ending}); emulating instead"));
                    continue;
                }
                if matches!(ending, Ending::EngineDown(_) | Ending::NoSpace(_)) {
                    store.doubt();
                }
                refused = Some((ending, console));
            }
        }
    }
    let (ending, console) = refused.unwrap_or((Ending::Silent, dir.to_owned()));
    Err(Fault::new(format!("the guest did not come up: {ending}"))
        .hint(format!("its console: {}", console.display()))
        .into())
}

/// QEMU's socket; removed when the machine is gone.
#[derive(Debug)]
struct Monitor(PathBuf);

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Reachable {
    qemu: Running,
    link: Link,
    parcels: Parcels,
    monitor: Monitor,
    took: Duration,
}

/// One try to boot.
struct Attempt<'a> {
    disk: &'a Disk,
    store: &'a Store,
    options: &'a Options,
    accelerator: Accelerator,
    home: &'a Path,
    dir: &'a Path,
}

enum Up {
    Reachable(Box<Reachable>),
    /// Why not, and where its console is.
    Not(Ending, PathBuf),
}

impl Attempt<'_> {
    fn run(&self, mut tell: impl FnMut(&str)) -> Result<Up> {
        let port = self.home.join("port");
        link::fits(&port)?;
        let _ = std::fs::remove_file(&port);
        let name = format!("console-{}.log", self.accelerator.name());
        let console = self.dir.join(name);
        let start = Instant::now();
        let append = [self.options.mode.kernel(), self.options.append.clone()].concat();
        let monitor = Monitor(self.home.join("monitor"));
        let path = self.home.join("parcels");
        let parcels = Parcels::create(&path)?;
        let parts = Parts {
            store: &self.store.image,
            parcels: &path,
            port: &port,
            monitor: &monitor.0,
            temporary: self.home,
        };
        let mut qemu = qemu::job(self.disk, self.accelerator, &parts, &append, &console).spawn()?;
        let engine = self.options.mode.socket();
        let mut link = Link::new(&self.disk.key, port, engine, self.home, self.dir);
        let (whole, first_word) = match self.accelerator {
            Accelerator::Kvm => (KVM_DEADLINE, KVM_FIRST_WORD),
            Accelerator::Tcg => (EMULATED_DEADLINE, EMULATED_DEADLINE),
        };
        let whole = self.options.deadline.unwrap_or(whole);
        let mut up_since = None;
        loop {
            let ended = qemu.poll()?.is_some();
            let text = read(&console);
            let elapsed = start.elapsed();
            let late = elapsed > whole || (elapsed > first_word && !console::speaks(&text));
            // What it said while it was being asked whether it runs was not read yet.
            let text = if ended { read(&console) } else { text };
            match console::judge(&Seen { console: &text, ended, late }) {
                Some(Ending::EngineUp) => {
                    let since = *up_since.get_or_insert_with(Instant::now);
                    if link.is_up()? {
                        let took = start.elapsed();
                        let up = Reachable { qemu, link, parcels, monitor, took };
                        return Ok(Up::Reachable(Box::new(up)));
                    }
                    if since.elapsed() > LINK_DEADLINE {
                        return Err(link.failure("no connection over the guest's virtio port"));
                    }
                }
                Some(ending) => return Ok(Up::Not(ending, console)),
                // Begun early: its key exchange then overlaps with the engine's start.
                None => _ = link.is_up()?,
            }
            tell(console::last_line(&text));
            exec::sleep(Duration::from_millis(100))?;
        }
    }
}

fn read(console: &Path) -> String {
    let bytes = std::fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
