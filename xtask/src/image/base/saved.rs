// SPDX-License-Identifier: MIT
//! Image archives: what `docker save` and `podman save` write, old and new, and OCI layouts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::super::{Content, Layer, named};
use super::Base;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::ui::Ui;
use crate::workspace::Cache;

/// Takes an image out of the engine.
pub fn from_engine(name: &str, engine: &Engine, cache: &Cache, ui: &Ui) -> Result<Base> {
    let step = ui.step(format!("take {name} out of the engine"));
    fs::create_dir_all(cache.images())?;
    let file = tempfile::Builder::new().prefix("part-save-").tempfile_in(cache.images())?;
    engine.save(name, file.path())?;
    let base = from_archive(file.path(), name, cache)?;
    step.done(&format!("{} layers", base.layers.len()));
    Ok(base)
}

/// Reads an archive; its layers are unpacked into the cache, by digest.
///
/// # Errors
/// It holds no image or several, a layer's content is not what its digest says, or it is compressed
/// in a way that we do not read.
pub fn from_archive(path: &Path, name: &str, cache: &Cache) -> Result<Base> {
    let bad = |problem: &str| Fault::new(format!("{}: {problem}", path.display()));
    let small = small_files(path)?;
    let json = |file: &str| -> Result<Value> {
        let bytes = small.get(Path::new(file)).ok_or_else(|| bad(&format!("lacks {file}")))?;
        serde_json::from_slice(bytes).with_context(|| format!("{}: {file}", path.display()))
    };
    let (config, layers): (Value, Vec<String>) = if small.contains_key(Path::new("manifest.json")) {
        let manifest = json("manifest.json")?;
        let [image] = manifest.as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(bad("holds no image, or several").into());
        };
        let config = json(image["Config"].as_str().unwrap_or_default())?;
        (config, strings(&image["Layers"]))
    } else {
        let index = json("index.json")?;
        let manifest = json(&blob(&chosen(&index["manifests"], &bad)?))?;
        let config = json(&blob(manifest["config"]["digest"].as_str().unwrap_or_default()))?;
        let digests = manifest["layers"].as_array().cloned().unwrap_or_default();
        let blobs = digests.iter().map(|l| blob(l["digest"].as_str().unwrap_or_default()));
        (config, blobs.collect())
    };
    let ids = strings(&config["rootfs"]["diff_ids"]);
    if ids.is_empty() || ids.len() != layers.len() {
        return Err(bad("its configuration and its layers do not agree").into());
    }
    let mut base = Base::of(name, Vec::new());
    for (id, file) in ids.iter().zip(&layers) {
        base.layers.push(unpack(path, Path::new(file), id, name, cache)?);
    }
    base.arch = config["architecture"].as_str().map(str::to_owned);
    base.config = config["config"].as_object().cloned().unwrap_or_else(Map::new);
    Ok(base)
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The one image of an index, or the one for this machine.
fn chosen(manifests: &Value, bad: &dyn Fn(&str) -> Fault) -> Result<String> {
    let all = manifests.as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = |m: &&Value| m["platform"]["architecture"].as_str() == Some(super::super::arch());
    let one = match all {
        [one] => Some(one),
        several => several.iter().find(ours),
    };
    let digest = one.and_then(|m| m["digest"].as_str());
    Ok(digest.ok_or_else(|| bad("holds no image for this machine's architecture"))?.to_owned())
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// The archive's JSON files: all that is small.
fn small_files(path: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    const SMALL: u64 = 4 << 20;
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(File::open(path)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() && entry.size() <= SMALL {
            let name = entry.path()?.into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.insert(name.strip_prefix(".").unwrap_or(&name).to_owned(), bytes);
        }
    }
    Ok(files)
}

/// Unpacks one layer of the archive into the cache, where it is named by its digest.
fn unpack(archive: &Path, file: &Path, id: &str, name: &str, cache: &Cache) -> Result<Layer> {
    let dir = cache.images().join("layers");
    fs::create_dir_all(&dir)?;
    let place = dir.join(id.trim_start_matches("sha256:"));
    let layer = |size| Layer {
        digest: id.to_owned(),
        size,
        content: Content::File(place.clone()),
        created_by: format!("of {name}"),
    };
    if let Ok(known) = fs::metadata(&place) {
        return Ok(layer(known.len()));
    }
    let mut tar = tar::Archive::new(File::open(archive)?);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path.strip_prefix(".").unwrap_or(&path) != file {
            continue;
        }
        // Docker before version 25 writes a layer that two images share once, and links to it.
        if let Some(target) = entry.link_name()? {
            let folder = file.parent().unwrap_or(Path::new(""));
            let target = folder.join(target).components().fold(PathBuf::new(), |mut all, part| {
                match part {
                    Component::ParentDir => drop(all.pop()),
                    part => all.push(part),
                }
                all
            });
            return unpack(archive, &target, id, name, cache);
        }
        let mut part = tempfile::Builder::new().prefix("part-").tempfile_in(&dir)?;
        let digest = copy(&mut entry, part.as_file_mut())
            .with_context(|| format!("layer {}", file.display()))?;
        if digest != id {
            let (archive, file) = (archive.display(), file.display());
            let text = format!("{archive}: the layer {file} is not what its digest says");
            return Err(Fault::new(text).into());
        }
        let size = part.as_file().metadata()?.len();
        part.persist(&place).with_context(|| format!("cannot write {}", place.display()))?;
        return Ok(layer(size));
    }
    Err(Fault::new(format!("{} lacks the layer {}", archive.display(), file.display())).into())
}

