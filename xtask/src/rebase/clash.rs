// SPDX-License-Identifier: MIT
//! Solving what a merge by lines leaves as a clash.
//!
//! git calls it a conflict if changes of the two sides touch. Where they touch and do not overlap,
//! their order is clear all the same. Where both sides change the very same line, its tokens are
//! merged (see [`tokens`]). The rest is left to a person.

use std::collections::HashMap;
use std::ops::Range;

use imara_diff::Hunk;

use super::blocks::has_functions;
use super::declared::{is_name, solid};
use super::deeper::Method;
use super::{script, tokens};
use crate::patch;

/// What became of a clash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub bytes: Vec<u8>,
    /// What each side changed, for a person.
    pub evidence: String,
    /// [`Method::Lines`] or [`Method::Tokens`].
    pub method: Method,
}

/// Lines of the base that tell where the patch's lines go although this version has none of them.
/// With fewer, the maintainers' own backports more often bring these lines along, too (seen on the
/// branches of docs/engine.md, on which the number was chosen).
const GONE: usize = 5;

/// Joins the changes of both sides to `base`. `None` where that would be guessing.
pub fn join(path: &str, [base, ours, theirs]: [&[u8]; 3]) -> Option<Joined> {
    if ours == theirs {
        let (bytes, evidence) = (ours.to_vec(), "both sides agree".to_owned());
        return Some(Joined { bytes, evidence, method: Method::Lines });
    }
    let lines = |text| patch::split_lines(text).collect::<Vec<&[u8]>>();
    let sides = Sides { base: lines(base), ours: lines(ours), theirs: lines(theirs) };
    // Where upstream has put much else, the patch's place is anywhere.
    let (all, mine) = (sides.base.len(), sides.ours.len());
    let gone = !base.trim_ascii().is_empty() && ours.trim_ascii().is_empty();
    if mine > 2 * all + 2 || (gone && all < GONE) {
        return None;
    }
    if gone && let Some(added) = beside(base, theirs)? {
        if script::is_script(path) && !script::stands_alone(path, added) {
            return None;
        }
        let text =
            tokens::told(&sides.base, &sides.theirs, &tokens::changes(&sides.base, &sides.theirs));
        let evidence = format!("upstream has not the {all} lines beside which the patch {text}");
        return Some(Joined { bytes: [ours, added].concat(), evidence, method: Method::Lines });
    }
    let up = tokens::changes(&sides.base, &sides.ours);
    let down = tokens::changes(&sides.base, &sides.theirs);
    // Blanks that one side adds or takes away: what becomes of them is taste.
    if unblanked(base) == unblanked(ours) || unblanked(base) == unblanked(theirs) {
        return None;
    }
    // Where both only take lines away side by side, so is what is left between them.
    let takes = |changes: &[Hunk]| changes.iter().all(|c| c.after.is_empty());
    if takes(&up) && takes(&down) {
        return None;
    }
    if takes_away_what_is_used(path, &sides, &up, &down) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut told = Vec::new();
    let mut at = 0;
    for group in groups(&up, &down) {
        let before = group.before();
        bytes.extend(sides.base.get(at..before.start)?.iter().copied().flatten());
        at = before.end;
        let mine = image(&before, group.up, &up, group.first.0);
        let new = image(&before, group.down, &down, group.first.1);
        match (group.up.is_empty(), group.down.is_empty()) {
            (_, true) => bytes.extend(sides.ours.get(mine)?.iter().copied().flatten()),
            (true, _) => bytes.extend(sides.theirs.get(new)?.iter().copied().flatten()),
            _ => {
                let text = |lines: &[&[u8]]| lines.concat();
                let (base, mine) = (text(&sides.base[before]), text(sides.ours.get(mine)?));
                let merged = tokens::merge(&base, &mine, &text(sides.theirs.get(new)?))?;
                bytes.extend_from_slice(&merged.bytes);
                told.push(merged.evidence);
            }
        }
    }
    bytes.extend(sides.base.get(at..)?.iter().copied().flatten());
    let method = if told.is_empty() { Method::Lines } else { Method::Tokens };
    if told.is_empty() {
        let by_patch = tokens::told(&sides.base, &sides.theirs, &down);
        let by_upstream = tokens::told(&sides.base, &sides.ours, &up);
        told.push(format!("upstream {by_upstream}, right beside it the patch {by_patch}"));
    }
    Some(Joined { bytes, evidence: told.join("; "), method })
}

/// True if the patch's new text uses something that upstream has taken out of these very lines, and
/// more often than the text that it replaces: in C a name, as of a variable that is called otherwise
/// now; anywhere a call, whose first argument is of another kind now.
fn takes_away_what_is_used(path: &str, sides: &Sides<'_>, up: &[Hunk], down: &[Hunk]) -> bool {
    let names = has_functions(path);
    let span = |range: &Range<u32>| range.start as usize..range.end as usize;
    let left = uses(names, &sides.ours);
    let mut gone = Uses::new();
    for change in up {
        let before = uses(names, &sides.base[span(&change.before)]);
        gone.extend(before.into_iter().filter(|(used, _)| !left.contains_key(used)));
    }
    down.iter().any(|change| {
        let before = uses(names, &sides.base[span(&change.before)]);
        let new = uses(names, &sides.theirs[span(&change.after)]);
        new.iter().any(|(used, count)| gone.contains_key(used) && before.get(used) < Some(count))
    })
}

