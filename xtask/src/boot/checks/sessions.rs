// SPDX-License-Identifier: MIT
//! Users: their own manager with its services, and what a login leaves to logind.
//!
//! Both need to know which processes belong to what, as [`super::members`] does.

use std::time::Duration;

use super::services::{started, with_units};
use super::tracking::STATE;
use super::{Check, Group, Mode, Probe, all, same};

const BASE: Check = Check {
    group: Group::Services,
    timeout: Duration::from_secs(40),
    modes: &[Mode::Plain, Mode::Writable],
    proves: &["0008-cgroup-mark"],
    ..super::BASE
};

/// A user of our own, whom no image has.
const GUEST: &str = "id plainboot-guest >/dev/null 2>&1 || \
    useradd --create-home --shell /bin/sh plainboot-guest";

/// Runs a command line as that user, in the environment that a login would make.
fn as_guest(command: &str) -> String {
    format!(
        "uid=$(id -u plainboot-guest); setpriv --reuid=$uid --regid=$uid --clear-groups \
         env HOME=/home/plainboot-guest XDG_RUNTIME_DIR=/run/user/$uid sh -c '{command}'"
    )
}

pub const USER_SERVICE: Check = Check {
    id: "services.user",
    title: "a user's own manager runs services and scopes, and tracks them",
    probe: Probe::Main(|bench| {
        let unit = "plainboot-user.service";
        let define = format!(
            "{GUEST}; d=/home/plainboot-guest/.config/systemd/user; mkdir -p $d && \
             printf '%s\\n' '[Service]' \"ExecStart=sh -c 'setsid sleep infinity & \
             echo \\$\\$! >/home/plainboot-guest/user-child; exec sleep infinity'\" >$d/{unit} && \
             chown -R plainboot-guest /home/plainboot-guest && \
             loginctl enable-linger plainboot-guest && \
             systemctl start user@$(id -u plainboot-guest).service"
        );
        let start = as_guest(&format!(
            "systemctl --user start {unit} && for i in $(seq 50); do \
             [ -s /home/plainboot-guest/user-child ] && exit; sleep 0.05; done; exit 1"
        ));
        let active = as_guest(&format!("systemctl --user is-active {unit}"));
        let inner = as_guest(
            "systemctl --user status $(cat /home/plainboot-guest/user-child) | head -1 | \
             cut -d\" \" -f2",
        );
        let outer = "systemctl whoami $(cat /home/plainboot-guest/user-child) | \
                     sed \"s/@$(id -u plainboot-guest)/@UID/\"";
        let scope = as_guest(
            "systemd-run --user --quiet --scope --unit=plainboot-user systemctl --user is-active \
             plainboot-user.scope",
        );
        let stop = as_guest(&format!("systemctl --user stop {unit}"));
        let after = format!("{STATE} state /home/plainboot-guest/user-child");
        let end = "loginctl disable-linger plainboot-guest; \
                   systemctl stop user@$(id -u plainboot-guest).service; \
                   kill -KILL $(cat /home/plainboot-guest/user-child) 2>/dev/null; \
                   ps -u plainboot-guest -o args= 2>/dev/null; pgrep -u plainboot-guest; true";
        with_units(
            bench,
            &[
                ("define", define.as_str()),
                ("start", &start),
                ("active", &active),
                ("inner", &inner),
                ("outer", outer),
                ("scope", &scope),
                ("stop", &stop),
                ("after", &after),
                ("end", end),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            same("the start of the user's manager", seen.get("define.status"), "0"),
            started(seen),
            same("its service", seen.get("active"), "active"),
            same("the user unit of the child", seen.get("inner"), "plainboot-user.service"),
            same("the system's unit of the child", seen.get("outer"), "user@UID.service"),
            same("a scope of the user's", seen.get("scope"), "active"),
            same("the stop", seen.get("stop.status"), "0"),
            same("the state of the child after", seen.get("after"), "gone"),
        ])
    },
    ..BASE
};

pub const SESSION: Check = Check {
    id: "services.session",
    title: "a login is a session of logind's, with all of its processes",
    probe: Probe::Main(|bench| {
        let define = format!(
            "{GUEST}; printf '%s\\n' 'account required pam_permit.so' \
             'session required pam_systemd.so' 'session required pam_limits.so' \
             >/etc/pam.d/plainboot-session"
        );
        let child = "$(cat /home/plainboot-guest/child)";
        let start = "systemctl start plainboot-session.service && \
             for i in $(seq 100); do [ -s /home/plainboot-guest/child ] && \
             loginctl --no-legend list-sessions | grep -q plainboot-guest && exit; \
             sleep 0.05; done; exit 1";
        let whoami = format!("systemctl whoami {child} | sed 's/-c\\?[0-9]*[.]/-N./'");
        let session = format!(
            "busctl call org.freedesktop.login1 /org/freedesktop/login1 \
             org.freedesktop.login1.Manager GetSessionByPID u {child} | \
             sed 's,/[^/]*\"$,/N\",'"
        );
        // What is still there of a session keeps it, until it is told to go.
        let end = "s=$(loginctl --no-legend list-sessions | grep plainboot-guest | \
                   grep -v manager | sed 's/^ *//; s/ .*//'); loginctl terminate-session $s && \
                   for i in $(seq 100); do loginctl --no-legend list-sessions | \
                   grep -v manager | grep -q plainboot-guest || break; sleep 0.05; done; \
                   loginctl --no-legend list-sessions | grep -v manager | grep -c plainboot-guest";
        let after = format!("{STATE} state /home/plainboot-guest/child");
        with_units(
            bench,
            &[
                ("define", define.as_str()),
                ("start", start),
                ("whoami", &whoami),
                ("session", &session),
                ("end", end),
                ("after", &after),
                (
                    "tidy",
                    "systemctl stop plainboot-session.service; rm -f /home/plainboot-guest/child; \
                          systemctl reset-failed plainboot-session.service",
                ),
            ],
        )
    }),
    judge: |seen, _| {
        all([
            started(seen),
            same("the unit of its child", seen.get("whoami"), "session-N.scope"),
            same(
                "the child's session",
                seen.get("session"),
                "o \"/org/freedesktop/login1/session/N\"",
            ),
            same("sessions after its end", seen.get("end"), "0"),
            same("the state of the child after", seen.get("after"), "gone"),
        ])
    },
    ..BASE
};
