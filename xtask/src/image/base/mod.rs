// SPDX-License-Identifier: MIT
//! What systemd is put onto: a Debian root of ours, a root file system or an image of the user's,
//! or nothing at all.

mod contents;
mod debian;
mod saved;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

pub use contents::Contents;
#[cfg(test)]
pub use contents::tests::layer_of;
pub use debian::Debian;

use super::{Content, Layer};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::ui::Ui;
use crate::workspace::Cache;

/// Where a base comes from, in the words of `--base`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `debian`: made here, of the host's own suite.
    Debian,
    /// `scratch`: nothing; the image then holds the systemd layer alone.
    Scratch,
    /// A file: the tar of a root file system, or an image archive.
    File(PathBuf),
    /// An image that the engine has.
    Image(String),
}

impl Origin {
    /// Reads the word of `--base`. What looks like a path is one, whether or not it is there.
    pub fn parse(word: &str) -> Origin {
        match word {
            "debian" => Origin::Debian,
            "scratch" => Origin::Scratch,
            _ if word.starts_with(['.', '/'])
                || word.ends_with(".tar")
                || Path::new(word).is_file() =>
            {
                Origin::File(word.into())
            }
            _ => Origin::Image(word.to_owned()),
        }
    }

    /// True if an engine must be asked for it.
    pub fn needs_engine(&self) -> bool {
        matches!(self, Origin::Image(_))
    }
}

/// A base, ready to carry the systemd layer.
#[derive(Debug, Clone)]
pub struct Base {
    /// For the image's history and labels: `debian bookworm`, `rootfs.tar`, `registry/name:tag`.
    pub name: String,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// What the base's own maker configured: environment, ports, labels (OCI's `config` object).
    pub config: Map<String, Value>,
    /// Docker's name of its architecture; `None` where the base does not say.
    pub arch: Option<String>,
    /// `name=version`, where the base is a Debian root of ours.
    pub packages: Vec<String>,
}

impl Base {
    /// A base of layers alone.
    pub fn of(name: &str, layers: Vec<Layer>) -> Base {
        Base { name: name.to_owned(), layers, config: Map::new(), arch: None, packages: Vec::new() }
    }
}

/// Gets a base.
///
/// # Errors
/// The file is no tar, or cut short; the engine does not know the image; Debian cannot be made.
pub fn get(
    origin: &Origin,
    debian: &Debian,
    engine: Option<&Engine>,
    cache: &Cache,
    ui: &Ui,
) -> Result<Base> {
    match origin {
        Origin::Debian => debian.base(cache, ui),
        Origin::Scratch => Ok(Base::of("scratch", Vec::new())),
        Origin::File(path) => file(path, cache),
        Origin::Image(name) => {
            let engine = engine.context("an image needs an engine")?;
            saved::from_engine(name, engine, cache, ui)
        }
    }
}

/// A root file system is used as it is; an image archive is taken apart.
fn file(path: &Path, cache: &Cache) -> Result<Base> {
    let said = |problem: String| {
        Fault::new(format!("{}: {problem}", path.display()))
            .hint("--base takes `debian`, `scratch`, a root file system as .tar, or an image")
    };
    let mut open = File::open(path).map_err(|e| said(format!("cannot be read: {e}")))?;
    let (mut is_archive, mut has_root) = (false, false);
    let mut archive = tar::Archive::new(&mut open);
    let entries = archive.entries().map_err(|e| said(format!("is no tar: {e}")))?;
    for entry in entries {
        // To the end: a tar that was cut short is found before an image is made of it.
        let entry = entry.map_err(|e| said(format!("is no whole tar (compressed?): {e}")))?;
        let name = entry.path()?.into_owned();
        let name = name.strip_prefix(".").unwrap_or(&name);
        is_archive |= name == Path::new("manifest.json") || name == Path::new("oci-layout");
        has_root |= name.starts_with("usr") || name.starts_with("bin");
    }
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    if is_archive {
        return saved::from_archive(path, &name, cache);
    }
    if !has_root {
        return Err(said("holds neither a root file system nor an image".into()).into());
    }
    let (digest, size) = debian::hash(path)?;
    let layer = Layer {
        digest,
        size,
        content: Content::File(path.to_owned()),
        created_by: format!("root file system {name}"),
    };
    Ok(Base::of(&name, vec![layer]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_base() {
        assert_eq!(Origin::parse("debian"), Origin::Debian);
        assert_eq!(Origin::parse("scratch"), Origin::Scratch);
        assert_eq!(Origin::parse("./x"), Origin::File("./x".into()));
        assert_eq!(Origin::parse("root.tar"), Origin::File("root.tar".into()));
        assert_eq!(Origin::parse("debian:12"), Origin::Image("debian:12".into()));
    }

    #[test]
    fn a_file_that_is_no_base_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(dir.path())).unwrap();
        let refusal = |path: &Path| format!("{:#}", file(path, &cache).unwrap_err());
        assert!(refusal(&dir.path().join("absent.tar")).contains("cannot be read"));
        let path = dir.path().join("x.tar");
        std::fs::write(&path, [7; 2000]).unwrap();
        assert!(refusal(&path).contains("is no whole tar"), "{}", refusal(&path));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5000);
        tar.append_data(&mut header, "usr/file", [0; 5000].as_slice()).unwrap();
        let whole = tar.into_inner().unwrap();
        std::fs::write(&path, &whole[..3000]).unwrap();
        assert!(refusal(&path).contains("is no whole tar"), "{}", refusal(&path));
        std::fs::write(&path, &whole).unwrap();
        let base = file(&path, &cache).unwrap();
        assert_eq!((base.name.as_str(), base.layers.len()), ("x.tar", 1));
    }
}
