// SPDX-License-Identifier: MIT
//! Names that a version does not know, or knows as something else: a sign that a merge fits by its
//! lines and not by its meaning.

use std::collections::HashSet;

use imara_diff::Algorithm;

use super::blocks::{self, FILE_SCOPE, has_functions};
use super::content::Content;
use super::declared::{Declared, Header, hash, is_name, solid};
use super::lines;
use super::script;
use crate::patch;

/// What the headers of the two versions declare: of the one that the patch was made on, and of this.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    pub there: &'a Declared,
    pub here: &'a Declared,
}

/// A name in the lines that are new in `after`, compared with `ours`, that the version that the patch
/// was made on knows and this one does not: a variable that has another name here, a constant or a
/// function that came later, a function that takes something else. What the patch itself brings is
/// known to neither.
pub fn unknown(
    path: &str,
    (base, theirs): (&Content, &Content),
    ours: &Content,
    after: &Content,
    headers: Option<Headers<'_>>,
) -> Option<String> {
    let added = lines::changes(Algorithm::Myers, ours.hashes(), after.hashes());
    let added = added.iter().map(|hunk| {
        let lines = after.lines(hunk.after.start as usize, hunk.after.end as usize);
        (hunk.before.start as usize, lines)
    });
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    if !has_functions(path) {
        let (there, here): (HashSet<_>, HashSet<_>) =
            (words(&base.bytes).collect(), words(&ours.bytes).collect());
        let defined = defined(base);
        return added.into_iter().find_map(|(_, lines)| {
            // What stands alone has names of its own; only what the file defines can be missing.
            let alone = script::stands_alone(path, lines);
            let strange = |word: &&[u8]| {
                there.contains(word) && !here.contains(word) && (!alone || defined.contains(word))
            };
            words(lines).find(strange).map(text)
        });
    }
    let sides = Sides {
        there: Header::of(&base.bytes),
        theirs: Header::of(&theirs.bytes),
        here: Header::of(&ours.bytes),
        after: Header::of(&after.bytes),
        pairs: pairs(&ours.bytes),
        headers,
    };
    added.into_iter().find_map(|(line, lines)| {
        let code = code(lines);
        let tokens = solid(&code);
        let strange = sides.foreign_header(lines).or_else(|| sides.strange(&tokens));
        strange
            .map(text)
            .or_else(|| foreign_variable(base, ours, line, &tokens).map(|name| text(&name)))
    })
}

struct Sides<'a> {
    there: Header,
    theirs: Header,
    here: Header,
    after: Header,
    /// Names of `ours` with what is done with them: `->` or `.`.
    pairs: HashSet<u64>,
    headers: Option<Headers<'a>>,
}

impl Sides<'_> {
    fn strange<'t>(&self, tokens: &[&'t [u8]]) -> Option<&'t [u8]> {
        let token = |at: usize| tokens.get(at).copied().unwrap_or_default();
        (0..tokens.len())
            .find(|&at| {
                is_name(tokens[at]) && {
                    let (name, next) = (tokens[at], token(at + 1));
                    let before = at.checked_sub(1).map_or(&b""[..], token);
                    let called = next == b"(";
                    if called && self.takes_another(name) {
                        return true;
                    }
                    if self.here.knows(name) {
                        return self.reached_otherwise(name, next);
                    }
                    let there = self.headers.is_some_and(|h| h.there.knows(name));
                    if !there && !self.there.knows(name) {
                        return false;
                    }
                    // A variable is known by its own file or not at all.
                    let everywhere = called
                        || matches!(before, b"." | b">")
                        || next == b"*"
                        || is_name(next)
                        || name.iter().any(u8::is_ascii_uppercase);
                    !(everywhere && self.headers.is_some_and(|h| h.here.knows(name)))
                }
            })
            .map(|at| tokens[at])
    }

    /// A function or macro that takes something else here.
    fn takes_another(&self, name: &[u8]) -> bool {
        let Some(headers) = self.headers else { return false };
        // One that the patch changes is declared as the patch has it.
        let there = headers.there.takes(name, &self.theirs);
        let here = headers.here.takes(name, &self.after);
        !there.is_empty() && here.is_disjoint(&there)
    }

    /// A pointer there is none here, or the other way round.
    fn reached_otherwise(&self, name: &[u8], next: &[u8]) -> bool {
        let has = |next: &[u8]| self.pairs.contains(&hash(&[name, next]));
        match next {
            b"-" => !has(b"-") && has(b"."),
            b"." => !has(b".") && has(b"-"),
            _ => false,
        }
    }

    /// A header of systemd's own that is not here.
    fn foreign_header<'t>(&self, lines: &'t [u8]) -> Option<&'t [u8]> {
        let headers = self.headers?;
        patch::split_lines(lines).find_map(|line| {
            let rest = line.trim_ascii().strip_prefix(b"#include \"")?;
            let path = rest.split(|b| *b == b'"').next()?;
            (headers.there.has_file(path) && !headers.here.has_file(path)).then_some(path)
        })
    }
}

/// A name that the new lines use, that the function has on the other version, and that it has not
/// here, where the file may well have it: a parameter that is called otherwise. Names of functions and
/// macros do not count.
fn foreign_variable(
    base: &Content,
    ours: &Content,
    line: usize,
    added: &[&[u8]],
) -> Option<Vec<u8>> {
    let name = ours.blocks().gap(line);
    if name == FILE_SCOPE {
        return None;
    }
    let block = |file: &Content| {
        let mut blocks = file.blocks().iter().filter(|b| *b.name == *name);
        let block = blocks.next().filter(|_| blocks.next().is_none())?;
        Some(code(file.lines(block.start, block.end + 1)))
    };
    let (there, here) = (block(base)?, block(ours)?);
    let (there, here) = (solid(&there), solid(&here));
    let is_variable = |token: &[u8], next: &[u8]| {
        let lower =
            token.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        lower && token.first().is_some_and(|b| !b.is_ascii_digit()) && next != b"("
    };
    let found = added.iter().enumerate().find(|(i, token)| {
        let next = added.get(i + 1).copied().unwrap_or_default();
        is_variable(token, next) && there.contains(token) && !here.contains(token)
    });
    found.map(|(_, token)| token.to_vec())
}

