// SPDX-License-Identifier: MIT
//! Boot times over past records.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{Input, words};
use crate::boot::record::Record;
use crate::boot::verdict::Verdict;
use crate::version::SystemdVersion;

/// One measured boot of a patched image.
pub struct Point<'a> {
    pub version: SystemdVersion,
    /// Architecture and engine.
    pub place: String,
    pub run: &'a str,
    pub started_s: u64,
    pub ms: u64,
    pub verdict: Verdict,
}

/// The boots that can be compared with each other: patched, nothing else in the image, and running.
pub fn plain(records: &[Record]) -> Vec<Point<'_>> {
    let mut points = Vec::new();
    for record in records.iter().filter(|r| !r.engine.emulated) {
        for s in &record.subjects {
            if s.flavour == "patched" && s.boot.state == "running" {
                points.push(Point {
                    version: s.version,
                    place: format!("{}, {}", record.engine.arch(), record.engine.release()),
                    run: &record.id,
                    started_s: record.started_s,
                    ms: s.boot.answer_ms,
                    verdict: s.verdict,
                });
            }
        }
    }
    points
}

const WIDTH: u64 = 400;
const HEIGHT: u64 = 48;
/// Free space around the points, so that none is cut.
const EDGE: u64 = 5;

pub fn section(input: &Input<'_>) -> Markup {
    let points = plain(input.records);
    let mut lines: BTreeMap<(SystemdVersion, &str), Vec<&Point<'_>>> = BTreeMap::new();
    for p in &points {
        lines.entry((p.version, p.place.as_str())).or_default().push(p);
    }
    let times = || points.iter().map(|p| p.started_s);
    let ends = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    html! {
        p.sub {
            "From the return of " code { "docker run" } " to " code { "running" }
            ", each recorded run of the patched image; emulated processors are left out. "
            "How busy the machine was is part of it: look at the lowest points."
        }
        @if lines.is_empty() {
            (words::missing("No boot was recorded in this cache.", "cargo xtask test-image"))
        } @else {
            div.scroll tabindex="0" role="group" aria-label="Boot times over time" {
                table.trend {
                    thead { tr {
                        th scope="col" { "systemd" } th scope="col" { "place" }
                        th scope="col" { (words::time(ends.0)) " – " (words::time(ends.1)) }
                        th.n scope="col" { "runs" } th.n scope="col" { "lowest" }
                        th.n scope="col" { "median" } th.n scope="col" { "last" }
                    } }
                    tbody { @for ((version, place), line) in lines.iter().rev() {
                        (row(input, *version, place, line, ends))
                    } }
                }
            }
            p.sub { svg.key viewBox="0 0 10 10" aria-hidden="true" { circle.dot cx="5" cy="5" r="3" {} } " all checks held  "
                svg.key viewBox="0 0 10 10" aria-hidden="true" { path.cross d="M2 2L8 8M8 2L2 8" {} } " some did not" }
        }
    }
}

/// Of numbers in order, of which there is at least one.
fn median(sorted: &[u64]) -> u64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        u64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn row(
    input: &Input<'_>,
    version: SystemdVersion,
    place: &str,
    line: &[&Point<'_>],
    ends: (u64, u64),
) -> Markup {
    let mut sorted: Vec<u64> = line.iter().map(|p| p.ms).collect();
    sorted.sort_unstable();
    let (lowest, highest) = (sorted[0], sorted[sorted.len() - 1]);
    let median = median(&sorted);
    let newest = line[line.len() - 1];
    let label = format!(
        "systemd {version}: {} boots, lowest {lowest} ms, median {median} ms, highest {highest} ms",
        line.len()
    );
    let span = (ends.1 - ends.0).max(1);
    let at = |p: &Point<'_>| {
        let x = EDGE + (p.started_s - ends.0) * (WIDTH - 2 * EDGE) / span;
        let y = HEIGHT - EDGE - p.ms * (HEIGHT - 2 * EDGE) / highest.max(1);
        (x, y)
    };
    let path: Vec<String> = line
        .iter()
        .map(|p| {
            let (x, y) = at(p);
            format!("{x},{y}")
        })
        .collect();
    html! {
        tr data-row data-text={ (version) " " (place) } {
            th scope="row" { (input.release(version)) }
            td { (place) }
            td { svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
                line class="base" x1="0" x2=(WIDTH) y1=(HEIGHT - EDGE) y2=(HEIGHT - EDGE) {}
                polyline points=(path.join(" ")) {}
                @for p in line {
                    @let (x, y) = at(p);
                    @if p.verdict == Verdict::Proven {
                        circle.dot cx=(x) cy=(y) r="3" {
                            title { (words::time(p.started_s)) ", " (p.ms) " ms" }
                        }
                    } @else {
                        path.cross d={ "M" (x - EDGE / 2) " " (y - EDGE / 2) "l5 5m0 -5l-5 5" } {
                            title { (words::time(p.started_s)) ", " (p.ms) " ms, " (p.verdict.sentence()) }
                        }
                    }
                }
            } }
            td.n { (line.len()) } td.n { (lowest) " ms" } td.n { (median) " ms" } td.n { a href={ "#run-" (newest.run) } { (newest.ms) " ms" } }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(super::median(&[3]), 3);
        assert_eq!(super::median(&[1, 4]), 2);
        assert_eq!(super::median(&[1, 4, 100]), 4);
    }
}
