// SPDX-License-Identifier: MIT
//! What surrounds the NixOS module: flake, template, package, the files of the image, the tests in
//! NixOS machines, the option reference. Evaluated with nixpkgs' own `lib`, in part built.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{checkout, copy_nix_files};
use with_lib::{Nixos, reference};

/// What the flake and `default.nix` both offer, for one architecture.
const OFFER: &str = r#"{
  overlays = builtins.attrNames f.overlays;
  lib = builtins.attrNames (builtins.removeAttrs f.lib [ "makeImage" "imageRef" ]);
  images = builtins.attrNames made.dockerImages ++ [ (made.lib.makeImage { image.name = "a"; }).arguments.name ];
  modules = builtins.attrNames f.nixosModules;
  checks = map (name: "${name}: ${checks.${name}.kind}") [ "docker" "podman" "s6" "containers" "containers-podman" "config-at-start" ];
  systemd = p.systemd-plainboot.name;
  patches = map (one: baseNameOf (dirOf one)) p.systemd-plainboot.plainboot.patches;
  tool = p.plainboot.file;
  image = { inherit (p.example-image) kind system; inherit (p.example-image.arguments) name tag; };
}"#;

#[test]
fn the_flake_and_default_nix_offer_the_same() {
    let Some(nixos) = Nixos::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    copy_nix_files(dir.path());
    let root = dir.path().display();
    // A flake of a user, with the stand-in for nixpkgs.
    let user = tempfile::tempdir().unwrap();
    let inputs = format!(
        r#"{{
  inputs.nixpkgs.url = "path:{root}/xtask/tests/nixos";
  inputs.plainboot.url = "path:{root}";
  inputs.plainboot.inputs.nixpkgs.follows = "nixpkgs";
  outputs = {{ plainboot, ... }}: {{ inherit plainboot; }};
}}"#
    );
    std::fs::write(user.path().join("flake.nix"), inputs).unwrap();
    let attribute = format!("path:{}#plainboot", user.path().display());
    for system in ["x86_64-linux", "aarch64-linux"] {
        let apply = format!(
            "f: let p = f.packages.{system}; checks = f.checks.{system}; made = f.legacyPackages.{system}; in {OFFER}"
        );
        let flake = nixos.nix.run(
            "nix",
            &[
                "--extra-experimental-features",
                "nix-command flakes",
                "eval",
                "--offline",
                "--impure",
                "--no-write-lock-file",
                "--json",
                &attribute,
                "--apply",
                &apply,
            ],
        );
        assert!(flake.ok, "{}", flake.stderr);
        let flake: Value = serde_json::from_str(&flake.stdout).unwrap();
        let plain = nixos.nix.json(&format!(
            r#"let
  lib = import {lib};
  pkgs = import {root}/xtask/tests/nixos/pkgs.nix {{ inherit lib; version = "260.1"; system = "{system}"; }};
  f = import {root}/default.nix {{ inherit pkgs; }};
  p = f; made = f; inherit (f) checks;
in {OFFER}"#,
            lib = nixos.lib.display(),
        ));
        assert_eq!(flake, plain, "{system}");
        assert_eq!(
            flake["image"],
            json!({"kind": "layered", "system": system, "name": "plainboot-example", "tag": "latest"})
        );
        assert_eq!(
            flake["checks"],
            json!([
                "docker: test",
                "podman: test",
                "s6: test",
                "containers: test",
                "containers-podman: test",
                "config-at-start: test"
            ])
        );
    }
}

/// Built by a real Nix, by the shell of this machine; not run: it would empty this machine's /run.
#[test]
fn the_files_of_the_image_are_built_by_nix() {
    let Some(nixos) = Nixos::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = checkout().display();
    let expression = format!(
        r#"import {root}/xtask/tests/nixos/built.nix {{
  lib = "{lib}"; root = "{root}"; path = "{path}"; }}"#,
        lib = nixos.lib.display(),
        path = std::env::var("PATH").unwrap(),
    );
    let options = ["--option", "sandbox", "false", "--option", "build-users-group", ""];
    let made = nixos.nix.run(
        "nix-build",
        &[&options[..], &["--no-substitute", "--no-out-link", "-E", &expression]].concat(),
    );
    assert!(made.ok, "{}", made.stderr);
    let [top, report] =
        made.stdout.lines().map(PathBuf::from).collect::<Vec<_>>().try_into().unwrap();
    let init = std::fs::read_link(top.join("sbin/init")).unwrap();
    for (script, shell) in
        [(init, "/bin/bash"), (report.join("usr/lib/plainboot/report"), "/bin/sh")]
    {
        let text = std::fs::read_to_string(&script).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("#!/") && first.ends_with(shell), "{first}");
        assert!(!text.contains("@toplevel@") && !text.contains("@path@"), "{text}");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&script.metadata().unwrap().permissions());
        assert_eq!(mode & 0o111, 0o111, "{}", script.display());
        run("sh", &["-n".as_ref(), script.as_ref()], dir.path());
    }
    // What the image has beside these, made by the command that dockerTools runs in its root.
    let commands = nixos.json("{ }", "e.arguments.extraCommands");
    run("sh", &["-euc".as_ref(), commands.as_str().unwrap().as_ref()], dir.path());
    let mode = |path: &str| {
        let found = dir.path().join(path).metadata().unwrap().permissions();
        std::os::unix::fs::PermissionsExt::mode(&found) & 0o7777
    };
    assert_eq!((mode("tmp"), mode("root")), (0o1777, 0o700));
    assert_eq!(std::fs::read(dir.path().join("etc/machine-id")).unwrap(), b"");
}

