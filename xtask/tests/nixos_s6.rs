// SPDX-License-Identifier: MIT
//! `nix/s6-images`: evaluated with nixpkgs' own `lib` over stand-ins, its files built by a real Nix with
//! the shell of this machine. What its init does is in `nixos_s6_run.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/s6.rs"]
mod images;
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use std::process::Command;

use images::{eval, json, root};
use serde_json::json;
use support::checkout;
use with_lib::{Nixos, reference};

#[test]
fn an_image_holds_what_its_module_adds_and_nothing_else() {
    let Some(nixos) = Nixos::find() else { return };
    let hello = json(&nixos, "e.images.dockerImages.hello.arguments");
    assert_eq!(hello["config"]["Entrypoint"], json!(["/usr/bin/hello"]));
    assert_eq!(hello["contents"][0]["paths"], json!([]));
    assert!(hello.get("includeNixDB").is_none());
    let empty = root(&nixos, "makeImage { config.image.name = \"empty\"; }");
    let read = |dir: &tempfile::TempDir, path: &str| {
        std::fs::read_to_string(dir.path().join(path)).unwrap()
    };
    assert_eq!(
        read(&empty, "etc/passwd"),
        "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/var/empty:/bin/nologin\n"
    );
    assert_eq!(read(&empty, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
    let names: Vec<_> = std::fs::read_dir(empty.path().join("etc"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");

    let image = r#"makeImage {
  image = { name = "web"; tag = "1"; env.TZ = "Europe/Berlin"; exposedPorts."80/tcp" = { };
    from = pkgs.hello; run = "mkdir srv"; interactive = true; };
  environment.etc."a/b".text = "linked";
  environment.etc."secret" = { text = "copied"; mode = "0440"; user = "web"; group = "+7"; };
  users.users.web = { group = "web"; isSystemUser = true; };
  users.users.alice = { isNormalUser = true; extraGroups = [ "web" ]; hashedPassword = "$6$x"; };
  users.users.bob.isNormalUser = true;
  users.users.bob.uid = 1000;
  users.groups.web = { };
}"#;
    let made = json(&nixos, &format!("({image}).arguments"));
    assert_eq!(
        made["config"],
        json!({
            "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TZ=Europe/Berlin"],
            "ExposedPorts": { "80/tcp": {} },
        })
    );
    assert_eq!((&made["name"], &made["tag"]), (&json!("web"), &json!("1")));
    assert_eq!(made["fromImage"], "/usr");
    assert_eq!(made["contents"][0]["paths"], json!(["/usr", "/usr"]));
    let dir = root(&nixos, image);
    assert_eq!(
        read(&dir, "etc/passwd"),
        "root:x:0:0::/root:/bin/bash\nalice:x:1001:100::/home/alice:/bin/bash\n\
         bob:x:1000:100::/home/bob:/bin/bash\nnobody:x:65534:65534::/var/empty:/bin/nologin\n\
         web:x:999:999::/var/empty:/bin/nologin\n"
    );
    assert_eq!(
        read(&dir, "etc/group"),
        "root:x:0:\nnogroup:x:65534:\nusers:x:100:\nweb:x:999:alice\n"
    );
    assert!(read(&dir, "etc/shadow").contains("alice:$6$x:1::::::\n"));
    assert_eq!(read(&dir, "etc/a/b"), "linked");
    assert!(dir.path().join("etc/a/b").is_symlink() && dir.path().join("srv").is_dir());
    let mode = |path: &str| {
        let found = dir.path().join(path).metadata().unwrap().permissions();
        std::os::unix::fs::PermissionsExt::mode(&found) & 0o7777
    };
    assert_eq!(
        ["etc/secret", "etc/shadow", "home/alice", "tmp"].map(mode),
        [0o440, 0o600, 0o700, 0o1777]
    );
    let owners = made["fakeRootCommands"].as_str().unwrap();
    for owner in ["chown 1001:100 ./home/alice\n", "chown 999:7 etc/secret\n"] {
        assert!(owners.contains(owner), "{owners}");
    }
}

#[test]
fn predefined_images_offer_image_config_and_init() {
    let Some(nixos) = Nixos::find() else { return };
    let seen = json(
        &nixos,
        "{
  images = builtins.attrNames e.images.dockerImages;
  tests = builtins.mapAttrs (_: test: test.image.config.image.name) e.images.tests.dockerImages;
  inits = builtins.attrNames (lib.filterAttrs (_: image: image ? init) e.images.dockerImages);
  overlay = builtins.attrNames (import ./nix/s6-images/overlay.nix (pkgs // { }) { inherit lib; });
}"
        .replace("./nix", &format!("{}/nix", checkout().display()))
        .as_str(),
    );
    assert_eq!(seen["images"], json!(["example", "example-systemd", "hello", "nginx", "nix"]));
    assert_eq!(seen["tests"]["nginx"], "nginx");
    assert_eq!(seen["inits"], json!(["example", "example-systemd", "nginx"]));
    assert_eq!(seen["overlay"], json!(["dockerImages", "lib", "tests"]));

    let nix = json(&nixos, "e.images.dockerImages.nix.arguments");
    assert_eq!(
        (&nix["includeNixDB"], &nix["contents"][0]["paths"][4]),
        (&json!(true), &json!("/usr"))
    );
    let dir = root(&nixos, "e.images.dockerImages.nix");
    let conf = std::fs::read_to_string(dir.path().join("etc/nix/nix.conf")).unwrap();
    assert_eq!(conf, "sandbox = false");
    let users = std::fs::read_to_string(dir.path().join("etc/passwd")).unwrap();
    assert!(users.contains("\nnixbld1:x:30001:30000:") && !users.contains("messagebus"), "{users}");
}

#[test]
fn services_of_nixos_become_services_of_s6() {
    let Some(nixos) = Nixos::find() else { return };
    let types = json(
        &nixos,
        r#"lib.mapAttrs (_: s: [ s.type s.after s.restartOnFailure s.restartOnSuccess ])
  (makeImage {
    image.name = "a";
    systemd.services = {
      one = { script = "a"; serviceConfig.Type = "oneshot"; };
      two = { script = "a"; serviceConfig.Type = "oneshot"; after = [ "one.service" "network.target" ]; };
      three = { script = "a"; after = [ "two.service" ]; serviceConfig.Restart = "on-failure"; };
      four = { script = "a"; serviceConfig.Type = "oneshot"; after = [ "three.service" ]; };
      five = { script = "a"; serviceConfig.Type = "oneshot"; after = [ "four.service" ]; };
      zero = { script = "a"; serviceConfig.Type = "oneshot"; before = [ "one.service" ]; };
      kept = { script = "a"; serviceConfig = { Type = "notify"; Restart = "always"; }; };
      "instance@".script = "a";
      none.after = [ "one.service" ];
    };
  }).config.s6.services"#,
    );
    assert_eq!(
        types,
        json!({
            "zero": ["oneshot-pre", [], false, false],
            "one": ["oneshot-pre", ["zero"], false, false],
            "two": ["oneshot-pre", ["one"], false, false],
            "three": ["long-run", [], true, false],
            "four": ["oneshot-post", ["three"], false, false],
            "five": ["oneshot-post", ["four"], false, false],
            "kept": ["long-run", [], true, true],
        })
    );
}

/// As in the table of `Restart=` in systemd.service(5).
#[test]
fn a_restart_of_systemd_is_one_of_s6() {
    let Some(nixos) = Nixos::find() else { return };
    let restarts = |settings: &str| {
        json(
            &nixos,
            &format!(
                r#"let s = (makeImage {{ image.name = "a"; systemd.services.a.serviceConfig = {{ {settings} }}; }}).config.s6.services.a;
in [ s.restartOnFailure s.restartOnSignal s.restartOnSuccess s.ignoreFailure ]"#
            ),
        )
    };
    for (mode, failure, signal, success) in [
        ("no", false, false, false),
        ("always", true, false, true),
        ("on-success", false, false, true),
        ("on-failure", true, false, false),
        ("on-abnormal", false, true, false),
        ("on-abort", false, true, false),
        ("on-watchdog", false, false, false),
    ] {
        assert_eq!(
            restarts(&format!("ExecStart = \"/b\"; Restart = \"{mode}\";")),
            json!([failure, signal, success, false]),
            "{mode}"
        );
    }
    for (line, ignored) in [("-/b", true), ("@-/b c", true), ("+/b -", false), ("/b-c", false)] {
        assert_eq!(restarts(&format!("ExecStart = \"{line}\";"))[3], ignored, "{line}");
    }
}

/// As systemd-analyze has them; a month and a year are means.
#[test]
fn time_spans_are_those_of_systemd() {
    let Some(nixos) = Nixos::find() else { return };
    let spans = [
        ("30", 30_000),
        ("30 seconds", 30_000),
        ("2 hours", 7_200_000),
        ("5min 20s", 320_000),
        ("1min30", 90_000),
        ("1.5s", 1_500),
        ("1d 1h", 90_000_000),
        ("250msec", 250),
        ("1500us", 2),
        ("008", 8_000),
        ("0", 0),
        ("infinity", 0),
    ];
    let timeout = |key: &str, value: &str| {
        format!(
            r#"(makeImage {{ image.name = "a"; systemd.services.a.serviceConfig = {{ ExecStart = "/b"; {key} = {value}; }}; }}).config.s6.services.a.stopTimeout"#
        )
    };
    let all: Vec<_> = spans
        .iter()
        .map(|(text, _)| format!("({})", timeout("TimeoutStopSec", &format!("\"{text}\""))))
        .collect();
    let wanted: Vec<_> = spans.iter().map(|(_, milliseconds)| *milliseconds).collect();
    assert_eq!(json(&nixos, &format!("[ {} ]", all.join(" "))), json!(wanted));
    assert_eq!(json(&nixos, &timeout("TimeoutSec", "7")), 7_000);
    for text in ["soon", "5 fortnights", "1,5s", "-3", ""] {
        let seen = eval(&nixos, &timeout("TimeoutStopSec", &format!("\"{text}\"")));
        assert!(!seen.ok && seen.stderr.contains("TimeoutStopSec="), "{text}: {}", seen.stderr);
    }
    if xtask::exec::have("systemd-analyze") {
        for (text, milliseconds) in spans.iter().filter(|(_, ms)| *ms > 2) {
            let seen =
                Command::new("systemd-analyze").args(["timespan", text]).output().unwrap().stdout;
            let seen = String::from_utf8(seen).unwrap();
            assert!(seen.contains(&format!("μs: {milliseconds}000\n")), "{text}: {seen}");
        }
    }
}

#[test]
fn what_s6_cannot_do_is_an_error_with_the_remedy() {
    let Some(nixos) = Nixos::find() else { return };
    for (module, parts) in [
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.Type = \"forking\"; };",
            &[
                "systemd.services.a",
                "Type=forking",
                "Use the image with systemd",
                "s6.ignoreUnits = [ \"a.service\" ]",
            ][..],
        ),
        ("systemd.services.a = { script = \"b\"; startAt = \"daily\"; };", &["startAt"]),
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.DynamicUser = true; };",
            &["DynamicUser", "users.users.a"],
        ),
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.ExecStop = \"c\"; };",
            &["ExecStop="],
        ),
        (
            "systemd.services.a = { script = \"b\"; unitConfig.ConditionPathExists = \"/c\"; };",
            &["ConditionPathExists="],
        ),
        (
            "systemd.services.a = { script = \"b\"; serviceConfig.StandardOutput = \"file:/c\"; };",
            &["StandardOutput=file:/c"],
        ),
        (
            "systemd.sockets.a = { };",
            &[
                "a.socket: s6 starts services when the container starts",
                "Use the image with systemd",
            ],
        ),
        ("systemd.services.a.serviceConfig.ExecStart = \"/b %q\";", &["%q has no meaning"]),
        ("systemd.services.a.serviceConfig.ExecStart = \"/b 'c\";", &["a quote is not closed"]),
        (
            "systemd.services.a.serviceConfig.ExecStart = \"/b \\\\xe9\";",
            &["write the character instead of \\xe9"],
        ),
        (
            "systemd.services.a.serviceConfig.ExecStart = \"/b ; /c\";",
            &["several commands in one line"],
        ),
        (
            "s6.services.a = { script = \"b\"; execStart = \"c\"; };",
            &["s6.services.a must have one of execStart and script"],
        ),
        (
            "s6.services.a = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"c\" ]; };",
            &["s6.services.a.after names c, which is no service"],
        ),
        (
            "s6.services.a = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"c\" ]; }; s6.services.c.script = \"d\";",
            &["a long-run, which starts later; make it a oneshot-post"],
        ),
        (
            "s6.services.a = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"c\" ]; }; s6.services.c = { type = \"oneshot-pre\"; script = \"b\"; after = [ \"a\" ]; };",
            &["wait for one another (after): "],
        ),
        (
            "users.users.a = { isNormalUser = true; password = \"b\"; };",
            &["users.users.a", "hashedPassword"],
        ),
        (
            "users.users.a = { isSystemUser = true; group = \"b\"; };",
            &["users.users.a.group: there is no group b"],
        ),
    ] {
        let seen = eval(
            &nixos,
            &format!("(makeImage {{ image.name = \"a\"; {module} }}).arguments.config"),
        );
        assert!(!seen.ok, "{module} was taken: {}", seen.stdout);
        for part in parts {
            assert!(seen.stderr.contains(part), "{module}: no `{part}` in {}", seen.stderr);
        }
    }
    let ignored = json(
        &nixos,
        r#"(makeImage { image.name = "a"; systemd.sockets.a = { };
  systemd.services.a = { script = "b"; serviceConfig.Type = "dbus"; };
  s6.ignoreUnits = [ "a.socket" "a.service" ]; }).config.s6.services"#,
    );
    assert_eq!(ignored, json!({}));
    let name = eval(&nixos, "(makeImage { image.name = \"A b\"; }).arguments.name");
    assert!(!name.ok && name.stderr.contains("image.name"), "{}", name.stderr);
}

