// SPDX-License-Identifier: MIT
//! A recorded terminal session as a picture: an SVG that shows each line when it came.
//!
//! Pure. The session itself stands in the picture's description, for readers that see no picture, and for
//! comparing it with a newer one.

use std::sync::LazyLock;
use std::time::Duration;

use maud::{PreEscaped, html};
use regex::Regex;

/// Longer lines go on in the next one, as on a terminal.
const COLUMNS: usize = 100;
/// Nobody watches a picture wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The last screen stays this long before it all begins again.
const REST_S: f64 = 8.0;

const LINE: usize = 18;
const MARGIN: usize = 16;
/// Of the usual monospaced fonts at 14 px.
const CHARACTER: f64 = 8.43;

/// A line, and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub at: Duration,
    pub text: String,
}

/// The picture of a session.
pub fn svg(lines: &[Line], title: &str) -> String {
    let mut rows: Vec<(f64, String)> = Vec::new();
    let (mut shown, mut before) = (Duration::ZERO, Duration::ZERO);
    for line in lines {
        shown += line.at.saturating_sub(before).min(LONGEST_WAIT);
        before = line.at;
        let characters: Vec<char> = line.text.chars().collect();
        let mut parts: Vec<String> =
            characters.chunks(COLUMNS).map(|part| part.iter().collect()).collect();
        if parts.is_empty() {
            parts.push(String::new());
        }
        rows.extend(parts.into_iter().map(|part| (shown.as_secs_f64(), part)));
    }
    let whole = shown.as_secs_f64() + REST_S;
    let width = (COLUMNS as f64 * CHARACTER) as usize + 2 * MARGIN;
    let height = rows.len() * LINE + 2 * MARGIN;
    // A share of the whole, so that all lines begin again together.
    let frames: String = rows
        .iter()
        .enumerate()
        .map(|(i, (at, _))| {
            let share = at / whole * 100.0;
            format!(
                "@keyframes l{i}{{0%,{share:.2}%{{opacity:0}}{:.2}%,100%{{opacity:1}}}}",
                share + 0.01
            )
        })
        .collect();
    let style = format!(
        "rect{{fill:#16181d}}text{{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#d8dee9;\
         white-space:pre}}.typed{{fill:#8fd6a0;font-weight:bold}}.note{{fill:#8a93a3}}\
         {frames}@media(prefers-reduced-motion){{text{{animation:none!important}}}}"
    );
    let transcript: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title"
            viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) {
            title id="title" { (title) }
            desc { (transcript.join("\n")) }
            style { (PreEscaped(style)) }
            rect width="100%" height="100%" rx="8" {}
            @for (i, (_, text)) in rows.iter().enumerate() {
                text x=(MARGIN) y=(MARGIN + LINE * i + 13) class=(class(text))
                    style={ "animation:l" (i) " " (format!("{whole:.1}s")) " infinite" } {
                    (text)
                }
            }
        }
    };
    format!("<!-- Recorded by `cargo xtask demo`; do not edit. -->\n{}\n", picture.into_string())
}

fn class(text: &str) -> &'static str {
    match text.chars().next() {
        Some('$' | '#') => "typed",
        Some('…' | '✓') => "note",
        _ => "",
    }
}

/// The session that a picture shows; none if it is no picture of ours.
pub fn transcript(svg: &str) -> Option<Vec<String>> {
    let (_, rest) = svg.split_once("<desc>")?;
    let (text, _) = rest.split_once("</desc>")?;
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(plain.replace("&amp;", "&").lines().map(str::to_owned).collect())
}

/// What must stay the same from one recording to the next: the lines without numbers and ids, and without
/// those of progress, which depend on what was built before.
pub fn shape<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    #[expect(clippy::expect_used, reason = "a pattern of this file, compiled by a test")]
    static NUMBERS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("[0-9a-f]{8,}|[0-9]+(\\.[0-9]+)*").expect("a valid pattern"));
    let is_progress = |line: &&str| line.starts_with(['…', '✓']) || line.starts_with("  ");
    let lines = lines.into_iter().filter(|line| !is_progress(line));
    lines.map(|line| NUMBERS.replace_all(line, "N").into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Vec<Line> {
        let line = |ms, text: &str| Line { at: Duration::from_millis(ms), text: text.to_owned() };
        vec![
            line(0, "$ cargo xtask run"),
            line(900, "✓ carry the patches: 4.1 s"),
            line(60_000, "systemd 262 is `running` after 139 ms, <in> a \"container\" & more"),
            line(60_100, &"x".repeat(COLUMNS + 1)),
        ]
    }

    #[test]
    fn a_session_is_in_its_picture_word_for_word() {
        let lines = session();
        let svg = svg(&lines, "a title");
        let texts: Vec<String> = lines.iter().map(|l| l.text.clone()).collect();
        assert_eq!(transcript(&svg).unwrap(), texts);
        assert_eq!(svg.matches("<text ").count(), 5, "the last line takes two");
        // 0.9 s, and a minute's wait cut to two seconds: 3 s and the rest.
        assert!(svg.contains(" 11.0s infinite"), "{svg}");
        assert_eq!(transcript("<svg></svg>"), None);
    }

    #[test]
    fn numbers_and_progress_are_no_drift_and_words_are() {
        let one = ["✓ built: 3 s", "systemd 262 is `running` after 139 ms", "image-cf0db31f7928"];
        let two = ["systemd 263.1 is `running` after 80 ms", "image-aaaaaaaa0000"];
        assert_eq!(shape(one), shape(two));
        assert_ne!(shape(one), shape(["systemd 262 is `degraded` after 139 ms", one[2]]));
    }
}
