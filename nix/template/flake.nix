# SPDX-License-Identifier: MIT
{
  description = "A NixOS configuration as a container image";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # Where plainboot is: a folder, or git+https://… of a clone.
    plainboot.url = "git+file:///path/to/plainboot";
    plainboot.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    { nixpkgs, plainboot, ... }:
    {
      nixosConfigurations.myHost = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          plainboot.nixosModules.default
          ./configuration.nix
        ];
      };
    };
}
