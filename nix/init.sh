#!@shell@
# SPDX-License-Identifier: MIT
#
# /sbin/init of the image: PID 1 of the container until the second stage of NixOS executes systemd.
PATH=@path@

# By this variable the second stage knows that it may not remount /. Engines set it (podman), or
# leave a file (Docker).
if [ -z "${container:-}" ]; then
    if [ -e /run/.containerenv ]; then container=podman; else container=docker; fi
fi
export container

# A /run on the container's disk still holds what the boot before it left there. systemd would empty
# it, but by then the activation has put /run/current-system and secrets into it. So it is emptied
# here, except for what the engine mounted below it, and systemd is told (for this boot).
if ! mountpoint -q /run; then
    find /run -xdev -mindepth 1 -delete 2>/dev/null
    : >/run/.prepared
fi

# Nobody may mount a tmpfs here; on the container's disk setuid works as well.
mkdir -p /run/wrappers

# The second stage writes to /dev/kmsg. Where the engine gives none, that makes a plain file of this
# name, of which journald dies (`Failed to add /dev/kmsg fd to event loop`). At the end of this link
# nothing can be made: the stage says so once, and keeps its log in /run/log/stage-2-init.log.
[ -e /dev/kmsg ] || ln -sfn /nonexistent/kmsg /dev/kmsg

exec @toplevel@/init "$@"
