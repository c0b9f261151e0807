#!/bin/sh
# SPDX-License-Identifier: MIT
#
# /usr/lib/plainboot/report: which options of the installed units are not in force in this container,
# found by trying what systemd would need for them. POSIX sh and awk, nothing else is required.
set -u

usage() {
    cat <<'EOF'
Usage: /usr/lib/plainboot/report [--all] [--json]

Says which options of the installed units are not in force in this container, and why.
  --all   also options that no installed unit uses
  --json  every option that is known, as one JSON document
EOF
}

all=no json=no
for word in "$@"; do
    case $word in
    --all) all=yes ;;
    --json) json=yes ;;
    --help | -h) usage; exit 0 ;;
    *) echo "report: unknown option $word" >&2; usage >&2; exit 2 ;;
    esac
done

if [ "$(id -u)" != 0 ]; then
    echo "report: only root can try what systemd may do; run it as root" >&2
    exit 2
fi

field() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
# `docker exec` may give more or less than PID 1 has. A unit gets exactly what PID 1 can give.
if [ "$(field self CapBnd)" != "$(field 1 CapBnd)" ] && [ -z "${INVOCATION_ID-}" ]; then
    exec systemd-run --quiet --collect --wait --pipe "$0" "$@" || exit 2
fi

have() { command -v "$1" >/dev/null 2>&1; }
capability() { [ $((0x$(field self CapEff) >> $1 & 1)) = 1 ]; }

# Each probe sets its name to an empty text, or to the reason why what it tries is refused.
cgroup='' tree=/sys/fs/cgroup
own=$(sed -n 's/^0:://p' /proc/1/cgroup)
own=${own%/init.scope}
[ -d "$tree${own:=/}" ] || own=/
try="$tree/${own#/}/plainboot-report.$$"
if mkdir "$try" 2>/dev/null; then
    rmdir "$try"
else
    cgroup='control groups cannot be made (mkdir in /sys/fs/cgroup is refused)'
fi
controller() { # NAME
    if [ -n "$cgroup" ]; then
        echo "$cgroup"
    else
        case " $(cat "$tree/${own#/}/cgroup.controllers" 2>/dev/null) " in
        *" $1 "*) ;;
        *) echo "the cgroup tree has no $1 controller" ;;
        esac
    fi
}
memory=$(controller memory) cpu=$(controller cpu) io=$(controller io)
pids=$(controller pids) cpuset=$(controller cpuset)
# No program of a minimal system calls bpf(2); what decides is CAP_BPF (39) or CAP_SYS_ADMIN (21).
bpf=$cgroup
if [ -z "$bpf" ] && ! capability 39 && ! capability 21; then
    bpf='BPF programs cannot be loaded (no CAP_BPF)'
fi
framework=$bpf
case $bpf$(systemctl --version) in
*+BPF_FRAMEWORK*) ;;
*) framework=${bpf:-this systemd is built without BPF_FRAMEWORK} ;;
esac
namespace() { # KIND OPTION...: every kind but user asks for CAP_SYS_ADMIN
    kind=$1
    shift
    if have unshare; then
        unshare "$@" true 2>/dev/null || echo "a namespace ($kind) is refused"
    elif ! capability 21; then
        echo "a namespace ($kind) needs CAP_SYS_ADMIN"
    fi
}
mount=$(namespace mount --mount) net=$(namespace network --net) ipc=$(namespace IPC --ipc)
uts=$(namespace UTS --uts) pid=$(namespace PID --pid --fork) user=$(namespace user --user)
# CAP_NET_ADMIN (12): systemd brings up the loopback device of a network namespace, or has none.
if [ -z "$net" ] && ! capability 12; then
    net='a network namespace cannot be set up (no CAP_NET_ADMIN)'
