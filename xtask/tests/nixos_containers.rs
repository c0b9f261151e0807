// SPDX-License-Identifier: MIT
//! `nix/containers`: the module of a host, evaluated with nixpkgs' own `lib` over stand-ins.

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
use support::{Evaluated, checkout};
use with_lib::{Nixos, reference};

fn eval(nixos: &Nixos, module: &str, what: &str) -> Evaluated {
    nixos.nix.eval(&format!(
        r#"let e = import {root}/xtask/tests/nixos/containers/eval.nix {{
  lib = "{lib}"; root = "{root}"; module = {module};
}}; inherit (e) lib; in {what}"#,
        root = checkout().display(),
        lib = nixos.lib.display(),
    ))
}

fn json(nixos: &Nixos, module: &str, what: &str) -> Value {
    let seen = eval(nixos, module, what);
    assert!(seen.ok, "{module}: {}", seen.stderr);
    serde_json::from_str(&seen.stdout).unwrap()
}

#[test]
fn a_container_of_nixos_becomes_one_of_the_engine() {
    let Some(nixos) = Nixos::find() else { return };
    let module = r#"{ virtualisation.oci-containers.backend = "docker";
  virtualisation.systemdContainers.web = {
    autoStart = true;
    privateNetwork = true;
    hostAddress = "192.168.100.10";
    localAddress = "192.168.100.11";
    forwardPorts = [ { hostPort = 8080; containerPort = 80; } { protocol = "udp"; hostPort = 53; } ];
    bindMounts."/web" = { hostPath = "/path/to/web/root"; };
    bindMounts."/data".isReadOnly = false;
    tmpfs = [ "/tmp" ];
    allowedDevices = [ { node = "/dev/fuse"; modifier = "rw"; } ];
    extraFlags = [ "--dns=192.0.2.53" ];
    limits = { MemoryMax = "512M"; CPUQuota = "105%"; TasksMax = 100; AllowedCPUs = "0 2-3"; };
    config = { services.nginx = { }; networking.firewall.allowedTCPPorts = [ 80 ]; };
  };
}"#;
    let seen = json(
        &nixos,
        module,
        "{
  c = builtins.removeAttrs e.containers.web [ \"imageFile\" ];
  image = { inherit (e.containers.web.imageFile) kind; inherit (e.containers.web.imageFile.arguments) name tag; };
  ports = e.containers.web.imageFile.arguments.config.ExposedPorts;
  inherit (e) errors;
  etc = e.config.environment.etc.\"plainboot/containers/web\".text;
  network = builtins.removeAttrs e.config.systemd.services.\"plainboot-network-192.168.100.10\" [ \"path\" ];
  unit = e.config.systemd.services.docker-web;
}",
    );
    assert_eq!(
        seen["c"],
        json!({
            "image": "plainboot-container-web:latest",
            "hostname": "web",
            "autoStart": true,
            "labels": { "plainboot.container": "declared" },
            "ports": ["8080:80/tcp", "53:53/udp"],
            "volumes": [
                "/data:/data", "/path/to/web/root:/web:ro",
                "plainboot-web-var:/var", "plainboot-web-home:/home", "plainboot-web-root:/root",
            ],
            "extraOptions": [
                "--network=plainboot-192.168.100.10", "--ip=192.168.100.11", "--memory=512m",
                "--cpus=1.05", "--pids-limit=100", "--cpuset-cpus=0,2-3", "--tmpfs=/tmp",
                "--device=/dev/fuse:/dev/fuse:rw", "--dns=192.0.2.53",
            ],
        })
    );
    assert_eq!(
        seen["image"],
        json!({ "kind": "layered", "name": "plainboot-container-web", "tag": "latest" })
    );
    assert_eq!(seen["ports"], json!({ "80/tcp": {} }));
    assert_eq!(seen["errors"], json!([]));
    assert_eq!(seen["etc"], "unit=docker-web.service\n");
    assert_eq!(seen["network"]["after"], json!(["docker.service"]));
    let script = seen["network"]["script"].as_str().unwrap();
    assert!(
        script.contains("engine=docker host=192.168.100.10 wanted=192.168.100.8/29\n")
            && !script.contains('@')
    );
    let stop = seen["network"]["preStop"].as_str().unwrap();
    assert!(stop.contains("|| docker network rm plainboot-192.168.100.10\n"), "{stop}");
    assert_eq!(
        seen["unit"],
        json!({
            "restartIfChanged": true,
            "requires": ["plainboot-network-192.168.100.10.service"],
            "after": ["plainboot-network-192.168.100.10.service"],
        })
    );
}

