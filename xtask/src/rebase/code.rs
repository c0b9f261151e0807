// SPDX-License-Identifier: MIT
//! The code of this stage, as bytes: what was found with other code is not taken over.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

macro_rules! sources {
    ($($file:literal),* $(,)?) => { &[$(($file, include_bytes!($file).as_slice())),*] };
}

/// All that an answer depends on, with the versions of all libraries.
const FILES: &[(&str, &[u8])] = sources![
    "../../../Cargo.lock",
    "../patch/make.rs",
    "../patch/mod.rs",
    "../patch/parse.rs",
    "../patch/plain.rs",
    "../patch/write.rs",
    "../series.rs",
    "../series/edit.rs",
    "../series/ranges.rs",
    "../version.rs",
    "align.rs",
    "apply.rs",
    "attempt.rs",
    "blocks.rs",
    "blocks/spliced.rs",
    "blocks/text.rs",
    "carry.rs",
    "choose.rs",
    "clash.rs",
    "code.rs",
    "content.rs",
    "cover.rs",
    "declared.rs",
    "deeper.rs",
    "engine.rs",
    "explain.rs",
    "facts.rs",
    "history.rs",
    "lines.rs",
    "merge.rs",
    "mod.rs",
    "names.rs",
    "neighbours.rs",
    "objects.rs",
    "outcome.rs",
    "parallel.rs",
    "recall.rs",
    "record.rs",
    "renamed.rs",
    "script.rs",
    "settle.rs",
    "solved.rs",
    "sorted.rs",
    "tokens.rs",
    "tree.rs",
    "verify.rs",
];

/// What the checks consist of whose results are kept one by one (see [`Facts`](super::Facts)).
const OF_CHECKS: [&str; 13] = [
    "../../../Cargo.lock",
    "../patch/mod.rs",
    "../patch/write.rs",
    "align.rs",
    "apply.rs",
    "blocks.rs",
    "blocks/spliced.rs",
    "blocks/text.rs",
    "content.rs",
    "facts.rs",
    "lines.rs",
    "merge.rs",
    "verify.rs",
];

/// A hash of the checks' code.
pub fn of_checks() -> &'static [u8; 32] {
    static CODE: OnceLock<[u8; 32]> = OnceLock::new();
    CODE.get_or_init(|| hashed(FILES.iter().filter(|(name, _)| OF_CHECKS.contains(name))))
}

/// A hash of all code of the stage.
pub fn of_stage() -> &'static [u8; 32] {
    static CODE: OnceLock<[u8; 32]> = OnceLock::new();
    CODE.get_or_init(|| hashed(FILES.iter()))
}

fn hashed<'a>(files: impl Iterator<Item = &'a (&'a str, &'a [u8])>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, file) in files {
        hash.update(name);
        hash.update((file.len() as u64).to_le_bytes());
        hash.update(file);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These take no part in what becomes of a patch.
    const OTHERS: [&str; 10] = [
        "../patch/tests.rs",
        "backports.rs",
        "bisect.rs",
        "culprits.rs",
        "fuzz.rs",
        "fuzz/functions.rs",
        "home.rs",
        "patched.rs",
        "resolution.rs",
        "tests.rs",
    ];

    #[test]
    fn no_file_is_forgotten() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rebase");
        let mut folders = vec![String::new(), "../patch/".to_owned(), "../series/".to_owned()];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(here.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{folder}{}", entry.file_name().to_str().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(name + "/");
                } else if name.ends_with(".rs") && !OTHERS.contains(&name.as_str()) {
                    assert!(FILES.iter().any(|(n, _)| *n == name), "{name} is not in FILES");
                    count += 1;
                }
            }
        }
        assert_eq!(count + 3, FILES.len(), "Cargo.lock, series.rs and version.rs beside them");
        let known = |name: &&str| FILES.iter().any(|(n, _)| n == name);
        assert!(OF_CHECKS.iter().all(known));
        assert_ne!(of_checks(), of_stage());
    }
}
