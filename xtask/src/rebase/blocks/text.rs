// SPDX-License-Identifier: MIT
//! What the text of a line of C says to the scanner: code without comments and strings, where a
//! definition opens and closes, and its name.

pub(super) fn starts_name(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// `finish:` and the like, which some code puts into the first column.
pub(super) fn is_label(code: &[u8]) -> bool {
    let name = code.iter().take_while(|b| is_name(**b)).count();
    code.get(name) == Some(&b':')
}

/// The line without comments, and with empty strings in place of all strings.
pub(in crate::rebase) fn code_of(line: &[u8], in_comment: &mut bool) -> Vec<u8> {
    let mut code = Vec::with_capacity(line.len());
    let mut i = 0;
    while let Some(&b) = line.get(i) {
        let pair = line.get(i..i + 2).unwrap_or_default();
        if *in_comment {
            if pair == b"*/" {
                *in_comment = false;
                i += 1;
            }
        } else if pair == b"/*" {
            *in_comment = true;
            i += 1;
        } else if pair == b"//" {
            break;
        } else if b == b'"' || b == b'\'' {
            i += 1;
            while line.get(i).is_some_and(|&c| c != b) {
                i += if line[i] == b'\\' { 2 } else { 1 };
            }
            code.extend_from_slice(&[b, b]);
        } else if b != b'\n' && b != b'\r' {
            code.push(b);
        }
        i += 1;
    }
    code
}

/// How a definition goes on.
pub(super) enum Opening {
    /// Neither `{` nor `;` yet.
    NotYet,
    /// A declaration, or a macro call that defines something.
    Never,
    /// The offset of the `{`.
    At(usize),
}

pub(super) fn opening(text: &[u8]) -> Opening {
    let mut depth = 0_i32;
    for (i, b) in text.iter().enumerate() {
        match b {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth <= 0 => return Opening::At(i),
            b';' if depth <= 0 => return Opening::Never,
            _ => {}
        }
    }
    Opening::NotYet
}

/// True if every brace of the text is closed in it.
pub(super) fn closes(text: &[u8]) -> bool {
    let count = |brace: u8| text.iter().filter(|b| **b == brace).count();
    count(b'{') <= count(b'}')
}

/// The name in a signature (the text before `{`).
pub(super) fn name_of(signature: &[u8]) -> String {
    let text = String::from_utf8_lossy(signature);
    let text = text.split('{').next().unwrap_or_default();
    if let Some((left, _)) = text.split_once('=') {
        let left = left.split('[').next().unwrap_or(left);
        let name = left.rsplit(|c: char| !c.is_alphanumeric() && c != '_').find(|s| !s.is_empty());
        return format!("{}[]", name.unwrap_or("?"));
    }
    // Attributes such as _printf_(3, 0) come first, so the last call at depth 0 holds the name.
    let mut depth = 0_i32;
    let mut paren = None;
    for (i, c) in text.char_indices() {
        match c {
            '(' => {
                if depth == 0 {
                    paren = Some(i);
                }
                depth += 1;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    let Some(paren) = paren else {
        let words = text.split_whitespace().filter(|w| !matches!(*w, "typedef" | "static"));
        return words.collect::<Vec<_>>().join(" ");
    };
    let before = text[..paren].trim_end();
    let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    let (at, name) = (start, &before[start..]);
    // A macro such as TEST(foo) is a name only with its argument.
    if name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()) {
        return text[at..].split_whitespace().collect::<Vec<_>>().join(" ");
    }
    name.to_owned()
}
