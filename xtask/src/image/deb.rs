// SPDX-License-Identifier: MIT
//! systemd's layer as a Debian package (deb(5)), for `apt install ./FILE` in an image of one's own.
//!
//! Like the layer, the package depends on its content alone: the same input gives the same bytes.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::needs::Relations;
use super::{Content, EPOCH_S, Identity, Layer};

/// The package's name.
pub const NAME: &str = "plainboot-systemd";

/// Debian's packages that this one stands for: they hold the same files.
const STANDS_FOR: [&str; 6] = [
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "udev",
    "systemd-standalone-sysusers",
    "systemd-standalone-tmpfiles",
];

/// Others that hold some of its files.
const CLASHES: [&str; 5] = [
    "systemd-boot",
    "systemd-container",
    "systemd-cryptsetup",
    "systemd-resolved",
    "systemd-timesyncd",
];

/// What a layer cannot hold: files that the machine or the container changes. A live system keeps its
/// id; in an image that is being made each container is to choose one.
const AFTER_INSTALL: &str = "#!/bin/sh
# SPDX-License-Identifier: MIT
set -e
if [ \"$1\" = configure ]; then
    systemd-sysusers
    [ -d /run/systemd/system ] || : >/etc/machine-id
fi
";

/// The container's own, which no package may hold; see [`AFTER_INSTALL`].
const LEFT_OUT: [&str; 1] = ["etc/machine-id"];

/// `plainboot-systemd_262+plainboot.0123456789ab_amd64.deb`
pub fn file_name(identity: &Identity) -> String {
    format!("{NAME}_{}_{}.deb", version(identity), super::arch())
}

/// systemd's version, and which patched tree of it. A release candidate sorts before its release.
fn version(identity: &Identity) -> String {
    let version = identity.version.to_string().replace('-', "~");
    let tree = identity.tree.as_deref().unwrap_or("unknown");
    format!("{version}+plainboot.{}", &tree[..tree.len().min(12)])
}

/// Writes the package of a layer made by [`super::systemd_layer`].
///
/// # Errors
/// The layer is not held in memory, or cannot be read.
pub fn write(
    layer: &Layer,
    identity: &Identity,
    relations: &Relations,
    out: &mut dyn Write,
) -> Result<()> {
    let (data, size) = data(layer)?;
    let control = control(identity, relations, size)?;
    let mut archive = ar::Builder::new(out);
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar.gz", &control),
        ("data.tar.gz", &data),
    ] {
        let mut header = ar::Header::new(name.into(), bytes.len() as u64);
        header.set_mtime(EPOCH_S);
        header.set_mode(0o100_644);
        archive.append(&header, bytes)?;
    }
    Ok(())
}

/// The files, and their size in KiB.
fn data(layer: &Layer) -> Result<(Vec<u8>, u64)> {
    let Content::Memory(bytes) = &layer.content else { bail!("the layer is not held in memory") };
    let mut tar = tar::Builder::new(gzip());
    let mut size = 0;
    for entry in tar::Archive::new(bytes.as_slice()).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if LEFT_OUT.iter().any(|left| path == Path::new(left)) {
            continue;
        }
        let mut header = entry.header().clone();
        if let Some(target) = entry.link_name()? {
            tar.append_link(&mut header, &path, target)?;
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            size += content.len() as u64;
            tar.append_data(&mut header, &path, content.as_slice())?;
        }
    }
    Ok((tar.into_inner()?.finish()?, size.div_ceil(1024)))
}

fn control(identity: &Identity, relations: &Relations, size: u64) -> Result<Vec<u8>> {
    let version = version(identity);
    let provides = STANDS_FOR.map(|name| format!("{name} (= {version})")).join(", ");
    let clashes = [STANDS_FOR.as_slice(), &CLASHES].concat().join(", ");
    let list = |names: &[String]| names.join(", ");
    let mut text = String::new();
    writeln!(text, "Package: {NAME}")?;
    writeln!(text, "Version: {version}")?;
    writeln!(text, "Architecture: {}", super::arch())?;
    writeln!(text, "Maintainer: plainboot developers <plainboot@users.noreply.github.com>")?;
    writeln!(text, "Installed-Size: {size}")?;
    writeln!(text, "Depends: {}", list(&relations.depends))?;
    if !relations.recommends.is_empty() {
        writeln!(text, "Recommends: {}", list(&relations.recommends))?;
    }
    writeln!(text, "Provides: {provides}, default-logind, logind")?;
    writeln!(text, "Conflicts: {clashes}")?;
    writeln!(text, "Replaces: {clashes}")?;
    writeln!(text, "Section: admin\nPriority: optional")?;
    writeln!(text, "Description: systemd that boots in a plain `docker run`")?;
    writeln!(
        text,
        " systemd {} with the patches {},",
        identity.version,
        identity.patches.join(", ")
    )?;
    writeln!(text, " and the settings that make a system into a container image.")?;
    let mut tar = tar::Builder::new(gzip());
    for (name, mode, content) in [
        ("control", 0o644, text.as_str()),
        ("postinst", 0o755, AFTER_INSTALL),
        ("triggers", 0o644, "activate-noawait ldconfig\n"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(EPOCH_S);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_bytes())
            .with_context(|| format!("cannot pack {name}"))?;
    }
    Ok(tar.into_inner()?.finish()?)
}

/// Without a time and a name of its own.
fn gzip() -> GzEncoder<Vec<u8>> {
    GzBuilder::new().mtime(0).write(Vec::new(), Compression::default())
}

#[cfg(test)]
mod tests {
    use super::super::base::layer_of;
    use super::*;
    use crate::exec::Call;
    use crate::version::SystemdVersion;

    fn package(files: &[(&str, &[u8])]) -> (Identity, Vec<u8>) {
        let identity = Identity {
            version: SystemdVersion::new(262, 0),
            flavour: "patched".into(),
            patches: vec!["0001-mount-setup".into(), "0002-cgroup".into()],
            tree: Some("0123456789abcdef".into()),
        };
        let relations = Relations {
            depends: vec!["dbus".into(), "libc6 (>= 2.36)".into()],
            recommends: vec![],
        };
        let mut bytes = Vec::new();
        write(&layer_of(files), &identity, &relations, &mut bytes).unwrap();
        (identity, bytes)
    }

    #[test]
    fn dpkg_reads_what_is_written() {
        let files: [(&str, &[u8]); 3] = [
            ("etc/machine-id", b""),
            ("usr/lib/systemd/systemd", b"program"),
            ("usr/sbin/init", b"-> ../lib/systemd/systemd"),
        ];
        let (identity, bytes) = package(&files);
        assert_eq!(bytes, package(&files).1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(&identity));
        std::fs::write(&path, &bytes).unwrap();
        let ask = |args: &[&str]| Call::new("dpkg-deb").args(args).arg(&path).text();
        let Ok(depends) = ask(&["--show", "--showformat=${Version} ${Depends}"]) else {
            return crate::skip::record("this machine has no dpkg-deb").unwrap();
        };
        assert_eq!(depends, "262+plainboot.0123456789ab dbus, libc6 (>= 2.36)");
        let list = ask(&["--contents"]).unwrap();
        assert!(list.contains("usr/sbin/init -> ../lib/systemd/systemd"), "{list}");
        assert!(!list.contains("machine-id"), "{list}");
        let scripts = ask(&["--info"]).unwrap();
        assert!(scripts.contains("postinst") && scripts.contains("triggers"), "{scripts}");
    }
}
