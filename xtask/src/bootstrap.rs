// SPDX-License-Identifier: MIT
//! mmdebstrap, for roots of this machine's architecture and of others.
//!
//! The programs of a foreign root run under qemu-user. The kernel finds it through binfmt_misc, which
//! since Linux 6.7 every user namespace may have for itself: so nothing is registered on the host, and
//! what is registered goes with the namespace. Older kernels need the host's own registration.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::arch::Arch;
use crate::exec::{self, Call, Job};
use crate::fault::Fault;

/// Becomes `$@` in a user namespace that has all users and groups of the host, and so the same owners
/// of files. Only a process of the parent namespace may write the maps, hence the two pipes.
const ALL_USERS: &str = r#"set -eu
dir=$(mktemp -d)
mkfifo "$dir/up" "$dir/go"
unshare --user --mount sh -c 'echo up >"$1/up"; read -r _ <"$1/go"; rm -r "$1"; shift; exec "$@"' \
    inner "$dir" "$@" &
read -r _ <"$dir/up"
for map in uid gid; do echo '0 0 65536' >"/proc/$!/${map}_map"; done
echo go >"$dir/go"
wait "$!"
"#;

/// Registers the interpreter of `$1` in the namespace's own binfmt_misc and becomes the rest.
const REGISTER: &str = r#"set -eu
if mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; then
    printf '%s' "$1" >/proc/sys/fs/binfmt_misc/register
else
    echo 'trying the interpreters that the host has registered' >&2
fi
shift
exec "$@"
"#;

/// An mmdebstrap for roots of `arch`, contained, without arguments but those that foreign roots need.
///
/// # Errors
/// The root is foreign, and qemu-user is not installed or the kernel would not find it.
pub fn job(arch: Arch, log: &Path) -> Result<Job> {
    let architecture = format!("--architectures={arch}");
    if arch.is_native() {
        return Ok(Job::contained("mmdebstrap", log).arg(architecture));
    }
    let register = registration(arch, &emulator(arch)?);
    needs_namespaces(arch)?;
    let root = rustix::process::geteuid().is_root();
    let job = if root {
        Job::contained("sh", log).args(["-c", ALL_USERS, "all-users"])
    } else {
        // The users of /etc/subuid. Nothing else of theirs is needed: see mmdebstrap(1).
        Job::new("unshare", log)
            .args(["--map-root-user", "--map-auto", "--mount", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc"])
    };
    Ok(job
        .args(["sh", "-c", REGISTER, "register", &register, "mmdebstrap", &architecture])
        // It looks for what is registered on the host.
        .arg("--skip=check/qemu"))
}

/// Whether the kernel lets us have a user namespace, and a binfmt_misc for it.
fn needs_namespaces(arch: Arch) -> Result<()> {
    let inside = |words: &[&str]| -> Result<bool> {
        let call = Call::new("unshare").args(["--map-root-user", "--mount"]).args(words);
        Ok(call.output()?.status.success())
    };
    if !inside(&["true"])? {
        return Err(Fault::cannot_try(format!(
            "no user namespace may be made here, in which {arch} programs could run"
        ))
        .hint("see user.max_user_namespaces, or run it outside of a container")
        .into());
    }
    let registered = Path::new("/proc/sys/fs/binfmt_misc").join(format!("qemu-{}", arch.machine()));
    let own = ["mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc"];
    if !registered.exists() && !inside(&own)? {
        return Err(Fault::cannot_try(format!(
            "the kernel would not find the emulator for {arch} programs: before Linux 6.7 it has to be \
             registered on the host"
        ))
        .hint("apt-get install qemu-user-static binfmt-support, on the host itself")
        .into());
    }
    Ok(())
}

/// What the host's apt was told about reaching archives, as options of its own: its proxies, and whether
/// it takes an archive that has not been renewed for weeks (Debian's testing says until when it is valid).
pub fn host_options() -> Vec<String> {
    chosen(&Call::new("apt-config").arg("dump").text().unwrap_or_default())
}

fn chosen(dump: &str) -> Vec<String> {
    dump.lines()
        .filter(|l| {
            let proxy = l.starts_with("Acquire::http") && l.contains("Proxy");
            let set = !l.ends_with("\"\";");
            set && (proxy || l.starts_with("Acquire::Check-Valid-Until "))
        })
        .map(|l| l.trim_end_matches(';').to_owned())
        .collect()
}

/// The program that runs single programs of this architecture.
///
/// # Errors
/// It is not installed.
pub fn emulator(arch: Arch) -> Result<PathBuf> {
    let machine = arch.machine();
    // Debian's is linked statically, as it must be to work in any root; before trixie it said so.
    let names = [format!("qemu-{machine}-static"), format!("qemu-{machine}")];
    names.iter().find_map(|name| exec::path_of(name)).ok_or_else(|| {
        Fault::cannot_try(format!("`{}` is not installed, {arch} programs cannot run", names[0]))
            .hint("cargo xtask doctor names the package that brings it")
            .into()
    })
}

/// The line for binfmt_misc: an ELF file (64 bit, little endian; executable or shared) of this machine.
/// `F` opens the interpreter now, from outside of the root.
fn registration(arch: Arch, interpreter: &Path) -> String {
    /// `e_machine` of elf(5).
    fn machine(arch: Arch) -> u8 {
        match arch {
            Arch::Amd64 => 62,
            Arch::Arm64 => 183,
        }
    }
    let magic = [
        &b"\x7fELF\x02\x01\x01"[..],
        &[0; 9],
        // e_type: 2 or 3, which the mask makes one.
        &[2, 0, machine(arch), 0],
    ]
    .concat();
    // Any operating system's ABI; every byte of the padding counts.
    let mask = [&[0xff; 7][..], &[0], &[0xff; 8], &[0xfe, 0xff, 0xff, 0xff]].concat();
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\x{byte:02x}");
            text
        })
    };
    format!(":plainboot-{arch}:M::{}:{}:{}:F", hex(&magic), hex(&mask), interpreter.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_host_s_apt_only_what_leads_to_archives_is_taken_over() {
        let dump = "APT::Install-Recommends \"0\";\nAcquire \"\";\nAcquire::http::Proxy \"http://p:1\";\n\
                    Acquire::https::Proxy \"\";\nAcquire::Check-Valid-Until \"false\";\n";
        let proxy = "Acquire::http::Proxy \"http://p:1\"";
        assert_eq!(chosen(dump), [proxy, "Acquire::Check-Valid-Until \"false\""]);
    }

    #[test]
    fn the_registration_is_what_qemu_s_own_package_says() {
        let line = registration(Arch::Arm64, Path::new("/usr/bin/qemu-aarch64-static"));
        assert_eq!(
            line,
            r":plainboot-arm64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F"
        );
    }
}
