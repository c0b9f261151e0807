#!@shell@
# SPDX-License-Identifier: MIT
#
# init STATE-DIR: runs the services of an image under s6-svscan(8), which this becomes. As PID 1 of a
# container, or as any user anywhere.
export PATH="${PATH:+$PATH:}@path@"

replace=
if [ "${1-}" = --replace ]; then
    replace=yes
    shift
fi
if [ $# -ne 1 ] || [ -z "$1" ]; then
    echo "usage: $0 [--replace] STATE-DIR" >&2
    exit 2
fi
case $1 in
/*) state=$1 ;;
*) state=$PWD/$1 ;;
esac
if [ -e "$state" ]; then
    if [ -z "$replace" ]; then
        echo "[init] $state is there already: remove it, or name another folder" >&2
        exit 2
    fi
    rm -rf -- "$state" || exit
fi

say() { echo "[init] $*"; }

# Makes the folders of the daemons below $1.
folders() {
    @folders@
}

appear() {
    for folder in "$state"/.new/*; do
        [ ! -d "$folder" ] || mv "$folder" "$state" || return
    done
    rmdir "$state/.new"
}

# Ends what runs, with this code, unless somebody wants to look at it.
failed() {
    say "$1 failed with $2"
    if [ -n "${S6_DONT_TERMINATE_ON_ERROR+set}" ]; then
        say "what comes after $1 is not started; nothing is ended, as S6_DONT_TERMINATE_ON_ERROR is set"
    else
        [ -e "$state/.s6-svscan/code" ] || echo "$2" >"$state/.s6-svscan/code"
        : >"$state/.s6-svscan/stopping"
        s6-svscanctl -t "$state"
    fi
    rm -f "$state/.services"
    exit
}

oneshot() {
    say "runs $1"
    "$2" &
    child=$!
    wait "$child"
    code=$?
    child=
    [ "$code" -eq 0 ] || failed "$1" "$code"
}

# While s6-svscan runs; it reaps whatever this leaves behind.
services() {
    child=
    trap '[ -z "$child" ] || kill "$child"; exit 143' TERM
    # s6-svscan is ready when it says so.
    read -r _ <"$state/.ready"
    @pre@
    say "starts the daemons"
    # Moved when they are whole: s6-svscan may look at any time.
    if ! mkdir "$state/.new" || ! folders "$state/.new" || ! appear || ! s6-svscanctl -a "$state"; then
        failed "starting the daemons" 1
    fi
    @post@
    say "has started everything"
    rm -f "$state/.services"
}

mkdir -p "$state/.s6-svscan" && mkfifo "$state/.ready" || exit
for signal in SIGTERM SIGINT SIGQUIT SIGHUP; do
    ln -s @stop@ "$state/.s6-svscan/$signal" || exit
done
ln -s @end@ "$state/.s6-svscan/finish" || exit

services &
echo $! >"$state/.services"

exec s6-svscan -d 3 -t 0 "$state" 3>"$state/.ready" </dev/null
