// SPDX-License-Identifier: MIT
//! Which mirror the host's own apt uses, and which keys it trusts for it. No address is written
//! in plainboot: where the host has none, there is no distribution to ask.

use std::path::Path;

use anyhow::Result;
use xshell::{Shell, cmd};

use super::apt::Archive;
use crate::exec;

/// Suites that hold other systemd versions than the host's own. Debian's are named by role, which
/// stays true when a release moves on.
const DEBIAN_SUITES: [&str; 6] =
    ["oldstable", "oldstable-backports", "stable", "stable-backports", "testing", "unstable"];
const UBUNTU_SUITES: [&str; 1] = ["devel"];

/// One repository of the host's list of sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Target {
    uri: String,
    release: String,
    codename: String,
    suite: String,
    origin: String,
    component: String,
    /// File and line, or paragraph, of the entry.
    entry: String,
}

/// The archive to ask on this host; `Err` carries the reason why there is none, for the reader.
pub fn archive() -> Result<Result<Archive, String>> {
    if !exec::have("apt-get") || !exec::have("apt-cache") {
        return Ok(Err("no apt on this machine".into()));
    }
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let shell = Shell::new()?;
    let format =
        "$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(SUITE)|$(ORIGIN)|$(COMPONENT)|$(SOURCESENTRY)";
    let text = exec::read(
        cmd!(shell, "apt-get indextargets --format {format} 'Created-By: Packages'")
            .env("LC_ALL", "C"),
    )?;
    let targets: Vec<Target> = text.lines().filter_map(parse_target).collect();
    let found = match choose(&targets) {
        Some(found) => Some(found),
        // Images often come without lists, and then apt shows no targets: ask for their addresses.
        None => {
            let lists = tempfile::tempdir()?;
            let lists = lists.path();
            std::fs::create_dir(lists.join("partial"))?;
            let text = exec::read(
                cmd!(shell, "apt-get --print-uris update -o Dir::State::lists={lists}")
                    .env("LC_ALL", "C"),
            )?;
            guess(&text, &os)
        }
    };
    let Some(target) = found else {
        return Ok(Err("no Debian or Ubuntu mirror in the host's apt sources".into()));
    };
    let signed_by = signed_by(&target);
    Ok(Ok(Archive {
        suites: suites(&target),
        distribution: target.origin,
        uri: target.uri,
        signed_by,
    }))
}

fn parse_target(line: &str) -> Option<Target> {
    let mut fields = line.split('|').map(str::to_owned);
    let mut next = || fields.next();
    Some(Target {
        uri: next()?,
        release: next()?,
        codename: next()?,
        suite: next()?,
        origin: next()?,
        component: next()?,
        entry: next()?,
    })
}

/// The distribution's main suite: not `-updates`, `-security` or a third party's.
fn choose(targets: &[Target]) -> Option<Target> {
    let is_main = |t: &&Target| {
        matches!(t.origin.as_str(), "Debian" | "Ubuntu")
            && t.component == "main"
            && !t.uri.starts_with("cdrom")
            && (t.release == t.codename || t.release == t.suite)
            && !t.release.contains('-')
    };
    targets.iter().find(is_main).cloned()
}

