// SPDX-License-Identifier: MIT
//! What makes a container image out of a system.

/// The settings of an image: data, not code. Each has a reason, given beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The image's command. podman gives a container its own tmpfs on /run when it reads
    /// `/sbin/init`, so it is that path on every engine.
    pub command: Vec<String>,
    /// What `docker stop` sends: systemd halts on it, patched or not.
    pub stop_signal: String,
    /// `KEY=VALUE`
    pub environment: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// Units that cannot start without privileges.
    pub masked: Vec<String>,
    pub default_target: String,
    /// Other files, by path without the leading slash.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Profile {
    /// The profile of a plain container.
    pub fn builtin() -> Profile {
        Profile {
            command: vec!["/sbin/init".into()],
            stop_signal: "SIGRTMIN+3".into(),
            environment: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            ],
            labels: Vec::new(),
            // A mount of a tmpfs is refused, and local-fs.target would wait for it.
            masked: vec!["tmp.mount".into(), "run-lock.mount".into()],
            default_target: "multi-user.target".into(),
            // Empty: PID 1 gives each container an id of its own at its first boot.
            files: vec![("etc/machine-id".into(), Vec::new())],
        }
    }
}
