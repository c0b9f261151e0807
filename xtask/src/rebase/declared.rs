// SPDX-License-Identifier: MIT
//! What the headers of a version declare: the names, and what each function or macro takes.
//!
//! No C parser. What it reads too much of (attributes, uses in inline functions) is the same in two
//! versions as a rule, and what differs leaves a result to a person.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use git2::{Oid, Repository};

use super::blocks;
use super::objects::{Blobs, MissingTree, entries};
use super::tokens;
use crate::patch;

/// One file.
#[derive(Debug, Default)]
pub struct Header {
    names: HashSet<u64>,
    /// By name, for each place that looks like a declaration: what is in its parentheses, without
    /// the names of parameters.
    takes: HashMap<u64, Vec<u64>>,
}

/// All headers of a tree.
#[derive(Debug, Default)]
pub struct Declared {
    headers: Vec<Arc<Header>>,
    /// The files' names, without folders.
    files: HashSet<u64>,
}

impl Header {
    /// Reads a header, or a C file for what it declares itself.
    pub fn of(text: &[u8]) -> Header {
        let mut header = Header::default();
        let mut in_comment = false;
        let mut directive = false;
        // All but directives, whose braces need not be in pairs.
        let mut code: Vec<u8> = Vec::with_capacity(text.len());
        for line in patch::split_lines(text) {
            let was_comment = in_comment;
            let line = blocks::code_of(line, &mut in_comment);
            directive |= !was_comment && line.trim_ascii_start().starts_with(b"#");
            if directive {
                header.directive(&line);
                directive = line.trim_ascii_end().ends_with(b"\\");
            } else {
                code.extend_from_slice(&line);
                code.push(b'\n');
            }
        }
        let tokens = solid(&code);
        let mut depth = 0_usize;
        for (at, token) in tokens.iter().enumerate() {
            match *token {
                b"{" => depth += 1,
                b"}" => depth = depth.saturating_sub(1),
                name if is_name(name) => {
                    header.names.insert(hash(&[name]));
                    if depth == 0 && tokens.get(at + 1) == Some(&&b"("[..]) {
                        header.declares(name, &tokens[at + 2..]);
                    }
                }
                _ => {}
            }
        }
        header
    }

    fn directive(&mut self, line: &[u8]) {
        let tokens = solid(line);
        self.names.extend(tokens.iter().filter(|t| is_name(t)).map(|t| hash(&[t])));
        if let [b"#", b"define", name, b"(", rest @ ..] = tokens.as_slice() {
            self.declares(name, rest);
        }
    }

    fn declares(&mut self, name: &[u8], after: &[&[u8]]) {
        let mut depth = 1;
        let mut inside = Vec::new();
        let mut last = 0;
        // A parameter's name is the word at its end, if there is a type before it.
        let unnamed = |inside: &mut Vec<&[u8]>, last: usize| {
            if inside.len() > last + 1 && inside.last().is_some_and(|t| is_name(t)) {
                inside.pop();
            }
        };
        for token in after {
            match *token {
                b"(" | b"[" => depth += 1,
                b")" | b"]" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                unnamed(&mut inside, last);
                self.takes.entry(hash(&[name])).or_default().push(hash(&inside));
                return;
            }
            if *token == b"," && depth == 1 {
                unnamed(&mut inside, last);
                last = inside.len() + 1;
            }
            inside.push(token);
        }
    }

    pub fn knows(&self, name: &[u8]) -> bool {
        self.names.contains(&hash(&[name]))
    }

    fn takes(&self, name: &[u8]) -> &[u64] {
        self.takes.get(&hash(&[name])).map_or(&[], Vec::as_slice)
    }
}

impl Declared {
    /// Reads the headers of a tree.
    ///
    /// # Errors
    /// A folder is missing. Files that cannot be read count as not there.
    pub fn of(repo: &Repository, blobs: &Blobs, tree: Oid) -> Result<Declared, MissingTree> {
        let mut declared = Declared::default();
        let mut folders = vec![tree];
        while let Some(folder) = folders.pop() {
            for (name, entry) in entries(&blobs.folder(repo, folder)?) {
                if entry.is_folder() {
                    folders.push(entry.oid);
                } else if entry.is_regular() && name.ends_with(b".h") {
                    declared.files.insert(hash(&[name]));
                    declared.headers.extend(blobs.header(repo, entry.oid));
                }
            }
        }
        Ok(declared)
    }

    /// Nothing but one header.
    #[cfg(test)]
    pub fn alone(header: &[u8]) -> Declared {
        Declared { headers: vec![Arc::new(Header::of(header))], files: HashSet::new() }
    }

    /// A header of this name is there, in whatever folder.
    pub fn has_file(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or(path);
        self.files.contains(&hash(&[name]))
    }

    /// A header has this name in it.
    pub fn knows(&self, name: &[u8]) -> bool {
        self.headers.iter().any(|header| header.knows(name))
    }

    /// What a function or macro takes, by all that is declared here and in `file`.
    pub fn takes(&self, name: &[u8], file: &Header) -> HashSet<u64> {
        let all = self.headers.iter().map(Arc::as_ref).chain([file]);
        all.flat_map(|header| header.takes(name)).copied().collect()
    }
}

/// The tokens that are no blanks.
pub fn solid(text: &[u8]) -> Vec<&[u8]> {
    tokens::tokens(text).into_iter().filter(|t| !tokens::is_blank(t)).collect()
}

pub fn is_name(token: &[u8]) -> bool {
    token.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
}

pub fn hash(tokens: &[&[u8]]) -> u64 {
    const FIXED: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0);
    FIXED.hash_one(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(name: &str, a: &str, b: &str) -> bool {
        let takes = |text: &str| {
            let header = Header::of(text.as_bytes());
            assert!(header.knows(name.as_bytes()), "{name}: {text}");
            Declared::default().takes(name.as_bytes(), &header)
        };
        assert!(!takes(a).is_empty(), "{a}");
        takes(a) == takes(b)
    }

    #[test]
    fn what_a_function_takes_is_told_by_types_and_not_by_names() {
        let old = "int f(const char *path, sd_bus_error *error, int flags);\n";
        assert!(same("f", old, &old.replace("*error", "*reterr_error")));
        assert!(same("f", old, &old.replace(", int", ",\n      int /* why */")));
        assert!(!same("f", old, &old.replace(", int flags", "")));
        assert!(!same("f", old, &old.replace("int flags", "uint64_t flags")));
        assert!(same("f", "int f(void);", "static inline int f(void) {\n        g(1);\n}\n"));
        assert!(!same("F", "#define F(a, b) ({ \\\n        g(a); })\n", "#define F(a) g(a)\n"));
    }

    #[test]
    fn only_declarations_count_and_comments_and_strings_do_not() {
        let header = Header::of(
            b"/* int no(void); */\nenum { A_B, };\nint f(void) {\n        g(\"h\");\n}\n#if X\n#endif\n",
        );
        let known = |name: &str| header.knows(name.as_bytes());
        assert!(known("A_B") && known("f") && known("g") && known("X"));
        assert!(!known("no") && !known("h"));
        assert!(header.takes(b"g").is_empty() && !header.takes(b"f").is_empty());
    }
}
