// SPDX-License-Identifier: MIT
//! What a nixpkgs says of its systemd: the version and its own patches, read from the text of
//! `pkgs/os-specific/linux/systemd/default.nix`, without evaluating it.
//!
//! Evaluating would need all of nixpkgs and Nix. The file has kept one shape since 2020: `version` is
//! a plain string, and `patches` are lists of paths joined by `++`, some of them under
//! `lib.optional` or `lib.optionals`. What is for musl alone is passed over unread: until 256 that
//! was a `let` around paths of another project. Anything else is refused by name rather than guessed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rnix::ast::{self, BinOpKind, Expr, InterpolPart};
use rowan::ast::AstNode as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::version::SystemdVersion;

/// The folder of systemd in a nixpkgs.
pub const FOLDER: &str = "pkgs/os-specific/linux/systemd";

/// nixpkgs' systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packaging {
    pub version: SystemdVersion,
    /// In the order in which they apply, on Linux with glibc.
    pub patches: Vec<Own>,
}

/// One of nixpkgs' own patches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// The file, relative to [`FOLDER`].
    pub name: String,
    pub sha256: String,
    /// The condition under which nixpkgs applies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// Reads the systemd of the nixpkgs at `root`.
///
/// # Errors
/// There is none, or its file has another shape than this reader knows.
pub fn read(root: &Path) -> Result<Packaging> {
    let folder = root.join(FOLDER);
    let file = folder.join("default.nix");
    let text = std::fs::read_to_string(&file).map_err(|e| {
        Fault::new(format!("cannot read {}: {e}", file.display()))
            .hint("name the folder of a nixpkgs, the one that has `pkgs` and `nixos` in it")
    })?;
    let (version, names) = parse(&text).map_err(|what| {
        Fault::new(format!("{}: {what}", file.display()))
            .hint("nixpkgs writes it in a way that plainboot does not know yet; see src/nixpkgs.rs")
    })?;
    let mut patches = Vec::new();
    for (name, condition) in names {
        let path = folder.join(&name);
        let bytes = std::fs::read(&path).map_err(|e| {
            Fault::new(format!(
                "cannot read {}, which {} names: {e}",
                path.display(),
                file.display()
            ))
        })?;
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        patches.push(Own { name, sha256, condition });
    }
    Ok(Packaging { version, patches })
}

impl Own {
    /// Where it is in the nixpkgs at `root`.
    pub fn path(&self, root: &Path) -> PathBuf {
        root.join(FOLDER).join(&self.name)
    }
}

type Named = Vec<(String, Option<String>)>;

/// The version and the names of the patches, with their conditions.
fn parse(text: &str) -> Result<(SystemdVersion, Named), String> {
    let root = rnix::Root::parse(text);
    if let Some(error) = root.errors().first() {
        return Err(format!("is no Nix: {error}"));
    }
    let tree = root.tree();
    let version = bindings(&tree, "version").iter().find_map(plain_string);
    let version = version.ok_or("`version` is no plain string")?;
    let version: SystemdVersion =
        version.parse().map_err(|_| format!("`{version}` is no version of systemd"))?;
    let lists = bindings(&tree, "patches");
    let list = match &lists[..] {
        [list] => list,
        [] => return Err("nothing is bound to `patches`".to_owned()),
        _ => return Err("`patches` is bound more than once".to_owned()),
    };
    let mut names = Vec::new();
    collect(list, None, &mut names)?;
    Ok((version, names))
}

/// What is bound to a name, anywhere in the file.
fn bindings(tree: &rnix::Root, name: &str) -> Vec<Expr> {
    tree.syntax()
        .descendants()
        .filter_map(ast::AttrpathValue::cast)
        .filter(|b| b.attrpath().is_some_and(|path| path.to_string() == name))
        .filter_map(|b| b.value())
        .collect()
}

/// A string without interpolation.
fn plain_string(value: &Expr) -> Option<String> {
    let Expr::Str(text) = value else { return None };
    match &text.normalized_parts()[..] {
        [InterpolPart::Literal(text)] => Some(text.clone()),
        _ => None,
    }
}

