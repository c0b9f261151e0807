// SPDX-License-Identifier: MIT
//! Finding sites in one C file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::Site;
use crate::rebase::Content;

/// Files without one of these hold no site.
const WORDS: [&[u8]; 5] =
    [b"cg_create", b"cg_attach", b"crt", b"cgroup_", b"MNT_FATAL|MNT_IN_CONTAINER"];

/// The sites of a C file, each with its line (from 1), in the order of the file.
pub fn scan(path: &str, file: &Content) -> Vec<(Site, usize)> {
    if !WORDS.iter().any(|w| memchr::memmem::find(&file.bytes, w).is_some()) {
        return Vec::new();
    }
    let (code, bare) = without_comments(&file.bytes);
    let mut found: Vec<(usize, String)> = Vec::new();
    calls(&code, &bare, &mut found);
    mounts(&code, file, &mut found);
    found.sort();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    found
        .into_iter()
        .map(|(at, what)| {
            let line = memchr::memchr_iter(b'\n', &code[..at]).count();
            let function = file.blocks().at(line).to_owned();
            let count = counts.entry((function.clone(), what.clone())).or_default();
            *count += 1;
            let what = if *count > 1 { format!("{what} #{count}") } else { what };
            (Site { file: path.to_owned(), function, what }, line + 1)
        })
        .collect()
}

/// Assertions on what a unit without a control group has not, and calls that make control groups
/// or move processes. Of a call only the name counts: its arguments change for other reasons.
fn calls(code: &[u8], bare: &[u8], found: &mut Vec<(usize, String)>) {
    static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\b(?:(assert|assert_se|assert_return|ASSERT_PTR)|cg_(?:create|attach)\w*) ?\(")
            .ok()
    });
    static SUBJECT: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\bcrt\b|cgroup_path|cgroup_runtime|CGroupRuntime").ok());
    let (Some(call), Some(subject)) = (&*CALL, &*SUBJECT) else { return };
    for captures in call.captures_iter(bare) {
        let Some(whole) = captures.get(0) else { continue };
        let (start, open) = (whole.start(), whole.end() - 1);
        // A definition or a prototype: its name is not indented.
        let line = memchr::memrchr(b'\n', &code[..start]).map_or(0, |i| i + 1);
        if !code.get(line).is_some_and(u8::is_ascii_whitespace) {
            continue;
        }
        if captures.get(1).is_none() {
            let name = whole.as_bytes().trim_ascii_end();
            let name = name[..name.len() - 1].trim_ascii_end();
            found.push((start, String::from_utf8_lossy(name).into_owned()));
            continue;
        }
        let end = closing(bare, open);
        if subject.is_match(&bare[open..end]) {
            found.push((start, squeezed(&code[start..end])));
        }
    }
}

/// Entries of mount tables that are fatal, and are mounted in containers.
fn mounts(code: &[u8], file: &Content, found: &mut Vec<(usize, String)>) {
    if memchr::memmem::find(code, b"MNT_FATAL").is_none() {
        return;
    }
    for table in file.blocks().iter().filter(|b| b.name.ends_with("[]")) {
        let offset = |line: usize| file.lines(0, line).len();
        let (mut at, end) = (offset(table.start), offset(table.end));
        // The brace that opens the table itself.
        at += memchr::memchr(b'{', &code[at..end]).map_or(0, |i| i + 1);
        while let Some(open) = memchr::memchr(b'{', &code[at..end]).map(|i| at + i) {
            let close = closing(code, open).min(end);
            let entry = &code[open..close];
            let has = |word: &[u8]| memchr::memmem::find(entry, word).is_some();
            if has(b"MNT_FATAL") && has(b"MNT_IN_CONTAINER") {
                let strings: Vec<String> = strings(entry);
                let word = |i: usize| strings.get(i).map_or("?", String::as_str);
                // what, where, type, in both notations that systemd has had.
                found.push((open, format!("MNT_FATAL {} on {}", word(2), word(1))));
            }
            at = close.max(open + 1);
        }
    }
}

