// SPDX-License-Identifier: MIT
//! The NixOS module, evaluated by a real Nix with nixpkgs' own `lib`, over stand-ins for the options
//! of NixOS that it sets (`nixos/stand-ins.nix`).

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use serde_json::{Value, json};
use support::checkout;
use with_lib::Nixos;
use xtask::profile::{Node, Profile};
use xtask::workspace::Checkout;

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
