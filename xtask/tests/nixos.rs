// SPDX-License-Identifier: MIT
//! The NixOS module, evaluated by a real Nix with nixpkgs' own `lib`, over stand-ins for the options
//! of NixOS that it sets (`nixos/stand-ins.nix`).
//!
//! `NIXPKGS_LIB` names the `lib` folder of a nixpkgs; without it these tests are skipped.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Evaluated, Nix, checkout, copy_nix_files};
use xtask::profile::{Node, Profile};
use xtask::workspace::Checkout;

/// Nix and nixpkgs' `lib`.
struct Nixos {
    nix: Nix,
    lib: PathBuf,
}

impl Nixos {
    fn find() -> Option<Nixos> {
        let Some(lib) = std::env::var_os("NIXPKGS_LIB").map(PathBuf::from) else {
            let reason = "NIXPKGS_LIB does not name the lib folder of a nixpkgs";
            xtask::skip::record(reason).unwrap();
            return None;
        };
        assert!(lib.join("modules.nix").is_file(), "NIXPKGS_LIB: {} is none", lib.display());
        Some(Nixos { nix: Nix::find()?, lib })
    }

    /// Evaluates `what` of `nixos/eval.nix` for a user's module.
    fn eval(&self, module: &str, what: &str) -> Evaluated {
        self.eval_version("260.1", module, what)
    }

    fn eval_version(&self, version: &str, module: &str, what: &str) -> Evaluated {
        self.nix.eval(&format!(
            r#"let e = import {root}/xtask/tests/nixos/eval.nix {{
  lib = "{lib}"; root = "{root}"; version = "{version}"; modules = [ ({module}) ];
}}; in {what}"#,
            root = checkout().display(),
            lib = self.lib.display(),
        ))
    }

    fn json(&self, module: &str, what: &str) -> Value {
        let result = self.eval(module, what);
        assert!(result.ok, "{module}: {}", result.stderr);
        serde_json::from_str(&result.stdout).unwrap()
    }

    /// What a configuration with `variant` in its `dockerVariant` is told: errors, warnings.
    fn said(&self, variant: &str) -> (Vec<String>, Vec<String>) {
        // The options of plainboot are there only in what eval.nix makes of the configuration.
        let module = format!("{{ lib, pkgs, ... }}: {{ config = {variant}; }}");
        let said = self.json(&module, "e.said");
        let list = |key: &str| serde_json::from_value(said[key].clone()).unwrap();
        (list("errors"), list("warnings"))
    }
}

/// A configuration that asks for much that an image cannot have.
const CLASHING: &str = r#"{ lib, ... }: {
  networking = {
    hostName = "Web-1";
    useNetworkd = true;
    interfaces.eth0 = { };
    defaultGateway = "10.0.0.1";
    firewall.allowedTCPPorts = [ 80 443 ];
    firewall.allowedUDPPorts = [ 443 ];
    networkmanager.enable = true;
  };
  systemd.network.enable = true;
  boot.loader.grub.enable = true;
  boot.initrd.enable = true;
  boot.initrd.systemd.enable = true;
  boot.tmp.useTmpfs = true;
  fileSystems."/" = { device = "/dev/sda1"; };
  swapDevices = [ { device = "/dev/sda2"; } ];
  services.udev.enable = true;
  services.resolved.enable = true;
  security.audit.enable = true;
  system.etc.overlay.enable = true;
  system.nixos-init.enable = true;
  systemd.defaultUnit = "graphical.target";
}"#;

