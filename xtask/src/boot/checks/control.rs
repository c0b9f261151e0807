// SPDX-License-Identifier: MIT
//! The negative control: the same layers without the patches.
//!
//! A stock image that dies proves something only if it is a whole, working one: so it must run where
//! it may write control groups, and must be refused in the plain container for the known reason.

use std::time::Duration;

use anyhow::Result;
use regex::Regex;

use super::{Check, Group, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{Site, boot};
use crate::boot::evidence::Evidence;
use crate::boot::expect::{NOT_UNLOCKED, writable};
use crate::boot::plain_text;
use crate::engine::Start;

const BASE: Check = Check {
    group: Group::Control,
    timeout: Duration::from_secs(30),
    after_the_end: true,
    ..super::BASE
};

pub const WRITABLE: Check = Check {
    id: "control.writable",
    title: "stock systemd runs with a writable cgroup tree",
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let Some(stock) = site.stock else { return Ok(seen) };
        seen.put("stock", stock);
        let start = writable(stock, &site.engine.facts).options(&["--tmpfs=/run"]);
        let other = site.another("control-writable", &start)?;
        let booted = boot(&other.container, until.left())?;
        seen.put("state", &booted.state);
        seen.put("ms", booted.elapsed.as_millis());
        if booted.state == "running" {
            let cgroup = other.container.shell(until.left(), "cat /proc/1/cgroup")?;
            seen.put("cgroup", cgroup.text());
            let caps =
                other.container.shell(until.left(), "sed -n 's/^CapEff:\\t//p' /proc/1/status")?;
            seen.put("CapEff", caps.text());
        } else {
            seen.put("log", other.container.log()?);
        }
        Ok(seen)
    }),
    judge: |seen, expect| {
        if seen.get("stock").is_empty() {
            return no_stock_image();
        }
        if seen.get("state") == NOT_UNLOCKED {
            let said = shorten(seen.get("log"));
            return Outcome::NotTried(format!("the engine gives no writable cgroup: {said}"));
        }
        let tracked =
            seen.get("cgroup").lines().any(|l| l.starts_with("0::") && l.ends_with("/init.scope"));
        all([
            Outcome::holds_if(seen.get("state") == "running", || {
                let last = seen.get("log").lines().last().map(plain_text).unwrap_or_default();
                format!("stock systemd is `{}`: {}", seen.get("state"), shorten(&last))
            }),
            Outcome::holds_if(tracked, || {
                format!("PID 1 is not in init.scope: {}", shorten(seen.get("cgroup")))
            }),
            same("CapEff", seen.get("CapEff"), &format!("{:016x}", expect.row.capabilities)),
        ])
    },
    ..BASE
};

pub const REFUSED: Check = Check {
    id: "control.refused",
    title: "stock systemd is refused in the plain container",
    // A tty, since without one it would say nothing, and a tmpfs, since it would die of the missing
    // mount of /run before it comes to control groups.
    probe: Probe::Apart(|site, until| {
        let mut seen = Evidence::default();
        let Some(stock) = site.stock else { return Ok(seen) };
        seen.put("stock", stock);
        let start = Start::plain(stock).options(&["--tmpfs", "/run", "--tty"]);
        let other = site.another("control-refused", &start)?;
        match other.container.wait(until.left())? {
            Some(code) => seen.put("code", code),
            None => seen.put("code", "none, it still runs"),
        }
        seen.put("log", other.container.log()?);
        Ok(seen)
    }),
    judge: |seen, expect| {
        if seen.get("stock").is_empty() {
            return no_stock_image();
        }
        refused(seen.get("code"), seen.get("log"), &expect.version.to_string())
    },
    ..BASE
};

pub const SAME_LAYERS: Check = Check {
    id: "control.same-layers",
    title: "the two images differ in the systemd layer and labels alone",
    timeout: Duration::from_secs(10),
    probe: Probe::Apart(|site, _| {
        let mut seen = Evidence::default();
        let Some(stock) = site.stock else { return Ok(seen) };
        note_image(site, &mut seen, "stock", stock)?;
        note_image(site, &mut seen, "image", site.image)?;
        Ok(seen)
    }),
    judge: |seen, _| {
        if seen.get("stock.layers").is_empty() {
            return no_stock_image();
        }
        let (stock, image) = (layers(seen.get("stock.layers")), layers(seen.get("image.layers")));
        let (Some((stock_top, stock_base)), Some((top, base))) =
            (stock.split_last(), image.split_last())
        else {
            return Outcome::Fails("an image has no layers".into());
        };
        all([
            Outcome::holds_if(!base.is_empty() && base == stock_base, || {
                "other base layers".into()
            }),
            Outcome::holds_if(top != stock_top, || "the same systemd layer in both".into()),
            same("the settings", seen.get("image.config"), seen.get("stock.config")),
        ])
    },
    ..BASE
};

fn no_stock_image() -> Outcome {
    Outcome::NotTried("there is no stock image to compare with".into())
}

/// The verdict on a stock container's end; `version` guards against another program's text.
fn refused(code: &str, log: &str, version: &str) -> Outcome {
    let log: Vec<String> = log.lines().map(plain_text).collect();
    let reason =
        Regex::new(r"Failed to create \S*/init\.scope control group: Read-only file system");
    let reason = reason.is_ok_and(|r| log.iter().any(|l| r.is_match(l)));
    let banner = log
        .iter()
        .any(|l| l.contains(&format!("systemd {version}")) && l.contains("running in system mode"));
    let last = || shorten(log.iter().rev().find(|l| !l.is_empty()).map_or("", String::as_str));
    all([
        Outcome::holds_if(code.parse::<i64>().is_ok_and(|c| c != 0), || {
            format!("its exit code is `{code}`")
        }),
        Outcome::holds_if(reason, || format!("not because of init.scope: `{}`", last())),
        Outcome::holds_if(banner, || format!("its log names no systemd {version}: `{}`", last())),
    ])
}

fn note_image(site: &Site<'_>, seen: &mut Evidence, name: &str, image: &str) -> Result<()> {
    let format = "{{json .RootFS.Layers}} {{json .Config.Cmd}} {{json .Config.Env}} {{json .Config.StopSignal}}";
    let text = site.engine.call(["image", "inspect", "--format", format, image]).text()?;
    let (layers, config) = text.split_once(' ').unwrap_or_default();
    seen.put(&format!("{name}.layers"), layers);
    seen.put(&format!("{name}.config"), config);
    Ok(())
}

fn layers(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK_262: &str = include_str!("../testdata/stock-262-tmpfs-tty.log");
    const STOCK_262_NO_TMPFS: &str = include_str!("../testdata/stock-262-tty.log");

    #[test]
    fn the_known_reason_is_recognised_in_a_real_log() {
        assert_eq!(refused("255", STOCK_262, "262"), Outcome::Holds);
    }

    #[test]
    fn any_other_death_proves_nothing() {
        let fails = |code: &str, log: &str, with: &str| match refused(code, log, "262") {
            Outcome::Fails(because) => assert!(because.contains(with), "{because}"),
            other => panic!("{other:?}"),
        };
        fails("255", STOCK_262_NO_TMPFS, "not because of init.scope");
        fails(
            "127",
            "/sbin/init: error while loading shared libraries: libmount.so.1",
            "not because of",
        );
        fails("0", STOCK_262, "exit code");
        fails("none, it still runs", STOCK_262, "exit code");
        fails("255", &STOCK_262.replace("systemd 262", "systemd 257"), "no systemd 262");
    }
}