fn run(program: &str, args: &[&std::ffi::OsStr], dir: &Path) -> String {
    let ended = std::process::Command::new(program).args(args).current_dir(dir).output().unwrap();
    assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

/// The package of Nix, evaluated; then its files laid out as it says, around the program as cargo has
/// built it.
#[test]
fn the_packaged_tool_finds_its_files() {
    let Some(nixos) = Nixos::find() else { return };
    let expression = format!(
        r#"let
  real = import {lib};
  # Nix before 2.14 lacks what nixpkgs' file sets need.
  lib = if builtins ? readFileType then real else real // {{
    fileset.unions = list: list;
    fileset.toSource = {{ root, fileset }}: builtins.path {{
      path = root;
      name = "source";
      filter = path: _: builtins.any (one:
        path == toString one || real.hasPrefix (path + "/") (toString one)
        || real.hasPrefix (toString one + "/") path) fileset;
    }};
  }};
  package = import {root}/nix/package.nix {{
    inherit lib;
    makeBinaryWrapper = "makeBinaryWrapper"; pkg-config = "pkg-config";
    rustPlatform.buildRustPackage = arguments: arguments;
  }};
in {{ inherit (package) version postInstall; src = "${{package.src}}"; main = package.meta.mainProgram; }}"#,
        lib = nixos.lib.display(),
        root = checkout().display(),
    );
    // Else the sources would not be copied to the store.
    let written = ["--eval", "--read-write-mode", "--strict", "--json", "-E", &expression];
    let package = nixos.nix.run("nix-instantiate", &written);
    assert!(package.ok, "{}", package.stderr);
    let package: Value = serde_json::from_str(&package.stdout).unwrap();
    let text = |key: &str| package[key].as_str().unwrap();
    assert_eq!(text("version"), env!("CARGO_PKG_VERSION"));
    // What the compiler reads beside the crate is in the sources.
    let include = regex::Regex::new(r#"include_(?:str|bytes)!\(\s*"(\.\./[^"]+)""#).unwrap();
    let sources = Path::new(text("src"));
    let mut folders = vec![checkout().join("xtask/src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = sources.join(folder.strip_prefix(checkout()).unwrap());
            let code = std::fs::read_to_string(&path).unwrap_or_default();
            for found in include.captures_iter(&code) {
                let wanted = inside.join(&found[1]);
                assert!(wanted.is_file(), "{}: {} is not packaged", path.display(), &found[1]);
                read += 1;
            }
        }
    }
    assert!(read > 5, "{read}");

    let out = tempfile::tempdir().unwrap();
    let program = out.path().join("bin").join("xtask");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_xtask"), &program).unwrap();
    let script = format!(
        r#"out={out}
wrapProgram() {{
    mv "$1" "$1-unwrapped"; [ "$2" = --chdir ]
    printf '#!/bin/sh\ncd %s && exec %s "$@"\n' "$3" "$1-unwrapped" >"$1"; chmod +x "$1"
}}
{install}"#,
        out = out.path().display(),
        install = text("postInstall"),
    );
    run("sh", &["-euc".as_ref(), script.as_ref()], sources);
    let tool = out.path().join("bin").join(text("main"));
    let matrix = run(
        tool.to_str().unwrap(),
        &["ci-matrix".as_ref(), "--shard=1/1".as_ref()],
        Path::new("/"),
    );
    assert!(matrix.contains("test-image"), "{matrix}");
    let checks = run(
        tool.to_str().unwrap(),
        &["test-image".as_ref(), "--list-checks".as_ref()],
        Path::new("/"),
    );
    assert!(checks.contains("boot.running"), "{checks}");
}

