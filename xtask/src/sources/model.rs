// SPDX-License-Identifier: MIT
//! The words of this stage: what a source is, where it came from, how it was verified.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::version::SystemdVersion;

/// The oldest major release that plainboot supports; older ones are seen but not offered.
pub const OLDEST_MAJOR: u32 = 254;

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(pub String);

        impl $name {
            /// The first 12 digits, for tables.
            pub fn short(&self) -> &str {
                self.0.get(..12).unwrap_or(&self.0)
            }

            /// The id as libgit2 wants it.
            pub fn oid(&self) -> Result<git2::Oid, git2::Error> {
                git2::Oid::from_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::fault::Fault;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                if is_object_id(&text) {
                    Ok($name(text))
                } else {
                    Err(crate::fault::Fault::new(format!("`{text}` is not a git object id")))
                }
            }
        }

        impl From<git2::Oid> for $name {
            fn from(oid: git2::Oid) -> Self {
                $name(oid.to_string())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

object_id! {
    /// A git tree: the identity of a version's contents, the same from every provider.
    TreeId
}
object_id! {
    /// A git commit.
    CommitId
}

/// True for 40 lower-case hexadecimal digits.
pub fn is_object_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// A git clone on this machine, read in place.
    Clone { path: PathBuf },
    /// A git server.
    Remote { url: String },
    /// A source package of a distribution, such as `Debian`, from its suite, such as `trixie`.
    Distribution { distribution: String, suite: String },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Clone { path } => write!(f, "{}", path.display()),
            Origin::Remote { url } => f.write_str(url),
            Origin::Distribution { distribution, suite } => write!(f, "{distribution} {suite}"),
        }
    }
}

/// Upstream's release archive inside a distribution's source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tarball {
    /// The file's name, such as `systemd_257.13.orig.tar.gz`.
    pub name: String,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Version of the source package, such as `257.13-1~deb13u1`.
    pub package: String,
    /// The chain of checks, from the signature to the file.
    pub verified: String,
}

/// A version whose tree is in the cache repository, verified.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    pub version: SystemdVersion,
    pub tree: TreeId,
    /// Upstream's commit: read from the tag, or named by the tarball's own header.
    pub commit: Option<CommitId>,
    /// The commit that `refs/plainboot/v<version>` names: upstream's with its history, or one
    /// without parents made around the tarball's tree.
    pub tip: CommitId,
    /// True if `tip` is upstream's commit.
    pub has_upstream_commit: bool,
    pub origin: Origin,
    /// How `tree` was verified, in one phrase that names no path of this machine.
    pub verified: String,
    pub tarball: Option<Tarball>,
}

impl Source {
    /// The reference that keeps this version in the cache repository.
    pub fn reference(&self) -> String {
        reference(self.version)
    }
}

/// `refs/plainboot/v<version>`.
pub fn reference(version: SystemdVersion) -> String {
    format!("refs/plainboot/{}", version.tag())
}
