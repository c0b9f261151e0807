# SPDX-License-Identifier: MIT
#
# nix/s6-images over stand-ins: packages are the programs of this machine, files are built by its shell.
{
  lib,
  root,
  # The PATH of the builds.
  path,
}:
let
  theirs = import lib;
  # A file, by the shell of this machine.
  written =
    name: text: mode:
    derivation {
      inherit name text;
      system = builtins.currentSystem;
      builder = "/bin/sh";
      args = [
        "-euc"
        "cp \"$textPath\" \"$out\"; chmod ${mode} \"$out\""
      ];
      passAsFile = [ "text" ];
      PATH = path;
    };
  # A folder, by the same shell.
  folder =
    name: script:
    derivation {
      inherit name;
      system = builtins.currentSystem;
      builder = "/bin/sh";
      args = [
        "-euc"
        script
      ];
      PATH = path;
    };
  # Something of this machine, in place of a package.
  here = name: {
    type = "derivation";
    inherit name;
    outPath = "/usr";
  };
  pkgs =
    import ../pkgs.nix {
      lib = theirs;
      version = "260.1";
    }
    // {
      writeTextFile =
        {
          name,
          text,
          executable,
        }:
        written name text (if executable then "0555" else "0444");
      writeText = name: text: written name text "0444";
      writeScript = name: text: written name text "0555";
      runtimeShell = "/bin/bash";
      s6 = here "s6";
      bash = here "bash";
      bashInteractive = here "bash-interactive";
      coreutils = here "coreutils";
      hello = here "hello";
      # Debian has it where only root looks.
      nginx = folder "nginx" ''
        mkdir -p $out/bin
        ln -s "$(PATH=$PATH:/usr/sbin command -v nginx || echo /nonexistent/nginx)" $out/bin/nginx
      '';
      writeTextDir =
        name: text:
        folder "text-dir" ''
          mkdir $out
          cp ${written name text "0444"} $out/${name}
        '';
      nix = here "nix";
      cacert = here "cacert";
      gitMinimal = here "git";
      buildEnv = arguments: arguments;
    };
in
{
  lib = theirs;
  inherit pkgs;
  images = import "${root}/nix/s6-images" { inherit pkgs; };
  commandLine = import "${root}/nix/s6-images/command-line.nix" { lib = theirs; };
}
