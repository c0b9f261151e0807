// SPDX-License-Identifier: MIT
//! A container image: a Debian base layer, systemd as a thin layer of its own, and a configuration.
//!
//! The stock and the patched image of one version share the base layer and every setting; only
//! their systemd layer differs. The same inputs give the same digests.

pub mod archive;
pub mod base;
pub mod deb;
pub mod layer;
pub mod lived_in;
pub mod needs;
mod users;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use base::Base;
pub use layer::systemd_layer;

use crate::profile::{Labelled, Profile};
use crate::version::SystemdVersion;

/// A moment for everything in an image that carries a time: 2020-01-01 00:00:00 UTC. A constant,
/// since an image's digest must depend on its content alone.
pub const EPOCH_S: u64 = 1_577_836_800;

/// The label that names what an image is for, so that a newer one can replace it.
pub const PURPOSE: &str = "plainboot.purpose";

/// What `docker exec` searches; Docker would add the same, podman would not.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An uncompressed tar, known by its digest.
#[derive(Debug, Clone)]
pub struct Layer {
    /// `sha256:…` of the tar: OCI's diff id, and the digest of its blob, since it is not compressed.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    pub content: Content,
    /// What made it, for the image's history.
    pub created_by: String,
}

/// Where a layer's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    File(PathBuf),
    Memory(Arc<Vec<u8>>),
}

impl Layer {
    /// A layer held in memory.
    pub fn from_bytes(bytes: Vec<u8>, created_by: impl Into<String>) -> Layer {
        Layer {
            digest: digest_of(&bytes),
            size: bytes.len() as u64,
            content: Content::Memory(Arc::new(bytes)),
            created_by: created_by.into(),
        }
    }
}

/// What the systemd in an image is; ends in its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub version: SystemdVersion,
    /// `stock`, `patched`, or `without 0002-cgroup`.
    pub flavour: String,
    /// The ids of the patches in it, in order.
    pub patches: Vec<String>,
    /// The git tree that was built, if it is known.
    pub tree: Option<String>,
}

/// An image, ready to be written.
#[derive(Debug, Clone)]
pub struct Image {
    /// For the reader: `systemd 262 (patched)`.
    pub title: String,
    /// Version and flavour as one word: what a newer image of the same purpose replaces.
    pub purpose: String,
    /// `stock`, `patched`, `without 0002-cgroup`.
    pub flavour: String,
    /// The name it is given in an engine; without one it follows from the content.
    name: Option<String>,
    layers: Vec<Layer>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    /// An image of the tests: one base layer, and a name that follows from its content.
    pub fn new(identity: &Identity, profile: &Profile, base: Layer, systemd: Layer) -> Image {
        Image::on(&Base::of("debian", vec![base]), identity, profile, systemd, None)
    }

    /// Puts layers and configuration together. `name` is what the user calls the image.
    pub fn on(
        base: &Base,
        identity: &Identity,
        profile: &Profile,
        systemd: Layer,
        name: Option<&str>,
    ) -> Image {
        let flavour: String = identity
            .flavour
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let purpose = format!("{}-{flavour}", identity.version);
        let layers: Vec<Layer> = base.layers.iter().cloned().chain([systemd]).collect();
        // An image of the user's is none that a later run may replace.
        let label = name.is_none().then_some(purpose.as_str());
        let config = config(base, identity, label, profile, &layers).to_string().into_bytes();
        let manifest = manifest(&config, &layers).to_string().into_bytes();
        let title = format!("systemd {} ({})", identity.version, identity.flavour);
        let flavour = identity.flavour.clone();
        Image { title, purpose, flavour, name: name.map(str::to_owned), layers, config, manifest }
    }

    /// The name it has in an engine: the user's, or `plainboot:262-patched-0123456789ab`.
    pub fn reference(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let digest = digest_of(&self.config);
        format!("plainboot:{}-{}", self.purpose, &digest["sha256:".len()..][..12])
    }

    /// True if the user chose its name, and keeps it.
    pub fn is_named(&self) -> bool {
        self.name.is_some()
    }

    /// The digest of the configuration: the image's id in an engine with a classic store.
    pub fn digest(&self) -> String {
        digest_of(&self.config)
    }

    /// Every digest that an engine may know this image by.
    pub fn digests(&self) -> [String; 3] {
        [digest_of(&self.config), digest_of(&self.manifest), digest_of(&archive::index(self))]
    }

    /// The layer that holds systemd.
    pub fn top(&self) -> &Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// Of all its layers, in bytes.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|l| l.size).sum()
    }

    /// Writes the image as one archive; see [`archive`].
    pub fn write_archive(&self, out: &mut dyn std::io::Write) -> anyhow::Result<()> {
        archive::write(&[self], out)
    }
}

