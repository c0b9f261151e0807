# SPDX-License-Identifier: MIT
# shellcheck shell=bash

_plainboot_container() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} words
    if ((COMP_CWORD == 1)); then
        words="create destroy list start stop restart update run root-login status show-ip --help"
    elif [[ $before == --archive || $before == --config-file || $before == --bind || $before == --bind-ro ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
    elif [[ $before == --network ]]; then
        words="host none"
    elif ((COMP_CWORD == 2)) && [[ $verb != create && $verb != list ]]; then
        words=$(plainboot-container list 2>/dev/null)
    elif [[ $verb == list ]]; then
        words="--long"
    elif [[ $verb == create ]]; then
        words="--image --archive --config-file --config --flake --port --bind --bind-ro --network
            --host-address --local-address --memory --cpus --pids --ephemeral --auto-start --start"
    elif [[ $verb == update ]]; then
        words="--image --archive --config-file --config --flake"
    fi
    mapfile -t COMPREPLY < <(compgen -W "${words-}" -- "$word")
}
complete -F _plainboot_container plainboot-container
