#!@shell@
# SPDX-License-Identifier: MIT
#
# After the service has ended; its folder is the working directory. $1: its exit code, 256 if it died of
# signal $2. Ends with 125 if s6 must not start it again.
export PATH="${PATH:+$PATH:}@path@"
ignore_failure=@ignoreFailure@
on_failure=@onFailure@
on_signal=@onSignal@
on_success=@onSuccess@

# What it leaves behind goes with it, as under systemd. The workers of an nginx whose master was killed hold
# the port on which the next one must listen. (The group is an argument too, but not for s6 2.11.)
if group=$(cat group 2>/dev/null) && kill -TERM -- "-$group" 2>/dev/null; then
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 -- "-$group" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null
fi

# The container is being stopped: that it ended is no failure, however it did.
[ ! -e ../.s6-svscan/stopping ] || exit 125

# As systemd has it, these signals are an orderly end: HUP, INT, PIPE, TERM.
case $1:$2 in
0:* | 256:1 | 256:2 | 256:13 | 256:15) code=0 ;;
256:*) code=$((128 + $2)) again=$on_signal ;;
*) code=$1 again=$on_failure ;;
esac
[ "$ignore_failure" = no ] || code=0

if [ "$code" -eq 0 ]; then
    [ "$on_success" = yes ] || exit 125
    exit 0
fi
if [ "$again" = yes ]; then
    echo "[init] @service@ failed with $code: starts again"
    exit 0
fi
echo "[init] @service@ failed with $code"
if [ -n "${S6_DONT_TERMINATE_ON_ERROR+set}" ]; then
    echo "[init] it stays down, as S6_DONT_TERMINATE_ON_ERROR is set; to start it: s6-svc -u $PWD"
    exit 125
fi
[ -e ../.s6-svscan/code ] || echo "$code" >../.s6-svscan/code
: >../.s6-svscan/stopping
s6-svscanctl -t ..
exit 125
