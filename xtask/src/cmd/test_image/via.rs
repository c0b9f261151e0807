// SPDX-License-Identifier: MIT
//! Images as users make them themselves: by a Dockerfile that takes what `build-image` gives.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::engine::Engine;
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

/// Where the three images of the two stages are in an engine.
const BASE: &str = "plainboot-via:base";
const LAYER: &str = "plainboot-via:layer";

/// The image that the engine's own builder made.
#[derive(Debug)]
pub struct Made {
    pub reference: String,
    /// Its id in the engine.
    pub digest: String,
}

/// Lets the engine build an image from a Dockerfile like that of the README.
pub fn make(
    via: Via,
    engine: &Engine,
    base: &Base,
    identity: &Identity,
    profile: &Profile,
    layer: Layer,
    ui: &Ui,
) -> Result<Made> {
    let word = match via {
        Via::Layer => anyhow::bail!("a layer needs no Dockerfile"),
        Via::Copy => "copy",
        Via::Deb => "deb",
    };
    let step = ui.step(format!("build an image of systemd {} by {word}", identity.version));
    import(engine, base)?;
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
            let image = Image::on(&nothing, identity, profile, layer, Some(LAYER));
            engine.load(&image, ui)?;
            format!("COPY --from={LAYER} / /\nRUN systemd-sysusers\n")
        }
    };
    let dockerfile = format!(
        "FROM {BASE}\n{steps}STOPSIGNAL {}\nCMD {}\n",
        profile.stop_signal.value,
        serde_json::to_string(&profile.command.value)?
    );
    put(&mut context, "Dockerfile", dockerfile.as_bytes())?;
    let context = context.into_inner()?;
    let reference = format!("plainboot-via:{}-{word}", identity.version);
    engine
        .call(["build", "--quiet", "--network=none", "--tag", &reference, "-"])
        .deadline(engine.patience(Duration::from_secs(300)))
        .input(move |out| out.write_all(&context))
        .text()
        .context("the engine cannot build the image")?;
    let digest =
        engine.call(["image", "inspect", "--format", "{{.Id}}", &reference]).text()?.trim().into();
    step.done(&reference);
    Ok(Made { reference, digest })
}

/// Gives the engine the base alone.
fn import(engine: &Engine, base: &Base) -> Result<()> {
    let [Layer { content: Content::File(tar), .. }] = base.layers.as_slice() else {
        anyhow::bail!("the base is not one layer in a file");
    };
    let tar = tar.clone();
    engine
        .call(["import", "-", BASE])
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
