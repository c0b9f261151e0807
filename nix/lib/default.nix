# SPDX-License-Identifier: MIT
#
# plainboot's pure functions. They need nothing of nixpkgs but its `lib.warn`, and not even that.
{
  # message -> value -> value: says the message and returns the value.
  warn ? message: builtins.trace "warning: ${message}",
}:
rec {
  # The versions that were verified, with their patches; generated from patches/series.toml.
  segments = import ../../overlays/systemd-patches.nix;

  selectPatches = import ./select-patches.nix { inherit warn; };

  # The patch files for a systemd version such as "257.10", in the order in which they apply.
  patchesFor = selectPatches segments;

  # systemd -> systemd with the patches for its version.
  patchSystemd = import ./patch-systemd.nix { inherit patchesFor; };

  # A patched systemd -> the ids of its patches, such as "0002-cgroup".
  patchIds = systemd: map (patch: baseNameOf (dirOf patch)) systemd.plainboot.patches;

  # What makes a system into a container image.
  profile = import ../profile.nix;

  # The files and the unit settings of the profile, in the words of NixOS options.
  profileSettings = import ./profile-settings.nix { inherit profile; };

  # The image's config, as the engine reads it.
  imageConfig = import ./image-config.nix { inherit profile; };

  # What units ask for and a plain container refuses.
  refused = import ./refused.nix;

  # The script that is /sbin/init of the image.
  init = import ./init.nix;
}
