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

/// The image that the engine's own builder made, and those that it was made of; dropping it removes
/// them.
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
    let word = match via {
        Via::Layer => anyhow::bail!("a layer needs no Dockerfile"),
        Via::Copy => "copy",
        Via::Deb => "deb",
    };
    let step = ui.step(format!("build an image of systemd {} by {word}", identity.version));
    // No other run may put its own under these names between two of the steps.
    let reference = format!("plainboot-via:{}-{word}-{}", identity.version, std::process::id());
    let mut made = Made {
        engine,
        base: format!("{reference}-base"),
        layer: format!("{reference}-layer"),
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
