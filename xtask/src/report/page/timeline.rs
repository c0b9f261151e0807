// SPDX-License-Identifier: MIT
//! Boot timelines: which unit took how long.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{Input, words};
use crate::boot::record::{Record, Subject};
use crate::boot::timeline::{GENERATORS, LOADING, Span};

/// Shorter spans are only counted.
const DRAWN_US: u64 = 1_000;
/// The width of a picture, in its own units.
const WIDTH: u64 = 1_000;

pub fn section(input: &Input<'_>) -> Markup {
    let mut newest: BTreeMap<_, (&Record, &Subject)> = BTreeMap::new();
    for record in input.records {
        for s in record.subjects.iter().filter(|s| !s.boot.timeline.is_empty()) {
            newest.insert(
                (
                    s.version,
                    s.flavour.as_str(),
                    record.engine.release(),
                    record.engine.arch().to_owned(),
                ),
                (record, s),
            );
        }
    }
    html! {
        p.sub { "Units from activating to active, in the boot that was measured; PID 1's start is 0." }
        @if newest.is_empty() {
            (words::missing("No record holds the times of units yet.", "cargo xtask test-image --only boot.running"))
        }
        @for (index, ((version, flavour, engine, arch), (record, subject))) in newest.iter().rev().enumerate() {
            details.timeline open[index == 0] id={ "timeline-" (version) "-" (words::slug(&format!("{flavour}-{engine}-{arch}"))) }
                data-row data-text=(version) {
                summary {
                    b { "systemd " (version) } " " (flavour) " "
                    small { (arch) ", " (engine) ", " (words::day(record.started_s)) }
                }
                p.sub { "From " a href={ "#run-" (record.id) } { "the run of " (words::time(record.started_s)) } "." }
                (picture(&subject.boot.timeline))
            }
        }
    }
}

fn picture(spans: &[Span]) -> Markup {
    let end = spans.iter().map(|s| s.until_us).max().unwrap_or(0).max(1);
    let drawn: Vec<&Span> = spans.iter().filter(|s| s.until_us - s.from_us >= DRAWN_US).collect();
    let at = |us: u64| us * WIDTH / end;
    html! {
        table.spans {
            thead { tr {
                th scope="col" { "unit" } th scope="col" { "from 0 to " (ms(end)) } th.n scope="col" { "took" }
            } }
            tbody { @for span in &drawn {
                tr {
                    th scope="row" class=[own(span).then_some("own")] { (span.name) }
                    td {
                        svg viewBox={ "0 0 " (WIDTH) " 10" } preserveAspectRatio="none" role="img"
                            aria-label={ "from " (ms(span.from_us)) " to " (ms(span.until_us)) } {
                            @for quarter in 1..4 {
                                line class="tick" x1=(WIDTH * quarter / 4) x2=(WIDTH * quarter / 4) y1="0" y2="10" {}
                            }
                            rect class=(if own(span) { "span own" } else { "span" }) y="1" height="8"
                                x=(at(span.from_us)) width=(at(span.until_us - span.from_us).max(2)) {}
                        }
                    }
                    td.n { (ms(span.until_us - span.from_us)) }
                }
            } }
        }
        @let short = spans.len() - drawn.len();
        @if short > 0 { p.sub { (short) " more units took less than 1 ms each." } }
    }
}

/// The manager itself, not a unit.
fn own(span: &Span) -> bool {
    [GENERATORS, LOADING].contains(&span.name.as_str())
}

fn ms(us: u64) -> String {
    if us < 10_000 {
        format!("{}.{} ms", us / 1000, us % 1000 / 100)
    } else {
        format!("{} ms", us / 1000)
    }
}
