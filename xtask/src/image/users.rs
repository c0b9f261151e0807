// SPDX-License-Identifier: MIT
//! The users and groups that systemd's files belong to, added to a base when the image is made.
//!
//! systemd adds them at each boot that lacks them, but a container whose root is read-only cannot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::base::{Base, Contents};
use super::{EPOCH_S, Layer};
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
        // A program for another machine cannot be asked; systemd does it at boot.
        let foreign = self.arch.as_deref().is_some_and(|arch| arch != super::arch());
        if self.layers.is_empty() || foreign {
            return Ok(self);
        }
        if let Some(layer) = users(&self, systemd)
            .with_context(|| format!("cannot add systemd's users to {}", self.name))?
        {
            self.layers.push(layer);
        }
        Ok(self)
    }
}

fn users(base: &Base, systemd: &Path) -> Result<Option<Layer>> {
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
    let libraries = ["usr/lib/@/systemd", "usr/lib/systemd", "lib/systemd"]
        .map(|dir| systemd.join(dir.replace('@', &super::needs::triplet())).display().to_string());
    let program = [systemd.join("usr/bin/systemd-sysusers"), systemd.join("bin/systemd-sysusers")]
        .into_iter()
        .find(|p| p.is_file())
        .ok_or_else(|| Fault::new(format!("{} has no systemd-sysusers", systemd.display())))?;
    Call::new(&program)
        .arg("--root")
        .arg(root.path())
        .env("LD_LIBRARY_PATH", libraries.join(":"))
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
