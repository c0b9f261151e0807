#compdef plainboot-container
# SPDX-License-Identifier: MIT

_plainboot_container() {
    local -a sources
    sources=(
        '--image[an image that the engine has]:image'
        '--archive[an image archive]:file:_files'
        '--config-file[a NixOS configuration]:file:_files'
        '--config[a NixOS configuration as text]:text'
        '--flake[FLAKE#CONFIGURATION]:flake'
    )
    if ((CURRENT == 2)); then
        compadd create destroy list start stop restart update run root-login status show-ip --help
        return
    fi
    case $words[2] in
    create)
        _arguments '2:name' $sources '*--port[HOST\:CONTAINER]:port' '*--bind[HOST\:CONTAINER]:folder:_files' \
            '*--bind-ro[HOST\:CONTAINER]:folder:_files' '--network[network]:network:(host none)' \
            '--host-address[address]:address' '--local-address[address]:address' '--memory[size]:size' \
            '--cpus[number]:number' '--pids[number]:number' --ephemeral --auto-start --start
        ;;
    list) compadd -- --long ;;
    update) _arguments '2:name:($(plainboot-container list 2>/dev/null))' $sources ;;
    *) ((CURRENT == 3)) && compadd $(plainboot-container list 2>/dev/null) ;;
    esac
}
_plainboot_container "$@"
