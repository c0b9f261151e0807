// SPDX-License-Identifier: MIT
//! How systemd is configured: what a container's services expect, and nothing for hardware.
//!
//! Options come and go, and change their type, between versions (`homed` is a combo with
//! `true`/`false` in v254 and a feature in v257). So the wishes are written once, and put into the
//! words that the version's own `meson_options.txt` understands.

use std::sync::LazyLock;

use regex::Regex;

use crate::version::SystemdVersion;

/// What we want of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    On,
    Off,
    Text(&'static str),
}
use Wish::{Off, On, Text};

/// What differs from systemd's defaults. An option that a version does not have is left out; an
/// optional library that is not listed is off (see [`arguments`]).
const WISHES: &[(&str, Wish)] = &[
    // What services in a container expect.
    ("pam", On),
    ("seccomp", On),
    ("acl", On),
    ("audit", On),
    ("libcrypt", On),
    ("xz", On),
    ("lz4", On),
    ("zstd", On),
    // v262 builds systemd-shutdown only with libmount, and without it PID 1 ends with status 255.
    ("libmount", On),
    ("blkid", On),
    ("nss-systemd", On),
    ("gshadow", On),
    // Boot loader, firmware, initrd.
    ("bootloader", Off),
    ("efi", Off),
    ("gnu-efi", Off),
    ("tpm", Off),
    ("ukify", Off),
    ("kernel-install", Off),
    ("initrd", Off),
    ("bpf-framework", Off),
    // Hardware.
    ("backlight", Off),
    ("hibernate", Off),
    ("hwdb", Off),
    ("pstore", Off),
    ("quotacheck", Off),
    ("randomseed", Off),
    ("rfkill", Off),
    ("vconsole", Off),
    ("storagetm", Off),
    // What the engine does, or what needs privileges.
    ("binfmt", Off),
    ("coredump", Off),
    ("homed", Off),
    ("imds", Off),
    ("importd", Off),
    ("machined", Off),
    ("mountfsd", Off),
    ("networkd", Off),
    ("nspawn", Off),
    ("nsresourced", Off),
    ("nss-myhostname", Off),
    ("nss-mymachines", Off),
    ("nss-resolve", Off),
    ("oomd", Off),
    ("portabled", Off),
    ("remote", Off),
    ("repart", Off),
    ("resolve", Off),
    ("dns-over-tls", Text("false")),
    ("sysext", Off),
    ("sysinstall", Off),
    ("sysupdate", Off),
    ("sysupdated", Off),
    ("timedated", Off),
    ("timesyncd", Off),
    ("localed", Off),
    ("userdb", Off),
    ("vmspawn", Off),
    ("firstboot", Off),
    ("xdg-autostart", Off),
    ("ldconfig", Off),
    ("smack", Off),
    ("ima", Off),
    ("ipe", Off),
    // How the host's distribution, Debian, lays out its files.
    ("split-usr", Off),
    ("split-bin", On),
    ("nobody-group", Text("nogroup")),
    ("sysvinit-path", Text("")),
    ("sysvrcnd-path", Text("")),
    ("compat-sysv-interfaces", Off),
    ("default-hierarchy", Text("unified")),
    ("create-log-dirs", Off),
    // The same result every time.
    ("mode", Text("release")),
    ("vcs-tag", Off),
    ("time-epoch", Text("1735689600")),
    ("log-message-verification", Off),
    // Documentation, translations, tests: not in an image.
    ("man", Off),
    ("html", Off),
    ("translations", Off),
    ("urlify", Off),
    ("install-tests", Off),
    ("fuzz-tests", Off),
];

/// An option as `meson_options.txt` declares it.
#[derive(Debug, PartialEq, Eq)]
struct Declared<'a> {
    name: &'a str,
    kind: &'a str,
    choices: Vec<&'a str>,
}

