#!@shell@
# SPDX-License-Identifier: MIT
#
# /sbin/init of an image that builds its system when it starts: PID 1 until the system is there, then
# @init@, which becomes systemd. What it says, and what Nix says, is in the engine's log.
#
# /config/configuration.nix or /options.nix (a flake) says which system. What was built stays in the
# container; as long as neither changes, a restart builds nothing.
set -u
# The image's own programs, whatever the container's environment says.
export PATH=@path@ HOME=/root
export NIX_PATH=nixpkgs=@nixpkgs@ NIX_SSL_CERT_FILE=${NIX_SSL_CERT_FILE-@certificates@}
# Building in a namespace of its own is refused in a plain container; nobody else is in this one.
export NIX_CONFIG="experimental-features = nix-command flakes
sandbox = false
build-users-group =
${NIX_CONFIG-}"

config=${PLAINBOOT_CONFIG-/config/configuration.nix}
options=${PLAINBOOT_OPTIONS-/options.nix}
folder=$(dirname "$config")
profiles=/nix/var/nix/profiles
state=/nix/var/plainboot

say() { echo "plainboot: $*"; }

# $1: what is wrong; $2: what to do. The system that was last good goes on; without one this ends.
give_up() {
    say "$1"
    say "hint: $2"
    if [ -e "$profiles/system/init" ]; then
        say "starts the last good system, $(readlink "$profiles/system")"
        printf '%s\n' "$1" >"$state/failed"
        become_systemd
    fi
    say "there is no system that was built before, so there is nothing to start"
    exit 1
}

become_systemd() {
    trap - TERM INT RTMIN+3
    unset NIX_CONFIG NIX_PATH
    exec @init@
}

# A container that is stopped while it builds ends at once; Nix leaves no half-built path.
child=
stopped() {
    say "stopped while building"
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
    wait
    exit 143
}
trap stopped TERM INT RTMIN+3

mkdir -p "$state" || exit
# Of a start that was killed: nothing is being built.
rm -f "$state/building"

# Docker makes a folder where a file to be mounted is not there.
for file in "$config" "$options"; do
    [ ! -d "$file" ] || give_up "$file is a folder: the file to be mounted was not there on the host" "give --volume the path of a file, and make the container anew"
done

# Which of the two: sets `inputs`, all that it is made of, and the words for Nix.
if [ -e "$options" ]; then
    [ -r "$options" ] || give_up "cannot read $options" "mount it so that root in the container may read it"
    flake=$(nix-instantiate --eval --strict --json -E "let o = import $options; in { url = o.flakeUrl; name = o.nixosConfiguration; }" 2>&1) ||
        give_up "$options is not { flakeUrl = \"…\"; nixosConfiguration = \"…\"; }: $flake" "mend $options, and restart the container"
    url=$(printf '%s' "$flake" | sed -n 's/.*"url":"\([^"]*\)".*/\1/p')
    # However it is spelled, a flake in that folder has the configuration.nix beside it.
    place=${url%%[?#]*}
    place=${place#git+} place=${place#path:} place=${place#file:} place=${place#//}
    if [ -e "$config" ] && [ "$(readlink -m "$place")" != "$(readlink -m "$folder")" ]; then
        give_up "both $config and $options are mounted, and the flake of $options, $url, is not in $folder" "mount one of them, or set flakeUrl = \"path:$folder\""
    fi
    what="the flake of $options"
    inputs="$options /config"
    set -- --arg options "$options"
elif [ -e "$config" ]; then
    [ -r "$config" ] || give_up "cannot read $config" "mount it so that root in the container may read it"
    what=$config
    inputs=$folder
    set -- --arg configuration "$config"
elif [ -d "$folder" ] && ! { [ -r "$folder" ] && [ -x "$folder" ]; }; then
    give_up "cannot look into $folder" "mount it so that root in the container may read it"
elif [ -d "$folder" ]; then
    give_up "there is no configuration.nix in $folder" "mount one: --volume ./configuration.nix:$config"
else
    give_up "neither $config nor $options is mounted" "docker run --volume ./configuration.nix:$config IMAGE"
fi
# Names and contents of the inputs, and the image that builds them.
# shellcheck disable=SC2086  # two paths
print=$({
    echo @base@
    find -L $inputs -type f -print0 2>/dev/null | sort -z | xargs -0 -r sha256sum
} | sha256sum | cut -d ' ' -f 1)

if [ -z "${PLAINBOOT_REBUILD-}" ] && [ -e "$profiles/system/init" ] &&
    [ "$print $(readlink -f "$profiles/system")" = "$(cat "$state/built" 2>/dev/null)" ]; then
    say "$what has not changed: starts $(readlink "$profiles/system")"
    rm -f "$state/failed"
    become_systemd
fi

say "builds the system of $what"
: >"$state/building"
# The link keeps what was built until the profile has it. A child, so that a signal is heard meanwhile.
{
    nix-build @system@ --attr system "$@" --argstr nixpkgs @nixpkgs@ \
        --out-link "$state/result" >"$state/out"
} 2>&1 &
child=$!
wait "$child"
code=$?
child=
rm -f "$state/building"
if [ "$code" -ne 0 ]; then
    if [ "$(df --output=avail /nix | tail -n 1)" -lt 1024 ]; then
        give_up "the system of $what cannot be built: no space is left for /nix" "free some on the host: docker system df"
    fi
    if [ -e "$options" ] && [ -e "$folder/flake.nix" ] && [ ! -e "$folder/flake.lock" ]; then
        give_up "the system of $what cannot be built, as Nix says above ($code)" "mend it, and restart the container; a flake with inputs needs its flake.lock, which nix flake lock writes"
    fi
    give_up "the system of $what cannot be built, as Nix says above ($code)" "mend it, and restart the container; without a network everything that it needs must be in the image"
fi
system=$(tail -n 1 "$state/out")
nix-env --profile "$profiles/system" --set "$system" ||
    give_up "the system cannot be made the current one" "free some space on the host: docker system df"
echo "$print $system" >"$state/built.new" && mv "$state/built.new" "$state/built"
rm -f "$state/failed" "$state/result"
say "built $(readlink "$profiles/system"): $system"
become_systemd
