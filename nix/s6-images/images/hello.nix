# SPDX-License-Identifier: MIT
{ pkgs, ... }:
{
  image = {
    name = "hello";
    entryPoint = [ "${pkgs.hello}/bin/hello" ];
  };
}