fn snapshot(name: &str, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap();
    // Another test follows the patches; here they would only make every new one a change.
    let patches = regex::Regex::new("(\"plainboot.patches\": )\"0001-[^\"]*\"").unwrap();
    let text = patches.replace_all(&text, "$1\"0001-…\"");
    insta::with_settings!({ snapshot_path => "nixos", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn what_the_image_changes_in_a_bare_configuration() {
    let Some(nixos) = Nixos::find() else { return };
    snapshot("bare", &nixos.json("{ }", "e.settings"));
}

#[test]
fn what_the_image_changes_in_a_configuration_that_clashes() {
    let Some(nixos) = Nixos::find() else { return };
    snapshot("clashing", &nixos.json(CLASHING, "e.settings"));
}

/// What has another name there, or is not there at all.
#[test]
fn a_nixos_of_three_years_ago_evaluates_too() {
    let Some(nixos) = Nixos::find() else { return };
    let root = checkout().display();
    let seen = nixos.nix.json(&format!(
        r#"let e = import {root}/xtask/tests/nixos/eval.nix {{
  lib = "{lib}"; root = "{root}"; version = "254.26"; older = true; }};
in {{ inherit (e.settings) boot; inherit (e.said) errors warnings; }}"#,
        lib = nixos.lib.display(),
    ));
    assert_eq!(seen["boot"]["readOnlyNixStore"], json!({"is": false, "was": true}));
    assert_eq!((&seen["errors"], &seen["warnings"]), (&json!([]), &json!([])));
}

#[test]
fn the_image_is_built_of_the_system_and_little_else() {
    let Some(nixos) = Nixos::find() else { return };
    let seen = nixos.json(CLASHING, "e.image");
    assert_eq!((&seen["kind"], &seen["streamed"]), (&json!("layered"), &json!("streamed")));
    assert_eq!(seen["arguments"]["name"], "web-1");
    snapshot("image", &seen["arguments"]);
}

#[test]
fn the_configuration_itself_is_untouched() {
    let Some(nixos) = Nixos::find() else { return };
    for module in ["{ }", CLASHING] {
        let seen = nixos.json(module, "e.untouched");
        assert_eq!(seen["before"], seen["after"], "{module}");
        assert_eq!(seen["assertions"], json!([]), "{module}");
        assert!(seen["before"]["systemd"]["package"] == "package systemd-260.1", "{seen}");
    }
    // The comparison sees a change: the image is one.
    let variant = nixos.json("{ }", "e.settings");
    assert_eq!(variant["systemd"]["package"]["is"], "package systemd-260.1, patched");
}

#[test]
fn the_files_of_the_profile_are_those_of_the_image_builder() {
    let Some(nixos) = Nixos::find() else { return };
    let seen = nixos.json(
        "{ }",
        "{ inherit (e.variant.environment) etc; \
           packages = map (p: { inherit (p) path text; }) e.variant.systemd.packages; }",
    );
    let packages = seen["packages"].as_array().unwrap();
    let placements = Profile::load(&Checkout::at(checkout())).unwrap().placements();
    let mut compared = 0;
    for placement in placements {
        let path = placement.path.strip_prefix("/etc").unwrap().display().to_string();
        let Node::File(text) = placement.node else { continue };
        if path.contains(".conf.d/") {
            assert_eq!(seen["etc"][&path]["text"], text, "{path}");
        } else if path.contains("/service.d/") {
            let wanted = json!({ "path": format!("lib/{path}"), "text": text });
            assert!(packages.contains(&wanted), "{packages:?}");
        } else {
            continue;
        }
        compared += 1;
    }
    assert!(compared >= 3, "{compared}");
}

#[test]
fn names_come_from_the_host_and_options_are_checked() {
    let Some(nixos) = Nixos::find() else { return };
    let name = |module: &str| nixos.json(module, "e.config.virtualisation.dockerImage.name");
    assert_eq!(name("{ networking.hostName = \"Web-1\"; }"), "web-1");
    assert_eq!(name("{ networking.hostName = \"\"; }"), "nixos-docker");
    for (option, value) in [("name", "\"Web 1\""), ("tag", "\"a:b\""), ("maxLayers", "1")] {
        let module = format!("{{ virtualisation.dockerImage.{option} = {value}; }}");
        let seen = nixos.eval(&module, &format!("e.config.virtualisation.dockerImage.{option}"));
        assert!(!seen.ok, "{option} took {value}");
        assert!(seen.stderr.contains(&format!("dockerImage.{option}")), "{}", seen.stderr);
    }
}

#[test]
fn an_option_of_the_variant_holds_in_the_image_alone() {
    let Some(nixos) = Nixos::find() else { return };
    let module = r#"{
  virtualisation.dockerVariant = { lib, ... }: {
    networking.extraHosts = "10.0.0.1 one";
    systemd.oomd.enable = true;
    systemd.enableEmergencyMode = lib.mkForce true;
    networking.firewall.enable = lib.mkForce true;
    virtualisation.dockerImage.tag = "second";
    virtualisation.dockerImage.environment.TZ = "Europe/Berlin";
    virtualisation.dockerImage.volumes = [ "/var/lib/postgresql" ];
  };
}"#;
    let seen = nixos.json(
        module,
        "{
  base = e.config.networking.extraHosts;
  image = e.variant.networking.extraHosts;
  inherit (e.variant.systemd) enableEmergencyMode;
  oomd = e.variant.systemd.oomd.enable;
  firewall = e.variant.networking.firewall.enable;
  inherit (e.image.arguments) tag;
  inherit (e.image.arguments.config) Env Volumes;
  inherit (e.said) warnings;
}",
    );
    assert_eq!(
        seen,
        json!({
            "base": "", "image": "10.0.0.1 one", "oomd": false, "enableEmergencyMode": true,
            "firewall": true,
            "tag": "second",
            "Env": [
                "PATH=/run/wrappers/bin:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin",
                "TZ=Europe/Berlin",
            ],
            "Volumes": { "/var/lib/postgresql": {} },
            "warnings": ["plainboot: without effect in the image: networking.extraHosts \
                (the engine writes /etc/hosts: `docker run --add-host NAME:ADDRESS`)"],
        })
    );
}