/// What docs/from-nix-container-images.md shows first, word for word.
#[test]
fn the_quick_start_of_nix_container_images_evaluates() {
    let Some(nixos) = Nixos::find() else { return };
    let docs =
        std::fs::read_to_string(checkout().join("docs/from-nix-container-images.md")).unwrap();
    let examples: Vec<&str> = docs
        .split("```nix\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|example| example.starts_with("lib.makeImage"))
        .collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let seen = json(
            &nixos,
            &format!(
                "let lib = e.lib // e.images.lib; in ({example}).arguments.config.Entrypoint or null"
            ),
        );
        let program = seen[0].as_str();
        let ok = if example.contains("entryPoint") {
            program == Some("/usr/bin/hello")
        } else if example.contains("services") {
            program.is_some_and(|init| init.ends_with("-s6-init"))
        } else {
            seen.is_null()
        };
        assert!(ok, "{example}: {seen}");
    }
}

#[test]
fn the_option_reference_of_images_says_what_the_modules_say() {
    let Some(nixos) = Nixos::find() else { return };
    let options = json(
        &nixos,
        r#"let inherit (makeImage { image.name = "a"; }) options; in
map (builtins.intersectAttrs { name = null; description = null; type = null; default = null; example = null; })
  (builtins.filter (one: one.visible && !one.internal)
    (lib.optionAttrSetToDocList { inherit (options) image s6; }))"#,
    );
    let expected = reference(
        &options,
        "Options of makeImage",
        "Generated from nix/s6-images: PLAINBOOT_WRITE=1 cargo test --test nixos_s6 option; do not edit.",
    );
    let file = checkout().join("docs/s6-options.md");
    if std::env::var_os("PLAINBOOT_WRITE").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "docs/s6-options.md; PLAINBOOT_WRITE=1 writes it");
    assert!(expected.matches("\n## ").count() >= 18, "{expected}");
}
