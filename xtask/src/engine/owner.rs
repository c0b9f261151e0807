// SPDX-License-Identifier: MIT
//! Who owns a container: a label that tells, later and in another run, whether its run still lives.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The key of the label on each container.
pub const LABEL: &str = "plainboot.owner";

/// A process, named so that it cannot be mistaken for another: process ids are used again, and mean
/// something else after a reboot or in another PID namespace (a CI job that talks to the host's
/// engine).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    boot: String,
    namespace: String,
    pid: u32,
    /// Ticks after the boot, from `/proc/PID/stat`.
    started: String,
}

impl Owner {
    /// This process; `None` where /proc does not tell (then nothing is ever swept).
    pub fn me() -> Option<Owner> {
        let pid = std::process::id();
        Some(Owner { boot: boot()?, namespace: namespace()?, pid, started: started(pid)? })
    }

    /// True only if the owner is certainly gone: the same boot, the same PID namespace, and no such
    /// process in it.
    pub fn is_gone(&self) -> bool {
        boot().is_some_and(|b| b == self.boot)
            && namespace().is_some_and(|n| n == self.namespace)
            && Path::new("/proc/self").exists()
            && started(self.pid).is_none_or(|s| s != self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.boot, self.namespace, self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let [boot, namespace, pid, started] =
            text.split('/').collect::<Vec<_>>().try_into().map_err(|_| ())?;
        let pid = pid.parse().map_err(|_| ())?;
        Ok(Owner { boot: boot.into(), namespace: namespace.into(), pid, started: started.into() })
    }
}

fn boot() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_string_lossy().chars().filter(char::is_ascii_digit).collect())
}

/// Field 22 of `/proc/PID/stat`, counted after the command's name, which may hold anything.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    // A zombie holds nothing any more.
    let mut fields = rest.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_am_alive_and_my_name_survives_a_label() {
        let me = Owner::me().unwrap();
        assert!(!me.is_gone());
        assert_eq!(me.to_string().parse(), Ok(me));
    }

    #[test]
    fn an_ended_process_is_gone_but_a_stranger_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = Owner::me().unwrap();
        let owner = Owner { pid: child.id(), started: started(child.id()).unwrap(), ..me.clone() };
        assert!(!owner.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(owner.is_gone());
        assert!(!Owner { boot: "another".into(), ..owner.clone() }.is_gone());
        assert!(!Owner { namespace: "1".into(), ..owner }.is_gone());
        // The id is in use again, by a process that started later.
        assert!(Owner { started: "1".into(), ..me }.is_gone());
    }
}
