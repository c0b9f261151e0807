// SPDX-License-Identifier: MIT
//! An image as one tar that every engine loads.
//!
//! It is an OCI layout (`oci-layout`, `index.json`, `blobs/sha256/…`) with the `manifest.json` that
//! Docker before version 25 looks for: the same double form that newer Dockers save.

use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Content, EPOCH_S, Image, digest_of};

/// Writes the archive; the same image gives the same bytes.
///
/// # Errors
/// `out` refuses, or a layer's file is gone or has another length than when it was hashed.
pub fn write(image: &Image, out: &mut dyn Write) -> Result<()> {
    let mut tar = tar::Builder::new(out);
    put(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put(&mut tar, "index.json", &index(image))?;
    put(&mut tar, "manifest.json", &docker_manifest(image))?;
    put(&mut tar, &blob(&digest_of(&image.config)), &image.config)?;
    put(&mut tar, &blob(&digest_of(&image.manifest)), &image.manifest)?;
    for layer in &image.layers {
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
    }
    tar.finish()?;
    Ok(())
}

/// `index.json`, with the image's name where containerd looks for it.
pub fn index(image: &Image) -> Vec<u8> {
    let reference = image.reference();
    let tag = reference.rsplit(':').next().unwrap_or_default();
    let name = format!("docker.io/library/{reference}");
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest_of(&image.manifest),
            "size": image.manifest.len(),
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            },
        }],
    })
    .to_string()
    .into_bytes()
}

fn docker_manifest(image: &Image) -> Vec<u8> {
    json!([{
        "Config": blob(&digest_of(&image.config)),
        "RepoTags": [image.reference()],
        "Layers": image.layers.iter().map(|l| blob(&l.digest)).collect::<Vec<_>>(),
    }])
    .to_string()
    .into_bytes()
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