/// Copies a tar, unpacked if it is compressed, and gives its digest.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> Result<String> {
    let mut magic = [0; 4];
    let mut filled = 0;
    while filled < magic.len() {
        let n = from.read(&mut magic[filled..])?;
        if n == 0 {
            break;
        }
        filled += n;
    }
    let start = std::io::Cursor::new(magic[..filled].to_vec()).chain(from);
    let mut plain: Box<dyn Read> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(start)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            return Err(Fault::new("it is compressed with zstd, which is not read here")
                .hint("save the image uncompressed: docker save, or skopeo with --dest-decompress")
                .into());
        }
        _ => Box::new(start),
    };
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n = plain.read(&mut buffer)?;
        if n == 0 {
            return Ok(named(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Identity, Image};
    use super::super::contents::tests::layer;
    use super::*;
    use crate::profile::Profile;
    use crate::version::SystemdVersion;

    fn saved(dir: &Path) -> PathBuf {
        let identity = Identity {
            version: SystemdVersion::new(262, 0),
            flavour: "patched".into(),
            patches: Vec::new(),
            tree: None,
        };
        let profile = Profile::parse(include_str!("../../../../nix/profile.json")).unwrap();
        let (base, top) = (layer(&[("usr/a", "1")]), layer(&[("usr/b", "2")]));
        let image = Image::new(&identity, &profile, base, top);
        let path = dir.join("image.tar");
        image.write_archive(&mut File::create(&path).unwrap()).unwrap();
        path
    }

    #[test]
    fn an_archive_of_ours_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(dir.path())).unwrap();
        let path = saved(dir.path());
        let base = from_archive(&path, "x", &cache).unwrap();
        assert_eq!(base.layers.len(), 2);
        assert_eq!(base.config["Cmd"][0], "/sbin/init");
        assert_eq!(base.arch.as_deref(), Some(super::super::super::arch()));
        let contents = super::super::Contents::read(&base.layers).unwrap();
        assert!(contents.has("usr/a") && contents.has("usr/b"));
        // The second time the layers are in the cache.
        assert_eq!(from_archive(&path, "x", &cache).unwrap().layers.len(), 2);
    }

    #[test]
    fn a_layer_that_was_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = saved(dir.path());
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(5).rposition(|w| w == b"usr/b").unwrap();
        bytes[at..at + 5].copy_from_slice(b"usr/c");
        fs::write(&path, bytes).unwrap();
        let error =
            from_archive(&path, "x", &Cache::locate(Some(dir.path())).unwrap()).unwrap_err();
        assert!(format!("{error:#}").contains("is not what its digest says"), "{error:#}");
    }

    #[test]
    fn compressed_layers_are_unpacked() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"plain").unwrap();
        let packed = gz.finish().unwrap();
        let mut out = Vec::new();
        let digest = copy(&mut packed.as_slice(), &mut out).unwrap();
        assert_eq!(
            (out.as_slice(), digest),
            (b"plain".as_slice(), super::super::super::digest_of(b"plain"))
        );
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0];
        assert!(copy(&mut zstd.as_slice(), &mut Vec::new()).is_err());
    }
}
