// SPDX-License-Identifier: MIT
//! What a guest's console says about its boot: a pure function of the transcript.

use std::fmt;

/// What is known of a guest at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Everything on the console so far, with QEMU's own words in between.
    pub console: &'a str,
    /// QEMU has ended.
    pub ended: bool,
    /// It has had all the time it gets.
    pub late: bool,
}

/// How a boot ended; the texts are the line that told it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a guest that did not come up has a reason to show"]
pub enum Ending {
    /// The engine answers in the guest.
    EngineUp,
    /// The kernel gave up.
    Panic(String),
    /// KVM could not run the guest's instructions.
    EmulationFailure(String),
    /// QEMU refused its arguments or the machine, and ended before the guest ran.
    Refused(String),
    /// The disk in the guest is full.
    NoSpace(String),
    /// The engine could not make its network.
    NoNetwork(String),
    /// The engine did not start, for another reason.
    EngineDown(String),
    /// The guest switched itself off or was reset.
    Ended(String),
    /// Its time passed; the last thing it said.
    Hang(String),
    /// Its time passed without a word.
    Silent,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::EngineUp => f.write_str("its engine is up"),
            Ending::Panic(line) => write!(f, "its kernel panicked: {line}"),
            Ending::EmulationFailure(line) => write!(f, "KVM failed to emulate it: {line}"),
            Ending::Refused(line) => write!(f, "QEMU refused to run it: {line}"),
            Ending::NoSpace(line) => write!(f, "no space left in it: {line}"),
            Ending::NoNetwork(line) => write!(f, "its engine has no network: {line}"),
            Ending::EngineDown(line) => write!(f, "its engine failed: {line}"),
            Ending::Ended(line) => write!(f, "it went off; its last line: {line}"),
            Ending::Hang(line) => write!(f, "no engine in time; its last line: {line}"),
            Ending::Silent => f.write_str("it never said a word"),
        }
    }
}

impl Ending {
    /// Whether the same guest may come up by emulation.
    pub fn may_be_kvms_fault(&self) -> bool {
        match self {
            Ending::EmulationFailure(_)
            | Ending::Refused(_)
            | Ending::Panic(_)
            | Ending::Ended(_)
            | Ending::Hang(_)
            | Ending::Silent => true,
            Ending::EngineUp
            | Ending::NoSpace(_)
            | Ending::NoNetwork(_)
            | Ending::EngineDown(_) => false,
        }
    }
}

/// Written by the guest's `plainboot-ready.service` and `plainboot-failed.service`.
const UP: &str = "plainboot: the engine is up";
const DOWN: &str = "plainboot: the engine is down";

/// The end of the boot, or nothing while it goes on.
pub fn judge(seen: &Seen<'_>) -> Option<Ending> {
    let lines: Vec<String> = seen.console.lines().map(clean).filter(|l| !l.is_empty()).collect();
    let first =
        |words: &[&str]| lines.iter().find(|l| words.iter().any(|w| l.contains(w))).cloned();
    // QEMU's words for KVM's exit reasons. Not seen here: this kind of machine refuses KVM at once.
    let emulation = ["KVM internal error", "emulation failure", "kvm run failed"];
    if let Some(line) = first(&emulation) {
        return Some(Ending::EmulationFailure(line));
    }
    if let Some(line) = first(&["Kernel panic - not syncing"]) {
        return Some(Ending::Panic(line));
    }
    // An earlier failure that the engine's restart mended does not count.
    if lines.iter().any(|l| l.ends_with(UP)) {
        return Some(if seen.ended { Ending::Ended(last(&lines)) } else { Ending::EngineUp });
    }
    let space = || first(&["No space left on device", "no space left on device"]);
    if lines.iter().any(|l| l.ends_with(DOWN)) {
        // Docker's words; neither was seen on a console of ours yet.
        if let Some(line) = space() {
            return Some(Ending::NoSpace(line));
        }
        if let Some(line) =
            first(&["initializing network controller", "creating default \"bridge\" network"])
        {
            return Some(Ending::NoNetwork(line));
        }
        let before = lines.iter().rev().find(|l| !l.contains("plainboot"));
        return Some(Ending::EngineDown(before.cloned().unwrap_or_default()));
    }
    if !(seen.ended || seen.late) {
        return None;
    }
    if let Some(line) = space() {
        return Some(Ending::NoSpace(line));
    }
    if seen.ended {
        return Some(if speaks(seen.console) {
            Ending::Ended(last(&lines))
        } else {
            let complaint = first(&["qemu-system"]).unwrap_or_else(|| last(&lines));
            Ending::Refused(complaint)
        });
    }
    Some(if lines.is_empty() { Ending::Silent } else { Ending::Hang(last(&lines)) })
}

/// Whether the guest's kernel has begun.
pub fn speaks(console: &str) -> bool {
    console.contains("Linux version ")
}

/// For a reader who waits.
pub fn last_line(console: &str) -> &str {
    console.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default()
}

fn last(lines: &[String]) -> String {
    // What is redrawn while a job runs says little; but it is better than nothing.
    let still = |l: &&String| !l.contains(" running (");
    lines.iter().rev().find(still).or(lines.last()).cloned().unwrap_or_default()
}

/// Without the kernel's time and with a length that fits an error.
fn clean(line: &str) -> String {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let line = line.trim();
    let line = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    };
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Consoles of real guests, of QEMU 7.2 and Debian 13.
    const UP: &str = include_str!("testdata/up.log");
    const PANIC: &str = include_str!("testdata/panic.log");
    const DOUBLE_FAULT: &str = include_str!("testdata/double-fault.log");
    const KVM_REFUSED: &str = include_str!("testdata/kvm-refused.log");
    const HANG: &str = include_str!("testdata/hang.log");

    fn ending(console: &str, ended: bool, late: bool) -> Option<Ending> {
        judge(&Seen { console, ended, late })
    }

    #[test]
    fn each_kind_is_told_apart() {
        assert_eq!(ending(UP, false, false), Some(Ending::EngineUp));
        let said = |console, ended, late| ending(console, ended, late).unwrap().to_string();
        assert_eq!(
            said(PANIC, false, false),
            "its kernel panicked: Kernel panic - not syncing: Requested init /nonexistent failed \
             (error -2)."
        );
        assert_eq!(
            said(DOUBLE_FAULT, true, false),
            "its kernel panicked: Kernel panic - not syncing: Fatal exception in interrupt"
        );
        assert_eq!(
            said(KVM_REFUSED, true, false),
            "QEMU refused to run it: qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69"
        );
        assert_eq!(
            said(HANG, false, true),
            "no engine in time; its last line: [  OK  ] Started plainboot-link.service - Way in \
             for the harness: sshd on a virtio port."
        );
        assert_eq!(said("", false, true), "it never said a word");
    }

    /// Cut anywhere, a console of a guest that comes up says nothing yet: it may only be late.
    #[test]
    fn half_a_boot_is_no_verdict() {
        for (at, _) in UP.match_indices('\n') {
            let console = &UP[..at];
            if !console.contains(super::UP) {
                assert_eq!(ending(console, false, false), None, "{at}");
            }
        }
    }

    #[test]
    fn a_guest_that_goes_off_is_not_up() {
        assert!(matches!(ending(UP, true, false), Some(Ending::Ended(_))));
    }

    #[test]
    fn kvm_is_blamed_only_for_what_emulation_may_mend() {
        let blamed = |console, ended| ending(console, ended, true).unwrap().may_be_kvms_fault();
        assert!(blamed(KVM_REFUSED, true) && blamed("", false) && blamed(PANIC, false));
        assert!(!blamed(UP, false));
    }
}
