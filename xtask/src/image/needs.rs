// SPDX-License-Identifier: MIT
//! What the systemd layer needs of the base below it: an architecture, a C library that is new
//! enough, shared libraries, a merged /usr, no other systemd.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use goblin::elf::Elf;
use serde::Deserialize;

use super::base::{Base, Contents};
use super::{Content, Layer};
use crate::exec::Call;
use crate::fault::Fault;

/// Where a loader of Debian's looks, for programs of this machine's architecture.
const FOLDERS: [&str; 6] = ["usr/lib/@", "lib/@", "usr/lib64", "lib64", "usr/lib", "lib"];

/// What the ELF files of a layer ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Sonames that must be there.
    libraries: BTreeSet<String>,
    /// What systemd loads if it is there: each one of several sonames; without it a feature is
    /// missing.
    recommended: BTreeSet<Vec<String>>,
    /// The same, but systemd does not work without.
    required: BTreeSet<Vec<String>>,
    /// The symbol versions asked of each library: `libc.so.6`, `GLIBC_2.36`.
    versions: BTreeMap<String, BTreeSet<String>>,
    machine: Option<u16>,
}

/// What no ELF file names: the bus that logind and systemctl speak over, and the PAM files that
/// systemd's own include.
const ALSO: [&str; 3] = ["dbus", "libpam-modules", "libpam-runtime"];

/// What a Debian package of the layer asks for, each sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relations {
    pub depends: Vec<String>,
    pub recommends: Vec<String>,
}

/// One entry of the dlopen note, by systemd's own specification (ELF_DLOPEN_METADATA).
#[derive(Deserialize)]
struct Dlopen {
    soname: Vec<String>,
    #[serde(default)]
    priority: String,
}