/// Without lists: the mirror that has the host's suite, and rather one that also has its
/// `-updates`, which third parties do not.
fn guess(print_uris: &str, os_release: &str) -> Option<Target> {
    let field = |key: &str| {
        let line = os_release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let family = format!("{} {}", field("ID")?, field("ID_LIKE").unwrap_or_default());
    let is = |name: &str| family.split_whitespace().any(|w| w == name);
    let (origin, codename) = if is("ubuntu") {
        ("Ubuntu", field("UBUNTU_CODENAME").or_else(|| field("VERSION_CODENAME"))?)
    } else if is("debian") {
        ("Debian", field("VERSION_CODENAME")?)
    } else {
        return None;
    };
    let uris: Vec<(&str, &str)> = print_uris
        .lines()
        .filter_map(|l| {
            let (base, suite) = l.strip_prefix('\'')?.split_once("/dists/")?;
            Some((base, suite.split_once("/InRelease'")?.0))
        })
        .collect();
    let updates = format!("{codename}-updates");
    let has_updates = |base: &str| uris.iter().any(|(b, s)| *b == base && *s == updates);
    let own: Vec<&str> =
        uris.iter().filter(|(_, suite)| *suite == codename).map(|(base, _)| *base).collect();
    let base = own.iter().find(|b| has_updates(b)).or(own.first())?;
    Some(Target {
        uri: format!("{base}/"),
        release: codename.clone(),
        codename,
        origin: origin.to_owned(),
        component: "main".into(),
        ..Target::default()
    })
}

/// The host's own suite, then those that hold other versions.
fn suites(target: &Target) -> Vec<String> {
    let others: &[&str] = if target.origin == "Ubuntu" { &UBUNTU_SUITES } else { &DEBIAN_SUITES };
    let mut suites = vec![target.release.clone()];
    if target.origin == "Ubuntu" {
        suites.push(format!("{}-updates", target.codename));
    }
    let own = |name: &&&str| **name != target.release && **name != target.suite;
    suites.extend(others.iter().filter(own).map(|s| (*s).to_owned()));
    suites
}

/// The distribution's keyring, which knows newer releases than the host's entry may name, and the
/// keyring of that entry, which knows the key of a mirror that signs for itself.
fn signed_by(target: &Target) -> Option<String> {
    let of_entry = entry_keyring(&target.entry);
    if let Some(key) = of_entry.as_ref().filter(|k| k.contains("BEGIN PGP")) {
        return Some(key.clone());
    }
    let name = target.origin.to_lowercase();
    let own = ["gpg", "pgp"]
        .map(|ext| format!("/usr/share/keyrings/{name}-archive-keyring.{ext}"))
        .into_iter()
        .find(|path| Path::new(path).is_file());
    let mut all: Vec<String> = own.into_iter().collect();
    for key in of_entry.unwrap_or_default().split([',', ' ', '\t']).filter(|k| !k.is_empty()) {
        if !all.iter().any(|k| k == key) {
            all.push(key.to_owned());
        }
    }
    (!all.is_empty()).then(|| all.join(" "))
}

/// `Signed-By` of the entry that apt names as `file:number`.
fn entry_keyring(entry: &str) -> Option<String> {
    let (file, number) = entry.rsplit_once(':')?;
    let number: usize = number.parse().ok()?;
    let text = std::fs::read_to_string(file).ok()?;
    if file.ends_with(".sources") { of_paragraph(&text, number) } else { of_line(&text, number) }
}

fn of_paragraph(text: &str, number: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let paragraph = lines
        .split(|l| l.trim().is_empty())
        .filter(|p| !p.is_empty())
        .nth(number.checked_sub(1)?)?;
    let mut value: Option<String> = None;
    for line in paragraph {
        match (&mut value, line.starts_with([' ', '\t'])) {
            (Some(value), true) => {
                value.push('\n');
                value.push_str(line);
            }
            (Some(_), false) => break,
            (None, _) => {
                if let Some((key, rest)) = line.split_once(':')
                    && key.eq_ignore_ascii_case("signed-by")
                {
                    value = Some(rest.trim().to_owned());
                }
            }
        }
    }
    value.filter(|v| !v.is_empty())
}

fn of_line(text: &str, number: usize) -> Option<String> {
    let line = text.lines().nth(number.checked_sub(1)?)?;
    let options = line.split_once('[')?.1.split_once(']')?.0;
    options.split_whitespace().find_map(|o| o.strip_prefix("signed-by=")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(line: &str) -> Target {
        parse_target(line).unwrap()
    }

    #[test]
    fn the_main_suite_is_chosen_among_others() {
        let lines = [
            "http://third.party/|bookworm|bookworm|stable|Third|main|/a:1",
            "http://mirror/debian-security/|bookworm-security|bookworm-security|oldstable-security|Debian|main|/a:2",
            "http://mirror/debian/|bookworm-updates|bookworm-updates|oldstable-updates|Debian|main|/a:1",
            "http://mirror/debian/|bookworm|bookworm|oldstable|Debian|contrib|/a:1",
            "http://mirror/debian/|bookworm|bookworm|oldstable|Debian|main|/a:1",
        ]
        .map(target);
        let chosen = choose(&lines).unwrap();
        assert_eq!(chosen, lines[4]);
        assert_eq!(
            suites(&chosen),
            [
                "bookworm",
                "oldstable-backports",
                "stable",
                "stable-backports",
                "testing",
                "unstable"
            ]
        );
        assert_eq!(choose(&lines[..4]), None);
    }

    #[test]
    fn ubuntu_asks_its_own_suites() {
        let t = target("http://mirror/ubuntu/|noble|noble|noble|Ubuntu|main|/a:1");
        assert_eq!(suites(&choose(&[t]).unwrap()), ["noble", "noble-updates", "devel"]);
    }

    #[test]
    fn a_host_without_lists_is_guessed_from_the_addresses() {
        let uris = "'https://third.party/dists/bookworm/InRelease' a 0 \n\
                    'http://mirror/debian/dists/bookworm/InRelease' b 0 \n\
                    'http://mirror/debian/dists/bookworm-updates/InRelease' c 0 \n\
                    'http://mirror/debian/dists/bookworm/main/binary-amd64/Packages.xz' d 0 \n";
        let os = "ID=debian\nVERSION_CODENAME=bookworm\n";
        let guessed = guess(uris, os).unwrap();
        assert_eq!(
            (guessed.uri.as_str(), guessed.origin.as_str()),
            ("http://mirror/debian/", "Debian")
        );
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nUBUNTU_CODENAME=noble\n";
        assert_eq!(guess(uris, mint), None);
        assert_eq!(guess(uris, "ID=fedora\n"), None);
    }

    #[test]
    fn the_keyring_of_an_entry() {
        let sources = "# comment\nTypes: deb\nSigned-By: /a.gpg\n\nTypes: deb\nsigned-by:\n \
                       -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\nSuites: x\n";
        assert_eq!(of_paragraph(sources, 1), Some("/a.gpg".into()));
        let key = of_paragraph(sources, 2).unwrap();
        assert!(key.contains("BEGIN PGP") && key.ends_with("abc"), "{key}");
        assert_eq!(of_paragraph(sources, 3), None);
        let list = "\ndeb [arch=amd64 signed-by=/b.gpg] http://x y main\ndeb http://x y main\n";
        assert_eq!(of_line(list, 2), Some("/b.gpg".into()));
        assert_eq!(of_line(list, 3), None);
    }
}
