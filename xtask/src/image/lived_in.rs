// SPDX-License-Identifier: MIT
//! What bases of users bring along, as a layer between a clean base and systemd.
//!
//! Some entries of the profile guard against things that the base of the tests does not have: an id
//! that was baked in, a display manager, units of a distribution's own systemd. Whether such an
//! entry is needed shows on a base that has them.

use anyhow::Result;

use super::{EPOCH_S, Layer};

/// Files and their text; a text that begins with `-> ` is a link.
const FILES: [(&str, &str); 4] = [
    // An image that was made from a machine, or by starting systemd in it once.
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    // What graphical.target wants, as lightdm and gdm3 install it, ending as they do without a
    // display.
    (
        "etc/systemd/system/display-manager.service",
        "[Unit]\nDescription=A display manager, without a display\n\
         [Service]\nType=oneshot\nExecStart=/bin/false\n",
    ),
    // Debian's systemd package has such a mount of its own, which upstream's has not.
    (
        "usr/lib/systemd/system/run-lock.mount",
        "[Unit]\nDescription=Lock Directory\nDefaultDependencies=no\nBefore=local-fs.target\n\
         [Mount]\nWhat=tmpfs\nWhere=/run/lock\nType=tmpfs\nOptions=nosuid,nodev,noexec,size=5242880\n",
    ),
    ("usr/lib/systemd/system/local-fs.target.wants/run-lock.mount", "-> ../run-lock.mount"),
];

/// The layer.
///
/// # Errors
/// None that a caller could cause: the tar is written to memory.
pub fn layer() -> Result<Layer> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in FILES {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(EPOCH_S);
        match text.strip_prefix("-> ") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, path, target)?;
            }
            None => {
                header.set_mode(0o644);
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes())?;
            }
        }
    }
    Ok(Layer::from_bytes(tar.into_inner()?, "what bases of users bring along"))
}
