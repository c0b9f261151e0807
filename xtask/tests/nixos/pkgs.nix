# SPDX-License-Identifier: MIT
#
# A stand-in for nixpkgs: packages that are only told apart, and builders that return what they were
# asked to build.
{
  lib,
  version,
  system ? "x86_64-linux",
}:
let
  package =
    name: attrs:
    {
      type = "derivation";
      inherit name;
      outPath = "/nix/store/${lib.substring 0 32 (builtins.hashString "sha256" name)}-${name}";
    }
    // attrs;

  overridable =
    attrs:
    package "systemd-${attrs.version}" (attrs // (attrs.passthru or { }))
    // {
      overrideAttrs = f: overridable (attrs // f attrs);
    };

  builder =
    kind: arguments:
    package "${kind}-${arguments.name or "unnamed"}" { inherit kind arguments system; };
in
{
  inherit lib;
  path = toString ./nixpkgs;
  stdenv.hostPlatform = { inherit system; };
  callPackage = file: _: package "called" { file = baseNameOf file; };
  testers.runNixOSTest = builder "test";
  nixfmt-tree = package "nixfmt-tree" { };
  strace = package "strace" { };
  writeTextDir = path: text: package "text-dir" { inherit path text; };
  systemd = overridable {
    inherit version;
    patches = [ "/nixpkgs/0001-first.patch" ];
    passthru.withLogind = true;
  };
  bash = package "bash" { };
  coreutils = package "coreutils" { };
  findutils = package "findutils" { };
  util-linux = package "util-linux" { };
  cacert = package "cacert" { };
  gitMinimal = package "git" { };
  gnutar = package "gnutar" { };
  gzip = package "gzip" { };
  nix = package "nix" { };
  xz = package "xz" { };

  writeTextFile = builder "text";
  runCommand =
    name: _environment: script:
    builder "command" { inherit name script; };
  dockerTools = {
    buildLayeredImage = builder "layered";
    streamLayeredImage = builder "streamed";
  };
}