fi
# systemd puts a network, IPC or PID namespace's own mounts beside it.
[ -z "$net" ] && net=$mount
[ -z "$ipc" ] && ipc=$mount
[ -z "$pid" ] && pid=$mount
nice='' realtime='' io_realtime='' oom=''
[ "$(nice -n -1 nice 2>/dev/null)" -lt "$(nice)" ] 2>/dev/null ||
    nice='a higher priority is refused (no CAP_SYS_NICE)'
if have chrt; then
    chrt --fifo 1 true 2>/dev/null || realtime='realtime scheduling is refused'
elif ! capability 23; then
    realtime='realtime scheduling needs CAP_SYS_NICE'
fi
if have ionice; then
    ionice -c 1 true 2>/dev/null || io_realtime='realtime I/O is refused'
elif ! capability 23 && ! capability 21; then
    io_realtime='realtime I/O needs CAP_SYS_NICE'
fi
(echo $(($(cat /proc/self/oom_score_adj) - 1)) >/proc/self/oom_score_adj) 2>/dev/null ||
    oom='a lower OOM score is refused (no CAP_SYS_RESOURCE)'

# OPTION PROBE RESULT [VALUES]: what becomes of the option where the probe is refused, and, as a
# regular expression, the values that it counts for. `fails`: the unit does not start.
options() {
    cat <<'EOF'
MemoryMin memory ignored
MemoryLow memory ignored
MemoryHigh memory ignored
MemoryMax memory ignored
MemorySwapMax memory ignored
CPUWeight cpu ignored
CPUQuota cpu ignored
IOWeight io ignored
IOReadBandwidthMax io ignored
IOWriteBandwidthMax io ignored
TasksMax pids ignored
AllowedCPUs cpuset ignored
AllowedMemoryNodes cpuset ignored
Delegate cgroup ignored
IPAddressDeny bpf ignored
IPAddressAllow bpf ignored
SocketBindDeny framework ignored
RestrictNetworkInterfaces framework ignored
DevicePolicy bpf ignored
DeviceAllow bpf ignored
PrivateTmp mount ignored
PrivateDevices mount ignored
PrivateMounts mount ignored
ProtectSystem mount ignored
ProtectHome mount ignored
ProtectProc mount ignored
ProcSubset mount ignored
ProtectKernelTunables mount ignored
ProtectControlGroups mount ignored
ReadOnlyPaths mount ignored
InaccessiblePaths mount ignored
NoExecPaths mount ignored
MountFlags mount ignored
PrivateNetwork net ignored
PrivateIPC ipc ignored
ProtectHostname uts ignored
BindPaths mount fails :
BindReadOnlyPaths mount fails :
TemporaryFileSystem mount fails
RootDirectory mount fails ..
RootImage mount fails
MountImages mount fails
ExtensionImages mount fails
ExtensionDirectories mount fails
LogNamespace mount fails
DynamicUser mount fails
PrivateUsers user fails
PrivatePIDs pid fails
NetworkNamespacePath net fails
Nice nice ignored ^-
OOMScoreAdjust oom ignored ^-
CPUSchedulingPolicy realtime fails ^(fifo|rr)$
IOSchedulingClass io_realtime fails ^(1|realtime)$
EOF
}

