// SPDX-License-Identifier: MIT
//! The users and groups that systemd's files belong to, added to a base when the image is made.
//!
//! systemd adds them at each boot that lacks them, but a container whose root is read-only cannot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::base::{Base, Contents};
use super::{Content, EPOCH_S, Layer};
use crate::arch::Arch;
use crate::bootstrap;
use crate::exec::Call;
use crate::fault::Fault;

/// The data base of users.
const FILES: [&str; 4] = ["etc/group", "etc/gshadow", "etc/passwd", "etc/shadow"];

/// Where sysusers.d(5) files are, the stronger first.
const RULES: [&str; 2] = ["etc/sysusers.d", "usr/lib/sysusers.d"];

impl Base {
    /// The base with one more layer: what systemd-sysusers of the install tree `systemd` makes of its
    /// users and groups. The base itself, if nothing changes or there is none.
    ///
    /// # Errors
    /// The program does not run, or refuses the base's files.
    pub fn with_users(mut self, systemd: &Path) -> Result<Base> {
        // A program of an unknown machine cannot be asked; systemd does it at boot.
        let foreign = self.arch.as_deref().filter(|arch| *arch != super::arch());
        let known = foreign.and_then(Arch::named);
        if self.layers.is_empty() || (foreign.is_some() && known.is_none()) {
            return Ok(self);
        }
        if let Some(layer) = users(&self, systemd, known)
            .with_context(|| format!("cannot add systemd's users to {}", self.name))?
        {
            self.layers.push(layer);
        }
        Ok(self)
    }
}

impl Base {
    /// Unpacks the shared libraries of a base for `arch` below `to`; gives their folder.
    fn libraries(&self, arch: Arch, to: &Path) -> Result<PathBuf> {
        let folder = Path::new("usr/lib").join(arch.triplet());
        for layer in &self.layers {
            let reader: Box<dyn std::io::Read> = match &layer.content {
                Content::File(path) => Box::new(fs::File::open(path)?),
                Content::Memory(bytes) => Box::new(std::io::Cursor::new(bytes.to_vec())),
            };
            for entry in tar::Archive::new(reader).entries()? {
                let mut entry = entry?;
                let path = entry.path()?.into_owned();
                // Their owners are not needed, and none but root could set them.
                entry.set_preserve_permissions(false);
                if path.strip_prefix(".").unwrap_or(&path).parent() == Some(&folder)
                    && !entry.header().entry_type().is_dir()
                {
                    entry.unpack_in(to)?;
                }
            }
        }
        Ok(to.join(folder))
    }
}

fn users(base: &Base, systemd: &Path, foreign: Option<Arch>) -> Result<Option<Layer>> {
    let root = tempfile::tempdir().context("cannot make a temporary folder")?;
    let contents = Contents::read(&base.layers)?;
    let put = |path: &Path, bytes: &[u8]| -> Result<()> {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    for file in FILES {
        if let Some(bytes) = contents.bytes(file)? {
            put(Path::new(file), &bytes)?;
        }
    }
    for folder in RULES {
        for path in contents.files_in(folder) {
            put(&path, &contents.bytes(&path.to_string_lossy())?.unwrap_or_default())?;
        }
        for entry in fs::read_dir(systemd.join(folder)).into_iter().flatten() {
            let path = entry?.path();
            let name = Path::new(folder).join(path.file_name().unwrap_or_default());
            if path.extension().is_some_and(|e| e == "conf") {
                put(&name, &fs::read(&path)?)?;
            }
        }
    }
    let triplet = foreign.map_or_else(super::needs::triplet, |arch| arch.triplet().to_owned());
    let mut libraries = ["usr/lib/@/systemd", "usr/lib/systemd", "lib/systemd"]
        .map(|dir| systemd.join(dir.replace('@', &triplet)).display().to_string())
        .join(":");
    let program = [systemd.join("usr/bin/systemd-sysusers"), systemd.join("bin/systemd-sysusers")]
        .into_iter()
        .find(|p| p.is_file())
        .ok_or_else(|| Fault::new(format!("{} has no systemd-sysusers", systemd.display())))?;
    let unpacked = tempfile::tempdir().context("cannot make a temporary folder")?;
    let call = match foreign {
        None => Call::new(&program).env("LD_LIBRARY_PATH", libraries),
        Some(arch) => {
            let own = base.libraries(arch, unpacked.path())?;
            libraries = format!("{libraries}:{}", own.display());
            let loader = Path::new(arch.loader()).file_name().unwrap_or_default();
            Call::new(bootstrap::emulator(arch)?)
                .arg(own.join(loader))
                .args(["--library-path", &libraries])
                .arg(&program)
        }
    };
    call.arg("--root")
        .arg(root.path())
        // The day of a password's last change.
        .env("SOURCE_DATE_EPOCH", EPOCH_S.to_string())
        .text()?;
    let mut tar = tar::Builder::new(Vec::new());
    let mut changed = false;
    for file in FILES {
        let before = contents.file(file)?;
        // Where a base keeps no passwords, none are added: nobody of systemd's has one.
        if before.is_none() && file.ends_with("shadow") {
            continue;
        }
        let Ok(bytes) = fs::read(root.path().join(file)) else { continue };
        if before.as_ref().is_some_and(|old| old.bytes == bytes) {
            continue;
        }
        changed = true;
        let mut header = tar::Header::new_gnu();
        header.set_mtime(EPOCH_S);
        header.set_mode(before.as_ref().map_or(0o644, |old| old.mode));
        header.set_uid(before.as_ref().map_or(0, |old| old.uid));
        header.set_gid(before.as_ref().map_or(0, |old| old.gid));
        header.set_size(bytes.len() as u64);
        // Where the base's own file is, should the path be a link.
        let at = contents.resolve(file).unwrap_or_else(|| PathBuf::from(file));
        tar.append_data(&mut header, at, bytes.as_slice())?;
    }
    let bytes = tar.into_inner()?;
    Ok(changed.then(|| Layer::from_bytes(bytes, "systemd-sysusers")))
}
