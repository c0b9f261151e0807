// SPDX-License-Identifier: MIT
//! Which unit took how long: what `systemd-analyze plot` draws, asked of PID 1 by one call.

use serde::{Deserialize, Serialize};

/// Asks for the manager's times, then, after an empty line each, for those of every loaded unit.
pub const ASK: &str = "systemctl show --property=UserspaceTimestampMonotonic \
    --property=FinishTimestampMonotonic --property=GeneratorsStartTimestampMonotonic \
    --property=GeneratorsFinishTimestampMonotonic --property=UnitsLoadStartTimestampMonotonic \
    --property=UnitsLoadFinishTimestampMonotonic; echo; \
    systemctl show '*' --property=Id --property=InactiveExitTimestampMonotonic \
    --property=ActiveEnterTimestampMonotonic --property=InactiveEnterTimestampMonotonic";

/// A stretch of the boot, in microseconds since PID 1 began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// A unit, or one of the manager's own phases, [`GENERATORS`] and [`LOADING`].
    pub name: String,
    pub from_us: u64,
    /// When it was active; of a unit that did its work and ended (or failed), when that was.
    pub until_us: u64,
}

/// The manager runs its generators.
pub const GENERATORS: &str = "generators";
/// The manager reads unit files.
pub const LOADING: &str = "loading units";

/// How long PID 1 counts from its start to the end of the boot, in milliseconds.
pub fn userspace_ms(said: &str) -> Option<u64> {
    let manager = said.split("\n\n").next()?;
    let at = |name| time(manager, name);
    Some(at("Finish")?.abs_diff(at("Userspace")?) / 1000)
}

/// The spans in what [`ASK`] says, by start. Units that the boot did not start are none.
pub fn spans(said: &str) -> Vec<Span> {
    let mut blocks = said.split("\n\n");
    let manager = blocks.next().unwrap_or_default();
    let Some(zero) = time(manager, "Userspace") else { return Vec::new() };
    let span = |name: &str, from: u64, until: u64| {
        let (from_us, until_us) = (from.checked_sub(zero)?, until.checked_sub(zero)?);
        (from_us <= until_us).then(|| Span { name: name.to_owned(), from_us, until_us })
    };
    let phase = |name, word: &str| {
        let at = |end: &str| time(manager, &format!("{word}{end}"));
        span(name, at("Start")?, at("Finish")?)
    };
    let unit = |block: &str| {
        let id = block.lines().find_map(|l| l.strip_prefix("Id="))?;
        let from = time(block, "InactiveExit")?;
        // A oneshot service is never active, unless it remains so.
        let active = time(block, "ActiveEnter").filter(|t| *t >= from);
        span(id, from, active.or_else(|| time(block, "InactiveEnter"))?)
    };
    let phases = [phase(GENERATORS, "Generators"), phase(LOADING, "UnitsLoad")];
    let mut all: Vec<Span> = phases.into_iter().flatten().chain(blocks.filter_map(unit)).collect();
    all.sort_by(|a, b| (a.from_us, a.until_us, &a.name).cmp(&(b.from_us, b.until_us, &b.name)));
    all
}

/// A time of a block; zero means that it never was.
fn time(block: &str, name: &str) -> Option<u64> {
    let key = format!("{name}TimestampMonotonic=");
    block.lines().find_map(|l| l.strip_prefix(&key))?.parse().ok().filter(|t| *t > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "UserspaceTimestampMonotonic=1000\nFinishTimestampMonotonic=251000\n\
        GeneratorsStartTimestampMonotonic=2000\nGeneratorsFinishTimestampMonotonic=3000\n\
        UnitsLoadStartTimestampMonotonic=3000\nUnitsLoadFinishTimestampMonotonic=0\n\n\
        Id=late.service\nInactiveExitTimestampMonotonic=9000\nActiveEnterTimestampMonotonic=9500\n\
        InactiveEnterTimestampMonotonic=0\n\n\
        Id=oneshot.service\nInactiveExitTimestampMonotonic=5000\nActiveEnterTimestampMonotonic=0\n\
        InactiveEnterTimestampMonotonic=8000\n\n\
        Id=never.service\nInactiveExitTimestampMonotonic=0\nActiveEnterTimestampMonotonic=0\n\
        InactiveEnterTimestampMonotonic=0\n\n\
        Id=starting.service\nInactiveExitTimestampMonotonic=5000\nActiveEnterTimestampMonotonic=0\n\
        InactiveEnterTimestampMonotonic=0\n\n\
        Id=again.service\nInactiveExitTimestampMonotonic=6000\nActiveEnterTimestampMonotonic=4000\n\
        InactiveEnterTimestampMonotonic=5000\n";

    #[test]
    fn spans_are_units_that_the_boot_started() {
        let found = spans(SAID);
        let shown: Vec<_> =
            found.iter().map(|s| (s.name.as_str(), s.from_us, s.until_us)).collect();
        let expected = [
            (GENERATORS, 1000, 2000),
            ("oneshot.service", 4000, 7000),
            ("late.service", 8000, 8500),
        ];
        assert_eq!(shown, expected);
        assert_eq!(userspace_ms(SAID), Some(250));
    }

    #[test]
    fn what_is_missing_is_no_time() {
        for said in ["", "UserspaceTimestampMonotonic=0\nFinishTimestampMonotonic=9\n", "x\n\ny"] {
            assert_eq!((userspace_ms(said), spans(said)), (None, Vec::new()));
        }
        let cut = SAID.split("\n\n").next().unwrap();
        assert_eq!(userspace_ms(cut), Some(250));
        assert_eq!(spans(cut).len(), 1);
    }
}
