// SPDX-License-Identifier: MIT
//! Services that people run, as their distribution packages them, each asked by its own client from
//! another container.
//!
//! Their configuration is changed while they run, as an administrator would do it, and they are
//! restarted by their unit: so the units' own restart is tried too.

use std::time::Duration;

use anyhow::Result;

use super::{Check, Group, Mode, Outcome, Probe, all, same, shorten};
use crate::boot::bench::{Bench, boot, note};
use crate::boot::evidence::Evidence;

/// The packages of the image; the clients come along.
pub const PACKAGES: [&str; 5] = ["curl", "nginx", "openssh-server", "postgresql", "redis-server"];

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(60),
    modes: &[Mode::Plain, Mode::Writable],
    ..super::BASE
};

/// What clients write, and must read again.
const DATA: &str = "kept by plainboot";

pub const RUNNING: Check = Check {
    id: "real.running",
    title: "the system is `running`, with no failed unit",
    after_the_end: true,
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        seen.put("state", &bench.booted.state);
        seen.put("ms", bench.booted.elapsed.as_millis());
        bench.note(&mut seen, &[("failed", FAILED)])?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("failed units", seen.get("failed"), ""),
            same("systemctl --failed", seen.get("failed.status"), "0"),
            same("its state", seen.get("state"), "running"),
        ])
    },
    ..BASE
};

/// The names alone.
const FAILED: &str = "systemctl --failed --no-legend --plain >/tmp/failed && \
    cut -d' ' -f1 /tmp/failed";

pub const NGINX: Check = Check {
    id: "real.nginx",
    title: "nginx answers curl from another container",
    probe: Probe::Main(|bench| {
        let page = format!("echo '{DATA}' >/var/www/html/plainboot.txt");
        let mut seen = Evidence::default();
        set_up(bench, &mut seen, &page, "nginx.service")?;
        ask(bench, &mut seen, &[("answer", NGINX_ASK)])?;
        Ok(seen)
    }),
    judge: |seen, _| answered(seen, DATA),
    ..BASE
};

const NGINX_ASK: &str = "curl --silent --show-error --fail http://$HOST/plainboot.txt";

pub const POSTGRESQL: Check = Check {
    id: "real.postgresql",
    title: "PostgreSQL answers psql from another container",
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        let script = "sql() { runuser -u postgres -- psql -v ON_ERROR_STOP=1 -Atqc \"$1\"; } && \
            sql \"CREATE ROLE plainboot LOGIN PASSWORD 'plainboot'\" && \
            sql 'CREATE DATABASE plainboot OWNER plainboot' && \
            sql \"ALTER SYSTEM SET listen_addresses = '*'\" && \
            echo 'host plainboot plainboot samenet scram-sha-256' >>$(sql 'SHOW hba_file') && \
            systemctl restart postgresql.service";
        // Debian's postgresql.service starts the clusters, each of which is a unit of its own.
        set_up(bench, &mut seen, script, "'postgresql@*.service'")?;
        let write = format!(
            "{PSQL} -c 'CREATE TABLE t (text text)' -c \"INSERT INTO t VALUES ('{DATA}')\""
        );
        ask(bench, &mut seen, &[("write", &write), ("answer", POSTGRESQL_ASK)])?;
        Ok(seen)
    }),
    judge: |seen, _| answered(seen, DATA),
    ..BASE
};

const PSQL: &str =
    "export PGPASSWORD=plainboot PGCONNECT_TIMEOUT=10; psql -h $HOST -U plainboot -Atq";
const POSTGRESQL_ASK: &str = "export PGPASSWORD=plainboot PGCONNECT_TIMEOUT=10; \
    psql -h $HOST -U plainboot -Atq -c 'SELECT text FROM t'";

pub const REDIS: Check = Check {
    id: "real.redis",
    title: "Redis answers redis-cli from another container",
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        let script = "sed -i -e 's/^bind .*/bind 0.0.0.0/' -e 's/^protected-mode .*/protected-mode no/' \
            /etc/redis/redis.conf && systemctl restart redis-server.service";
        set_up(bench, &mut seen, script, "redis-server.service")?;
        let write = format!("redis-cli -h $HOST set plainboot '{DATA}'");
        ask(bench, &mut seen, &[("write", &write), ("answer", REDIS_ASK)])?;
        Ok(seen)
    }),
    judge: |seen, _| answered(seen, DATA),
    ..BASE
};

