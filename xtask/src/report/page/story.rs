// SPDX-License-Identifier: MIT
//! Each patch: why it exists, its text in every variant, and what proves it.

use maud::{Markup, html};

use super::{Input, ablation, code, words};
use crate::boot::checks;
use crate::boot::record::CheckRecord;
use crate::series::{Bound, Patch, Variant};

pub fn section(input: &Input<'_>) -> Markup {
    html! {
        fieldset.show {
            legend.sr { "What is shown of the code" }
            "Code: "
            @for (value, label) in [("both", "the change"), ("before", "before"), ("after", "after")] {
                label {
                    input type="radio" name="show" value=(value) checked[value == "both"];
                    " " (label)
                }
            }
        }
        @for patch in &input.series.patches { (article(input, patch)) }
    }
}

fn article(input: &Input<'_>, patch: &Patch) -> Markup {
    html! {
        article.patch id={ "patch-" (patch.id) } data-row data-patch=(patch.id)
            data-text={ (patch.id) " " (patch.title) } {
            h3 { a href={ "#patch-" (patch.id) } { (patch.id) } }
            p.title { (patch.title) }
            p { (patch.why) }
            dl.facts {
                dt { "Upstream" } dd { (patch.upstream) }
                dt { "Needed" } dd { (needed(patch)) }
                dt { "Proved by" } dd { (proof(input, patch)) }
                dt { "Without it" } dd { (without(input, patch)) }
            }
            @for (index, variant) in patch.variants.iter().rev().enumerate() {
                (text(patch, variant, index == 0))
            }
        }
    }
}

fn needed(patch: &Patch) -> String {
    let name = |bound: Bound| match bound {
        Bound::Major(major) => major.to_string(),
        Bound::Exact(version) => version.to_string(),
    };
    match patch.needed.to {
        None => format!("from {} on", name(patch.needed.from)),
        Some(to) => format!("{} to {}", name(patch.needed.from), name(to)),
    }
}

/// The checks that name the patch, each with how it last ended.
fn proof(input: &Input<'_>, patch: &Patch) -> Markup {
    let last = |id: &str| -> Option<(&str, &CheckRecord)> {
        let runs = input.records.iter().rev();
        let mut all = runs.flat_map(|r| r.subjects.iter().map(move |s| (r, s)));
        all.find_map(|(r, s)| {
            let whole = s.flavour == "patched";
            let check = s.checks.iter().find(|c| c.id == id).filter(|_| whole)?;
            Some((r.id.as_str(), check))
        })
    };
    html! { ul.checks { @for id in &patch.checks { li {
        code { (id) } " " (checks::find(id).map_or("", |c| c.title)) " "
        @match last(id) {
            Some((run, check)) => a href={ "#run-" (run) } { (words::badge(words::seen(&check.outcome))) },
            None => span.missing { "not seen: " (words::command(&format!("cargo xtask test-image --only {id}"))) },
        }
    } } } }
}

fn without(input: &Input<'_>, patch: &Patch) -> Markup {
    let found = ablation::last(input.records);
    let by = found.get(&(false, patch.id.as_str()));
    html! { @match by {
        None => span.missing { "not tried: " (words::command("cargo xtask test-image --ablate")) },
        Some(by) => ul.checks { @for (version, (record, a)) in by.iter().rev() { li {
            "systemd " (version) ": " (ablation::lacking(record, a))
            @if let Some(because) = a.checks.iter().find_map(|c| words::because(&c.outcome)) {
                div.because { (because) }
            }
        } } },
    } }
}

fn text(patch: &Patch, variant: &Variant, newest: bool) -> Markup {
    let (added, removed) = code::size(&variant.text);
    let ranges: Vec<String> = variant.ranges.iter().map(ToString::to_string).collect();
    let base = variant.base.to_string();
    html! {
        details.variant id={ "variant-" (patch.id) "-" (base) } {
            summary {
                b { (base) } " "
                span.ranges { @if ranges.is_empty() { "for no release yet" } @else { "for " (ranges.join(", ")) } } " "
                small { (variant.text.files.len()) " files, "
                    span.plus { "+" (added) } " " span.minus { "−" (removed) } }
                @if newest { " " small { "newest" } }
            }
            p.sub { code { "patches/" (patch.file(variant.base).display()) } }
            pre.message { (message(variant)) }
            @for file in &variant.text.files { (code::file(file)) }
        }
    }
}

/// What the author says, without the mail's head.
fn message(variant: &Variant) -> String {
    let text = String::from_utf8_lossy(&variant.text.message).into_owned();
    text.split_once("\n\n").map_or(text.clone(), |(_, body)| body.trim().to_owned())
}