impl Needs {
    /// Reads every ELF file of the layer; what one of them brings, another may use.
    pub fn of(layer: &Layer) -> Result<Needs> {
        let Content::Memory(bytes) = &layer.content else { return Ok(Needs::default()) };
        let mut needs = Needs::default();
        let mut brought = BTreeSet::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content)?;
            if let Some(name) = path.file_name() {
                brought.insert(name.to_string_lossy().into_owned());
            }
            if content.starts_with(b"\x7fELF") {
                needs.add(&content).with_context(|| path.display().to_string())?;
            }
        }
        needs.libraries.retain(|l| !brought.contains(l));
        for set in [&mut needs.recommended, &mut needs.required] {
            set.retain(|any| {
                !any.iter().any(|l| brought.contains(l) || needs.libraries.contains(l))
            });
        }
        Ok(needs)
    }

    fn add(&mut self, file: &[u8]) -> Result<()> {
        let elf = Elf::parse(file)?;
        self.machine = Some(elf.header.e_machine);
        self.libraries.extend(elf.libraries.iter().map(|l| (*l).to_owned()));
        for library in elf.verneed.iter().flat_map(|s| s.iter()) {
            let name = elf.dynstrtab.get_at(library.vn_file).unwrap_or_default();
            let versions = self.versions.entry(name.to_owned()).or_default();
            let wanted = library.iter().filter_map(|v| elf.dynstrtab.get_at(v.vna_name));
            versions.extend(wanted.map(str::to_owned));
        }
        let notes = elf.iter_note_sections(file, Some(".note.dlopen")).into_iter().flatten();
        for note in notes.flatten() {
            let text = note.desc.split(|b| *b == 0).next().unwrap_or_default();
            for wanted in serde_json::from_slice::<Vec<Dlopen>>(text).unwrap_or_default() {
                match wanted.priority.as_str() {
                    "required" => self.required.insert(wanted.soname),
                    "recommended" => self.recommended.insert(wanted.soname),
                    _ => continue,
                };
            }
        }
        Ok(())
    }

    /// The same in Debian's words, by what this machine calls the packages: systemd is built against
    /// its libraries.
    ///
    /// # Errors
    /// A library that belongs to no package of this machine: it is not a Debian.
    pub fn relations(&self, triplet: &str) -> Result<Relations> {
        let named = |library: &String| {
            owner(library, triplet).ok_or_else(|| {
                Fault::new(format!("no package of this machine holds {library}"))
                    .hint("a .deb is made on the Debian or Ubuntu that systemd is built on")
            })
        };
        let first = |any: &Vec<String>| any.iter().find_map(|l| owner(l, triplet));
        let mut depends: BTreeSet<String> =
            self.libraries.iter().map(named).collect::<Result<_, _>>()?;
        depends.extend(self.required.iter().filter_map(first));
        depends.extend(ALSO.map(str::to_owned));
        let newest = |versions: &BTreeSet<String>| {
            versions.iter().filter_map(|v| v.strip_prefix("GLIBC_")).filter_map(glibc).max()
        };
        if let Some((major, minor)) = self.versions.values().filter_map(newest).max()
            && depends.remove("libc6")
        {
            depends.insert(format!("libc6 (>= {major}.{minor})"));
        }
        let recommends: BTreeSet<String> =
            self.recommended.iter().filter_map(first).filter(|p| !depends.contains(p)).collect();
        Ok(Relations {
            depends: depends.into_iter().collect(),
            recommends: recommends.into_iter().collect(),
        })
    }

    /// Says why the base cannot carry the layer; gives what it may lack without harm.
    ///
    /// # Errors
    /// All that is wrong with the base, in one message.
    pub fn check(&self, base: &Base, triplet: &str) -> Result<Vec<String>> {
        if base.layers.is_empty() {
            return Ok(Vec::new());
        }
        let contents = Contents::read(&base.layers)?;
        let fault = |problem: String, hint: String| {
            anyhow::Error::from(Fault::new(format!("{}: {problem}", base.name)).hint(hint))
        };
        if let Some(arch) = base.arch.as_deref().filter(|a| *a != super::arch()) {
            let problem = format!("it is for {arch}, systemd was built for {}", super::arch());
            return Err(fault(problem, "give --base an image for this machine".into()));
        }
        if contents.has("usr/lib/systemd/systemd") || contents.has("lib/systemd/systemd") {
            return Err(fault(
                "it holds a systemd of its own".into(),
                "start from a base without the systemd package: Debian's own images have none"
                    .into(),
            ));
        }
        for folder in ["bin", "sbin", "lib"] {
            if contents.has(folder) && contents.link(folder).is_none() {
                return Err(fault(
                    format!("/{folder} is a folder of its own"),
                    "systemd needs a merged /usr: in Debian, install the package usrmerge".into(),
                ));
            }
        }
        let find = |name: &str| {
            FOLDERS
                .iter()
                .map(|f| format!("{}/{name}", f.replace('@', triplet)))
                .find(|path| contents.has(path))
        };
        let none = |any: &&Vec<String>| any.iter().all(|l| find(l).is_none());
        let linked = self.libraries.iter().filter(|l| find(l).is_none());
        let loaded = self.required.iter().filter(none).filter_map(|any| any.first());
        let missing: Vec<&String> = linked.chain(loaded).collect();
        if !missing.is_empty() {
            let list = missing.iter().map(|l| l.as_str()).collect::<Vec<_>>().join(" ");
            return Err(fault(format!("it lacks {list}"), packages(&missing, triplet)));
        }
        for (library, wanted) in &self.versions {
            let Some(path) = find(library) else { continue };
            let bytes = contents.bytes(&path)?.unwrap_or_default();
            let had = offered(&bytes).with_context(|| path.clone())?;
            if let Some(version) = wanted.iter().rev().find(|v| !had.contains(*v)) {
                return Err(fault(
                    format!("its {library} is too old: {version} is wanted"),
                    "systemd is built against this machine's libraries: build where the \
                     distribution is no newer than the base's"
                        .into(),
                ));
            }
            if let Ok(elf) = Elf::parse(&bytes)
                && self.machine.is_some_and(|m| m != elf.header.e_machine)
            {
                return Err(fault(
                    "it is for another architecture".into(),
                    "give --base a root file system for this machine".into(),
                ));
            }
        }
        let mut advice: Vec<String> = self
            .recommended
            .iter()
            .filter(none)
            .map(|any| format!("lacks {}: systemd does without what it is for", any.join(" or ")))
            .collect();
        let bus = ["usr/bin/dbus-daemon", "usr/bin/dbus-broker-launch"];
        if !bus.iter().any(|b| contents.has(b)) {
            advice.push("has no D-Bus daemon: logind will not start (install dbus)".into());
        }
        Ok(advice)
    }
}