#[test]
fn what_the_image_cannot_honour_is_an_error_with_the_remedy() {
    let Some(nixos) = Nixos::find() else { return };
    assert_eq!(nixos.said("{ }"), (vec![], vec![]));
    for (config, parts) in [
        (
            "{ systemd.services.web.serviceConfig.DynamicUser = true; }",
            &["web.service", "DynamicUser=true", "users.users"][..],
        ),
        (
            "{ systemd.services.web.serviceConfig.BindPaths = [ \"/a:/b\" \"/c\" ]; }",
            &["web.service", "BindPaths=/a:/b /c", "docker run --volume"],
        ),
        (
            "{ environment.etc.\"machine-id\".text = \"0\"; }",
            &["environment.etc.\"machine-id\"", "mkForce false", "dockerVariant"],
        ),
        (
            "{ systemd.mounts = [ { where = \"/srv\"; } ]; }",
            &["systemd.mounts", "/srv", "docker run --volume"],
        ),
        (
            "{ virtualisation.dockerVariant.systemd.package = lib.mkForce pkgs.systemd; }",
            &["systemd.package", "dockerVariant", "Remove it there"],
        ),
        (
            "{ virtualisation.dockerImage.volumes = [ \"/run\" ]; }",
            &["virtualisation.dockerImage.volumes", "/run"],
        ),
    ] {
        let (errors, _) = nixos.said(config);
        let [error] = &errors[..] else { panic!("{config}: {errors:?}") };
        for part in parts {
            assert!(error.contains(part), "{config}: no `{part}` in {error}");
        }
    }
    // The file that says so is named.
    for (config, part) in [
        (
            "systemd.services.web.serviceConfig.DynamicUser = true",
            "web.service sets DynamicUser=true (in /etc/nixos/web.nix), which",
        ),
        (
            "systemd.mounts = [ { where = \"/srv\"; } ]",
            "mounts /srv (in /etc/nixos/web.nix), which",
        ),
        (
            "environment.etc.\"machine-id\".text = \"0\"",
            "environment.etc.\"machine-id\" (in /etc/nixos/web.nix) gives",
        ),
    ] {
        let module = format!("{{ _file = \"/etc/nixos/web.nix\"; {config}; }}");
        let said = nixos.json(&module, "e.said.errors").to_string();
        let said = said.replace("\\\"", "\"");
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    // A disabled unit, or an option that is off, is no reason.
    for config in [
        "{ systemd.services.web = { enable = false; serviceConfig.DynamicUser = true; }; }",
        "{ systemd.services.web.serviceConfig.DynamicUser = \"no\"; }",
        "{ systemd.mounts = [ { where = \"/srv\"; enable = false; } ]; }",
    ] {
        assert_eq!(nixos.said(config), (vec![], vec![]), "{config}");
    }
}

#[test]
fn hardening_that_would_stop_a_service_is_dropped_and_said() {
    let Some(nixos) = Nixos::find() else { return };
    let module = r#"{ systemd.services.web.serviceConfig = {
  PrivateUsers = true; ProtectControlGroups = "strict"; CPUSchedulingPolicy = "batch"; User = "web";
}; }"#;
    let seen = nixos.json(
        module,
        "{
  inherit (e.variant.systemd.services.web) serviceConfig unitConfig;
  inherit (e.said) errors warnings;
  base = e.config.systemd.services.web.serviceConfig.PrivateUsers;
}",
    );
    assert_eq!(
        seen,
        json!({
            "serviceConfig": { "CPUSchedulingPolicy": "batch", "User": "web" },
            "unitConfig": {
                "X-Plainboot-Dropped": ["PrivateUsers=true", "ProtectControlGroups=strict"],
            },
            "errors": [],
            "warnings": ["plainboot: dropped in the image, since these services would not start \
                with it: web.service PrivateUsers=true, web.service ProtectControlGroups=strict. \
                They are less hardened than in the configuration; the container is the boundary"],
            "base": true,
        })
    );
}