const REDIS_ASK: &str = "redis-cli -h $HOST --raw get plainboot";

pub const SSH: Check = Check {
    id: "real.ssh",
    title: "OpenSSH lets a key in from another container",
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        let client = bench.client()?;
        let make = "test -f /root/.ssh/id_ed25519 || \
            ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; cat /root/.ssh/id_ed25519.pub";
        let key = client.shell(bench.until.get().left(), make)?.text();
        let script = format!(
            "mkdir -p -m 0700 /root/.ssh && echo '{key}' >>/root/.ssh/authorized_keys && \
             systemctl restart ssh.service"
        );
        set_up(bench, &mut seen, &script, "ssh.service")?;
        ask(bench, &mut seen, &[("answer", SSH_ASK)])?;
        Ok(seen)
    }),
    // The name of the host that answers is PID 1's, and not the client's.
    judge: |seen, _| answered(seen, "systemd"),
    ..BASE
};

const SSH_ASK: &str = "ssh -o BatchMode=yes -o ConnectTimeout=10 -o LogLevel=ERROR \
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@$HOST cat /proc/1/comm";

pub const SESSION: Check = Check {
    id: "real.session",
    title: "a login by ssh is a session, and ends with the connection",
    needs: &["real.ssh"],
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        // What Debian's libpam-systemd would do. Its sshd asks pam_limits after that.
        let script = "grep -qs pam_systemd /etc/pam.d/common-session || \
            echo 'session optional pam_systemd.so' >>/etc/pam.d/common-session";
        let after = "for i in $(seq 50); do n=$(loginctl --no-legend list-sessions | \
            grep -vc manager); [ $n = 0 ] && break; sleep 0.1; done; echo $n";
        bench.note(&mut seen, &[("set-up", script)])?;
        ask(bench, &mut seen, &[("answer", SSH_WHOAMI)])?;
        bench.note(&mut seen, &[("after", after)])?;
        Ok(seen)
    }),
    judge: |seen, _| {
        all([
            same("the unit of the shell", seen.get("answer"), "session-N.scope"),
            same("sessions after the connection", seen.get("after"), "0"),
        ])
    },
    ..BASE
};

const SSH_WHOAMI: &str = "ssh -o BatchMode=yes -o ConnectTimeout=10 -o LogLevel=ERROR \
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@$HOST 'systemctl whoami $$' | \
    sed 's/-c*[0-9]*[.]/-N./'";

pub const STOPPED: Check = Check {
    id: "real.stopped",
    title: "after their stop no process of the four is left",
    needs: &["real.nginx", "real.postgresql", "real.redis", "real.ssh"],
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        let alive = "cat /proc/[0-9]*/comm | grep -x -e nginx -e postgres -e redis-server -e sshd | \
            sort | uniq -c | sed 's/^ *[0-9]* //'";
        let units = "nginx.service redis-server.service ssh.service $(systemctl list-units \
            --no-legend --plain 'postgresql@*' | cut -d' ' -f1)";
        let stop = format!("echo {units} >/tmp/units; systemctl stop $(cat /tmp/units)");
        bench
            .note(
                &mut seen,
                &[
                    ("before", alive),
                    ("stop", &stop),
                    ("after", alive),
                    ("start", "systemctl start $(cat /tmp/units)"),
                ],
            )
            .map(|()| seen)
    }),
    judge: |seen, _| {
        all([
            same("before", seen.get("before"), "nginx\npostgres\nredis-server\nsshd"),
            same("the stop", seen.get("stop.status"), "0"),
            same("after", seen.get("after"), ""),
            same("the start", seen.get("start.status"), "0"),
        ])
    },
    ..BASE
};

