// SPDX-License-Identifier: MIT
//! Rewriting the `[[patch.variant]]` entries of `series.toml`; all else in it belongs to people.

use std::collections::BTreeMap;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use super::VersionRange;
use crate::fault::Fault;
use crate::version::SystemdVersion;

/// The text of `series.toml` with these variants: per patch id, base to ranges. Patches that are
/// not named keep theirs. Comments, prose and order stay as they are.
///
/// # Errors
/// `text` is not TOML, or has no list of patches.
pub fn with_variants(
    text: &str,
    variants: &BTreeMap<String, BTreeMap<SystemdVersion, Vec<VersionRange>>>,
) -> Result<String, Fault> {
    let bad = |what: String| Fault::new(format!("series.toml: {what}"));
    let mut doc: DocumentMut = text.parse().map_err(|e| bad(format!("{e}")))?;
    let Some(patches) = doc.get_mut("patch").and_then(Item::as_array_of_tables_mut) else {
        return if variants.is_empty() {
            Ok(text.to_owned())
        } else {
            Err(bad("no [[patch]] entries".into()))
        };
    };
    for patch in patches.iter_mut() {
        let id = patch.get("id").and_then(Item::as_str).unwrap_or_default();
        if let Some(wanted) = variants.get(id) {
            rewrite(patch, wanted);
        }
    }
    Ok(doc.to_string())
}

fn rewrite(patch: &mut Table, wanted: &BTreeMap<SystemdVersion, Vec<VersionRange>>) {
    let old = patch.remove("variant");
    let mut old: BTreeMap<SystemdVersion, Table> = old
        .and_then(|item| item.into_array_of_tables().ok())
        .into_iter()
        .flatten()
        .filter_map(|t| Some((t.get("base")?.as_str()?.parse().ok()?, t)))
        .collect();
    let position = old.values().filter_map(Table::position).min().or(patch.position());
    let mut tables = ArrayOfTables::new();
    for (base, ranges) in wanted {
        let mut table = old.remove(base).unwrap_or_else(|| {
            let mut table = Table::new();
            table.insert("base", value(base.to_string()));
            table.decor_mut().set_prefix("\n");
            table
        });
        let versions: Array = ranges.iter().map(ToString::to_string).collect();
        let same = table.get("versions").and_then(Item::as_array).is_some_and(|old| {
            old.iter().map(|v| v.as_str()).eq(versions.iter().map(|v| v.as_str()))
        });
        if !same {
            table.insert("versions", value(versions));
        }
        // One position for all: the writer sorts by it, and its sort is stable.
        table.set_position(position);
        tables.push(table);
    }
    if !tables.is_empty() {
        patch.insert("variant", Item::ArrayOfTables(tables));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# a comment
schema = 1

[[patch]]
id = "0001-a"
why = """
prose"""

# made by hand
[[patch.variant]]
base = "257"
versions = ["257"]

[[patch.variant]]
base = "262" # newest
versions = ["262"]

# the second
[[patch]]
id = "0002-b"
"#;

    type Listed<'a> = (&'a str, &'a [(&'a str, &'a [&'a str])]);

    fn variants(of: &[Listed<'_>]) -> String {
        let wanted = of
            .iter()
            .map(|(id, list)| {
                let list = list
                    .iter()
                    .map(|(b, r)| {
                        (b.parse().unwrap(), r.iter().map(|r| r.parse().unwrap()).collect())
                    })
                    .collect();
                ((*id).to_owned(), list)
            })
            .collect();
        with_variants(TEXT, &wanted).unwrap()
    }

    #[test]
    fn the_same_variants_leave_the_same_bytes() {
        assert_eq!(variants(&[("0001-a", &[("257", &["257"]), ("262", &["262"])])]), TEXT);
    }

    #[test]
    fn variants_come_and_go_in_order_and_comments_stay() {
        let text = variants(&[
            ("0001-a", &[("254", &["254 - 256.1", "258"]), ("262", &["262"])]),
            ("0002-b", &[("262", &["262"])]),
        ]);
        insta::assert_snapshot!(text);
    }
}
