// SPDX-License-Identifier: MIT
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use xshell::{Shell, cmd};

use super::*;
use crate::exec;
use crate::sources::tarball::tests::archive;

const SHOWSRC: &str = "\
Package: systemd
Version: 257.13-1~deb13u1
Files:
 254373d8d4f5a89c33f3c364c3911e48 16543653 systemd_257.13.orig.tar.gz
Checksums-Sha256:
 0000000000000000000000000000000000000000000000000000000000000000 10 systemd_257.13-1.dsc
 1eb7d5f9ff8a426ff880a3cded9ce819613ba8003ac5ddde9eca162f14ddabe7 16543653 systemd_257.13.orig.tar.gz

Package: systemd
Version: 1:252.39-1~deb12u2
Checksums-Sha256:
 08a54a6c4d4cf969fc025eaa8922a55d6bc458100c242510b56c96e7d72af1c5 12399886 systemd_252.39.orig.tar.gz

Package: systemd
Version: 999-native
Checksums-Sha256:
 08a54a6c4d4cf969fc025eaa8922a55d6bc458100c242510b56c96e7d72af1c5 12399886 systemd_999.tar.xz
";

#[test]
fn paragraphs_give_versions_and_sums() {
    let packages = parse_paragraphs(SHOWSRC);
    let versions: Vec<String> = packages.iter().map(|p| p.version.to_string()).collect();
    assert_eq!(versions, ["252.39", "257.13"]);
    assert_eq!(packages[1].package, "257.13-1~deb13u1");
    assert!(packages[1].sha256.starts_with("1eb7d5f9"));
}

#[test]
fn the_suite_of_a_package() {
    let madison = "   systemd | 257.13-1~deb13u1 | http://mirror/debian stable/main Sources\n\
                   systemd |    262.1-1 | http://mirror/debian unstable/main Sources\n";
    let suite = |release: &str, codename: &str| Suite {
        release: release.into(),
        codename: codename.into(),
        trusted: true,
    };
    let suites = [suite("stable", "trixie"), suite("unstable", "sid")];
    assert_eq!(suite_of("262.1-1", madison, &suites).unwrap().codename, "sid");
    assert_eq!(suite_of("262-1", madison, &suites), None);
}

/// A signed archive with one source package, as a distribution publishes it.
struct Mirror {
    dir: tempfile::TempDir,
}