/// The lines without comments and without what is in strings.
fn code(lines: &[u8]) -> Vec<u8> {
    let mut in_comment = false;
    let mut code = Vec::with_capacity(lines.len());
    for line in patch::split_lines(lines) {
        // The middle of a comment, where it is only that which is new.
        if !in_comment && line.trim_ascii_start().starts_with(b"* ") {
            continue;
        }
        code.extend(blocks::code_of(line, &mut in_comment));
        code.push(b'\n');
    }
    code
}

fn pairs(text: &[u8]) -> HashSet<u64> {
    let code = code(text);
    let tokens = solid(&code);
    let reached = tokens.windows(2).filter(|w| is_name(w[0]) && matches!(w[1], b"-" | b"."));
    reached.map(hash).collect()
}

/// The words of a script or the like, without comments.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = patch::split_lines(text).filter(|line| !line.trim_ascii_start().starts_with(b"#"));
    lines.flat_map(solid).filter(|token| is_name(token))
}

/// What a script defines: functions, variables.
fn defined(file: &Content) -> HashSet<&[u8]> {
    const BEFORE: [&[u8]; 7] =
        [b"local", b"declare", b"export", b"readonly", b"function", b"def", b"import"];
    let one = |line| {
        let tokens = solid(line);
        let mut rest = tokens.as_slice();
        let mut told = false;
        while let [first, after @ ..] = rest
            && BEFORE.contains(first)
        {
            (rest, told) = (after, true);
        }
        match rest {
            [name, b"=", ..] | [name, b"(", b")", ..] if is_name(name) => Some(*name),
            [name, ..] if told && is_name(name) => Some(*name),
            _ => None,
        }
    };
    patch::split_lines(&file.bytes).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content::new(text.as_bytes().to_vec())
    }

    fn said(base: &str, ours: &str, after: &str) -> Option<String> {
        {
            let base = content(base);
            unknown("a.c", (&base, &base), &content(ours), &content(after), None)
        }
    }

    #[test]
    fn a_name_of_the_other_version_is_found() {
        let base = "call(pamh, 1);\ni->first = 2;\n";
        let ours = "call(handle, 1);\ni.first = 2;\ni = j;\n";
        assert_eq!(said(base, ours, &format!("{ours}log(pamh);\n")).unwrap(), "pamh");
        assert_eq!(said(base, ours, &format!("{ours}use(i->first);\n")).unwrap(), "i");
        // A name that the file has elsewhere.
        let base = "int f(int reterr) {\n        g(reterr);\n}\n\nint e(int reterr) {\n        g(reterr);\n}\n";
        let ours = base.replacen("reterr", "error", 2);
        let (base, ours) = (base, ours.as_str());
        let after = ours.replacen("        g", "        h(reterr);\n        g", 1);
        assert_eq!(said(base, ours, &after).unwrap(), "reterr");
        assert_eq!(said(base, ours, &after.replace("h(reterr", "h(error")), None);
        let (base, ours) = ("call(pamh, 1);\n", "call(handle, 1);\n");
        // What both know, and what the patch itself brings.
        assert_eq!(said(base, ours, &format!("{ours}call(handle, 1);\nnew_one();\n")), None);
        assert_eq!(said(base, base, &format!("{base}log(pamh);\n")), None);
        // What a comment or a string says is no name.
        let text = "/* of pamh, and\n * more pamh */\nlog(\"pamh\"); // pamh\n";
        assert_eq!(said(base, ours, &format!("{ours}{text}")), None);
    }

    #[test]
    fn headers_know_what_the_file_does_not() {
        let there = Declared::alone(
            b"#define E_NEW 1\n#define E_OLD 2\nint f(int a, int b);\nint g(int a);\n",
        );
        let here = Declared::alone(b"#define E_OLD 2\nint f(int a);\nint g(int x);\n");
        let headers = Some(Headers { there: &there, here: &here });
        let said = |added: &str| {
            let (base, ours) = (content("x = E_OLD;\n"), content("x = 1;\n"));
            unknown("a.c", (&base, &base), &ours, &content(&format!("x = 1;\n{added}")), headers)
        };
        assert_eq!(said("y = E_OLD;\n"), None);
        assert_eq!(said("y = E_NEW;\n").unwrap(), "E_NEW");
        assert_eq!(said("y = f(1, 2);\n").unwrap(), "f");
        assert_eq!(said("y = g(1);\n"), None);
        assert_eq!(said("y = of_the_patch(1);\n"), None);
    }

    #[test]
    fn in_a_script_any_word_counts_but_for_comments() {
        let base = content("restart() {\n    a\n}\n    echo \"some words\"\n");
        let ours = content("stop() {\n    a\n}\n");
        let said = |added: &str| {
            let after = content(&format!("stop() {{\n    a\n}}\n{added}"));
            unknown("a.sh", (&base, &base), &ours, &after, None)
        };
        assert_eq!(said("restart\n").unwrap(), "restart");
        assert_eq!(said("stop # of the patch\n"), None);
        assert_eq!(said("# restart some words\nstop\n"), None);
        assert_eq!(said("echo some words\n").unwrap(), "echo");
        assert_eq!(said("f() {\n    echo some words\n}\n"), None);
        assert_eq!(said("f() {\n    restart\n}\n").unwrap(), "restart");
    }
}
