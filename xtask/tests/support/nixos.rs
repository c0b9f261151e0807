// SPDX-License-Identifier: MIT
//! Evaluation with nixpkgs' own `lib`, over stand-ins for the options of NixOS (`nixos/stand-ins.nix`).
//!
//! `NIXPKGS_LIB` names the `lib` folder of a nixpkgs; without it these tests are skipped.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Evaluated, Nix, checkout};

/// Nix and nixpkgs' `lib`.
pub struct Nixos {
    pub nix: Nix,
    pub lib: PathBuf,
}

impl Nixos {
    pub fn find() -> Option<Nixos> {
        let Some(lib) = std::env::var_os("NIXPKGS_LIB").map(PathBuf::from) else {
            let reason = "NIXPKGS_LIB does not name the lib folder of a nixpkgs";
            xtask::skip::record_optional(reason).unwrap();
            return None;
        };
        assert!(lib.join("modules.nix").is_file(), "NIXPKGS_LIB: {} is none", lib.display());
        Some(Nixos { nix: Nix::find()?, lib })
    }

    /// Evaluates `what` of `nixos/eval.nix` for a user's module.
    pub fn eval(&self, module: &str, what: &str) -> Evaluated {
        self.eval_version("260.1", module, what)
    }

    pub fn eval_version(&self, version: &str, module: &str, what: &str) -> Evaluated {
        self.nix.eval(&format!(
            r#"let e = import {root}/xtask/tests/nixos/eval.nix {{
  lib = "{lib}"; root = "{root}"; version = "{version}"; modules = [ ({module}) ];
}}; in {what}"#,
            root = checkout().display(),
            lib = self.lib.display(),
        ))
    }

    pub fn json(&self, module: &str, what: &str) -> Value {
        let result = self.eval(module, what);
        assert!(result.ok, "{module}: {}", result.stderr);
        serde_json::from_str(&result.stdout).unwrap()
    }

    /// What a configuration with `variant` in its `dockerVariant` is told: errors, warnings.
    pub fn said(&self, variant: &str) -> (Vec<String>, Vec<String>) {
        // The options of plainboot are there only in what eval.nix makes of the configuration.
        let module = format!("{{ lib, pkgs, ... }}: {{ config = {variant}; }}");
        let said = self.json(&module, "e.said");
        let list = |key: &str| serde_json::from_value(said[key].clone()).unwrap();
        (list("errors"), list("warnings"))
    }
}

/// The option reference, as the modules describe themselves.
pub fn reference(options: &Value, title: &str, made: &str) -> String {
    let mut text = format!("<!-- {made} -->\n# {title}\n");
    for option in options.as_array().unwrap() {
        let get = |key: &str| option[key].as_str().unwrap_or_default();
        text += &format!(
            "\n## `{}`\n\n{}\n\n",
            get("name"),
            get("description").trim().replace("{option}", "")
        );
        text += &format!("- Type: {}\n", get("type"));
        for (key, label) in [("default", "Default"), ("example", "Example")] {
            let value = &option[key];
            match (value["_type"].as_str(), value["text"].as_str()) {
                (Some("literalMD"), Some(said)) => text += &format!("- {label}: {said}\n"),
                (_, Some(said)) if said.contains('\n') => {
                    text += &format!("- {label}:\n\n  ```nix\n");
                    for line in said.trim_end().lines() {
                        text += format!("  {line}").trim_end();
                        text.push('\n');
                    }
                    text += "  ```\n";
                }
                (_, Some(said)) => text += &format!("- {label}: `{said}`\n"),
                _ => {}
            }
        }
    }
    text
}