# Unit files, the first of a name counts; then drop-ins, of which the last word counts.
set --
masked=' '
for dir in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system \
    /usr/lib/systemd/system; do
    for file in "$dir"/*.service "$dir"/*.socket "$dir"/*.slice "$dir"/*.scope "$dir"/*.mount; do
        link=''
        [ -h "$file" ] && link=$(readlink "$file")
        if [ -n "$link" ] && [ "$link" != /dev/null ] && [ "${link##*/}" != "${file##*/}" ]; then
            continue # another name of a unit
        elif [ -s "$file" ]; then
            set -- "$@" "$file"
        elif [ -e "$file" ]; then
            masked="$masked${file##*/} "
        fi
    done
done
for dir in /usr/lib/systemd/system /usr/local/lib/systemd/system /run/systemd/system \
    /etc/systemd/system; do
    for file in "$dir"/*.d/*.conf; do
        [ -s "$file" ] && set -- "$@" "$file"
    done
done

# One line each: OPTION PROBE RESULT UNIT...; RESULT is a file's path if that turns the option off.
used=$(options | MASKED=$masked awk '
    FILENAME == "-" { probe[$1] = $2; result[$1] = $3; values[$1] = $4; order[++n] = $1; next }
    FNR == 1 {
        parts = split(FILENAME, part, "/")
        unit = part[parts]; skip = 0
        if (unit ~ /\.conf$/) { unit = part[parts - 1]; sub(/\.d$/, "", unit) }
        else if (unit in from) skip = 1
        else from[unit] = FILENAME
        if (index(ENVIRON["MASKED"], " " unit " ")) skip = 1
    }
    skip || !/^[A-Za-z]+[ \t]*=/ { next }
    {
        option = $0; sub(/[ \t]*=.*/, "", option)
        if (!(option in probe)) next
        value = $0; sub(/^[^=]*=[ \t]*/, "", value); sub(/[ \t]+$/, "", value)
        off = value ~ /^(|no|false|0|off|n|f|infinity|default|all|auto)$/
        if (!off && values[option] != "" && value !~ values[option]) off = 1
        set[option, unit] = !off
        # A drop-in of a type, such as service.d, counts for every unit of it.
        if (unit !~ /\./ && !set[option, unit]) off_for[option] = FILENAME
        if (!((option, unit) in known)) { known[option, unit]; units[option] = units[option] " " unit }
    }
    END {
        for (i = 1; i <= n; i++) {
            option = order[i]
            line = option " " probe[option] " " (option in off_for ? off_for[option] : result[option])
            many = split(units[option], unit_of, " ")
            for (k = 1; k <= many; k++) if (set[option, unit_of[k]]) line = line " " unit_of[k]
            print line
        }
    }' - "$@")

run_on_disk=true
while read -r _ where type _; do
    [ "$where" = /run ] && case $type in tmpfs | ramfs) run_on_disk=false ;; esac
done </proc/self/mounts

# Why the option PROBE RESULT is not in force, as $reason; empty if it is.
because() {
    case $2 in
    /*) reason="turned off by $2"; return ;;
    esac
    case $1 in
    memory | cpu | io | pids | cpuset | cgroup | bpf | framework | mount | net | ipc | uts | pid | user | nice | \
        realtime | io_realtime | oom) eval "reason=\$$1" ;;
    esac
}

if [ $json = yes ]; then
    printf '{"schema":1,"runOnDisk":%s,"options":[' $run_on_disk
    comma=''
    while read -r option probe result units; do
        because "$probe" "$result"
        case $reason,$result in
        ,*) result=enforced ;;
        *,/*) result=ignored ;;
        esac
        list=''
        for unit in $units; do
            list="$list${list:+,}\"$unit\""
        done
        printf '%s\n{"option":"%s","state":"%s","because":"%s","units":[%s]}' "$comma" "$option" \
            $result "$reason" "$(printf %s "$list" | sed 's/\\/\\\\/g')"
        comma=,
    done <<EOF
$used
EOF
    printf '\n]}\n'
    exit 0
fi

count=0
while read -r option probe result units; do
    because "$probe" "$result"
    [ -n "$reason" ] || continue
    [ -n "$units" ] || [ $all = yes ] || continue
    count=$((count + 1))
    case $result in
    ignored | /*) what='has no effect' ;;
    fails) what='keeps the unit from starting' ;;
    esac
    printf '%s= %s: %s\n' "$option" "$what" "$reason"
    for unit in $units; do
        printf '    %s\n' "$unit"
    done
done <<EOF
$used
EOF
[ $count -gt 0 ] || echo 'Every option that the installed units use is in force, of those that are known to depend on privileges.'
[ -z "$cgroup" ] || echo 'Without control groups, processes that leave the main process of their service are not tracked.'
[ $run_on_disk = false ] || echo '/run is not a tmpfs: credentials and other secrets in it touch the disk.'
