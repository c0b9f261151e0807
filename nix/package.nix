# SPDX-License-Identifier: MIT
#
# `plainboot`: the project's own program, for machines without a checkout. It carries the parts of the
# checkout that it reads, and runs in them.
{
  lib,
  makeBinaryWrapper,
  pkg-config,
  rustPlatform,
}:
let
  manifest = lib.importTOML ../Cargo.toml;
in
rustPlatform.buildRustPackage {
  pname = "plainboot";
  inherit (manifest.workspace.package) version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.lock
      ../Cargo.toml
      ../nix
      ../overlays
      ../patches
      ../xtask
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [
    makeBinaryWrapper
    pkg-config
  ];

  # The tests want git, Nix, an engine and the network; `cargo xtask test` runs them.
  doCheck = false;

  postInstall = ''
    mkdir -p $out/share/plainboot/xtask
    cp -r nix overlays patches $out/share/plainboot/
    mv $out/bin/xtask $out/bin/plainboot
    wrapProgram $out/bin/plainboot --chdir $out/share/plainboot
  '';

  meta = {
    description = "systemd as PID 1 in a plain container: the patches, the overlay and the proof";
    license = with lib.licenses; [
      mit
      lgpl21Plus
    ];
    mainProgram = "plainboot";
    platforms = lib.platforms.linux;
  };
}
