#!@shell@
# SPDX-License-Identifier: MIT
#
# What s6-svscan becomes when all services have ended: its exit code is that of the service that failed.
export PATH="${PATH:+$PATH:}@path@"

# What runs once may still run.
if [ -e .services ] && read -r pid <.services; then
    kill "$pid" 2>/dev/null
fi
code=0
[ ! -e .s6-svscan/code ] || read -r code <.s6-svscan/code
echo "[init] finish: $code"
exit "$code"
