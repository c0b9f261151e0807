# SPDX-License-Identifier: MIT

set -l verbs create destroy list start stop restart update run root-login status show-ip
set -l named destroy start stop restart update run root-login status show-ip
complete -c plainboot-container -f
complete -c plainboot-container -n "not __fish_seen_subcommand_from $verbs" -a "$verbs --help"
complete -c plainboot-container -n "__fish_seen_subcommand_from $named" -a "(plainboot-container list 2>/dev/null)"
complete -c plainboot-container -n "__fish_seen_subcommand_from list" -l long
for option in image config flake
    complete -c plainboot-container -n "__fish_seen_subcommand_from create update" -l $option -x
end
for option in archive config-file
    complete -c plainboot-container -n "__fish_seen_subcommand_from create update" -l $option -r -F
end
for option in bind bind-ro
    complete -c plainboot-container -n "__fish_seen_subcommand_from create" -l $option -r -F
end
for option in port host-address local-address memory cpus pids
    complete -c plainboot-container -n "__fish_seen_subcommand_from create" -l $option -x
end
complete -c plainboot-container -n "__fish_seen_subcommand_from create" -l network -x -a "host none"
for option in ephemeral auto-start start
    complete -c plainboot-container -n "__fish_seen_subcommand_from create" -l $option
end
