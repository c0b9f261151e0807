// SPDX-License-Identifier: MIT
//! The page on made-up input; `tests/report.rs` makes it of a real run.

use super::*;
use crate::patch;
use crate::rebase::{Broken, Cause, Outcome};
use crate::series::{Needed, Patch, Variant};

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&";

fn v(text: &str) -> SystemdVersion {
    text.parse().unwrap()
}

fn series(text: &str) -> Series {
    let before = "int a(void) {\n        return 1;\n}\n";
    let diff = patch::diff("a.c", Some(before.as_bytes()), 0o100_644, text.as_bytes(), 3).unwrap();
    let message = format!("Subject: [PATCH] a\n\n{text}\n").into_bytes();
    let needed: Needed = toml::from_str("from = '254'").unwrap();
    let variant = Variant {
        base: v("261"),
        ranges: vec!["261".parse().unwrap()],
        text: patch::PatchText { message, files: vec![diff] },
    };
    let patch = Patch {
        id: "0001-a".into(),
        title: text.into(),
        why: text.into(),
        upstream: text.into(),
        needed,
        checks: vec!["boot.running".into()],
        requires: Vec::new(),
        variants: vec![variant],
    };
    Series { patches: vec![patch] }
}

fn cell(outcome: Outcome, cause: Option<Cause>) -> Cell {
    let broken = cause.map(|cause| Broken {
        path: "a.c".into(),
        hunk: 1,
        made_in: vec!["a".into()],
        cause: Some(cause),
        before: "        return 1;\n".into(),
        after: format!("{HOSTILE}\n"),
        went: None,
        suggestion: Some(HOSTILE.into()),
    });
    Cell {
        patch: "0001-a".into(),
        outcome,
        from: Some(v("261")),
        cross_checked: true,
        reason: None,
        files: Vec::new(),
        broken: broken.into_iter().collect(),
        without: Vec::new(),
        rivals: Vec::new(),
    }
}

fn commit(link: &str) -> Cause {
    Cause::Commit {
        id: "13b0e7fc6d5f".into(),
        date: "2026-01-02".into(),
        author: HOSTILE.into(),
        subject: HOSTILE.into(),
        link: Some(link.into()),
        undone: false,
    }
}

fn page(series: &Series, cells: &[(&str, Cell)], records: &[Record]) -> String {
    page_with(series, cells, records, &Review::default())
}

fn page_with(
    series: &Series,
    cells: &[(&str, Cell)],
    records: &[Record],
    sites: &Review,
) -> String {
    let row = |(version, cell): &'_ (&str, Cell)| (v(version), vec![cell.clone()]);
    let owned: Vec<(SystemdVersion, Vec<Cell>)> = cells.iter().map(row).collect();
    let rows = owned.iter().map(|(version, cells)| Row { version: *version, cells, patched: None });
    html(&Input {
        made_s: 1_795_265_396,
        series,
        lock: &Lock::default(),
        rows: rows.collect(),
        kept: &[],
        sites,
        records,
        unread: &[HOSTILE.to_owned()],
    })
}

#[test]
fn text_of_others_stays_text() {
    let cells = [
        ("261", cell(Outcome::Clean, None)),
        ("262", cell(Outcome::Conflict, Some(commit("javascript:alert(3)")))),
    ];
    let page = page(&series(HOSTILE), &cells, &[]);
    assert_eq!(page.matches("<script>").count(), 1, "our own");
    assert!(!page.contains("<img"), "an element of somebody else");
    assert!(!page.contains("href=\"javascript:"), "a link that is none");
    assert!(page.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn a_problem_of_several_releases_is_shown_once_and_every_link_leads_there() {
    let broken = || cell(Outcome::Conflict, Some(commit("https://example.com/1")));
    let cells = [
        ("261", cell(Outcome::Moved, None)),
        ("261.1", broken()),
        ("261.2", broken()),
        ("262", cell(Outcome::NeedsReview, None)),
    ];
    let page = page(&series("int a(void) {\n        return 2;\n}\n"), &cells, &[]);
    assert_eq!(page.matches("<article class=\"problem\"").count(), 2);
    assert!(page.contains("2 problems need a person"));
    assert!(page.contains("on systemd 261.1 - 261.2"));
    assert!(page.contains("href=\"https://example.com/1\""));
    assert_eq!(
        page.matches("href=\"#problem-0001-a-261.1\"").count(),
        3,
        "two cells, and the index"
    );
    let hrefs = regex::Regex::new("href=\"#([^\"]*)\"").unwrap();
    for found in hrefs.captures_iter(&page) {
        assert!(page.contains(&format!("id=\"{}\"", &found[1])), "nothing is called {}", &found[1]);
    }
}

/// `rebase-patches` says no to such a version, though every patch fits.
#[test]
fn places_that_nobody_has_looked_at_are_problems() {
    use crate::sites::{NewSite, Site, Stale};
    let site = |what: &str| Site { file: "a.c".into(), function: "f".into(), what: what.into() };
    let new = |at: &str| NewSite { version: v(at), before: Some(v("261")), site: site(HOSTILE) };
    let review = Review {
        new: vec![new("262"), new("262")],
        stale: vec![Stale { site: site("g()"), since: v("261"), why: "it was there".into() }],
        unread: vec![(v("261"), "a blob is missing".into())],
    };
    let cells = [("261", cell(Outcome::Clean, None)), ("262", cell(Outcome::Clean, None))];
    let page = page_with(&series("x\n"), &cells, &[], &review);
    assert!(page.contains("3 problems need a person"));
    assert!(page.contains("systemd 262 has places that 261 had not"));
    assert_eq!(page.matches("href=\"#places-262\"").count(), 2, "the grid, and the index");
    assert!(page.contains("of systemd 261: it was there"));
    assert!(page.contains("systemd 261: a blob is missing"));
    assert!(!page.contains("<img"), "an element of somebody else");
}

#[test]
fn what_is_missing_is_said_with_the_command_that_gets_it() {
    let empty = page(&series("x\n"), &[], &[]);
    for command in
        ["rebase-patches", "test-image", "test-image --ablate", "test-image --only boot.running"]
    {
        assert!(empty.contains(&format!(">cargo xtask {command}<")), "{command}");
    }
    assert!(empty.contains("No release of systemd is here"));
    let settled = page(&series("x\n"), &[("261", cell(Outcome::Clean, None))], &[]);
    assert!(settled.contains("1 patches fit 1 systemd releases"));
}

#[test]
fn nothing_is_asked_of_a_network() {
    let page = page(&series("x\n"), &[("261", cell(Outcome::Clean, None))], &[]);
    for word in
        ["@import", "url(", "fetch(", "XMLHttpRequest", "<iframe", "<link rel=\"stylesheet\""]
    {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
    let links = regex::Regex::new("(src|href)=\"(?P<to>[^#\"][^\"]*)\"").unwrap();
    let others: Vec<&str> =
        links.captures_iter(&page).filter_map(|c| Some(c.name("to")?.as_str())).collect();
    assert_eq!(others, ["data:,"]);
}

#[test]
fn numbers_in_words() {
    assert_eq!(words::time(1_795_265_396), "2026-11-21 12:49 UTC");
    assert_eq!(words::duration(7.12), "7.1 s");
    assert_eq!(words::duration(59.6), "60 s");
    assert_eq!(words::duration(286.9), "4 min 47 s");
    assert_eq!(words::slug("patched, a (b)/é"), "patched--a--b---");
    let all: Vec<SystemdVersion> = ["257", "257.13", "262"].into_iter().map(v).collect();
    assert_eq!(words::versions(&all), "257 - 257.13, 262");
}
