# SPDX-License-Identifier: MIT
#
# What the image is made of, as derivations that a Nix without nixpkgs can build: by the shell and the
# programs of this machine.
{
  lib,
  root,
  # The PATH of the builds.
  path,
}:
let
  build =
    name: script:
    derivation {
      inherit name script;
      system = builtins.currentSystem;
      builder = "/bin/sh";
      args = [
        "-euc"
        script
      ];
      PATH = path;
    };
  evaluated = import ./eval.nix {
    inherit lib root;
    packages = _: {
      runCommand = name: _environment: build name;
      writeTextFile =
        {
          name,
          text,
          executable ? false,
          destination ? "",
        }:
        build name ''
          mkdir -p "$(dirname "$out${destination}")"
          cp ${builtins.toFile name text} "$out${destination}"
          ${if executable then "chmod +x \"$out${destination}\"" else ""}
        '';
    };
  };
in
evaluated.arguments.contents
