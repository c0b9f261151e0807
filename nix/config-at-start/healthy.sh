#!@shell@
# SPDX-License-Identifier: MIT
#
# The health check: the mounted configuration runs, and nothing in it failed.
export PATH=@path@:/run/current-system/sw/bin
state=/nix/var/plainboot
if [ -e "$state/building" ]; then
    echo "the system is being built: see the log of the container"
    exit 1
fi
if [ -e "$state/failed" ]; then
    echo "an older system runs: $(cat "$state/failed")"
    exit 1
fi
running=$(systemctl is-system-running 2>&1)
echo "$running"
[ "$running" = running ] || {
    systemctl --failed --plain --no-legend
    exit 1
}
