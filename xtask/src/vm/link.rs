// SPDX-License-Identifier: MIT
//! ssh over a virtio port: the guest's engine socket becomes a socket of this host.
//!
//! A port is one stream of bytes, and the engine's CLI opens a connection for each call; ssh carries
//! them all. Its two ends know each other by the key made with the disk, over a socket that only
//! this user can open, so the guest's own key is not asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::exec::{Call, Job, Running, quote};
use crate::fault::Fault;

/// A connection that is kept up; dropping it ends it.
#[derive(Debug)]
pub struct Link {
    key: PathBuf,
    port: PathBuf,
    socket: PathBuf,
    /// Where further commands reach the connection.
    control: PathBuf,
    transcript: PathBuf,
    /// Where the engine listens in the guest.
    engine: PathBuf,
    ssh: Option<Running>,
}

impl Link {
    /// Nothing is started yet: see [`Link::is_up`].
    pub fn new(key: &Path, port: PathBuf, engine: &Path, home: &Path, dir: &Path) -> Link {
        let (socket, control) = (home.join("docker.sock"), home.join("control"));
        let (key, transcript) = (key.to_owned(), dir.join("ssh.log"));
        Link { key, port, socket, control, transcript, engine: engine.to_owned(), ssh: None }
    }

    /// A call that runs a shell script in the guest, over the connection that is up.
    pub fn shell(&self, script: &str) -> Call {
        let way = self.way();
        Call::new(&way[0]).args(&way[1..]).arg(script)
    }

    /// The words before a command that is run in the guest, for a shell over there.
    pub fn way(&self) -> Vec<String> {
        let control = self.control.to_string_lossy();
        // Where that has gone ssh would look for a host of that name.
        let alone = ["-o", "ProxyCommand=false", "-o", "BatchMode=yes", "root@guest"];
        ["ssh", "-F", "none", "-S", &control].into_iter().chain(alone).map(str::to_owned).collect()
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the engine's socket is there. Starts ssh, and starts it again if it has given up.
    pub fn is_up(&mut self) -> Result<bool> {
        let lives = match &mut self.ssh {
            Some(ssh) => ssh.poll()?.is_none(),
            None => false,
        };
        if !lives {
            self.forget();
            // QEMU makes the port's socket; before that ssh would end at once.
            if self.port.exists() {
                self.ssh = Some(self.start()?);
            }
            return Ok(false);
        }
        // ssh listens only once it is logged in.
        Ok(self.socket.exists())
    }

    fn start(&self) -> Result<Running> {
        let proxy = format!("socat - UNIX-CONNECT:{}", quote(&self.port.to_string_lossy()));
        let forward = format!("{}:{}", self.socket.display(), self.engine.display());
        Job::new("ssh", &self.transcript)
            .args(["-F", "none", "-N", "-M", "-L", &forward])
            .arg("-S")
            .arg(&self.control)
            .arg("-i")
            .arg(&self.key)
            .args(["-o", &format!("ProxyCommand={proxy}")])
            .args(
                [
                    "BatchMode=yes",
                    "ConnectTimeout=300",
                    "ExitOnForwardFailure=yes",
                    "IdentitiesOnly=yes",
                    "IdentityAgent=none",
                    "LogLevel=ERROR",
                    "StrictHostKeyChecking=no",
                    "UserKnownHostsFile=/dev/null",
                    // Twice in a dozen emulated runs an answer stayed away for minutes while nothing else
                    // was on the line: so something always is.
                    "ServerAliveInterval=2",
                    "ServerAliveCountMax=150",
                    // aes128-gcm is what emulation computes fastest.
                    "Ciphers=aes128-gcm@openssh.com",
                ]
                .map(|option| format!("-o{option}")),
            )
            .arg("root@guest")
            .spawn()
    }

    /// Removes the sockets that ssh made.
    fn forget(&self) {
        for socket in [&self.socket, &self.control] {
            let _ = std::fs::remove_file(socket);
        }
    }

    /// An error with what ssh said.
    pub fn failure(&self, how: &str) -> anyhow::Error {
        match &self.ssh {
            Some(ssh) => ssh.failure(how),
            None => Fault::new(how).into(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.ssh = None;
        self.forget();
        let _ = std::fs::remove_file(&self.port);
    }
}

/// A socket's path holds 108 bytes with the final zero; `docker.sock`, `control` and what ssh appends
/// while it makes them are longer than the port's own name.
///
/// # Errors
/// The cache folder's path is too long.
pub fn fits(port: &Path) -> Result<()> {
    if port.as_os_str().len() + 24 <= 107 {
        return Ok(());
    }
    Err(Fault::new(format!("{} is too long for a socket", port.display()))
        .hint("pass a shorter --cache-dir DIR")
        .into())
}

/// How long the engine may take for its first answer through the link.
pub const FIRST_ANSWER: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_for_a_socket_is_refused_first() {
        fits(Path::new("/root/.cache/plainboot/vm/run/port")).unwrap();
        let long = format!("/{}/port", "x".repeat(90));
        assert!(fits(Path::new(&long)).unwrap_err().to_string().contains("too long"));
    }
}