/// How often lines use a name, or call it with an argument that starts with such a token.
type Uses<'a> = HashMap<(&'a [u8], Option<&'a [u8]>), usize>;

fn uses<'a>(names: bool, lines: &[&'a [u8]]) -> Uses<'a> {
    let tokens: Vec<&[u8]> = lines.iter().copied().flat_map(solid).collect();
    let mut uses = Uses::new();
    for (at, name) in tokens.iter().enumerate().filter(|(_, token)| is_name(token)) {
        if names {
            *uses.entry((name, None)).or_default() += 1;
        }
        if let Some([b"(", first]) = tokens.get(at + 1..at + 3)
            && !is_name(first)
        {
            *uses.entry((name, Some(first))).or_default() += 1;
        }
    }
    uses
}

/// What `theirs` adds right above or right below all of `base`, as it stands there: a difference may
/// as well begin within lines that both end with. `Some(None)` if it adds elsewhere; `None` if what it
/// adds could be two things.
fn beside<'a>(base: &[u8], theirs: &'a [u8]) -> Option<Option<&'a [u8]>> {
    match (theirs.strip_prefix(base), theirs.strip_suffix(base)) {
        (Some(below), Some(above)) if below != above => None,
        (Some(added), _) | (None, Some(added)) => Some(Some(added)),
        (None, None) => Some(None),
    }
}

/// The text without blanks.
fn unblanked(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect()
}

struct Sides<'a> {
    base: Vec<&'a [u8]>,
    ours: Vec<&'a [u8]>,
    theirs: Vec<&'a [u8]>,
}

/// Changes that overlap, of both sides; changes that only touch are in groups of their own.
struct Group<'a> {
    up: &'a [Hunk],
    down: &'a [Hunk],
    /// How many changes of each side are above.
    first: (usize, usize),
}

impl Group<'_> {
    fn before(&self) -> Range<usize> {
        let all = || self.up.iter().chain(self.down);
        let start = all().map(|h| h.before.start).min().unwrap_or(0);
        let end = all().map(|h| h.before.end).max().unwrap_or(start);
        start as usize..end as usize
    }
}

/// The lines of a side that stand for `before`, which covers the changes `inside` of all `changes`
/// from number `first` on.
fn image(before: &Range<usize>, inside: &[Hunk], changes: &[Hunk], first: usize) -> Range<usize> {
    let shift = |up_to: usize| {
        let last = up_to.checked_sub(1).and_then(|i| changes.get(i));
        last.map_or(0, |h| h.after.end.cast_signed() as isize - h.before.end.cast_signed() as isize)
    };
    let start = before.start.saturating_add_signed(shift(first));
    start..before.end.saturating_add_signed(shift(first + inside.len())).max(start)
}

