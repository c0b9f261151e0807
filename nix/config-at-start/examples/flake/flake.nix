# SPDX-License-Identifier: MIT
{
  description = "A system that the container builds when it starts";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    {
      nixosConfigurations.default = nixpkgs.lib.nixosSystem {
        # On arm64: aarch64-linux
        system = "x86_64-linux";
        modules = [ ./configuration.nix ];
      };
    };
}
