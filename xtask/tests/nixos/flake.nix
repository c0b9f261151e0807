# SPDX-License-Identifier: MIT
#
# A stand-in for the flake of nixpkgs; its `lib` is the real one.
{
  outputs =
    _:
    let
      lib = import (builtins.getEnv "NIXPKGS_LIB");
      pkgsFor =
        system:
        import ./pkgs.nix {
          inherit lib system;
          version = "260.1";
        };
    in
    {
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ] pkgsFor;
      lib = lib // {
        nixosSystem =
          {
            modules,
            system ? null,
          }:
          import ./nixpkgs/nixos/eval-config.nix { inherit lib modules pkgsFor; };
      };
    };
}
