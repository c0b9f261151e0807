# SPDX-License-Identifier: MIT
#
# `plainboot-container`, with completions, and with what it builds images from.
{
  lib,
  installShellFiles,
  makeBinaryWrapper,
  stdenvNoCC,
  util-linux,
}:
stdenvNoCC.mkDerivation {
  pname = "plainboot-container";
  inherit ((lib.importTOML ../../Cargo.toml).workspace.package) version;

  src = lib.fileset.toSource {
    root = ../..;
    fileset = lib.fileset.unions [
      ../../nix
      ../../overlays
      ../../patches
    ];
  };

  nativeBuildInputs = [
    installShellFiles
    makeBinaryWrapper
  ];
  dontBuild = true;

  installPhase = ''
    runHook preInstall
    mkdir -p $out/bin $out/share/plainboot
    cp -r nix overlays patches $out/share/plainboot/
    substitute nix/containers/plainboot-container $out/bin/plainboot-container \
      --subst-var-by plainboot $out/share/plainboot
    chmod +x $out/bin/plainboot-container
    # flock
    wrapProgram $out/bin/plainboot-container --suffix PATH : ${lib.makeBinPath [ util-linux ]}
    installShellCompletion nix/containers/completions/plainboot-container.{bash,fish}
    installShellCompletion --zsh --name _plainboot-container nix/containers/completions/plainboot-container.zsh
    runHook postInstall
  '';

  meta = {
    description = "containers with systemd, by the verbs of nixos-container, on Docker or Podman";
    license = lib.licenses.mit;
    mainProgram = "plainboot-container";
    platforms = lib.platforms.linux;
  };
}
