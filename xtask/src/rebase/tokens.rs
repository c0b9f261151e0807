// SPDX-License-Identifier: MIT
//! Merging by tokens where lines collide: upstream renames a variable in the line that a patch
//! adds a condition to, or changes the line right above it.
//!
//! Not as sure as a merge by lines, so what comes of it is called resolved, and says what each side
//! has changed.

use std::hash::Hash;
use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput};

/// Lines that collide are left to a person if one side has more of them: by then the two sides
/// have little to do with each other.
const MOST_LINES: usize = 40;

/// Share of its tokens (blanks left out) that upstream must have kept, of those before and of those
/// now, for the rest to mean the same. With half of them only every third merge was what the
/// maintainers made of it.
const KEPT: f64 = 0.75;

/// What was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub bytes: Vec<u8>,
    /// What each side changed, for a person.
    pub evidence: String,
}

/// Merges the changes of both sides to `base`, token by token. `None` where they meet, or where it
/// would be guessing.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Merged> {
    if ours == theirs {
        return Some(Merged { bytes: ours.to_vec(), evidence: "both sides agree".into() });
    }
    let lines = |text: &[u8]| memchr::memchr_iter(b'\n', text).count();
    if base.is_empty() || [base, ours, theirs].iter().any(|t| lines(t) > MOST_LINES) {
        return None;
    }
    let (base, ours, theirs) = (tokens(base), tokens(ours), tokens(theirs));
    let (up, down) = (changes(&base, &ours), changes(&base, &theirs));
    // Where upstream has put lines deeper or less deep, so would whole new lines have to be.
    let indents = |c: &Hunk| {
        let start = c.before.start.checked_sub(1).is_none_or(|i| base[i as usize] == b"\n");
        let blank = |tokens: &[&[u8]]| tokens.first().is_none_or(|t| is_blank(t) && *t != b"\n");
        start && blank(&base[span(&c.before)]) && blank(&ours[span(&c.after)])
    };
    let adds_lines = |c: &Hunk| theirs[span(&c.after)].contains(&&b"\n"[..]);
    if up.iter().any(indents) && down.iter().any(adds_lines) {
        return None;
    }
    let solid = |range: Range<usize>| base[range].iter().filter(|t| !is_blank(t)).count();
    let changed: usize = up.iter().map(|c| solid(span(&c.before))).sum();
    let all = solid(0..base.len());
    let now = ours.iter().filter(|t| !is_blank(t)).count();
    if all == 0 || ((all - changed) as f64) < KEPT * all.max(now) as f64 {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut at, mut i, mut j) = (0, 0, 0);
    let mut last: Option<(bool, usize)> = None;
    while i < up.len() || j < down.len() {
        let from_ours = match (up.get(i), down.get(j)) {
            (Some(u), Some(d)) => (u.before.start, u.before.end) <= (d.before.start, d.before.end),
            (Some(_), None) => true,
            _ => false,
        };
        let (change, side) = if from_ours { (&up[i], &ours) } else { (&down[j], &theirs) };
        let before = span(&change.before);
        // Between changes of two sides something solid must have stayed.
        if let Some((other, end)) = last
            && other != from_ours
            && (before.start < end || solid(end..before.start) == 0)
        {
            return None;
        }
        base.get(at..before.start)?.iter().for_each(|t| bytes.extend_from_slice(t));
        side[span(&change.after)].iter().for_each(|t| bytes.extend_from_slice(t));
        at = before.end;
        last = Some((from_ours, before.end));
        *(if from_ours { &mut i } else { &mut j }) += 1;
    }
    base[at..].iter().for_each(|t| bytes.extend_from_slice(t));
    let evidence = format!("upstream {}, the patch {}", told(&base, &ours, &up), {
        told(&base, &theirs, &down)
    });
    Some(Merged { bytes, evidence })
}