/// The first three string literals.
fn strings(text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut parts = text.split(|b| *b == b'"');
    while let (Some(_), Some(literal), true) = (parts.next(), parts.next(), found.len() < 3) {
        found.push(String::from_utf8_lossy(literal).into_owned());
    }
    found
}

/// The offset past the bracket that closes the one at `open`; the end of the text if none does.
fn closing(code: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, b) in code.iter().enumerate().skip(open) {
        match b {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The text on one line, with single spaces.
fn squeezed(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")")
}

/// The file with spaces in place of comments, and the same without what is in strings. Offsets stay.
fn without_comments(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn blank(code: &mut [u8]) {
        code.iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
    }
    let (mut code, mut bare) = (bytes.to_vec(), bytes.to_vec());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let after = |needle: &[u8]| {
            let at = memchr::memmem::find(bytes.get(i + 2..)?, needle)?;
            Some(i + 2 + at)
        };
        i = match (b, bytes.get(i + 1)) {
            (b'/', Some(b'*')) => {
                let end = after(b"*/").map_or(bytes.len(), |n| n + 2);
                blank(&mut code[i..end]);
                blank(&mut bare[i..end]);
                end
            }
            (b'/', Some(b'/')) => {
                let end = after(b"\n").unwrap_or(bytes.len());
                blank(&mut code[i..end]);
                blank(&mut bare[i..end]);
                end
            }
            (b'"' | b'\'', _) => {
                let mut end = i + 1;
                while bytes.get(end).is_some_and(|&c| c != b && c != b'\n') {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                let end = end.min(bytes.len());
                blank(&mut bare[i + 1..end]);
                end + 1
            }
            _ => i + 1,
        };
    }
    (code, bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let file = Content::new(text.as_bytes().to_vec());
        let sites = scan("src/core/a.c", &file);
        sites.iter().map(|(s, line)| format!("{line} {}: {}", s.function, s.what)).collect()
    }

    #[test]
    fn what_a_refused_control_group_can_reach_is_found_in_both_notations() {
        let text = r#"
/* cg_create(path) in a comment */
int cg_create(const char *path) {
        return 0; /* not a call
                   * assert(crt) */
}

static int f(Unit *u) {
        CGroupRuntime *crt =
                ASSERT_PTR(
                        unit_get_cgroup_runtime(u));
        assert(u);
        assert(!crt->cgroup_path);
        (void) cg_attach(p, "cg_attach(x)", pid);
        r = cg_attach_everywhere (p, pid);
        r = cg_attach(p, pid);
}

static const MountPoint mount_table[] = {
        { "proc",        "/proc",                     "proc",       NULL,  MS_NODEV,
          NULL,          MNT_FATAL|MNT_IN_CONTAINER|MNT_FOLLOW_SYMLINK },
        { "smackfs",     "/sys/fs/smackfs",           "smackfs",    "x",   MS_NODEV,
          mac_smack_use, MNT_FATAL                  },
        {
                .what = "cgroup2",
                .where = "/sys/fs/cgroup",
                .type = "cgroup2",
                .mode = MNT_FATAL|MNT_IN_CONTAINER|MNT_CHECK_WRITABLE,
        },
};
"#;
        assert_eq!(
            found(text),
            [
                "10 f: ASSERT_PTR(unit_get_cgroup_runtime(u))",
                "13 f: assert(!crt->cgroup_path)",
                "14 f: cg_attach",
                "15 f: cg_attach_everywhere",
                "16 f: cg_attach #2",
                "20 mount_table[]: MNT_FATAL proc on /proc",
                "24 mount_table[]: MNT_FATAL cgroup2 on /sys/fs/cgroup",
            ]
        );
    }

    #[test]
    fn text_that_is_cut_off_anywhere_gives_an_answer() {
        let text = "int f(void) {\n        assert(crt->x(\"a\\\"\"));\n        cg_create(p\n";
        for cut in 0..text.len() {
            found(&text[..cut]);
        }
    }
}