#[test]
fn little_is_set_for_a_small_container() {
    let Some(nixos) = Nixos::find() else { return };
    let module = "{ virtualisation.systemdContainers.db = { ephemeral = true; config = { }; }; }";
    let seen =
        json(&nixos, module, "builtins.removeAttrs e.containers.db [ \"imageFile\" \"image\" ]");
    assert_eq!(
        seen,
        json!({
            "hostname": "db", "autoStart": false, "labels": { "plainboot.container": "declared" },
            "ports": [], "volumes": [], "extraOptions": ["--network=host"],
        })
    );
    // Without a container nothing is set.
    let none = json(
        &nixos,
        "{ }",
        "{ inherit (e) containers; inherit (e.config.environment) systemPackages; }",
    );
    assert_eq!(none, json!({ "containers": {}, "systemPackages": [] }));
}

/// A switch restarts the units whose text is another one. So each unit says what its own container needs,
/// and nothing of the others.
#[test]
fn a_change_of_one_container_is_no_change_of_the_others() {
    let Some(nixos) = Nixos::find() else { return };
    let units = |containers: &str| {
        let module = format!(
            r#"{{ virtualisation.systemdContainers = {{
  web = {{ privateNetwork = true; hostAddress = "10.0.0.9"; localAddress = "10.0.0.12";
    config.networking.firewall.allowedTCPPorts = [ 80 ]; }};
  {containers}
}}; }}"#
        );
        json(
            &nixos,
            &module,
            "lib.mapAttrs (_: s: builtins.removeAttrs s [ \"path\" ]) e.config.systemd.services
  // lib.mapAttrs (_: one: one // { imageFile = builtins.removeAttrs one.imageFile.arguments [ \"contents\" ]; }) e.containers",
        )
    };
    let changed = |before: &Value, after: &Value| -> Vec<String> {
        let names = after.as_object().unwrap().keys();
        names.filter(|name| before[name.as_str()] != after[name.as_str()]).cloned().collect()
    };
    let before = units("db.config = { };");
    let seen = |containers: &str| changed(&before, &units(containers));
    assert_eq!(seen("db = { config = { }; };"), [""; 0]);
    assert_eq!(seen("db = { config = { }; limits.TasksMax = 300; };"), ["db"]);
    assert_eq!(seen("db.config.networking.firewall.allowedTCPPorts = [ 5432 ];"), ["db"]);
    // One more in the same network.
    let network = "privateNetwork = true; hostAddress = \"10.0.0.9\";";
    let more = |address: &str| {
        seen(&format!(
            "db.config = {{ }}; more = {{ {network} localAddress = \"{address}\"; config = {{ }}; }};"
        ))
    };
    assert_eq!(more("10.0.0.11"), ["more", "podman-more"]);
    // Its address is beyond that network, which must be made anew, with all that is in it.
    assert_eq!(more("10.0.0.20"), ["more", "plainboot-network-10.0.0.9", "podman-more"]);
}

#[test]
fn a_shared_store_leaves_the_image_without_one() {
    let Some(nixos) = Nixos::find() else { return };
    let module = "{ virtualisation.systemdContainers.db = { sharedStore = true; config = { }; }; }";
    let seen = json(
        &nixos,
        module,
        "{ inherit (e.containers.db) volumes;
           inherit (e.containers.db.imageFile.arguments) includeStorePaths;
           etc = e.config.environment.etc.\"plainboot/containers/db\".text; }",
    );
    assert!(seen["volumes"].to_string().contains("\"/nix/store:/nix/store:ro\""), "{seen}");
    assert_eq!(seen["includeStorePaths"], false);
    // References, so that the collector of garbage leaves what the image's links lead to.
    let kept: Vec<&str> = seen["etc"].as_str().unwrap().lines().skip(1).collect();
    assert!(kept.iter().all(|line| line.starts_with("keeps=/nix/store/")), "{seen}");
    for part in ["-nixos-system", "-command-plainboot-root", "-text-plainboot-report"] {
        assert!(kept.iter().any(|line| line.contains(part)), "no {part} in {seen}");
    }
}

