// SPDX-License-Identifier: MIT
//! QEMU's command line.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::disk::Disk;
use super::{parcels, store};
use crate::arch::Arch;
use crate::exec::Job;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU, one by one: ten times slower, and there everywhere.
    Tcg,
}

impl Accelerator {
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }

    /// For the reader.
    pub fn title(self) -> &'static str {
        match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "emulation",
        }
    }
}

/// The program that emulates a whole machine.
pub fn program(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86_64",
        Arch::Arm64 => "qemu-system-aarch64",
    }
}

/// What may be tried on this machine, best first.
pub fn accelerators(arch: Arch) -> Vec<Accelerator> {
    let kvm = Arch::host() == Some(arch)
        && File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if kvm { vec![Accelerator::Kvm, Accelerator::Tcg] } else { vec![Accelerator::Tcg] }
}

/// What a guest is made of beside its disk: files and sockets of this host.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// See [`super::store`].
    pub store: &'a Path,
    /// See [`super::parcels`].
    pub parcels: &'a Path,
    /// Becomes the socket that leads to the guest's virtio port.
    pub port: &'a Path,
    /// Becomes the socket on which QEMU itself is asked.
    pub monitor: &'a Path,
    /// For temporary files, which QEMU unlinks at once.
    pub temporary: &'a Path,
}

/// The guest as a job whose transcript is its console.
pub fn job(
    disk: &Disk,
    accelerator: Accelerator,
    parts: &Parts<'_>,
    append: &[String],
    console: &Path,
) -> Job {
    // Emulation fills every core; whoever works on the machine goes first.
    Job::new("nice", console)
        .args(["-n", "5", program(disk.arch)])
        .args(arguments(disk, accelerator, parts, append))
        .env("TMPDIR", parts.temporary)
        // As long as the checks take; the boot's own deadline is kept by the caller.
        .deadline(Duration::from_secs(24 * 3600))
}

/// The words after the program.
fn arguments(
    disk: &Disk,
    accelerator: Accelerator,
    parts: &Parts<'_>,
    append: &[String],
) -> Vec<String> {
    let (machine, console) = match disk.arch {
        Arch::Amd64 => ("q35", "ttyS0"),
        Arch::Arm64 => ("virt", "ttyAMA0"),
    };
    let (accel, cpu) = match (accelerator, disk.arch) {
        (Accelerator::Kvm, _) => ("kvm", "host"),
        // Without cmpxchg16b: QEMU 7.2 comes back from it with broken flags now and then, which the
        // kernel's allocator (6.12, __kmalloc) dies of with a double fault.
        (Accelerator::Tcg, Arch::Amd64) => ("tcg,thread=multi", "max,cx16=off"),
        // Real pointer authentication costs half of the time.
        (Accelerator::Tcg, Arch::Arm64) => ("tcg,thread=multi", "max,pauth-impdef=on"),
    };
    let mut kernel: Vec<&str> = vec![
        "root=/dev/nvme0n1",
        "rw",
        // Nothing to resume, and no shell to wait in: a panic ends QEMU.
        "panic=-1",
        // From notices upwards: the kernel's name is its first sign of life.
        "loglevel=6",
        "systemd.show_status=1",
        "TERM=dumb",
        // The guest guards nothing, and each costs an emulated machine time.
        "mitigations=off",
    ];
    let console = format!("console={console}");
    kernel.push(&console);
    kernel.extend(append.iter().map(String::as_str));
    let words = [
        ["-machine", machine],
        ["-accel", accel],
        ["-cpu", cpu],
        ["-smp", "2"],
        ["-m", "2048"],
        ["-display", "none"],
        ["-nic", "none"],
        ["-serial", "stdio"],
        // Before every other virtio device: Linux counts them in this order, and the guest opens
        // /dev/vport0p1.
        ["-device", "virtio-serial-pci"],
        ["-device", "virtserialport,chardev=port,name=plainboot,nr=1"],
        ["-device", "virtio-rng-pci"],
        // Debian's cloud kernel has NVMe built in, and virtio disks as a module: so it needs no
        // initrd, which would take seconds to unpack.
        ["-device", "nvme,drive=disk,serial=plainboot"],
        // These wait for that module. Of several NVMe disks, Linux 6.12 may find the last one first.
        ["-device", "virtio-blk-pci,drive=store,serial=store"],
        ["-device", "virtio-blk-pci,drive=parcels,serial=parcels"],
    ];
    let mut all: Vec<String> =
        ["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned).into();
    all.extend(words.iter().flatten().map(|&w| w.to_owned()));
    let option = |path: &Path| path.to_string_lossy().replace(',', ",,");
    all.extend(["-kernel".to_owned(), disk.kernel.to_string_lossy().into_owned()]);
    all.extend(["-append".to_owned(), kernel.join(" ")]);
    all.extend([
        "-drive".to_owned(),
        format!("file={},format=raw,if=none,id=disk,snapshot=on,cache=unsafe", option(&disk.image)),
        "-drive".to_owned(),
        format!(
            "file={},format=raw,if=none,id={},snapshot=on,cache=unsafe",
            option(parts.store),
            store::SERIAL
        ),
        "-drive".to_owned(),
        format!(
            "file={},format=raw,if=none,id={},readonly=on,cache=unsafe",
            option(parts.parcels),
            parcels::SERIAL
        ),
        "-chardev".to_owned(),
        format!("socket,id=port,path={},server=on,wait=off", option(parts.port)),
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", option(parts.monitor)),
    ]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_guest_has_a_network_or_a_lasting_disk() {
        for arch in [Arch::Amd64, Arch::Arm64] {
            let disk = Disk::at(Path::new("/c/a,b"), arch, "trixie");
            for accelerator in [Accelerator::Kvm, Accelerator::Tcg] {
                let parts = Parts {
                    store: Path::new("/c/store"),
                    parcels: Path::new("/c/parcels"),
                    port: Path::new("/c/port"),
                    monitor: Path::new("/c/monitor"),
                    temporary: Path::new("/c"),
                };
                let all = arguments(&disk, accelerator, &parts, &["x=y".into()]);
                let all = all.join(" ");
                assert!(all.contains("-nic none") && !all.contains("tcp:"), "{all}");
                assert!(all.contains("file=/c/a,,b/disk.raw,"), "{all}");
                // Each disk is thrown away or only read.
                let drives = all.matches("format=raw").count();
                let harmless =
                    all.matches("snapshot=on").count() + all.matches("readonly=on").count();
                assert_eq!((drives, harmless), (3, 3), "{all}");
                for serial in [store::SERIAL, parcels::SERIAL] {
                    let device = format!("virtio-blk-pci,drive={serial},serial={serial}");
                    assert!(all.contains(&device), "{all}");
                }
                assert!(all.contains(" x=y -drive"), "{all}");
            }
        }
    }
}
