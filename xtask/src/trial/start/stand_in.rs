// SPDX-License-Identifier: MIT
//! In place of nixpkgs, and of an image that Nix has made of it.

use std::path::Path;

use anyhow::Result;

use crate::trial::Trial;

/// A configuration -> its system, which greets, and becomes systemd. `build` of a configuration is a part
/// of the builder's script.
///
/// Of the options of NixOS it knows one: nginx, which is Debian's, serves the folder of its host.
const NIXOS: &str = r#"{ configuration }:
let
  given = builtins.elemAt configuration.imports 2;
  said = if builtins.isAttrs given then given else import given;
  user = if builtins.isFunction said then said { pkgs.hello = "hello"; } else said;
  services = user.services or { };
  name = user.name or (if services == { } then "unnamed" else toString (builtins.attrNames services));
  site = ''
    server { listen 80; root ${services.nginx.virtualHosts.localhost.root}; }
  '';
in
{
  config.virtualisation.dockerVariant.system.build.toplevel = derivation {
    name = "nixos-system-${name}";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-euc" ''
      echo "builds ${name}"
      ${user.build or ""}
      mkdir $out
      cat >$out/init <<'END'
      #!/bin/sh
      echo "${name}" >/var/greeting
      ${if services ? nginx then "echo '${site}' >/etc/nginx/sites-enabled/default" else ""}
      exec /usr/lib/systemd/systemd
      END
      chmod +x $out/init
    '' ];
  };
}
"#;

/// The flake of that nixpkgs.
const FLAKE: &str = r#"{
  outputs = _: {
    lib.nixosSystem = { modules, ... }: {
      options = { };
      extendModules = _: import /opt/plainboot/nixpkgs/nixos {
        configuration.imports = [ null null (builtins.head modules) ];
      };
    };
  };
}
"#;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the programs as the image has them, filled in for a Debian, into a folder for /opt/plainboot.
///
/// # Errors
/// The checkout or the folder cannot be read or written.
pub fn prepare(nix: &Path, to: &Path) -> Result<()> {
    let fill = |file: &str, blanks: &[(&str, &str)], into: &str| -> Result<()> {
        let mut text = std::fs::read_to_string(nix.join(file))?;
        for (blank, value) in [("shell", "/bin/bash"), ("path", PATH)].iter().chain(blanks) {
            text = text.replace(&format!("@{blank}@"), value);
        }
        let into = to.join(into);
        std::fs::write(&into, text)?;
        std::fs::set_permissions(&into, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(())
    };
    std::fs::create_dir_all(to.join("nixpkgs/nixos"))?;
    std::fs::write(to.join("nixpkgs/nixos/default.nix"), NIXOS)?;
    std::fs::write(to.join("nixpkgs/flake.nix"), FLAKE)?;
    std::fs::create_dir_all(to.join("nix/config-at-start"))?;
    let system = "config-at-start/system.nix";
    std::fs::copy(nix.join(system), to.join("nix").join(system))?;
    fill("init.sh", &[("toplevel", "/nix/var/nix/profiles/system")], "init")?;
    fill("config-at-start/healthy.sh", &[], "healthy")?;
    let blanks = [
        ("nixpkgs", "/opt/plainboot/nixpkgs"),
        ("system", "/opt/plainboot/nix/config-at-start/system.nix"),
        ("init", "/opt/plainboot/init"),
        ("certificates", "/etc/ssl/certs/ca-certificates.crt"),
        ("base", "a Debian"),
    ];
    fill("config-at-start/start.sh", &blanks, "start")
}

/// In place of nixpkgs in the image with Nix: its image is that image itself, with the start-up program,
/// as an archive of the kind that `dockerTools` makes.
const ARCHIVES: &str = r#"{ system, configuration }:
assert map builtins.pathExists configuration.imports == [ true true ];
{
  config.system.build.dockerImage = derivation {
    name = "image.tar.gz";
    inherit system;
    builder = "/bin/sh";
    PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
    args = [ "-euc" ''
      mkdir -p 1 2 root/tmp root/usr/sbin root/usr/lib/plainboot root/nix/var/nix/profiles/default
      ln -s /usr/bin root/nix/var/nix/profiles/default/bin
      chmod 1777 root/tmp
      ln -s /opt/plainboot/start root/usr/sbin/init
      cp /opt/plainboot/healthy root/usr/lib/plainboot/
      tar --one-file-system --create --file 1/layer.tar --directory / --exclude=./dev --exclude=./nix \
          --exclude=./nixpkgs --exclude=./plainboot --exclude=./proc --exclude=./sys --exclude=./tmp .
      tar --create --file 2/layer.tar --directory root .
      echo '[{"Layers":["1/layer.tar","2/layer.tar"]}]' >manifest.json
      tar --create 1 2 manifest.json | gzip -1 >$out
    '' ];
  };
}
"#;

/// Writes what an image with Nix is built of: the context of `docker build`.
///
/// # Errors
/// The folder cannot be written.
pub fn builder(trial: &Trial<'_>, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.join("nixpkgs/nixos"))?;
    prepare(&trial.checkout.join("nix"), &to.join("plainboot"))?;
    std::fs::write(
        to.join("Dockerfile"),
        format!(
            "FROM {}\nCOPY plainboot /opt/plainboot\nCOPY nixpkgs /nixpkgs\n\
             COPY nix.conf /etc/nix/nix.conf\nENV NIX_PATH=nixpkgs=/nixpkgs\n",
            trial.image
        ),
    )?;
    std::fs::write(to.join("nix.conf"), "sandbox = false\nbuild-users-group =\nsubstituters =\n")?;
    let packages = "{ }: { path = \"/nixpkgs\"; lib = { }; \
                    stdenv.hostPlatform.system = builtins.currentSystem; }\n";
    std::fs::write(to.join("nixpkgs/default.nix"), packages)?;
    Ok(std::fs::write(to.join("nixpkgs/nixos/default.nix"), ARCHIVES)?)
}