pub const RESTART: Check = Check {
    id: "real.restart",
    group: Group::Exit,
    title: "after three restarts, a SIGKILL and a start all four answer",
    timeout: Duration::from_secs(240),
    needs: &["real.nginx", "real.postgresql", "real.redis", "real.ssh"],
    probe: Probe::Main(|bench| {
        let mut seen = Evidence::default();
        for turn in TURNS {
            if turn == KILLED {
                bench.main.kill("KILL")?;
                bench.main.wait(bench.until.get().left())?;
                bench.main.start_again()?;
            } else {
                let stopping = std::time::Instant::now();
                // With the image's own signal, and time enough: what is killed did not end.
                bench
                    .site
                    .engine
                    .call(["restart", "--time=60", &bench.main.id])
                    .deadline(bench.until.get().left())
                    .text()?;
                seen.put(&format!("{turn}.ms"), stopping.elapsed().as_millis());
            }
            let booted = boot(&bench.main, bench.until.get().left())?;
            seen.put(&format!("{turn}.state"), &booted.state);
            let mut of_turn = Evidence::default();
            bench.note(&mut of_turn, &[("failed", FAILED)])?;
            ask(bench, &mut of_turn, &ASKS)?;
            for name in ["failed", "failed.status", "nginx", "postgresql", "redis", "ssh"] {
                seen.put(&format!("{turn}.{name}"), of_turn.get(name));
            }
        }
        Ok(seen)
    }),
    judge: |seen, _| {
        all(TURNS.into_iter().map(|turn| {
            let after = |name| seen.get(&format!("{turn}.{name}"));
            let answer = |name, wanted| same(&format!("{turn}: {name}"), after(name), wanted);
            let ms = seen.number(&format!("{turn}.ms"));
            all([
                Outcome::holds_if(turn == KILLED || ms.is_some_and(|ms| ms < 20_000), || {
                    format!("{turn}: stop and start took {ms:?} ms")
                }),
                answer("state", "running"),
                answer("failed.status", "0"),
                answer("failed", ""),
                answer("nginx", DATA),
                answer("postgresql", DATA),
                answer("redis", DATA),
                answer("ssh", "systemd"),
            ])
        }))
    },
    ..BASE
};

const KILLED: &str = "killed";
const TURNS: [&str; 4] = ["restart-1", "restart-2", "restart-3", KILLED];

const ASKS: [(&str, &str); 4] =
    [("nginx", NGINX_ASK), ("postgresql", POSTGRESQL_ASK), ("redis", REDIS_ASK), ("ssh", SSH_ASK)];

/// Runs the set-up in the main container, then asks whether the unit is active, and why not.
fn set_up(bench: &Bench<'_>, seen: &mut Evidence, script: &str, unit: &str) -> Result<()> {
    let active = format!("systemctl is-active {unit}");
    // Not by -u: without control groups that leaves out what a unit's processes say themselves.
    let word = unit.trim_matches('\'').split(['*', '.']).next().unwrap_or(unit);
    let said =
        format!("journalctl --sync; journalctl --no-pager -o cat | grep -F -e {word} | tail -n 20");
    bench.note(seen, &[("set-up", script), ("active", &active), ("said", &said)])
}

/// Runs the scripts in a sibling container, with the address of the main one in `$HOST`. A service
/// may begin to listen a moment after its unit has started.
fn ask(bench: &Bench<'_>, seen: &mut Evidence, scripts: &[(&str, &str)]) -> Result<()> {
    let address = bench.main.address()?;
    let again = |script: &str| {
        format!(
            "HOST={address}; ask() {{ {script}; }}; \
             for i in $(seq 20); do out=$(ask 2>&1) && break; sleep 0.1; done; echo \"$out\""
        )
    };
    let texts: Vec<String> = scripts.iter().map(|(_, script)| again(script)).collect();
    let scripts: Vec<(&str, &str)> =
        scripts.iter().zip(&texts).map(|((name, _), text)| (*name, text.as_str())).collect();
    note(bench.client()?, bench.until.get(), seen, &scripts)
}

fn answered(seen: &Evidence, wanted: &str) -> Outcome {
    all([
        Outcome::holds_if(seen.get("set-up.status") == "0", || {
            format!(
                "its set-up ends with `{}`: {}",
                seen.get("set-up.status"),
                shorten(seen.get("set-up"))
            )
        }),
        same("its unit", seen.get("active"), "active"),
        same("its answer", seen.get("answer"), wanted),
    ])
}