#[test]
fn what_a_container_cannot_be_is_an_error_with_the_remedy() {
    let Some(nixos) = Nixos::find() else { return };
    for (options, parts) in [
        ("hostAddress = \"10.0.0.1\"; localAddress = \"10.0.0.2\"", &["privateNetwork = true"][..]),
        ("privateNetwork = true; hostAddress = \"10.0.0.1\"", &["go together"]),
        ("forwardPorts = [ { hostPort = 80; } ]", &["forwardPorts", "privateNetwork = true"]),
        (
            "macvlans = [ \"eth0\" ]",
            &["systemdContainers.a-b.macvlans: an engine does not offer it", "extraFlags"],
        ),
        ("privateUsers = \"pick\"", &["userns-remap"]),
        ("limits.MemoryMax = \"50%\"", &["limits.MemoryMax: \"50%\"", "512M"]),
        ("limits.CPUQuota = \"2\"", &["limits.CPUQuota: \"2\"", "150%"]),
        (
            "config.systemd.services.x.serviceConfig.MemoryMax = \"1G\"",
            &[
                "systemdContainers.a-b.config",
                "x.service sets MemoryMax=1G",
                "the cgroup tree is read-only",
                "Limit the container",
            ],
        ),
        (
            "config.systemd.services.x.serviceConfig.CPUQuota = \"10%\"",
            &["x.service sets CPUQuota=10%", "the cgroup tree is read-only"],
        ),
        ("config.systemd.services.x.serviceConfig.DynamicUser = true", &["DynamicUser=true"]),
    ] {
        let module = format!("{{ virtualisation.systemdContainers.a-b = {{ {options}; }}; }}");
        let module = if options.starts_with("config.") {
            module
        } else {
            module.replace("a-b = {", "a-b = { config = { };")
        };
        let errors = json(&nixos, &module, "e.errors").to_string().replace("\\\"", "\"");
        for part in parts {
            assert!(errors.contains(part), "{options}: no `{part}` in {errors}");
        }
    }
    let bad =
        json(&nixos, "{ virtualisation.systemdContainers.\"a/b\".config = { }; }", "e.errors");
    assert!(bad[0].as_str().unwrap().contains("a container's name is"), "{bad}");
    // Where it is known that it cannot hold, it may stay.
    let listed = json(
        &nixos,
        "{ virtualisation.systemdContainers.a.config = { virtualisation.dockerImage.unenforcedLimits = \"list\"; \
           systemd.services.x.serviceConfig.MemoryMax = \"1G\"; }; }",
        "e.errors",
    );
    assert!(!listed.to_string().contains("MemoryMax"), "{listed}");
}