fn groups<'a>(up: &'a [Hunk], down: &'a [Hunk]) -> Vec<Group<'a>> {
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < up.len() || j < down.len() {
        let first = (i, j);
        let key = |h: &Hunk| (h.before.start, h.before.end);
        let up_first = match (up.get(i), down.get(j)) {
            (Some(u), Some(d)) => key(u) <= key(d),
            (u, _) => u.is_some(),
        };
        let seed = if up_first { &up[i] } else { &down[j] };
        *(if up_first { &mut i } else { &mut j }) += 1;
        let mut span = seed.before.clone();
        loop {
            let overlaps = |h: &&Hunk| {
                let both_insert = h.before == span && span.is_empty();
                both_insert
                    || (h.before.start < span.end && span.start < h.before.end)
                    || (h.before.is_empty()
                        && span.start < h.before.start
                        && h.before.start < span.end)
            };
            let next = if let Some(hunk) = up.get(i).filter(overlaps) {
                i += 1;
                hunk
            } else if let Some(hunk) = down.get(j).filter(overlaps) {
                j += 1;
                hunk
            } else {
                break;
            };
            span = span.start.min(next.before.start)..span.end.max(next.before.end);
        }
        groups.push(Group { up: &up[first.0..i], down: &down[first.1..j], first });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, ours: &str, theirs: &str) -> Option<(String, Method)> {
        let joined = join("a.c", [base, ours, theirs].map(str::as_bytes))?;
        Some((String::from_utf8(joined.bytes).unwrap(), joined.method))
    }

    #[test]
    fn changes_that_touch_keep_their_order() {
        let base = "        r = prepare(a);\n        if (r < 0)\n                return r;\n";
        let ours = base.replace("prepare(a)", "prepare(a, 7)");
        let theirs = base.replace("if (r < 0)", "if (r <= 0)");
        let both = ours.replace("if (r < 0)", "if (r <= 0)");
        assert_eq!(joined(base, &ours, &theirs).unwrap(), (both.clone(), Method::Lines));
        assert_eq!(joined(base, &theirs, &ours).unwrap().0, both);
        // An insertion above or below a changed line.
        let theirs = base.replace("        if", "        log();\n        if");
        let both = ours.replace("        if", "        log();\n        if");
        assert_eq!(joined(base, &ours, &theirs).unwrap().0, both);
        // Two insertions at one place have no order.
        let ours = base.replace("        if", "        mark();\n        if");
        assert_eq!(joined(base, &ours, &theirs), None);
    }

    #[test]
    fn what_upstream_took_out_is_not_used_beside_it() {
        let base = "        r = list(unit);\n        if (r < 0)\n                return r;\n";
        let ours = base.replace("unit", "previous");
        let theirs = |added: &str| format!("{added}{base}");
        assert_eq!(joined(base, &ours, &theirs("        check(unit);\n")), None);
        let both = joined(base, &ours, &theirs("        check(link);\n")).unwrap().0;
        assert_eq!(both, format!("        check(link);\n{ours}"));
        // Once more than before.
        let base = "        int a = -EBADF;\n        int r;\n";
        let ours = base.replace("EBADF", "1");
        let theirs = |first: &str| base.replace("int a", first);
        assert_eq!(joined(base, &ours, &theirs("int b = -EBADF, a")), None);
        assert!(joined(base, &ours, &theirs("int b = -2, a")).is_some());
    }

    #[test]
    fn a_call_that_upstream_makes_otherwise_is_not_added_beside_it() {
        let base = "    start()\n    wait('a:up')\n";
        let ours = base.replace("'a:up'", "['a:up']");
        let joined = |added: &str| {
            let theirs = format!("{base}{added}");
            let joined = join("a.py", [base, &ours, &theirs].map(str::as_bytes))?;
            Some(String::from_utf8(joined.bytes).unwrap())
        };
        assert_eq!(joined("    wait('b:up')\n"), None);
        assert_eq!(joined("    stop('b')\n").unwrap(), format!("{ours}    stop('b')\n"));
    }

    #[test]
    fn commands_of_a_script_need_those_before_them_and_functions_do_not() {
        let lines: String = (0..GONE).map(|i| format!("command {i}\n")).collect();
        let joined = |path: &str, added: &str| {
            let theirs = format!("{lines}{added}");
            Some(join(path, [&lines, "", &theirs].map(str::as_bytes))?.bytes)
        };
        let function = "\n# why\ntestcase_x() {\n    do_it\n}\n";
        assert_eq!(joined("a.sh", function).unwrap(), function.as_bytes());
        assert_eq!(joined("a.sh", "\n# why\ndo_it\n"), None);
        assert!(joined("a.conf", "do_it\n").is_some());
    }

    #[test]
    fn one_line_that_both_change_is_merged_by_tokens_among_others() {
        let base = "        one(a);\n        two(b, c);\n        three(d);\n";
        let ours = base.replace("one(a)", "one(x)").replace("(b,", "(b->z,");
        let theirs = base.replace("c);", "c, e);").replace("three", "four");
        let both = "        one(x);\n        two(b->z, c, e);\n        four(d);\n";
        assert_eq!(joined(base, &ours, &theirs).unwrap(), (both.into(), Method::Tokens));
        let theirs = base.replace("(b,", "(q,");
        assert_eq!(joined(base, &ours, &theirs), None);
    }

    #[test]
    fn what_is_added_beside_lines_that_are_gone_is_taken_as_it_stands() {
        let block = |name: &str| format!("{name}() {{\n        a\n        b\n        rm x\n}}\n\n");
        let (base, new) = (block("one"), block("two"));
        let below = joined(&base, "", &format!("{base}{new}")).unwrap();
        assert_eq!(below, (new.clone(), Method::Lines));
        assert_eq!(joined(&base, "", &format!("{new}{base}")).unwrap().0, new);
        let twice = "a\nb\n".repeat(3);
        assert_eq!(joined(&twice, "", &format!("{twice}a\nb\n")).unwrap().0, "a\nb\n");
        let odd = "a\nb\na\nb\na\n";
        assert_eq!(joined(odd, "", "a\nb\na\nb\na\nb\na\n"), None);
    }

    #[test]
    fn lines_that_are_gone_must_be_enough_to_tell_the_place() {
        let lines = |n: usize| (0..n).map(|i| format!("item {i}\n")).collect::<String>();
        for (count, wanted) in [(GONE, Some("new\n")), (GONE - 1, None)] {
            let theirs = lines(count) + "new\n";
            let found = joined(&lines(count), "", &theirs).map(|f| f.0);
            assert_eq!(found.as_deref(), wanted);
        }
    }
}
