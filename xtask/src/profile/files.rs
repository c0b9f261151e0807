// SPDX-License-Identifier: MIT
//! What the profile puts into an image's file system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Profile, UnitSetting};

/// Something that the profile puts into the image's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// An absolute path in the image.
    pub path: PathBuf,
    pub node: Node,
}

/// What lies at a [`Placement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file, mode 0644, of root.
    File(String),
    /// A symbolic link to this target.
    Link(PathBuf),
}

impl Profile {
    /// What the profile puts into the image's file system, in a fixed order. Files that are there
    /// are replaced, whatever they are.
    pub fn placements(&self) -> Vec<Placement> {
        let units = Path::new("/etc/systemd/system");
        let link = |path: PathBuf, target: PathBuf| Placement { path, node: Node::Link(target) };
        let mut all = Vec::new();
        if let Some(id) = &self.machine_id {
            let path = PathBuf::from("/etc/machine-id");
            all.push(Placement { path, node: Node::File(id.value.clone()) });
        }
        if let Some(target) = &self.default_target {
            let target = Path::new("/usr/lib/systemd/system").join(&target.value);
            all.push(link(units.join("default.target"), target));
        }
        for unit in &self.masked_units {
            all.push(link(units.join(&unit.value), PathBuf::from("/dev/null")));
        }
        // 90: after the drop-ins of a base image, which the profile must win over.
        for (file, section, settings) in [
            ("system.conf", "Manager", &self.manager),
            ("journald.conf", "Journal", &self.journald),
            ("logind.conf", "Login", &self.logind),
        ] {
            if !settings.is_empty() {
                let lines: String =
                    settings.iter().map(|(key, e)| format!("{key}={}\n", e.value)).collect();
                all.push(Placement {
                    path: format!("/etc/systemd/{file}.d/90-plainboot.conf").into(),
                    node: Node::File(format!("[{section}]\n{lines}")),
                });
            }
        }
        if !self.tmpfiles.is_empty() {
            let lines = self.tmpfiles.iter().map(|e| format!("{}\n", e.value)).collect();
            let path = PathBuf::from("/etc/tmpfiles.d/90-plainboot.conf");
            all.push(Placement { path, node: Node::File(lines) });
        }
        let mut drop_ins: BTreeMap<&str, String> = BTreeMap::new();
        for UnitSetting { unit, section, key, value } in self.unit_settings.iter().map(|e| &e.value)
        {
            // A section may be opened more than once in a unit's file.
            *drop_ins.entry(unit).or_default() += &format!("[{section}]\n{key}={value}\n");
        }
        for (unit, text) in drop_ins {
            let path = units.join(format!("{unit}.d/90-plainboot.conf"));
            all.push(Placement { path, node: Node::File(text) });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = include_str!("../../../nix/profile.json");

    #[test]
    fn the_files_of_the_image() {
        let placements = Profile::parse(REAL).unwrap().placements();
        let text: Vec<String> = placements
            .iter()
            .map(|p| match &p.node {
                Node::File(content) => format!("{} {content:?}", p.path.display()),
                Node::Link(target) => format!("{} -> {}", p.path.display(), target.display()),
            })
            .collect();
        assert_eq!(
            text,
            [
                "/etc/machine-id \"\"",
                "/etc/systemd/system/default.target -> /usr/lib/systemd/system/multi-user.target",
                "/etc/systemd/system/tmp.mount -> /dev/null",
                "/etc/systemd/system/run-lock.mount -> /dev/null",
                "/etc/systemd/system/systemd-ask-password-console.path -> /dev/null",
                "/etc/systemd/system/systemd-ask-password-wall.path -> /dev/null",
                "/etc/systemd/system.conf.d/90-plainboot.conf \"[Manager]\\nShowStatus=no\\n\"",
                "/etc/systemd/journald.conf.d/90-plainboot.conf \"[Journal]\\nForwardToConsole=yes\\n\"",
                "/etc/tmpfiles.d/90-plainboot.conf \"d /run/lock 1777 root root -\\n\"",
                "/etc/systemd/system/service.d/90-plainboot.conf \"[Service]\\nPrivateUsers=no\\n\"",
                "/etc/systemd/system/systemd-journald.service.d/90-plainboot.conf \
                 \"[Service]\\nOpenFile=/proc/1/fd/2:console:append,graceful\\n\"",
            ]
        );
    }
}
