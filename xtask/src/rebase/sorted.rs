// SPDX-License-Identifier: MIT
//! Clashes within a sorted list, such as the includes of a C file: where a line goes there is told by
//! the order, whatever is beside it.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::blocks::has_functions;
use crate::patch;

/// So many lines in order are a sorted list, and no chance: of four any order is one of 24.
const FEW: usize = 4;

/// A clash that is solved together with the lines around it.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// Bytes at the end of what is above that belong to it.
    pub above: usize,
    pub bytes: Vec<u8>,
    /// Bytes at the start of what is below that belong to it.
    pub below: usize,
    pub evidence: String,
}

type Order = fn(&[u8], &[u8]) -> Ordering;

const ORDERS: [Order; 2] =
    [|a, b| a.cmp(b), |a, b| a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase())];

/// Puts what the patch adds into the list where the order wants it, and takes out what it removes.
/// `None` if the three sides are not lists that one order sorts.
pub fn join(
    path: &str,
    above: &[u8],
    [base, ours, theirs]: [&[u8]; 3],
    below: &[u8],
) -> Option<Listed> {
    let lines = |text| patch::split_lines(text).collect::<Vec<&[u8]>>();
    let [base, ours, theirs] = [base, ours, theirs].map(lines);
    let first = theirs.first().or(base.first())?;
    let kind = kind(path, first)?;
    let is_item = |line: &&[u8]| self::kind(path, line).as_ref() == Some(&kind);
    if ![&base, &ours, &theirs].into_iter().flatten().all(&is_item) {
        return None;
    }
    let (above, below) = (lines(above), lines(below));
    let up: Vec<&[u8]> = above.iter().rev().take_while(|l| is_item(l)).copied().collect();
    let down: Vec<&[u8]> = below.iter().take_while(|l| is_item(l)).copied().collect();
    ORDERS.iter().find_map(|order| {
        let less = |a: &[u8], b: &[u8]| order(a.trim_ascii(), b.trim_ascii()) == Ordering::Less;
        // As far as it is in order.
        let run = |count: usize, ascends: &dyn Fn(usize) -> bool| {
            (1..count).take_while(|&i| ascends(i)).count() + usize::from(count > 0)
        };
        let up = &up[..run(up.len(), &|i| less(up[i], up[i - 1]))];
        let down = &down[..run(down.len(), &|i| less(down[i - 1], down[i]))];
        let whole = |middle: &[&'_ [u8]]| -> Vec<Vec<u8>> {
            let all = up.iter().rev().chain(middle).chain(down);
            all.map(|line| line.to_vec()).collect()
        };
        let sorted = |list: &[Vec<u8>]| list.windows(2).all(|w| less(&w[0], &w[1]));
        let lists = [&base, &ours, &theirs].map(|middle| whole(middle));
        if lists[0].len() < FEW || lists[1].len() < FEW || !lists.iter().all(|list| sorted(list)) {
            return None;
        }
        let set = |lines: &[&'_ [u8]]| lines.iter().map(|l| l.to_vec()).collect::<HashSet<_>>();
        let (was, is) = (set(&base), set(&theirs));
        let added: Vec<&[u8]> = theirs.iter().filter(|l| !was.contains(**l)).copied().collect();
        let removed: Vec<&[u8]> = base.iter().filter(|l| !is.contains(**l)).copied().collect();
        let there = |line: &&[u8]| lists[1].iter().any(|l| l == line);
        if added.iter().any(&there) || !removed.iter().all(there) {
            return None; // A part of it is there already.
        }
        // What made a header superfluous may not be here.
        if has_functions(path) && removed.iter().any(|line| line.starts_with(b"#include")) {
            return None;
        }
        // The order and the place that the patch names must say the same.
        let here = |line: &&[u8]| {
            up.first().is_none_or(|above| less(above, line))
                && down.first().is_none_or(|below| less(line, below))
        };
        if !added.iter().all(here) {
            return None;
        }
        let mut list: Vec<Vec<u8>> =
            lists[1].iter().filter(|l| !removed.contains(&l.as_slice())).cloned().collect();
        list.extend(added.iter().map(|line| line.to_vec()));
        list.sort_by(|a, b| order(a.trim_ascii(), b.trim_ascii()));
        let told = |word: &str, lines: &[&[u8]]| {
            let text = |l: &&[u8]| String::from_utf8_lossy(l.trim_ascii()).into_owned();
            lines.first().map(|first| format!("{word} `{}`", text(first)))
        };
        let told: Vec<String> =
            [told("adds", &added), told("removes", &removed)].into_iter().flatten().collect();
        let bytes = |lines: &[&[u8]]| lines.iter().map(|l| l.len()).sum();
        (sorted(&list) && !told.is_empty()).then(|| Listed {
            above: bytes(up),
            bytes: list.concat(),
            below: bytes(down),
            evidence: format!(
                "the patch {} in a sorted list of {}",
                told.join(" and "),
                list.len()
            ),
        })
    })
}

/// What makes a line an item of a list: how deep it is and how it begins. Statements have an order of
/// their own, so in C only includes and what ends in a comma count.
fn kind(path: &str, line: &[u8]) -> Option<(usize, Vec<u8>)> {
    let text = line.trim_ascii();
    let indent = line.len() - line.trim_ascii_start().len();
    let upto = |end: usize| Some((indent, text[..end].to_vec()));
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let start = text.iter().position(is_word)?;
    let one_word = !text.iter().any(u8::is_ascii_whitespace);
    for include in [&b"#include <"[..], b"#include \""] {
        if text.starts_with(include) {
            return upto(include.len());
        }
    }
    if has_functions(path) {
        return (one_word && text.ends_with(b",")).then(|| upto(start))?;
    }
    if text.starts_with(b"#") || !line.ends_with(b"\n") {
        return None;
    }
    if let Some(at) = text.iter().position(|b| *b == b'=')
        && text[..at].iter().all(|b| is_word(b) || *b == b'-')
    {
        return upto(at + 1);
    }
    (one_word || text.starts_with(b"['")).then(|| upto(start))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(path: &str, above: &str, sides: [&str; 3], below: &str) -> Option<String> {
        let listed = join(path, above.as_bytes(), sides.map(str::as_bytes), below.as_bytes())?;
        let (keep, rest) = (above.len() - listed.above, &below[listed.below..]);
        Some(format!("{}{}{rest}", &above[..keep], String::from_utf8(listed.bytes).unwrap()))
    }

    fn includes(names: &[&str]) -> String {
        names.iter().map(|name| format!("#include \"{name}.h\"\n")).collect()
    }

    #[test]
    fn an_include_goes_where_the_order_wants_it() {
        let (above, below) =
            ("\n".to_owned() + &includes(&["b", "d", "f"]), includes(&["p", "q"]) + "\n");
        let sides = [includes(&["k"]), String::new(), includes(&["k", "l"])];
        let sides = [&sides[0], &sides[1], &sides[2]].map(String::as_str);
        let wanted = "\n".to_owned() + &includes(&["b", "d", "f", "l", "p", "q"]) + "\n";
        assert_eq!(joined("a.c", &above, sides, &below).unwrap(), wanted);
        // Both sides add, and the one above belongs before what is above.
        let (ours, theirs) = (includes(&["g", "k"]), includes(&["k", "m"]));
        let sides = [sides[0], ours.as_str(), theirs.as_str()];
        let wanted = "\n".to_owned() + &includes(&["b", "d", "f", "g", "k", "m", "p", "q"]) + "\n";
        assert_eq!(joined("a.c", &above, sides, &below).unwrap(), wanted);
        // The order has another place for it than the patch.
        let theirs = includes(&["c", "k"]);
        assert_eq!(joined("a.c", &above, [sides[0], &ours, &theirs], &below), None);
        // Taken out, and put in where it is already.
        assert_eq!(joined("a.c", &above, [sides[0], &ours, ""], &below), None);
        assert_eq!(
            joined("a.asm", &above, [sides[0], &ours, ""], &below).unwrap(),
            "\n".to_owned() + &includes(&["b", "d", "f", "g", "p", "q"]) + "\n"
        );
        let theirs = includes(&["k", "m"]);
        assert_eq!(joined("a.c", &above, [sides[0], &theirs, &theirs], &below), None);
    }

    #[test]
    fn what_is_not_sorted_or_no_list_is_left_alone() {
        let below = includes(&["p", "q"]);
        let sides = [includes(&["k"]), String::new(), includes(&["k", "l"])];
        let sides = [&sides[0], &sides[1], &sides[2]].map(String::as_str);
        assert_eq!(joined("a.c", "", sides, &includes(&["p"])), None, "too few");
        assert_eq!(joined("a.c", &includes(&["z"]), sides, &below).map(|_| ()), None);
        let sides = ["        c();\n", "", "        c();\n        d();\n"];
        assert_eq!(joined("a.c", "        a();\n        b();\n", sides, "        e();\n"), None);
        let sides = ["        'c',\n", "", "        'c',\n        'd',\n"];
        let list = joined(
            "meson.build",
            "x = [\n        'a',\n        'aa',\n        'b',\n",
            sides,
            "        'e',\n]\n",
        );
        assert_eq!(
            list.unwrap(),
            "x = [\n        'a',\n        'aa',\n        'b',\n        'd',\n        'e',\n]\n"
        );
        let sides = ["Allow=c 1\n", "", "Allow=c 1\nAllow=d 1\n"];
        let list = joined("a.service", "Allow=a\nAllow=aa\nAllow=b\n", sides, "Allow=e\nDeny=a\n");
        assert_eq!(list.unwrap(), "Allow=a\nAllow=aa\nAllow=b\nAllow=d 1\nAllow=e\nDeny=a\n");
    }
}
