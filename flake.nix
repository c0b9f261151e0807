# SPDX-License-Identifier: MIT
{
  description = "systemd as PID 1 in a plain `docker run IMAGE`, of any NixOS configuration";

  # For the packages, the example and the checks. The module and the overlays use whatever nixpkgs
  # they are applied to.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      s6ImagesOf = pkgs: import ./nix/s6-images { inherit pkgs; };
      forEach = f: lib.genAttrs systems (system: f system nixpkgs.legacyPackages.${system});
      example =
        system:
        lib.nixosSystem {
          modules = [
            self.nixosModules.default
            ./nix/example.nix
            { nixpkgs.hostPlatform = system; }
          ];
        };
      exampleImage = system: (example system).config.system.build.dockerImage;
    in
    {
      lib = import ./nix/lib { inherit (lib) warn; };

      overlays = {
        default = import ./overlays;
        replace = import ./overlays/replace.nix;
        # `lib.makeImage`, `dockerImages`
        s6-images = import ./nix/s6-images/overlay.nix;
      };

      nixosModules = {
        default = ./nix/modules;
        # `virtualisation.systemdContainers`, for a host
        containers = ./nix/containers;
      };

      # `nix build .#nixosConfigurations.example.config.system.build.dockerImage`
      nixosConfigurations = {
        example = example "x86_64-linux";
        example-aarch64 = example "aarch64-linux";
      };

      packages = forEach (
        system: pkgs: rec {
          default = plainboot;
          plainboot = pkgs.callPackage ./nix/package.nix { };
          systemd-plainboot = self.lib.patchSystemd pkgs.systemd;
          example-image = exampleImage system;
          config-at-start = import ./nix/config-at-start { inherit pkgs; };
          plainboot-container = pkgs.callPackage ./nix/containers/package.nix { };
        }
      );

      # `nix build .#legacyPackages.x86_64-linux.dockerImages.nix`, and `lib.makeImage` beside it.
      legacyPackages = forEach (_: s6ImagesOf);

      checks = forEach (
        system: pkgs:
        import ./vm-tests {
          inherit pkgs;
          inherit (self.packages.${system}) plainboot;
          image = exampleImage system;
          s6Images = (s6ImagesOf pkgs).dockerImages;
          configAtStart = self.packages.${system}.config-at-start;
        }
        // {
          inherit (self.packages.${system}) plainboot systemd-plainboot example-image;
        }
      );

      templates.default = {
        path = ./nix/template;
        description = "A NixOS configuration as a container image with systemd as PID 1";
      };

      formatter = forEach (_: pkgs: pkgs.nixfmt-tree);
    };
}