/// Docker's name for the architecture that programs are built for here.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn config(
    base: &Base,
    identity: &Identity,
    purpose: Option<&str>,
    profile: &Profile,
    layers: &[Layer],
) -> Value {
    let created = "2020-01-01T00:00:00Z";
    let patches: Vec<&str> = identity.patches.iter().map(String::as_str).collect();
    let mut labels: BTreeMap<String, String> = base
        .config
        .get("Labels")
        .and_then(|l| serde_json::from_value(l.clone()).ok())
        .unwrap_or_default();
    labels.extend(profile.labels(Labelled { systemd: identity.version, patches: &patches }));
    labels.insert("plainboot.flavour".into(), identity.flavour.clone());
    if let Some(tree) = &identity.tree {
        labels.insert("plainboot.systemd.tree".into(), tree.clone());
    }
    if let Some(purpose) = purpose {
        labels.insert(PURPOSE.into(), purpose.to_owned());
    }
    let mut environment: Vec<String> = base
        .config
        .get("Env")
        .and_then(|e| serde_json::from_value(e.clone()).ok())
        .unwrap_or_default();
    let ours = profile.environment.iter().map(|(key, entry)| format!("{key}={}", entry.value));
    for variable in std::iter::once(PATH.to_owned()).chain(ours) {
        let key = variable.split('=').next().unwrap_or_default().to_owned() + "=";
        // The base's maker knows best where its programs are.
        if !environment.iter().any(|e| e.starts_with(&key)) {
            environment.push(variable);
        }
    }
    let mut settings = base.config.clone();
    // systemd is what runs, and it runs as root.
    for overruled in ["Entrypoint", "User", "Hostname", "Domainname", "Image"] {
        settings.remove(overruled);
    }
    settings.insert("Cmd".into(), json!(profile.command.value));
    settings.insert("Env".into(), json!(environment));
    settings.insert("Labels".into(), json!(labels));
    settings.insert("StopSignal".into(), json!(profile.stop_signal.value));
    let history: Vec<Value> =
        layers.iter().map(|l| json!({ "created": created, "created_by": l.created_by })).collect();
    json!({
        "architecture": base.arch.as_deref().unwrap_or(arch()),
        "os": "linux",
        "created": created,
        "config": settings,
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|l| l.digest.as_str()).collect::<Vec<_>>(),
        },
        "history": history,
    })
}

fn manifest(config: &[u8], layers: &[Layer]) -> Value {
    let blob = |kind: &str, digest: &str, size: u64| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": digest,
            "size": size,
        })
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", &digest_of(config), config.len() as u64),
        "layers": layers.iter().map(|l| blob("layer.v1.tar", &l.digest, l.size)).collect::<Vec<_>>(),
    })
}

/// `sha256:` and 64 hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    named(&Sha256::digest(bytes))
}

fn named(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(flavour: &str, content: &[u8]) -> Image {
        let identity = Identity {
            version: SystemdVersion::new(262, 0),
            flavour: flavour.into(),
            patches: vec!["0001-mount-setup".into()],
            tree: None,
        };
        let profile = Profile::parse(include_str!("../../../nix/profile.json")).unwrap();
        let base = Layer::from_bytes(b"base".to_vec(), "base");
        Image::new(&identity, &profile, base, Layer::from_bytes(content.to_vec(), "s"))
    }

    #[test]
    fn the_same_inputs_give_the_same_archive() {
        let bytes = |i: &Image| {
            let mut out = Vec::new();
            i.write_archive(&mut out).unwrap();
            out
        };
        let (a, b) = (image("patched", b"x"), image("patched", b"x"));
        assert_eq!(a.digests(), b.digests());
        assert_eq!(bytes(&a), bytes(&b));
        assert_ne!(a.digest(), image("patched", b"y").digest());
    }

    #[test]
    fn what_two_images_share_is_written_once() {
        let (a, b) = (image("stock", b"x"), image("patched", b"y"));
        let mut out = Vec::new();
        archive::write(&[&a, &b], &mut out).unwrap();
        let mut tar = tar::Archive::new(out.as_slice());
        let names =
            tar.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string());
        let names: Vec<String> = names.collect();
        let times = |digest: &str| {
            let path = digest.replacen("sha256:", "blobs/sha256/", 1);
            names.iter().filter(|n| **n == path).count()
        };
        assert_eq!(times(&a.layers[0].digest), 1);
        assert_eq!((times(&a.top().digest), times(&b.top().digest)), (1, 1));
    }

    #[test]
    fn stock_and_patched_differ_in_labels_and_the_top_layer_alone() {
        let (a, b) = (image("stock", b"x"), image("patched", b"x"));
        assert_ne!(a.digest(), b.digest());
        assert_eq!(a.layers[0].digest, b.layers[0].digest);
        assert!(
            image("without 0002-cgroup", b"x")
                .reference()
                .starts_with("plainboot:262-without-0002-cgroup-")
        );
    }
}
