// SPDX-License-Identifier: MIT
//! Images as one tar that every engine loads.
//!
//! It is an OCI layout (`oci-layout`, `index.json`, `blobs/sha256/…`) with the `manifest.json` that
//! Docker before version 25 looks for: the same double form that newer Dockers save.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Content, EPOCH_S, Image, Layer, digest_of};

/// Writes the archive, with what several images share once; the same images give the same bytes.
///
/// # Errors
/// `out` refuses, or a layer's file is gone or has another length than when it was hashed.
pub fn write(images: &[&Image], out: &mut dyn Write) -> Result<()> {
    let mut tar = tar::Builder::new(out);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put(&mut tar, "index.json", &index_of(images))?;
    put(&mut tar, "manifest.json", &docker_manifest(images))?;
    let mut there = BTreeSet::new();
    for image in images {
        for bytes in [&image.config, &image.manifest] {
            let path = blob(&digest_of(bytes));
            if there.insert(path.clone()) {
                put(&mut tar, &path, bytes)?;
            }
        }
        for layer in &image.layers {
            if there.insert(blob(&layer.digest)) {
                put_layer(&mut tar, layer)?;
            }
        }
    }
    tar.finish()?;
    Ok(())
}

fn put_layer<W: Write>(tar: &mut tar::Builder<W>, layer: &Layer) -> Result<()> {
    let mut header = header(layer.size);
    let path = blob(&layer.digest);
    match &layer.content {
        Content::Memory(bytes) => tar.append_data(&mut header, &path, bytes.as_slice())?,
        Content::File(file) => {
            let open = File::open(file)
                .with_context(|| format!("cannot read layer {}", file.display()))?;
            if open.metadata()?.len() != layer.size {
                bail!("layer {} has changed", file.display());
            }
            tar.append_data(&mut header, &path, open.take(layer.size))?;
        }
    }
    Ok(())
}

/// The `index.json` of an image alone.
pub fn index(image: &Image) -> Vec<u8> {
    index_of(&[image])
}

/// `index.json`, with each image's name where containerd looks for it.
fn index_of(images: &[&Image]) -> Vec<u8> {
    let manifest = |image: &&Image| {
        let reference = image.reference();
        let tag = reference.rsplit(':').next().unwrap_or_default();
        let name = format!("docker.io/library/{reference}");
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest_of(&image.manifest),
            "size": image.manifest.len(),
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            },
        })
    };
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": images.iter().map(manifest).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes()
}

fn docker_manifest(images: &[&Image]) -> Vec<u8> {
    let one = |image: &&Image| {
        json!({
            "Config": blob(&digest_of(&image.config)),
            "RepoTags": [image.reference()],
            "Layers": image.layers.iter().map(|l| blob(&l.digest)).collect::<Vec<_>>(),
        })
    };
    json!(images.iter().map(one).collect::<Vec<_>>()).to_string().into_bytes()
}

fn blob(digest: &str) -> String {
    digest.replacen(':', "/", 1).replacen("sha256", "blobs/sha256", 1)
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(EPOCH_S);
    header
}

fn put<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> Result<()> {
    tar.append_data(&mut header(bytes.len() as u64), path, bytes)?;
    Ok(())
}