/// What the NixOS machines are told, for each engine.
#[test]
fn the_scripts_of_the_machines_are_python() {
    let Some(nixos) = Nixos::find() else { return };
    if !xtask::exec::have("python3") {
        xtask::skip::record("python3 is not installed").unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let compiles = |script: &str| {
        std::fs::write(dir.path().join("script.py"), script).unwrap();
        run("python3", &["-m".as_ref(), "py_compile".as_ref(), "script.py".as_ref()], dir.path());
    };
    let s6 = nixos.nix.json(&format!(
        r#"(import {root}/vm-tests/s6.nix {{ name = "s6"; images = builtins.mapAttrs
  (name: _: "/${{name}}.tar.gz") (import {root}/nix/s6-images {{ pkgs = {{ }}; }}).dockerImages; }}).testScript"#,
        root = checkout().display(),
    ));
    let s6 = s6.as_str().unwrap();
    assert_eq!(s6.matches("docker load < /").count(), 5, "{s6}");
    compiles(s6);
    let start = nixos.nix.json(&format!(
        r#"(import {root}/vm-tests/config-at-start.nix {{ name = "a"; image = "/image.tar.gz"; }}).testScript"#,
        root = checkout().display(),
    ));
    compiles(start.as_str().unwrap());
    for backend in ["docker", "podman"] {
        let host = nixos.nix.json(&format!(
            r#"(import {root}/vm-tests/containers.nix {{ name = "a"; module = null; backend = "{backend}"; }}).testScript"#,
            root = checkout().display(),
        ));
        compiles(host.as_str().unwrap());
    }
    for engine in ["docker", "podman"] {
        let script = nixos.nix.json(&format!(
            r#"(import {root}/vm-tests/nginx.nix {{
  engine = "{engine}"; image = "/image.tar.gz"; plainboot = "/plainboot"; }}).testScript"#,
            root = checkout().display(),
        ));
        let script = script.as_str().unwrap();
        assert!(script.contains(&format!("{engine} load < /image.tar.gz")), "{script}");
        assert!(script.contains(&format!("test-image --engine {engine} --image")), "{script}");
        compiles(script);
        // The options that it uses are this tool's.
        let words =
            script.split("plainboot test-image ").nth(1).unwrap().split(" 2>&1").next().unwrap();
        let words =
            words.replace("{image}", "none:1").replace("/var/cache", dir.path().to_str().unwrap());
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["test-image"].into_iter().chain(words.split(' ')))
            .current_dir(checkout())
            .env("DOCKER_HOST", "unix:///nonexistent")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(77), "{said}");
    }
}

/// The flakes of the template and of the docs, word for word but for where the inputs are.
#[test]
fn the_template_and_the_quick_start_evaluate() {
    let Some(nixos) = Nixos::find() else { return };
    let plainboot = tempfile::tempdir().unwrap();
    copy_nix_files(plainboot.path());
    let read = |path: &str| std::fs::read_to_string(checkout().join(path)).unwrap();
    let docs = ["docs/nixos.md", "docs/from-nixos2docker.md"].map(read);
    let [quick, ancestor] = docs.each_ref().map(|docs| {
        docs.split("```nix\n# flake.nix\n").nth(1).unwrap().split("```").next().unwrap()
    });
    let configuration = read("nix/template/configuration.nix");
    for (flake, name, input) in [
        (quick, "quick start", "plainboot"),
        (ancestor, "quick start of nixos2docker", "nixos2docker"),
        (&read("nix/template/flake.nix"), "template", "plainboot"),
    ] {
        let user = tempfile::tempdir().unwrap();
        let mut text = flake.to_owned();
        for (from, to) in [
            ("github:NixOS/nixpkgs/nixos-unstable", plainboot.path().join("xtask/tests/nixos")),
            ("git+file:///path/to/plainboot", plainboot.path().to_owned()),
        ] {
            assert!(text.contains(from), "{name}: {from}");
            text = text.replace(from, &format!("path:{}", to.display()));
        }
        // plainboot's own nixpkgs would be fetched.
        let follows = format!("{input}.inputs.nixpkgs.follows");
        if !text.contains(&follows) {
            let inputs = format!("inputs = {{ {follows} = \"nixpkgs\";");
            text = text.replacen("inputs = {", &inputs, 1);
        }
        std::fs::write(user.path().join("flake.nix"), text).unwrap();
        std::fs::write(user.path().join("configuration.nix"), &configuration).unwrap();
        let attribute = format!(
            "path:{}#nixosConfigurations.myHost.config.system.build.dockerImage",
            user.path().display()
        );
        let seen = nixos.nix.run(
            "nix",
            &[
                "--extra-experimental-features",
                "nix-command flakes",
                "eval",
                "--offline",
                "--impure",
                "--no-write-lock-file",
                "--json",
                &attribute,
                "--apply",
                "image: { inherit (image.arguments) name tag; }",
            ],
        );
        assert!(seen.ok, "{name}: {}", seen.stderr);
        let seen: Value = serde_json::from_str(&seen.stdout).unwrap();
        assert_eq!(seen, json!({"name": "my-host", "tag": "latest"}), "{name}");
    }
    // What the quick start types after that is the image's name.
    assert!(docs[0].contains("docker run --detach --name web my-host\n"));
    assert!(docs[1].contains("docker run -d --name nixos my-host:latest\n"));
}

#[test]
fn the_option_reference_says_what_the_modules_say() {
    let Some(nixos) = Nixos::find() else { return };
    let expected = reference(
        &nixos.json("{ }", "e.reference"),
        "Options for NixOS",
        "Generated from nix/modules: PLAINBOOT_WRITE=1 cargo test --test nixos_files option; do not \
         edit.",
    );
    let file = checkout().join("docs/nixos-options.md");
    if std::env::var_os("PLAINBOOT_WRITE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "docs/nixos-options.md; PLAINBOOT_WRITE=1 writes it");
    assert!(expected.matches("\n## ").count() >= 8, "{expected}");
}