#[test]
fn what_is_not_enforced_is_listed_in_the_image() {
    let Some(nixos) = Nixos::find() else { return };
    let module = "{ systemd.services.web.serviceConfig = { MemoryMax = \"1G\"; Nice = 5; }; }";
    let text = nixos.json(module, "e.variant.environment.etc.\"plainboot/unenforced.json\".text");
    let list: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let [one] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!(
        (&one["unit"], &one["option"], &one["value"]),
        (&json!("web.service"), &json!("MemoryMax"), &json!("1G"))
    );
    for key in ["why", "remedy"] {
        assert!(one[key].as_str().is_some_and(|text| !text.is_empty()), "{one}");
    }
}

#[test]
fn a_systemd_without_patches_names_the_command() {
    let Some(nixos) = Nixos::find() else { return };
    for (version, parts) in [
        ("253.5", &["systemd 253.5 (systemd.package,", "too old", "newer systemd"][..]),
        (
            "399.1",
            &[
                "systemd 399.1 (systemd.package,",
                "no verified patches",
                "cargo xtask rebase-patches 399.1",
            ],
        ),
    ] {
        let seen = nixos.eval_version(version, "{ }", "e.image");
        assert!(!seen.ok, "{version}");
        for part in parts {
            assert!(seen.stderr.contains(part), "{version}: no `{part}` in {}", seen.stderr);
        }
        // The configuration itself does not ask for the patches.
        assert!(nixos.eval_version(version, "{ }", "e.untouched.after").ok);
    }
}

/// What the flake and `default.nix` both offer, for one architecture.
const OFFER: &str = r#"{
  overlays = builtins.attrNames f.overlays;
  lib = builtins.attrNames f.lib;
  modules = builtins.attrNames f.nixosModules;
  checks = map (name: "${name}: ${checks.${name}.kind}") [ "docker" "podman" ];
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
        let apply =
            format!("f: let p = f.packages.{system}; checks = f.checks.{system}; in {OFFER}");
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
  p = f; inherit (f) checks;
in {OFFER}"#,
            lib = nixos.lib.display(),
        ));
        assert_eq!(flake, plain, "{system}");
        assert_eq!(
            flake["image"],
            json!({"kind": "layered", "system": system, "name": "plainboot-example", "tag": "latest"})
        );
        assert_eq!(flake["checks"], json!(["docker: test", "podman: test"]));
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
    for engine in ["docker", "podman"] {
        let script = nixos.nix.json(&format!(
            r#"(import {root}/vm-tests/nginx.nix {{
  engine = "{engine}"; image = "/image.tar.gz"; plainboot = "/plainboot"; }}).testScript"#,
            root = checkout().display(),
        ));
        let script = script.as_str().unwrap();
        assert!(script.contains(&format!("{engine} load < /image.tar.gz")), "{script}");
        assert!(script.contains(&format!("test-image --engine {engine} --image")), "{script}");
        std::fs::write(dir.path().join("script.py"), script).unwrap();
        run("python3", &["-m".as_ref(), "py_compile".as_ref(), "script.py".as_ref()], dir.path());
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

/// The option reference, as the modules describe themselves.
fn reference(options: &Value) -> String {
    let mut text = String::from(
        "<!-- Generated from nix/modules: PLAINBOOT_WRITE=1 cargo test --test nixos option; do not \
         edit. -->\n# Options for NixOS\n",
    );
    for option in options.as_array().unwrap() {
        let get = |key: &str| option[key].as_str().unwrap_or_default();
        text += &format!(
            "\n## `{}`\n\n{}\n\n",
            get("name"),
            get("description").trim().replace("{option}", "")
        );
        text += &format!("- Type: {}\n", get("type"));
        for (key, label) in [("default", "Default"), ("example", "Example")] {
            let value = &option[key];
            match (value["_type"].as_str(), value["text"].as_str()) {
                (Some("literalMD"), Some(said)) => text += &format!("- {label}: {said}\n"),
                (_, Some(said)) if said.contains('\n') => {
                    text += &format!("- {label}:\n\n  ```nix\n");
                    for line in said.trim_end().lines() {
                        text += format!("  {line}").trim_end();
                        text.push('\n');
                    }
                    text += "  ```\n";
                }
                (_, Some(said)) => text += &format!("- {label}: `{said}`\n"),
                _ => {}
            }
        }
    }
    text
}

#[test]
fn the_option_reference_says_what_the_modules_say() {
    let Some(nixos) = Nixos::find() else { return };
    let expected = reference(&nixos.json("{ }", "e.reference"));
    let file = checkout().join("docs/nixos-options.md");
    if std::env::var_os("PLAINBOOT_WRITE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "docs/nixos-options.md; PLAINBOOT_WRITE=1 writes it");
    assert!(expected.matches("\n## ").count() >= 8, "{expected}");
}
