# SPDX-License-Identifier: MIT
#
# IPv4 addresses -> the smallest network in which each can be a host's, as `plainboot-container` has it.
{ lib }:
let
  inherit (lib)
    all
    concatStringsSep
    foldl'
    range
    toInt
    ;

  number =
    text:
    let
      # With a zero before it, a part would be octal for some.
      part = "(0|[1-9][0-9]{0,2})";
      parts = builtins.match "${part}\\.${part}\\.${part}\\.${part}" text;
      values = map toInt parts;
    in
    if parts == null || !all (value: value <= 255) values then
      throw "plainboot: \"${text}\" is no IPv4 address"
    else
      foldl' (sum: value: sum * 256 + value) 0 values;

  shown =
    value:
    concatStringsSep "." (
      map (place: toString (lib.mod (value / place) 256)) [
        16777216
        65536
        256
        1
      ]
    );
  power = bits: foldl' (product: _: product * 2) 1 (range 1 bits);
in
{
  # { name = "192.168.100.8/29"; } -> texts, for each two that have an address in common.
  overlaps =
    subnets:
    let
      span =
        name:
        let
          parts = lib.splitString "/" subnets.${name};
          low = number (builtins.head parts);
        in
        {
          inherit low;
          high = low + power (32 - toInt (lib.last parts)) - 1;
        };
      shared = one: other: (span one).low <= (span other).high && (span other).low <= (span one).high;
      names = builtins.attrNames subnets;
      said = name: "${name} (${subnets.${name}})";
    in
    lib.concatLists (
      lib.imap1 (
        next: one:
        map (other: "${said one} and ${said other}") (builtins.filter (shared one) (lib.drop next names))
      ) names
    );

  subnet =
    addresses:
    let
      numbers = map number addresses;
      fits =
        bits:
        let
          size = power bits;
          low = builtins.head numbers / size * size;
        in
        all (one: one > low && one < low + size - 1) numbers;
      smallest =
        bits:
        if bits > 24 then
          throw "plainboot: ${toString addresses} cannot be in one network"
        else if fits bits then
          bits
        else
          smallest (bits + 1);
      bits = smallest 2;
      size = power bits;
    in
    if lib.unique addresses != addresses then
      throw "plainboot: two of these addresses are the same: ${toString addresses}"
    else
      "${shown (builtins.head numbers / size * size)}/${toString (32 - bits)}";
}