/// The paths in lists that are joined by `++`.
fn collect(value: &Expr, condition: Option<&str>, names: &mut Named) -> Result<(), String> {
    let odd = || format!("`patches` has something else than paths in it: {}", shorten(value));
    match value {
        Expr::Paren(inner) => collect(&inner.expr().ok_or_else(odd)?, condition, names),
        Expr::List(list) => list.items().try_for_each(|item| collect(&item, condition, names)),
        Expr::PathRel(path) => {
            let text = path.to_string();
            let name = text.strip_prefix("./").filter(|n| !n.contains("..") && !n.contains('$'));
            names.push((name.ok_or_else(odd)?.to_owned(), condition.map(ToOwned::to_owned)));
            Ok(())
        }
        Expr::BinOp(both) if both.operator() == Some(BinOpKind::Concat) => {
            collect(&both.lhs().ok_or_else(odd)?, condition, names)?;
            collect(&both.rhs().ok_or_else(odd)?, condition, names)
        }
        // lib.optionals CONDITION LIST
        Expr::Apply(outer) => {
            let list = outer.argument().ok_or_else(odd)?;
            let Some(Expr::Apply(inner)) = outer.lambda() else { return Err(odd()) };
            let function = inner.lambda().map(|f| f.to_string()).unwrap_or_default();
            let function = function.strip_prefix("lib.").unwrap_or(&function);
            if !matches!(function, "optional" | "optionals") || condition.is_some() {
                return Err(odd());
            }
            let given = inner.argument().ok_or_else(odd)?.to_string();
            let given = given.split_whitespace().collect::<Vec<_>>().join(" ");
            let given = given.strip_prefix('(').and_then(|g| g.strip_suffix(')')).unwrap_or(&given);
            // The other libc: those patches are for a systemd that no image of ours has.
            if given.ends_with("isMusl") && !given.contains('!') {
                return Ok(());
            }
            collect(&list, Some(given), names)
        }
        _ => Err(odd()),
    }
}

fn shorten(value: &Expr) -> String {
    let text = value.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(patches: &str) -> String {
        format!(
            r#"{{ stdenv, lib, pname ? "systemd" }}:
let
  releaseTimestamp = "1734643670";
in
stdenv.mkDerivation (finalAttrs: {{
  inherit pname;
  version = "258.2";
  src = fetch {{ rev = "v${{finalAttrs.version}}"; }};
  patches = {patches};
  postPatch = ''
    patches = not code
  '';
}})
"#
        )
    }

    #[test]
    fn lists_and_conditions_are_read_in_order() {
        let text = file(
            r#"[
    # why
    ./0001-a.patch
    ./0002-b.patch
  ]
  ++ lib.optionals (stdenv.hostPlatform.isLinux && stdenv.hostPlatform.isGnu) [ ./0003-c.patch ]
  ++ lib.optional stdenv.hostPlatform.isMusl (
    let musl = fetchzip { url = "x"; }; in [ (musl + "/0001-d.patch") ]
  )
  ++ lib.optional withKmod ./0004-e.patch"#,
        );
        let (version, names) = parse(&text).unwrap();
        assert_eq!(version.to_string(), "258.2");
        let gnu = "stdenv.hostPlatform.isLinux && stdenv.hostPlatform.isGnu";
        assert_eq!(
            names,
            [
                ("0001-a.patch".to_owned(), None),
                ("0002-b.patch".to_owned(), None),
                ("0003-c.patch".to_owned(), Some(gnu.to_owned())),
                ("0004-e.patch".to_owned(), Some("withKmod".to_owned())),
            ]
        );
    }

    #[test]
    fn other_shapes_are_refused_by_name() {
        for (patches, said) in [
            ("[ (fetchpatch { url = x; }) ]", "something else than paths in it: fetchpatch"),
            ("patchesOf version", "something else"),
            ("[ ./a.patch ] ++ map f [ ./b.patch ]", "something else"),
            ("[ ../../up.patch ]", "something else"),
            ("[ ./a.patch ]; patches = [ ]", "more than once"),
            ("[ ./a.patch", "is no Nix"),
        ] {
            let error = parse(&file(patches)).unwrap_err();
            assert!(error.contains(said), "{patches}: {error}");
        }
        let none = file("[ ]").replace("\"258.2\"", "releases.current");
        assert_eq!(parse(&none).unwrap_err(), "`version` is no plain string");
        let odd = file("[ ]").replace("258.2", "latest");
        assert_eq!(parse(&odd).unwrap_err(), "`latest` is no version of systemd");
    }

    #[test]
    fn a_folder_without_systemd_and_a_missing_patch_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("systemd/default.nix"), "{error}");
        let folder = dir.path().join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("default.nix"), file("[ ./0001-a.patch ]")).unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("0001-a.patch, which"), "{error}");
        std::fs::write(folder.join("0001-a.patch"), "text").unwrap();
        let read = read(dir.path()).unwrap();
        assert_eq!(read.patches[0].sha256.len(), 64);
    }
}
