// SPDX-License-Identifier: MIT
//! A carried series as commits on a branch.

use std::path::Path;

use anyhow::Result;
use git2::{Oid, Repository};

use super::mail;
use crate::exec::Call;
use crate::fault::Fault;
use crate::patch::PatchText;
use crate::rebase::{Solved, State};

/// True if the repository has a branch of that name.
pub fn branch_exists(repo: &Repository, name: &str) -> bool {
    repo.find_reference(&format!("refs/heads/{name}")).is_ok()
}

/// Makes the branch `name` on top of `onto` (whose tree is that of `state`) with a commit for each
/// patch, and returns its tip. With `replace` it may exist; it must not be checked out.
///
/// Authors, dates and messages are taken from the patches by git itself, the committer is the one
/// that the repository is configured for. The branch is written last and at once.
///
/// # Errors
/// The branch exists; git has no committer's name; git fails.
pub fn write_branch(
    repo: &Repository,
    name: &str,
    onto: Oid,
    mut state: State,
    patches: &[(&str, &PatchText, &Solved)],
    replace: bool,
) -> Result<Oid> {
    let reference = format!("refs/heads/{name}");
    if !git2::Reference::is_valid_name(&reference) {
        return Err(Fault::new(format!("`{name}` is no name for a branch")).into());
    }
    let old = repo.find_reference(&reference).ok().and_then(|r| r.target());
    if old.is_some() && !replace {
        return Err(Fault::new(format!("the branch {name} exists"))
            .hint("give another name, or replace it with --replace")
            .into());
    }
    if is_checked_out(repo, &reference) {
        return Err(Fault::new(format!("the branch {name} is checked out"))
            .hint("give another name, or check out something else first")
            .into());
    }
    let mut parent = onto;
    for (patch, text, solved) in patches {
        for file in &solved.files {
            state.touched.insert(file.path.clone(), (file.mode, file.after.clone()));
        }
        let tree = state.write(repo)?;
        parent = commit(repo, &mail::to_mail(text, patch).to_bytes(), tree, parent)?;
    }
    let expected = old.unwrap_or(Oid::ZERO_SHA1);
    git(repo, &["update-ref", &reference, &parent.to_string(), &expected.to_string()], None, &[])?;
    Ok(parent)
}

fn is_checked_out(repo: &Repository, reference: &str) -> bool {
    let here = |r: &Repository| {
        !r.is_bare()
            && r.find_reference("HEAD")
                .is_ok_and(|h| h.symbolic_target().ok().flatten() == Some(reference))
    };
    let trees = repo.worktrees().into_iter().flat_map(|names| {
        let names: Vec<String> = names.iter().flatten().flatten().map(ToOwned::to_owned).collect();
        names
            .into_iter()
            .filter_map(|n| Repository::open_from_worktree(&repo.find_worktree(&n).ok()?).ok())
    });
    here(repo) || trees.into_iter().any(|tree| here(&tree))
}

fn commit(repo: &Repository, mail: &[u8], tree: Oid, parent: Oid) -> Result<Oid> {
    let dir = tempfile::Builder::new().prefix("plainboot-mail-").tempdir()?;
    let message = dir.path().join("message");
    // git knows the ways of mail: encoded names, folded subjects, `From:` lines in the body.
    let info = git(
        repo,
        &["mailinfo", "--encoding=UTF-8", &path(&message)?, &path(&dir.path().join("patch"))?],
        Some(mail),
        &[],
    )?;
    let field = |name: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let body = std::fs::read(&message)?;
    let text = [field("Subject").as_bytes(), b"\n\n", &body].concat();
    let author = [
        ("GIT_AUTHOR_NAME", field("Author")),
        ("GIT_AUTHOR_EMAIL", field("Email")),
        ("GIT_AUTHOR_DATE", field("Date")),
    ];
    let args = ["commit-tree", &tree.to_string(), "-p", &parent.to_string(), "-F", "-"];
    let id = git(repo, &args, Some(text.trim_ascii_end()), &author)?;
    Ok(Oid::from_str(id.trim())?)
}

fn path(path: &Path) -> Result<String> {
    let text = path.to_str();
    Ok(text.ok_or_else(|| Fault::new(format!("{} is not UTF-8", path.display())))?.to_owned())
}

fn git(
    repo: &Repository,
    args: &[&str],
    input: Option<&[u8]>,
    env: &[(&str, String)],
) -> Result<String> {
    let mut call = Call::new("git").arg("--git-dir").arg(repo.path()).args(args);
    for (key, value) in env {
        call = call.env(key, value);
    }
    if let Some(input) = input {
        let mut input = input.to_vec();
        input.push(b'\n');
        call = call.input(move |out| out.write_all(&input));
    }
    let answer = call.output()?;
    if !answer.status.success() {
        let said = answer.error_text();
        let last = said.lines().last().unwrap_or_default();
        return Err(Fault::new(format!("git {} failed: {last}", args.first().unwrap_or(&"")))
            .hint(
                "if git misses your name: git config user.name NAME; git config user.email ADDRESS",
            )
            .into());
    }
    Ok(answer.text())
}
