// SPDX-License-Identifier: MIT
//! Where the functions of a C file are.
//!
//! Not a parser: a scanner for code in which definitions start in the first column and end with
//! a `}` there, which is how systemd (and the kernel, and git) write C. Structures, enumerations
//! and initialised tables count as blocks too, since patches land in these as well. What it cannot
//! tell it calls file scope, and the comparison of two files stays sound: both are read alike.

mod spliced;
mod text;

use std::sync::Arc;

pub(super) use text::code_of;
use text::{Opening, closes, is_label, name_of, opening, starts_name};

pub use spliced::Kept;

/// The blocks of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// In order.
    blocks: Vec<Block>,
    /// Lines at which nothing that is above says how to read what follows: no block, comment or
    /// signature is open. In order; the first line of a file is always one, and is left out.
    calm: Vec<usize>,
}

/// A function, structure or table.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// `mount_one`, `struct Manager`, `mount_table[]`.
    pub name: Arc<str>,
    /// First line of the signature, from 0.
    pub start: usize,
    /// The line of the closing brace.
    pub end: usize,
}

/// What is shown for a line outside of all blocks.
pub const FILE_SCOPE: &str = "(file scope)";

/// True for files in which a block is a function, so that landing in another one is a doubt. What
/// the scanner finds in Python, shell or XML is chance.
pub fn has_functions(path: &str) -> bool {
    let path = path.strip_suffix(".in").unwrap_or(path);
    let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
    matches!(kind, "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "y" | "l")
}

/// A signature is given up after this many lines without `{` or `;`.
const SIGNATURE_LINES: usize = 60;

impl Blocks {
    /// The block that holds line `index` (from 0).
    pub fn at(&self, index: usize) -> &str {
        self.find(|b| b.start <= index && index <= b.end)
    }

    /// The block in which a line lands that is inserted before line `index`.
    pub fn gap(&self, index: usize) -> &str {
        self.find(|b| b.start < index && index <= b.end)
    }

    /// The first line of the block that holds line `index`, if there is one.
    pub fn start_of(&self, index: usize) -> Option<usize> {
        self.blocks.iter().rev().find(|b| b.start <= index && index <= b.end).map(|b| b.start)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter()
    }

    fn find(&self, inside: impl Fn(&Block) -> bool) -> &str {
        self.blocks.iter().find(|b| inside(b)).map_or(FILE_SCOPE, |b| &b.name)
    }

    /// Finds the blocks of a C file, whose lines start at `starts`; the last of these is its end.
    pub fn scan(bytes: &[u8], starts: &[usize]) -> Blocks {
        Blocks::scan_from(bytes, starts, true)
    }

    /// With `shortcut`, lines that change nothing are passed over unread.
    fn scan_from(bytes: &[u8], starts: &[usize], shortcut: bool) -> Blocks {
        let mut scanner = Scanner::default();
        let mut marks = Marks::new(bytes, 0);
        for (index, span) in starts.windows(2).enumerate() {
            if !(shortcut && scanner.passes_over(bytes, (span[0], span[1]), &mut marks)) {
                scanner.line(index, bytes.get(span[0]..span[1]).unwrap_or_default());
            }
        }
        scanner.finish(starts)
    }
}

/// Where a comment or a directive may start, from the line on that is looked at.
struct Marks<'a> {
    comments: Places<'a>,
    directives: Places<'a>,
}

type Places<'a> = std::iter::Peekable<Box<dyn Iterator<Item = usize> + 'a>>;

impl<'a> Marks<'a> {
    /// Those from the line on that starts at `from`.
    fn new(bytes: &'a [u8], from: usize) -> Self {
        let rest = bytes.get(from..).unwrap_or_default();
        let comments = memchr::memmem::find_iter(rest, b"/*").map(move |at| from + at);
        let directives = memchr::memchr_iter(b'#', rest).map(move |at| from + at);
        let boxed = |places: Box<dyn Iterator<Item = usize> + 'a>| places.peekable();
        Marks { comments: boxed(Box::new(comments)), directives: boxed(Box::new(directives)) }
    }

    /// True if one is in `from..to`; those above are passed over.
    fn within(&mut self, (from, to): (usize, usize)) -> bool {
        let one = |places: &mut Places<'a>| {
            while places.next_if(|place| *place < from).is_some() {}
            places.peek().is_some_and(|place| *place < to)
        };
        let comment = one(&mut self.comments);
        one(&mut self.directives) || comment
    }
}

/// The name that a line starting a definition gives its block, as for the text after `@@` of a
/// hunk, which is such a line, possibly cut off.
pub fn name_of_line(line: &[u8]) -> Option<String> {
    let mut in_comment = false;
    let code = code_of(line, &mut in_comment);
    code.first().is_some_and(|&b| starts_name(b)).then(|| name_of(&code))
}

#[derive(Default)]
struct Scanner {
    blocks: Vec<Block>,
    calm: Vec<usize>,
    in_comment: bool,
    /// The preprocessor line above ends in a backslash.
    continued: bool,
    /// A definition whose `{` has not come yet: its first line and its text so far.
    pending: Option<(usize, Vec<u8>)>,
    /// An open block: its name and first line.
    open: Option<(Arc<str>, usize)>,
}

impl Scanner {
    fn is_idle(&self) -> bool {
        !self.in_comment && !self.continued && self.pending.is_none()
    }

    /// True if this line changes nothing. Most lines are indented statements: nothing starts,
    /// nothing ends.
    fn passes_over(&self, bytes: &[u8], (from, to): (usize, usize), marks: &mut Marks<'_>) -> bool {
        self.is_idle()
            && matches!(bytes.get(from), Some(b' ' | b'\t' | b'\n'))
            && !marks.within((from, to))
    }

