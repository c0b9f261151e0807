// SPDX-License-Identifier: MIT
//! Images as users make them themselves: by a Dockerfile that takes what `build-image` gives.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::engine::owner::Owner;
use crate::image::base::Base;
use crate::image::needs::{self, Needs};
use crate::image::{Content, Identity, Image, Layer, deb};
use crate::profile::Profile;
use crate::ui::Ui;

/// How systemd gets onto the base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Via {
    /// As a layer that build-image puts onto it
    #[default]
    Layer,
    /// By `COPY --from` the image that build-image makes of scratch
    Copy,
    /// By dpkg, from the package that build-image --deb makes
    Deb,
}

impl Via {
    /// What a user types for it.
    pub fn word(self) -> &'static str {
        match self {
            Via::Layer => "layer",
            Via::Copy => "copy",
            Via::Deb => "deb",
        }
    }
}

/// The repository of the images that are made here.
const REPOSITORY: &str = "plainboot-via";

/// The image that the engine's own builder made, and those that it was made of; dropping it removes
/// them. What a run leaves that is killed before is removed by the next one.
#[derive(Debug)]
pub struct Made<'e> {
    engine: &'e Engine,
    base: String,
    layer: String,
    pub reference: String,
    /// Its id in the engine.
    pub digest: String,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for reference in [&self.reference, &self.layer, &self.base] {
            let _ = self.engine.forget(reference);
        }
    }
}

/// Lets the engine build an image from a Dockerfile like that of the README.
pub fn make<'e>(
    via: Via,
    engine: &'e Engine,
    base: &Base,
    identity: &Identity,
    profile: &Profile,
    layer: Layer,
    ui: &Ui,
) -> Result<Made<'e>> {
    anyhow::ensure!(via != Via::Layer, "a layer needs no Dockerfile");
    let word = via.word();
    sweep(engine, ui)?;
    let step = ui.step(format!("build an image of systemd {} by {word}", identity.version));
    let reference = name(&format!("{}-{word}", identity.version), Owner::me().as_ref());
    let mut made = Made {
        engine,
        base: format!("{reference}_base"),
        layer: format!("{reference}_layer"),
        reference,
        digest: String::new(),
    };
    import(engine, base, &made.base)?;
    let mut context = tar::Builder::new(Vec::new());
    let steps = match via {
        Via::Deb => {
            let relations = Needs::of(&layer)?.relations(&needs::triplet())?;
            let mut package = Vec::new();
            deb::write(&layer, identity, &relations, &mut package)?;
            let name = deb::file_name(identity);
            put(&mut context, &name, &package)?;
            format!("COPY {name} /tmp/\nRUN dpkg --install /tmp/{name} && rm /tmp/{name}\n")
        }
        _ => {
            let nothing = Base::of("scratch", Vec::new());
            let image = Image::on(&nothing, identity, profile, layer, Some(&made.layer));
            engine.load(&image, ui)?;
            format!("COPY --from={} / /\nRUN systemd-sysusers\n", made.layer)
        }
    };
    let dockerfile = format!(
        "FROM {}\n{steps}STOPSIGNAL {}\nCMD {}\n",
        made.base,
        profile.stop_signal.value,
        serde_json::to_string(&profile.command.value)?
    );
    put(&mut context, "Dockerfile", dockerfile.as_bytes())?;
    let context = context.into_inner()?;
    engine
        .call(["build", "--quiet", "--network=none", "--tag", &made.reference, "-"])
        .deadline(engine.patience(Duration::from_secs(300)))
        .input(move |out| out.write_all(&context))
        .text()
        .context("the engine cannot build the image")?;
    made.digest =
        engine.call(["image", "inspect", "--format", "{{.Id}}", &made.reference]).text()?;
    step.done(&made.reference);
    Ok(made)
}

/// No other run may put its own under these names between two of the steps, and the next one must see
/// whose they are. A label would do for the latter, but the containers of the image would inherit it.
fn name(what: &str, owner: Option<&Owner>) -> String {
    let owner = owner.map_or_else(
        || format!("-{}", std::process::id()),
        |owner| format!("_{}", owner.to_string().replace('/', "_")),
    );
    format!("{REPOSITORY}:{what}{owner}")
}

/// Whose image that is, if its name is one of [`name`]'s.
fn owner(reference: &str) -> Option<Owner> {
    let (repository, tag) = reference.rsplit_once(':')?;
    // podman puts `localhost/` before it.
    if repository.rsplit('/').next() != Some(REPOSITORY) {
        return None;
    }
    let [_, boot, namespace, pid, started, ..] = tag.split('_').collect::<Vec<_>>()[..] else {
        return None;
    };
    format!("{boot}/{namespace}/{pid}/{started}").parse().ok()
}

/// Removes images whose run was killed before it could.
fn sweep(engine: &Engine, ui: &Ui) -> Result<()> {
    let listed = engine.call(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).text()?;
    for left in listed.lines().filter(|name| owner(name).is_some_and(|owner| owner.is_gone())) {
        ui.note(&format!("removing image {left}, left by a run that was killed"));
        engine.forget(left)?;
    }
    Ok(())
}

/// Gives the engine the base alone.
fn import(engine: &Engine, base: &Base, name: &str) -> Result<()> {
    let [Layer { content: Content::File(tar), .. }] = base.layers.as_slice() else {
        anyhow::bail!("the base is not one layer in a file");
    };
    let tar = tar.clone();
    engine
        .call(["import", "-", name])
        .deadline(engine.patience(Duration::from_secs(300)))
        .input(move |out| std::io::copy(&mut std::fs::File::open(&tar)?, out).map(drop))
        .text()
        .map(drop)
        .context("the engine does not take the base")
}

fn put(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    Ok(tar.append_data(&mut header, name, content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_whose_it_is() {
        let me = Owner::me().unwrap();
        let mine = name("263-rc1-copy", Some(&me));
        for reference in [mine.clone(), format!("localhost/{mine}_base"), format!("{mine}_layer")] {
            assert_eq!(owner(&reference), Some(me.clone()), "{reference}");
            let (_, tag) = reference.rsplit_once(':').unwrap();
            assert!(
                tag.len() <= 128 && tag.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
            );
        }
        assert!(!me.is_gone());
        let dead: Owner = me
            .to_string()
            .rsplit_once('/')
            .map(|(o, _)| o.to_owned() + "/1")
            .unwrap()
            .parse()
            .unwrap();
        assert!(owner(&name("262-deb", Some(&dead))).unwrap().is_gone());
        for other in [name("262-deb", None), mine.replace("-via", ""), "<none>:<none>".to_owned()] {
            assert_eq!(owner(&other), None, "{other}");
        }
    }
}