/// Reads the declarations. The files of v254 to v262 hold nothing but `option('name', key : value…)`.
fn declared(meson_options: &str) -> Vec<Declared<'_>> {
    static OPTION: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?s)option\('(?<name>[^']+)',\s*type\s*:\s*'(?<kind>\w+)'(?<rest>.*?)(?:\noption\(|\z)")
            .unwrap_or_else(|e| unreachable!("{e}"))
    });
    static CHOICES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?s)choices\s*:\s*\[(?<list>.*?)\]").unwrap_or_else(|e| unreachable!("{e}"))
    });
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(m) = OPTION.captures_at(meson_options, at) {
        let (name, kind, rest) = (&m["name"], &m["kind"], m.name("rest"));
        let (Some(whole), Some(rest)) = (m.get(0), rest) else { break };
        let place = |text: &str| {
            let start = whole.start() + meson_options[whole.start()..].find(text).unwrap_or(0);
            &meson_options[start..start + text.len()]
        };
        let choices = CHOICES
            .captures(rest.as_str())
            .and_then(|c| c.name("list"))
            .map(|list| list.as_str().split('\'').skip(1).step_by(2).collect())
            .unwrap_or_default();
        found.push(Declared { name: place(name), kind: place(kind), choices });
        at = rest.end();
    }
    found
}

/// The `-D` arguments for `meson setup` of a version, given the text of its `meson_options.txt`.
///
/// Features that are not wished for are off by `auto_features`; before they became features
/// (v255 and older) they were combos of `auto`, `true` and `false`, and are turned off one by one,
/// so that what happens to be installed on the build machine changes nothing.
pub fn arguments(meson_options: &str, version: SystemdVersion) -> Vec<String> {
    let mut arguments = vec!["-Dauto_features=disabled".to_owned()];
    for option in declared(meson_options) {
        let wish = WISHES.iter().find(|(name, _)| *name == option.name).map(|(_, wish)| *wish);
        let words = match (option.kind, option.choices.contains(&"enabled")) {
            ("feature", _) | ("combo", true) => ("enabled", "disabled"),
            _ => ("true", "false"),
        };
        let automatic = option.kind == "combo"
            && ["auto", "true", "false"].iter().all(|c| option.choices.contains(c));
        let value = match wish {
            // Up to v255 a point release calls itself by its major version unless told better.
            _ if option.name == "version-tag" => &version.to_string(),
            Some(On) => words.0,
            Some(Off) => words.1,
            Some(Text(text)) => text,
            None if automatic => "false",
            None => continue,
        };
        arguments.push(format!("-D{}={value}", option.name));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    // As declared in v254.26 and v257.13.
    const V254: &str = "\
option('homed', type : 'combo', choices : ['auto', 'true', 'false'],
       description : 'install the systemd-homed stack')
option('split-usr', type : 'combo', choices : ['auto', 'true', 'false'],
       description : '''/bin, /sbin aren't symlinks into /usr''')
option('efi', type : 'boolean',
       description : 'EFI support')
option('version-tag', type : 'string',
       description : 'override the git version string')
option('selinux', type : 'combo', choices : ['auto', 'true', 'false'],
       description : 'SELinux support')
option('tests', type : 'combo', choices : ['true', 'unsafe', 'false'],
       description : 'enable extra tests')
";
    const V257: &str = "\
option('homed', type : 'feature', deprecated : { 'true' : 'enabled', 'false' : 'disabled' },
       description : 'install the systemd-homed stack')
option('pam', type : 'feature', deprecated : { 'true' : 'enabled', 'false' : 'disabled' },
       description : 'PAM support')
option('nobody-group', type : 'string',
       description : 'The name of the nobody group (the one with GID 65534)',
       value : 'nobody')
option('sysupdated', type: 'combo', value : 'auto',
       choices : ['auto', 'enabled', 'disabled'],
       description : 'install the systemd-sysupdated service')
";

    #[test]
    fn the_wishes_are_put_into_the_words_of_each_version() {
        assert_eq!(
            arguments(V254, SystemdVersion::new(254, 26)),
            [
                "-Dauto_features=disabled",
                "-Dhomed=false",
                "-Dsplit-usr=false",
                "-Defi=false",
                "-Dversion-tag=254.26",
                "-Dselinux=false"
            ]
        );
        assert_eq!(
            arguments(V257, SystemdVersion::new(257, 13)),
            [
                "-Dauto_features=disabled",
                "-Dhomed=disabled",
                "-Dpam=enabled",
                "-Dnobody-group=nogroup",
                "-Dsysupdated=disabled"
            ]
        );
    }

    #[test]
    fn every_wish_is_named_once() {
        let mut names: Vec<_> = WISHES.iter().map(|(name, _)| name).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
