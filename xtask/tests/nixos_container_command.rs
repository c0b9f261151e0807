// SPDX-License-Identifier: MIT
//! `plainboot-container`: its script, what it builds from, and its completions.
//! `cargo xtask test-containers` runs it on a real engine.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy.toml spares test functions alone"
)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;
#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/nixos.rs"]
mod with_lib;

use std::path::PathBuf;
use std::process::Command;

use support::checkout;
use with_lib::Nixos;

fn command() -> PathBuf {
    checkout().join("nix/containers/plainboot-container")
}

#[test]
fn the_command_builds_from_what_is_in_its_folder() {
    let Some(nixos) = Nixos::find() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        std::fs::write(path(name), text).unwrap();
    };
    let program = |name: &str, text: &str| {
        write(name, &format!("#!/bin/sh\n{text}\n"));
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path(name), all).unwrap();
    };
    program(
        "programs/engine",
        "case $1:$2 in *:inspect) exit 1 ;; load:*) echo Loaded image: built ;; \
create:*) printf '%s\\n' \"$@\" | grep ^plainboot.source= >\"$OUT/source\" ;; esac",
    );
    program(
        "programs/nix-build",
        "shift; nix-instantiate --eval --strict --json -A arguments.config.ExposedPorts \"$@\" \
>\"$OUT/ports\" && echo \"$OUT/ports\"",
    );
    let module = "{ networking.firewall.allowedTCPPorts = [ 81 ]; }";
    write("a b/web.nix", module);
    let root = checkout().display();
    let nixpkgs = checkout().join("xtask/tests/nixos/containers/nixpkgs");
    write(
        "flake/flake.nix",
        &format!(
            "{{ outputs = _: {{ nixosConfigurations.web = import {}/nixos {{ configuration = {module}; }}; }}; }}",
            nixpkgs.display()
        ),
    );
    let create = |folder: &str, words: &str| {
        let script = format!(
            "cd '{}' && export OUT={} PATH={}:$PATH NIX_PATH=nixpkgs={} PLAINBOOT={root} PLAINBOOT_ENGINE=engine; {} create pbtest-built {words}",
            path(folder).display(),
            dir.path().display(),
            path("programs").display(),
            nixpkgs.display(),
            command().display(),
        );
        let seen = nixos.nix.run("sh", &["-c", &script]);
        let read = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
        let made = (read("ports").trim().to_owned(), read("source").trim().to_owned());
        for name in ["ports", "source"] {
            let _ = std::fs::remove_file(path(name));
        }
        (seen, made)
    };
    let at = |name: &str| path(name).display().to_string();
    for (folder, words, source) in [
        ("flake", "--flake .#web", format!("--flake' '{}#web", at("flake"))),
        ("flake", "--flake '#web'", format!("--flake' '{}#web", at("flake"))),
        ("a b", "--flake ../flake#web", format!("--flake' '{}#web", at("flake"))),
        (".", "--flake path:flake#web", format!("--flake' 'path:{}#web", at("flake"))),
        (".", &format!("--flake {}#web", at("flake")), format!("--flake' '{}#web", at("flake"))),
        ("a b", "--config-file web.nix", format!("--config-file' '{}", at("a b/web.nix"))),
        (".", "--config-file 'a b/web.nix'", format!("--config-file' '{}", at("a b/web.nix"))),
        (
            ".",
            "--config 'networking.firewall.allowedTCPPorts = [ 81 ]; # web'",
            "--config' 'networking.firewall.allowedTCPPorts = [ 81 ]; # web".to_owned(),
        ),
    ] {
        let (seen, made) = create(folder, words);
        assert!(seen.ok, "{words}: {}", seen.stderr);
        let source = format!("plainboot.source='{source}'");
        assert_eq!(made, ("{\"81/tcp\":{}}".to_owned(), source), "{words}: {}", seen.stderr);
    }
    for (words, part) in [
        ("--flake ./none#web", "there is no folder ./none"),
        ("--flake 'a b#web'", "Nix takes no flake of this name"),
        ("--flake './a b#web'", "move it to where the path has no space"),
        ("--config-file none.nix", "cannot read none.nix"),
        ("--flake ./flake#other", "has no nixosConfigurations.other; there are: web"),
    ] {
        let (seen, made) = create(".", words);
        assert!(!seen.ok && seen.stderr.contains(part), "{words}: {}", seen.stderr);
        assert_eq!(made.1, "", "{words}");
    }
}

#[test]
fn the_command_is_clean_shell_and_its_help_has_every_verb() {
    let help =
        Command::new(command()).arg("--help").env("PLAINBOOT_ENGINE", "sh").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for verb in [
        "create",
        "destroy",
        "list",
        "start",
        "stop",
        "restart",
        "update",
        "run",
        "root-login",
        "status",
        "show-ip",
    ] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} in {help}");
    }
    if !xtask::exec::have("shellcheck") {
        xtask::skip::record("shellcheck is not installed").unwrap();
        return;
    }
    let bash = checkout().join("nix/containers/completions/plainboot-container.bash");
    let network = checkout().join("nix/containers/network.sh");
    for file in [command(), bash, network] {
        let checked = Command::new("shellcheck").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn without_an_engine_the_command_says_so() {
    let empty = tempfile::tempdir().unwrap();
    for program in ["sh", "mktemp", "rm"] {
        std::os::unix::fs::symlink(format!("/bin/{program}"), empty.path().join(program)).unwrap();
    }
    let ended = Command::new("/bin/sh")
        .arg(command())
        .arg("list")
        .env("PATH", empty.path())
        .env_remove("PLAINBOOT_ENGINE")
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        said.contains("there is no Docker and no Podman here") && said.contains("hint: "),
        "{said}"
    );
}

/// By bash itself; zsh and fish are asked where they are.
#[test]
fn completions_offer_verbs_and_options() {
    let folder = checkout().join("nix/containers/completions");
    let script = r#"
. "$1/plainboot-container.bash"
plainboot-container() { echo web; echo db; }
try() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _plainboot_container; echo "${COMPREPLY[*]}"; }
try plainboot-container ro
try plainboot-container start ""
try plainboot-container create web --im
try plainboot-container create web --network ""
"#;
    let seen = Command::new("bash").args(["-c", script, "bash"]).arg(&folder).output().unwrap();
    assert_eq!(
        String::from_utf8(seen.stdout).unwrap(),
        "root-login\nweb db\n--image\nhost none\n",
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
    // As fish itself completes.
    if xtask::exec::have("fish") {
        let script = "source $argv[1]; function plainboot-container; echo web; echo db; end
            for line in 'ro' 'start ' 'create web --im' 'create web --network '
                complete --do-complete \"plainboot-container $line\" | cut -f 1 | string join ' '
            end";
        let seen = Command::new("fish")
            .args(["--no-config", "-c", script])
            .arg(folder.join("plainboot-container.fish"))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(seen.stdout).unwrap(),
            "root-login\ndb web\n--image\nhost none\n",
            "{}",
            String::from_utf8_lossy(&seen.stderr)
        );
    }
    for (shell, file) in [("zsh", "plainboot-container.zsh"), ("fish", "plainboot-container.fish")]
    {
        if xtask::exec::have(shell) {
            let parsed = Command::new(shell).arg("-n").arg(folder.join(file)).output().unwrap();
            assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
        } else {
            xtask::skip::record_optional(&format!("{shell} is not installed")).unwrap();
        }
    }
}
