// SPDX-License-Identifier: MIT
//! Patches as mails, the way `git format-patch` writes them and `git am` reads them.

use crate::patch::PatchText;

/// What a patch without an author is said to be from. `git am` needs a name.
const NOBODY: &str = "unknown author <unknown@localhost>";
const EPOCH: &str = "Thu, 1 Jan 1970 00:00:00 +0000";
const SEPARATOR: &str = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n";

/// The file name of patch `number` (from 1), as `git format-patch` makes it: `0001-some-words.patch`.
pub fn file_name(number: usize, subject: &str) -> String {
    const LENGTH: usize = 52;
    let slug = slug(subject);
    let slug = slug.get(..LENGTH).unwrap_or(&slug).trim_end_matches(['-', '.']);
    format!("{number:04}-{}.patch", if slug.is_empty() { "patch" } else { slug })
}

/// ASCII letters, digits, dots and underscores stay, runs of everything else become a dash.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches(['-', '.']).to_owned()
}

/// The patch as a mail. A header that is complete stays as it is. One in the manner of Debian
/// (`Description:`, `Author:`), or none at all, is made into one; `name` stands in for a subject.
pub fn to_mail(text: &PatchText, name: &str) -> PatchText {
    let mut mail = PatchText { message: message(&text.message, name), files: text.files.clone() };
    if !mail.message.ends_with(b"\n") {
        mail.message.push(b'\n');
    }
    mail
}

fn message(old: &[u8], name: &str) -> Vec<u8> {
    let (from_line, rest) = match old.strip_prefix(b"From ") {
        Some(_) => {
            let end = memchr::memchr(b'\n', old).map_or(old.len(), |i| i + 1);
            old.split_at(end)
        }
        None => (SEPARATOR.as_bytes(), old),
    };
    let lines: Vec<&[u8]> = crate::patch::split_lines(rest).collect();
    let head = lines.iter().take_while(|l| is_header(l)).count();
    let field = |names: &[&str]| names.iter().find_map(|n| field(&lines[..head], n));
    let complete =
        field(&["Subject"]).is_some() && field(&["From"]).is_some() && field(&["Date"]).is_some();
    if complete {
        return [from_line, rest].concat();
    }
    let author = field(&["From", "Author"]).unwrap_or_else(|| NOBODY.into());
    let author =
        if author.contains('<') { author } else { format!("{author} <unknown@localhost>") };
    let date = field(&["Date"]).unwrap_or_else(|| EPOCH.into());
    let described = field(&["Subject", "Description"]);
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".patch").or(stem.strip_suffix(".diff")).unwrap_or(stem);
    // Debian's long description follows the first line, indented, with dots for empty lines.
    let mut description = described.as_deref().unwrap_or(stem).lines();
    let subject = description.next().unwrap_or(stem).trim().to_owned();
    let mut body = String::new();
    for line in description {
        let line = line.trim_start();
        body += if line == "." { "" } else { line };
        body.push('\n');
    }
    let known = ["From", "Author", "Date", "Subject", "Description"];
    let kept = kept_fields(&lines[..head], &known);
    let mut out = from_line.to_vec();
    let subject = subject
        .strip_prefix("[PATCH")
        .and_then(|s| s.split_once(']'))
        .map_or(subject.as_str(), |(_, s)| s.trim_start());
    out.extend_from_slice(
        format!("From: {author}\nDate: {date}\nSubject: [PATCH] {subject}\n\n{body}").as_bytes(),
    );
    let rest: Vec<u8> = lines[head..].concat();
    let rest = rest.strip_prefix(b"\n").unwrap_or(&rest);
    out.extend_from_slice(rest);
    // Fields that a mail does not know, such as Origin: and Bug-Debian:, end the message.
    if !kept.is_empty() {
        if !rest.is_empty() && !rest.ends_with(b"\n") {
            out.push(b'\n');
        }
        if !(rest.is_empty() && body.is_empty()) {
            out.push(b'\n');
        }
        out.extend_from_slice(&kept);
    }
    out
}

/// `Name: value`, or the continuation of one.
fn is_header(line: &[u8]) -> bool {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    (name > 0 && line.get(name) == Some(&b':'))
        || (matches!(line.first(), Some(b' ' | b'\t')) && line.trim_ascii() != b"")
}

fn name_of(line: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b':', line)?;
    (!matches!(line.first(), Some(b' ' | b'\t'))).then(|| &line[..end])
}

/// The value of a header, with the lines that continue it.
fn field(lines: &[&[u8]], name: &str) -> Option<String> {
    let is = |l: &&&[u8]| name_of(l).is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()));
    let at = lines.iter().position(|l| is(&l))?;
    let first = &lines[at][name.len() + 1..];
    let more = lines[at + 1..].iter().take_while(|l| name_of(l).is_none());
    let mut value = String::from_utf8_lossy(first).trim().to_owned();
    for line in more {
        value.push('\n');
        value += String::from_utf8_lossy(line).trim_end();
    }
    // A mail folds its subject; Debian's description keeps its lines.
    Some(if name == "Description" { value } else { value.replace('\n', "") })
}

/// The headers that are not in `known`.
fn kept_fields(lines: &[&[u8]], known: &[&str]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut keep = false;
    for line in lines {
        if let Some(name) = name_of(line) {
            keep = !known.iter().any(|k| name.eq_ignore_ascii_case(k.as_bytes()));
        }
        if keep {
            kept.extend_from_slice(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(message: &str) -> String {
        String::from_utf8(self::message(message.as_bytes(), "debian/a-fix.patch")).unwrap()
    }

    #[test]
    fn headers_are_completed_and_nothing_is_lost() {
        let whole = format!("{SEPARATOR}From: A <a@b>\nDate: today\nSubject: [PATCH] x\n\nwhy\n");
        assert_eq!(mail(&whole), whole);
        let debian = "Description: some fix\n that is long\n .\n and has parts\nAuthor: A <a@b>\n\
                      Bug-Debian: https://bugs\n\nmore\n";
        let made = format!(
            "{SEPARATOR}From: A <a@b>\nDate: {EPOCH}\nSubject: [PATCH] some fix\n\nthat is long\n\n\
             and has parts\nmore\n\nBug-Debian: https://bugs\n"
        );
        assert_eq!(mail(debian), made);
        let none = format!("{SEPARATOR}From: {NOBODY}\nDate: {EPOCH}\nSubject: [PATCH] a-fix\n\n");
        assert_eq!(mail(""), none);
    }

    #[test]
    fn file_names_are_those_of_git() {
        assert_eq!(
            file_name(3, "core: don't do \"it\" (again)"),
            "0003-core-don-t-do-it-again.patch"
        );
        let long = file_name(1, &"word ".repeat(20));
        assert_eq!(long, "0001-word-word-word-word-word-word-word-word-word-word-wo.patch");
        assert_eq!(file_name(2, "…"), "0002-patch.patch");
    }
}