fn span(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// `replaces "a" by "b"`, of the first change.
pub fn told(base: &[&[u8]], side: &[&[u8]], changes: &[Hunk]) -> String {
    /// Bytes of a text that are shown.
    const SHOWN: usize = 40;
    let text = |tokens: &[&[u8]]| {
        let text = String::from_utf8_lossy(&tokens.concat()).into_owned();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("`{}…`", &text[..end]),
            None => format!("`{text}`"),
        }
    };
    let Some(first) = changes.first() else { return "changes nothing".into() };
    let (old, new) = (&base[span(&first.before)], &side[span(&first.after)]);
    let more = match changes.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    match (old.is_empty(), new.is_empty()) {
        (true, _) => format!("adds {}{more}", text(new)),
        (_, true) => format!("removes {}{more}", text(old)),
        _ => format!("replaces {} by {}{more}", text(old), text(new)),
    }
}

/// What differs between two lists.
pub fn changes<T: Eq + Hash + Copy + Default>(before: &[T], after: &[T]) -> Vec<Hunk> {
    let mut input: InternedInput<T> = InternedInput::default();
    input.update_before(before.iter().copied());
    input.update_after(after.iter().copied());
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_no_heuristic(&input);
    diff.hunks().collect()
}

/// Words, numbers, runs of blanks, line ends, and single other bytes. Together they are the text.
pub fn tokens(text: &[u8]) -> Vec<&[u8]> {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Word,
        Blank,
        Single,
    }
    let class = |b: &u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | 0x80.. => Class::Word,
        b' ' | b'\t' => Class::Blank,
        _ => Class::Single,
    };
    text.chunk_by(|a, b| class(a) == class(b) && class(a) != Class::Single).collect()
}

/// True for spaces and line ends.
pub fn is_blank(token: &[u8]) -> bool {
    token.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, ours: &str, theirs: &str) -> Option<String> {
        let merged = merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes())?;
        Some(String::from_utf8(merged.bytes).unwrap())
    }

    #[test]
    fn changes_in_one_line_are_joined_if_something_solid_is_between() {
        let base = "        if (r < 0 && enabled)\n                return log_error(r);\n";
        let ours = base.replace("log_error(r)", "log_error_errno(r)");
        let theirs = base.replace("if (r < 0", "if (r < 0 && ok");
        let both = ours.replace("if (r < 0", "if (r < 0 && ok");
        assert_eq!(merged(base, &ours, &theirs).unwrap(), both);
        assert_eq!(merged(base, &theirs, &ours).unwrap(), both);
    }

    #[test]
    fn changes_that_meet_or_that_leave_little_are_left_to_a_person() {
        let base = "        r = prepare(a);\n        if (r < 0)\n";
        let ours = base.replace("prepare(a)", "prepare(a, 7)");
        let theirs = base.replace("prepare(a)", "prepare(a, b)");
        assert_eq!(merged(base, &ours, &theirs), None);
        // Two texts at the same place: their order would be a guess.
        let ours = base.replace("if (r", "log();\n        if (r");
        let theirs = base.replace("if (r", "mark();\n        if (r");
        assert_eq!(merged(base, &ours, &theirs), None);
        let rewritten = "        q = other_thing(x, y, z);\n        if (q != 0 && (z || w))\n";
        assert_eq!(merged(base, rewritten, &base.replace("a)", "a, b)")), None);
        assert_eq!(merged("", "a\n", "b\n"), None);
    }

    #[test]
    fn new_lines_are_not_put_into_code_of_another_depth() {
        let base = "        if (r < 0)\n                log(\"%s failed\", from, to, r);\n";
        let ours = base.replace("        ", "            ");
        let one_line = base.replace("from,", "name,");
        assert_eq!(merged(base, &ours, &one_line).unwrap(), ours.replace("from,", "name,"));
        assert_eq!(merged(base, &ours, &base.replace("from,", "a,\n                    b,")), None);
    }

    #[test]
    fn tokens_are_the_text() {
        let text = "a_1 +=\t\"ä\";\n\n  }\n".as_bytes();
        assert_eq!(tokens(text).concat(), text);
    }
}