    fn finish(mut self, starts: &[usize]) -> Blocks {
        self.close(starts.len().saturating_sub(2));
        Blocks { blocks: self.blocks, calm: self.calm }
    }

    fn line(&mut self, index: usize, line: &[u8]) {
        let directive = self.continued || (!self.in_comment && line.trim_ascii().starts_with(b"#"));
        if directive {
            self.continued = line.trim_ascii_end().ends_with(b"\\");
            return;
        }
        let was_comment = self.in_comment;
        let code = code_of(line, &mut self.in_comment);
        let first = if was_comment { None } else { code.first().copied() };
        match first {
            Some(b'}') => {
                self.pending = None;
                self.close(index);
                if !self.in_comment {
                    self.calm.push(index + 1);
                }
                return;
            }
            // Inside a block this is a definition only if its `{` follows: with `#if` around two
            // signatures, the second opens a block while the first has no end.
            Some(b)
                if starts_name(b)
                    && !is_label(&code)
                    && (self.pending.is_none() || self.open.is_none()) =>
            {
                self.pending = Some((index, Vec::new()));
            }
            _ => {}
        }
        let Some((start, mut text)) = self.pending.take() else { return };
        text.extend_from_slice(&code);
        text.push(b' ');
        if index - start > SIGNATURE_LINES {
            return;
        }
        match opening(&text) {
            Opening::NotYet => self.pending = Some((start, text)),
            Opening::Never => {}
            Opening::At(brace) => {
                self.close(start.saturating_sub(1));
                let name: Arc<str> = name_of(&text[..brace]).into();
                if closes(&text[brace..]) {
                    self.blocks.push(Block { name, start, end: index });
                } else {
                    self.open = Some((name, start));
                }
            }
        }
    }

    fn close(&mut self, end: usize) {
        if let Some((name, start)) = self.open.take() {
            self.blocks.push(Block { name, start, end: end.max(start) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::line_starts;
    use super::*;

    /// Texts of what starts and ends comments, strings, directives and blocks: reading every line
    /// gives the same.
    #[test]
    fn lines_that_are_passed_over_change_nothing() {
        const PARTS: [&str; 16] = [
            "\n", "\n", "\n", "        ", "int f(", ")", "{", "}", "/*", "*/", "//", "\"", "#",
            "\\\n", "x;", "TEST(a)",
        ];
        let mut seed = 0x9e37_79b9_u32;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..40 {
                seed ^= seed << 13;
                seed ^= seed >> 17;
                seed ^= seed << 5;
                text += PARTS[(seed % 16) as usize];
            }
            names(&text);
        }
    }

    fn names(code: &str) -> Vec<String> {
        let starts = line_starts(code.as_bytes());
        let blocks = Blocks::scan(code.as_bytes(), &starts);
        assert_eq!(blocks, Blocks::scan_from(code.as_bytes(), &starts, false));
        blocks.iter().map(|b| format!("{} {}-{}", b.name, b.start + 1, b.end + 1)).collect()
    }

    #[test]
    fn definitions_in_the_styles_that_systemd_has() {
        let code = "\
/* int no(void) { */
#define M(x) do { \\
} while (0)
int proto(int a);
_printf_(3, 0) static int one(int a,
                              const char *b) {
        return \"}\";
finish:
        return 1;
}

static const MountPoint mount_table[] = {
        { \"/proc\", },
};
typedef struct Manager {
        int n_ref;
} Manager;
int main(int argc, char *argv[]) { return 0; }
TEST(foo) {
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Manager*, manager_free);
Manager* manager_free(Manager *m)
{
        return NULL;
}
";
        assert_eq!(
            names(code),
            [
                "one 5-10",
                "mount_table[] 12-14",
                "struct Manager 15-17",
                "main 18-18",
                "TEST(foo) 19-20",
                "manager_free 22-25"
            ]
        );
    }

    #[test]
    fn two_signatures_under_if_and_a_glob_that_looks_like_a_comment() {
        let code = "\
#if HAVE_X
int f(int a) {
#else
int f(void) {
#endif
        g(\"/run/*\");
}
int g(void) {
}
";
        assert_eq!(names(code), ["f 2-3", "f 4-7", "g 8-9"]);
    }

    #[test]
    fn functions_are_looked_for_in_c_alone() {
        for path in ["src/core/main.c", "src/a.h", "src/version.h.in"] {
            assert!(has_functions(path), "{path}");
        }
        for path in ["src/ukify/ukify.py", "rpm/triggers.systemd.sh.in", "NEWS", "c", "a.xml"] {
            assert!(!has_functions(path), "{path}");
        }
    }

    #[test]
    fn lines_and_gaps_between_functions() {
        let code = b"int f(void) {\n        x();\n}\n\nint g(void) {\n}\n";
        let blocks = Blocks::scan(code, &line_starts(code));
        assert_eq!(blocks.at(0), "f");
        assert_eq!(blocks.gap(0), FILE_SCOPE);
        assert_eq!(blocks.gap(2), "f");
        assert_eq!(blocks.gap(3), FILE_SCOPE);
        assert_eq!(blocks.gap(4), FILE_SCOPE);
        assert_eq!(blocks.at(5), "g");
    }

    #[test]
    fn section_lines_are_named_like_definitions() {
        let name = |s: &str| name_of_line(s.as_bytes());
        assert_eq!(
            name("static int mount_one(const MountPoint *p, bool rel").unwrap(),
            "mount_one"
        );
        assert_eq!(name("struct Manager {").unwrap(), "struct Manager");
        assert_eq!(name("typedef struct Manager {").unwrap(), "struct Manager");
        assert_eq!(name("        indented"), None);
    }
}