impl Mirror {
    /// `None` where apt or gpg is not there.
    fn new(tarball: &[u8]) -> Option<Self> {
        if !["apt-get", "apt-cache", "gpg", "gpgconf", "gpgv"].iter().all(|p| exec::have(p)) {
            tracing::warn!("not tried: apt and gpg are needed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        // apt drops to a user of its own to read these.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let lists = root.join("dists/test/main/source");
        fs::create_dir_all(&lists).unwrap();
        fs::create_dir_all(root.join("pool")).unwrap();
        fs::write(root.join("pool/systemd_257.13.orig.tar.gz"), tarball).unwrap();
        let hex = |bytes: &[u8]| -> String {
            Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
        };
        let zero = "0".repeat(64);
        let sources = format!(
            "Package: systemd\nBinary: systemd\nVersion: 257.13-1\nArchitecture: any\n\
             Format: 3.0 (quilt)\nDirectory: pool\nChecksums-Sha256:\n {zero} 1 \
             systemd_257.13-1.dsc\n {} {} systemd_257.13.orig.tar.gz\n",
            hex(tarball),
            tarball.len()
        );
        fs::write(lists.join("Sources"), &sources).unwrap();
        let release = format!(
            "Origin: Test\nSuite: testing\nCodename: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/source/Sources\n",
            hex(sources.as_bytes()),
            sources.len()
        );
        fs::write(root.join("dists/test/Release"), release).unwrap();
        let mirror = Mirror { dir };
        mirror.sign();
        Some(mirror)
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn sign(&self) {
        let shell = Shell::new().unwrap();
        let root = self.root();
        let home = root.join("gnupg");
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        shell.set_var("GNUPGHOME", &home);
        let (release, key) = (root.join("dists/test/Release"), root.join("key.gpg"));
        let signed = root.join("dists/test/InRelease");
        let run = |c: xshell::Cmd<'_>| exec::read(c).unwrap();
        run(cmd!(shell, "gpg --batch --passphrase '' --quick-gen-key test ed25519 sign 0"));
        run(cmd!(shell, "gpg --batch --yes --export -o {key}"));
        run(cmd!(shell, "gpg --batch --yes --clearsign -o {signed} {release}"));
        run(cmd!(shell, "gpgconf --kill all"));
        fs::remove_dir_all(&home).unwrap();
    }

    fn archive(&self) -> Archive {
        Archive {
            distribution: "Test".into(),
            uri: format!("copy:{}", self.root().display()),
            suites: vec!["test".into(), "absent".into()],
            signed_by: Some(self.root().join("key.gpg").display().to_string()),
        }
    }
}

fn small() -> Vec<u8> {
    archive(&[("systemd-257.13/meson.build", 0o644, "project('systemd')\n")])
}

fn version() -> SystemdVersion {
    "257.13".parse().unwrap()
}

#[test]
fn a_package_comes_through_the_whole_chain() {
    let Some(mirror) = Mirror::new(&small()) else { return };
    let (cache, ui) = (tempfile::tempdir().unwrap(), Ui::new(true));
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let open = |offline| {
        Distribution::new(cache.path().join("apt"), offline, &ui).with_archive(mirror.archive())
    };
    let into = Repository::open(&cache.path().join("systemd.git")).unwrap();

    let listing = open(false).list(Freshness::Kept).unwrap();
    assert_eq!(listing.answer, Answer::Answered, "{}", listing.said);
    assert_eq!(listing.offers[0].from, "Test test");
    assert!(listing.complaints[0].contains("absent"), "the missing suite is told: {listing:?}");
    assert!(open(true).list(Freshness::Kept).unwrap().kept, "the second answer is the kept one");

    assert!(open(true).fetch(version(), &into).is_err(), "offline, and no tarball yet");
    let record = open(false).fetch(version(), &into).unwrap();
    let tarball = record.tarball.clone().unwrap();
    assert_eq!(tarball.verified, "key.gpg > InRelease > Sources > SHA-256");
    assert!(into.git().find_commit(record.tip.oid().unwrap()).is_ok());
    assert_eq!(open(true).fetch(version(), &into).unwrap(), record, "the same commit each time");

    // The tarball in the cache is cut: it is refused, set aside, and fetched by the next run.
    let path = cache.path().join("apt/download").join(&tarball.name);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = open(false).fetch(version(), &into).unwrap_err();
    assert!(error.to_string().contains("truncated or tampered"), "{error:#}");
    assert!(crate::fault::hint_of(&error).unwrap().contains("run the same command again"));
    assert_eq!(open(false).fetch(version(), &into).unwrap(), record);
}

#[test]
fn a_tarball_changed_on_the_mirror_is_refused() {
    let Some(mirror) = Mirror::new(&small()) else { return };
    let mut bytes = small();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(mirror.root().join("pool/systemd_257.13.orig.tar.gz"), bytes).unwrap();
    let (cache, ui) = (tempfile::tempdir().unwrap(), Ui::new(true));
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let into = Repository::open(&cache.path().join("systemd.git")).unwrap();
    let distribution =
        Distribution::new(cache.path().join("apt"), false, &ui).with_archive(mirror.archive());
    let error = distribution.fetch(version(), &into).unwrap_err();
    assert!(format!("{error:#}").contains("Hash Sum mismatch"), "{error:#}");
    assert!(!cache.path().join("apt/download/systemd_257.13.orig.tar.gz").exists());
}

#[test]
fn a_list_changed_on_the_mirror_or_signed_by_a_stranger_is_no_list() {
    let Some(mirror) = Mirror::new(&small()) else { return };
    let ui = Ui::new(true);
    let said = |archive: Archive| {
        let cache = tempfile::tempdir().unwrap();
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let distribution =
            Distribution::new(cache.path().join("apt"), false, &ui).with_archive(archive);
        let listing = distribution.list(Freshness::Now).unwrap();
        assert!(listing.offers.is_empty(), "{listing:?}");
        listing.said
    };
    let Some(stranger) = Mirror::new(&small()) else { return };
    let wrong_key = Archive { signed_by: stranger.archive().signed_by, ..mirror.archive() };
    let reason = said(wrong_key);
    assert!(reason.contains("sign"), "the reason is told: {reason}");

    let signed = mirror.root().join("dists/test/InRelease");
    let text = fs::read_to_string(&signed).unwrap();
    fs::write(&signed, text.replace("Origin: Test", "Origin: Tset")).unwrap();
    let _ = said(mirror.archive());
}
