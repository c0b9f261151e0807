// SPDX-License-Identifier: MIT
//! `--list-checks`

use anyhow::Result;

use super::super::Context;
use super::Args;
use crate::boot::checks;
use crate::boot::known::KnownFailures;
use crate::boot::record;
use crate::fault::Status;

pub(super) fn list(context: &Context<'_>, args: &Args) -> Result<Status> {
    #[derive(serde::Serialize)]
    struct Listed {
        id: &'static str,
        group: checks::Group,
        title: &'static str,
        timeout_s: u64,
        proves: &'static [&'static str],
    }
    let listed: Vec<Listed> = checks::every()
        .map(|c| Listed {
            id: c.id,
            group: c.group,
            title: c.title,
            timeout_s: c.timeout.as_secs(),
            proves: c.proves,
        })
        .collect();
    if args.markdown {
        context.ui.result(&checks::table::markdown(&KnownFailures::load()?));
    } else if context.global.json {
        context.ui.json(&serde_json::json!({ "schema": record::SCHEMA, "checks": listed }))?;
    } else {
        for check in &listed {
            context.ui.result(&format!("{:<23} {}", check.id, check.title));
        }
    }
    Ok(Status::Yes)
}
