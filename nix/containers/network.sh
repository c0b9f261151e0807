# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# Makes the network of the containers that have the same address of the host. Once more, it changes nothing.
engine=@engine@ host=@host@ wanted=@subnet@
name=plainboot-$host
case $engine in
podman) format='{{ range .Subnets }}{{ .Subnet }}{{ end }}' ;;
*) format='{{ range .IPAM.Config }}{{ .Subnet }}{{ end }}' ;;
esac
if seen=$("$engine" network inspect --format "$format" "$name" 2>/dev/null); then
    [ "$seen" != "$wanted" ] || exit 0
    # Another subnet, since an address is new. The containers in it have been stopped.
    "$engine" network rm "$name"
fi
"$engine" network create --label plainboot.container=declared --subnet "$wanted" --gateway "$host" "$name"
