// SPDX-License-Identifier: MIT
//! What several test binaries share.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that these tests belong to.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What the Nix files read, beside one another.
const READ_BY_NIX: [&str; 11] = [
    "nix/config-at-start/start.sh",
    "nix/config-at-start/healthy.sh",
    "nix/containers/network.sh",
    "nix/profile.json",
    "nix/refused.json",
    "nix/init.sh",
    "nix/report.sh",
    "nix/s6-images/init.sh",
    "nix/s6-images/finish.sh",
    "nix/s6-images/stop.sh",
    "nix/s6-images/end.sh",
];

/// Copies the Nix files and what they read into `to`, so that a test can give them data of its own.
pub fn copy_nix_files(to: &Path) {
    let read = READ_BY_NIX.map(|file| checkout().join(file));
    for file in nix_files(checkout()).into_iter().chain(read) {
        let copy = to.join(file.strip_prefix(checkout()).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(file, copy).unwrap();
    }
}

/// Every Nix file of a checkout, sorted.
pub fn nix_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.is_file() && name.ends_with(".nix") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A real Nix that leaves no trace: no daemon, its store and state in a folder that is removed.
pub struct Nix {
    state: tempfile::TempDir,
}

/// What an evaluation said.
pub struct Evaluated {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Nix {
    /// `None`, with the skip recorded, where Nix is not installed.
    pub fn find() -> Option<Nix> {
        if !xtask::exec::have("nix-instantiate") {
            xtask::skip::record("nix-instantiate is not installed (Debian: nix-bin)").unwrap();
            return None;
        }
        Some(Nix { state: tempfile::tempdir().unwrap() })
    }

    /// The value of an expression as JSON. Paths in it must be strings: as JSON, Nix would copy
    /// them to its store.
    pub fn eval(&self, expression: &str) -> Evaluated {
        self.run("nix-instantiate", &["--eval", "--strict", "--json", "-E", expression])
    }

    /// The value, of an expression that must evaluate.
    pub fn json(&self, expression: &str) -> serde_json::Value {
        let result = self.eval(expression);
        assert!(result.ok, "{expression}\n{}", result.stderr);
        serde_json::from_str(&result.stdout).unwrap()
    }

    /// Its store, which goes away with it.
    #[allow(dead_code, reason = "not every test binary builds")]
    pub fn store(&self) -> PathBuf {
        self.state.path().join("store")
    }

    /// Runs a program of Nix. Everything it would write outside is sent to the private folder:
    /// without a daemon and these variables, Nix makes /nix as soon as it starts.
    pub fn run(&self, program: &str, args: &[&str]) -> Evaluated {
        let dir = |name: &str| self.state.path().join(name);
        let output = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", dir("home"))
            .env("NIX_STORE_DIR", dir("store"))
            .env("NIX_STATE_DIR", dir("state"))
            .env("NIX_LOG_DIR", dir("log"))
            .env("NIX_LOCALSTATE_DIR", dir("var"))
            .env("NIX_CONF_DIR", dir("conf"))
            .env("NIX_REMOTE", "")
            .envs(std::env::var_os("NIXPKGS_LIB").map(|lib| ("NIXPKGS_LIB", lib)))
            .output()
            .unwrap();
        Evaluated {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
