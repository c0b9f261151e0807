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
      parts = builtins.match "([0-9]{1,3})\\.([0-9]{1,3})\\.([0-9]{1,3})\\.([0-9]{1,3})" text;
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
