// SPDX-License-Identifier: MIT
//! What somebody must look at though every patch fits: places that a refusal can reach.

use maud::{Markup, html};

use super::words;
use crate::sites::{Review, Site};
use crate::version::SystemdVersion;

/// Places of one version, or of one kind, that are looked at together.
pub struct Places {
    id: String,
    title: String,
    /// What that means, and what to do.
    text: &'static str,
    /// Each with a remark.
    sites: Vec<(Option<Site>, String)>,
}

/// What the card of a version's new places is called in the page.
pub fn id(version: SystemdVersion) -> String {
    format!("places-{version}")
}

/// All that is left to look at: newest version first, then what is said wrongly or could not be read.
pub fn find(review: &Review) -> Vec<Places> {
    let mut found = Vec::new();
    for new in review.new.chunk_by(|a, b| a.version == b.version) {
        let version = new[0].version;
        let before = new[0].before.map_or_else(
            || "places nobody has looked at".to_owned(),
            |before| format!("places that {before} had not"),
        );
        found.push(Places {
            id: id(version),
            title: format!("systemd {version} has {before}"),
            text: "A refused control group or mount may reach them. Read each; if it does no harm, \
                   say why in patches/sites.toml, else mend a patch.",
            sites: new.iter().map(|n| (Some(n.site.clone()), String::new())).collect(),
        });
    }
    found.reverse();
    if !review.stale.is_empty() {
        let of = |s: &crate::sites::Stale| {
            (Some(s.site.clone()), format!("of systemd {}: {}", s.since, s.why))
        };
        found.push(Places {
            id: "places-untrue".to_owned(),
            title: "patches/sites.toml says something untrue".to_owned(),
            text: "Correct the entries, or remove them.",
            sites: review.stale.iter().map(of).collect(),
        });
    }
    if !review.unread.is_empty() {
        let of =
            |(version, why): &(SystemdVersion, String)| (None, format!("systemd {version}: {why}"));
        found.push(Places {
            id: "places-unread".to_owned(),
            title: "Places were not looked at".to_owned(),
            text: "Their sources could not be read: name a clone with --systemd-git PATH.",
            sites: review.unread.iter().map(of).collect(),
        });
    }
    found
}

const BADGE: (&str, &str, &str) = ("?", "bad", "places");

/// For the list of all problems.
pub fn line(places: &Places) -> Markup {
    html! { a href={ "#" (places.id) } { (words::badge(BADGE)) " " (places.title) } }
}

pub fn card(places: &Places) -> Markup {
    html! {
        article.problem id=(places.id) tabindex="-1" data-row data-text={ "places " (places.title) } {
            h3 { (words::badge(BADGE)) " " (places.title) }
            p { (places.text) }
            ul { @for (site, remark) in &places.sites { li {
                @if let Some(site) = site {
                    code { (site.file) } " in " code { (site.function) } ": " code { (site.what) } " "
                }
                (remark)
            } } }
            div.next {
                h4 { "What to type" }
                p { "To see their lines: " (words::command("cargo xtask rebase-patches --check")) }
            }
        }
    }
}
