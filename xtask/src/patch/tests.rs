// SPDX-License-Identifier: MIT
//! Round trips: of this repository's own patches, and of what the writer makes.

use std::path::{Path, PathBuf};

use super::*;

fn own_patches() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("patches");
    let folders = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path());
    let files = folders.filter(|p| p.is_dir()).flat_map(|d| std::fs::read_dir(d).unwrap());
    files.map(|e| e.unwrap().path()).collect()
}

#[test]
fn the_patches_of_this_repository_are_written_as_they_were_read() {
    let patches = own_patches();
    assert!(!patches.is_empty());
    for path in patches {
        let bytes = std::fs::read(&path).unwrap();
        let text = parse(&bytes, &path).unwrap();
        let (old, new) = (String::from_utf8_lossy(&bytes), text.to_bytes());
        assert_eq!(old, String::from_utf8_lossy(&new), "{}", path.display());
        assert!(text.subject().is_some());
    }
}

#[test]
fn a_made_diff_reads_back_and_its_reverse_undoes_it() {
    let cases: [(&[u8], &[u8]); 5] = [
        (b"a\nb\nc\n", b"a\nx\nc\n"),
        (b"a\nb", b"a\nb\n"),
        (b"a\n", b"a\n\xff\xfe"),
        (b"", b"new\n"),
        (b"a\r\nb\r\n", b"a\r\n"),
    ];
    for (before, after) in cases {
        let file = diff("src/a.c", Some(before), 0o100_644, after, 3).unwrap();
        let text = PatchText { message: b"Subject: x\n".to_vec(), files: vec![file] };
        let again = parse(&text.to_bytes(), Path::new("x.patch")).unwrap();
        assert_eq!(again, text);
        let file = &again.files[0];
        assert_eq!(file.reversed().reversed().hunks, file.hunks);
        let side = |f: &FileDiff| f.hunks.iter().flat_map(Hunk::new_side).flatten().count();
        assert_eq!(side(file), after.len());
        assert_eq!(side(&file.reversed()), before.len());
    }
}

/// Whatever is cut off or changed by a byte: an answer, no panic.
#[test]
fn damaged_patches_are_answered() {
    let path = own_patches().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    for cut in (0..bytes.len()).step_by(7) {
        let _ = parse(&bytes[..cut], &path);
        let mut damaged = bytes.clone();
        damaged[cut] ^= 0x0b;
        let _ = parse(&damaged, &path);
    }
    let huge = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -99999999999999999999,3 +1 @@\n";
    assert!(parse(huge, &path).is_err());
}