/// The symbol versions that a library defines.
fn offered(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let elf = Elf::parse(bytes)?;
    let definitions = elf.verdef.iter().flat_map(|s| s.iter());
    let names = definitions.flat_map(|d| {
        d.iter().filter_map(|a| elf.dynstrtab.get_at(a.vda_name)).collect::<Vec<_>>()
    });
    Ok(names.map(str::to_owned).collect())
}

/// The line that installs the libraries, by what this machine calls their packages.
fn packages(libraries: &[&String], triplet: &str) -> String {
    let mut names = BTreeSet::new();
    names.extend(libraries.iter().filter_map(|library| owner(library, triplet)));
    if names.is_empty() {
        return "install the packages that hold them into the base".into();
    }
    let list = names.into_iter().collect::<Vec<_>>().join(" ");
    format!("in the base: apt-get install {list}")
}

/// The package of this machine that holds a library.
fn owner(library: &str, triplet: &str) -> Option<String> {
    let path = [format!("/lib/{triplet}/{library}"), format!("/usr/lib/{triplet}/{library}")];
    path.iter().find_map(|p| {
        let text = Call::new("dpkg").args(["-S", p]).text().ok()?;
        Some(text.split(':').next()?.to_owned())
    })
}

/// `2.36` -> (2, 36), also of `2.3.4`.
fn glibc(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Debian's name for the folder of this machine's libraries, such as `x86_64-linux-gnu`.
pub fn triplet() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::super::base::layer_of;
    use super::*;

    /// This very test program stands for systemd: a real ELF file with real needs.
    fn program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    fn libc() -> Vec<u8> {
        std::fs::read(format!("/lib/{}/libc.so.6", triplet())).unwrap()
    }

    fn problem(files: &[(&str, &[u8])], arch: Option<&str>) -> Result<Vec<String>> {
        let needs = Needs::of(&layer_of(&[("usr/lib/systemd/systemd", &program())])).unwrap();
        let mut base = Base::of("mine", vec![layer_of(files)]);
        base.arch = arch.map(str::to_owned);
        needs.check(&base, "t")
    }

    #[test]
    fn what_a_base_lacks_is_named() {
        let libc = libc();
        let good: Vec<(&str, &[u8])> = [
            "libc.so.6",
            "libm.so.6",
            "libgcc_s.so.1",
            "libz.so.1",
            "ld-linux-x86-64.so.2",
            "ld-linux-aarch64.so.1",
        ]
        .iter()
        .map(|n| match *n {
            "libc.so.6" => ("usr/lib/t/libc.so.6", libc.as_slice()),
            n => (Box::leak(format!("usr/lib/t/{n}").into_boxed_str()) as &str, libc.as_slice()),
        })
        .collect();
        let said =
            |files: &[(&str, &[u8])], arch| format!("{:#}", problem(files, arch).unwrap_err());
        assert!(said(&good, Some("s390x")).contains("it is for s390x"));
        let with = |extra: (&'static str, &'static [u8])| [good.clone(), vec![extra]].concat();
        assert!(
            said(&with(("usr/lib/systemd/systemd", b"x")), None).contains("a systemd of its own")
        );
        assert!(said(&with(("bin/sh", b"x")), None).contains("/bin is a folder of its own"));
        let none: Vec<(&str, &[u8])> = vec![("usr/bin/sh", b"x")];
        assert!(said(&none, None).contains("it lacks"), "{}", said(&none, None));
        assert!(said(&none, None).contains("libc.so.6"));
        // A library of that name without the symbol versions: this program is a real ELF file.
        let program = program();
        let mut old = good.clone();
        old[0].1 = &program;
        assert!(
            said(&old, None).contains("its libc.so.6 is too old: GLIBC_"),
            "{}",
            said(&old, None)
        );
    }

    #[test]
    fn nothing_is_asked_of_no_base() {
        let needs = Needs::of(&layer_of(&[("usr/lib/systemd/systemd", &program())])).unwrap();
        assert!(needs.libraries.contains("libc.so.6"), "{needs:?}");
        assert!(needs.check(&Base::of("scratch", Vec::new()), "t").unwrap().is_empty());
    }
}