#[test]
fn networks_are_as_small_as_their_addresses_allow() {
    let Some(nixos) = Nixos::find() else { return };
    for (addresses, subnet) in [
        ("\"192.168.100.10\" \"192.168.100.11\"", "192.168.100.8/29"),
        ("\"192.168.100.9\" \"192.168.100.10\"", "192.168.100.8/30"),
        ("\"10.0.0.1\" \"10.0.0.2\" \"10.0.3.1\"", "10.0.0.0/22"),
        ("\"10.0.0.1\" \"10.200.0.1\"", "10.0.0.0/8"),
    ] {
        assert_eq!(json(&nixos, "{ }", &format!("e.addresses.subnet [ {addresses} ]")), subnet);
    }
    for (addresses, part) in [
        ("\"10.0.0.1\" \"10.0.0.1\"", "the same"),
        ("\"10.0.0.1\" \"11.0.0.1\"", "cannot be in one network"),
        ("\"10.0.0.1\" \"10.0.0.256\"", "\"10.0.0.256\" is no IPv4 address"),
        ("\"10.0.0.1\" \"10.0.0.010\"", "\"10.0.0.010\" is no IPv4 address"),
    ] {
        let seen = eval(&nixos, "{ }", &format!("e.addresses.subnet [ {addresses} ]"));
        assert!(!seen.ok && seen.stderr.contains(part), "{}", seen.stderr);
    }
    let errors = |other: &str| {
        let one = |name: &str, host: &str, local: &str| {
            format!(
                "{name} = {{ config = {{ }}; privateNetwork = true; hostAddress = \"{host}\"; localAddress = \"{local}\"; }};"
            )
        };
        let module = format!(
            "{{ virtualisation.systemdContainers = {{ {} {} }}; }}",
            one("web", "10.0.0.10", "10.0.0.11"),
            one("db", other, "10.0.0.13"),
        );
        json(&nixos, &module, "e.errors")
    };
    assert_eq!(errors("10.0.0.10"), json!([]));
    assert_eq!(errors("10.0.0.20")[1], json!(null));
    assert!(
        errors("10.0.0.20")[0].as_str().unwrap().contains(
            "hostAddress 10.0.0.10 (10.0.0.8/29) and 10.0.0.20 (10.0.0.0/27) overlap; give"
        ),
        "{}",
        errors("10.0.0.20")
    );
}

#[test]
fn a_container_is_built_of_a_configuration_and_of_a_flake() {
    let Some(nixos) = Nixos::find() else { return };
    let root = checkout().display();
    let name = |arguments: &str| {
        let seen = nixos.nix.run(
            "nix-instantiate",
            &[
                "--option",
                "experimental-features",
                "flakes nix-command",
                "--eval",
                "--strict",
                "--json",
                "-E",
                &format!(
                    "with (import {root}/nix/containers/image.nix {{ name = \"Web\"; \
                     nixpkgs = \"{root}/xtask/tests/nixos/containers/nixpkgs\"; {arguments} }}).arguments; \
                     [ name config.ExposedPorts ]"
                ),
            ],
        );
        (seen.ok, if seen.ok { seen.stdout.trim().to_owned() } else { seen.stderr })
    };
    let wanted = (true, "[\"plainboot-container-web\",{\"81/tcp\":{}}]".to_owned());
    let module = "{ networking.firewall.allowedTCPPorts = [ 81 ]; }";
    assert_eq!(name(&format!("configuration = {module};")), wanted);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("configuration.nix");
    std::fs::write(&file, module).unwrap();
    assert_eq!(name(&format!("configuration = {};", file.display())), wanted);
    // With the module, and without it.
    let flake = format!(
        "{{ outputs = _: {{ nixosConfigurations = {{
  has = import {root}/xtask/tests/nixos/containers/nixpkgs/nixos {{ configuration.imports = [ {module} {root}/nix/modules ]; }};
  default = import {root}/xtask/tests/nixos/containers/nixpkgs/nixos {{ configuration = {module}; }};
}}; }}; }}"
    );
    std::fs::write(dir.path().join("flake.nix"), flake).unwrap();
    for attribute in ["", "#default", "#has"] {
        let argument = format!("flake = \"path:{}{attribute}\";", dir.path().display());
        assert_eq!(name(&argument), wanted, "{attribute}");
    }
    let (ok, said) = name(&format!("flake = \"path:{}#other\";", dir.path().display()));
    assert!(
        !ok && said.contains("has no nixosConfigurations.other; there are: default has"),
        "{said}"
    );
}

/// By a real Nix, whatever folder the command is called in, and at the next update too. In place of an engine
/// and of nix-build are programs that note what they are asked.
#[test]
fn the_option_reference_of_containers_says_what_the_module_says() {
    let Some(nixos) = Nixos::find() else { return };
    let expected = reference(
        &json(&nixos, "{ }", "e.reference"),
        "Options of containers on a host",
        "Generated from nix/containers: PLAINBOOT_WRITE=1 cargo test --test nixos_containers option; do not edit.",
    );
    let file = checkout().join("docs/containers-options.md");
    if std::env::var_os("PLAINBOOT_WRITE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "docs/containers-options.md; PLAINBOOT_WRITE=1 writes it");
    assert!(expected.matches("\n## ").count() >= 20, "{expected}");
}
