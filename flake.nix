# SPDX-License-Identifier: MIT
{
  description = "systemd as PID 1 in a plain `docker run IMAGE`";

  # No inputs: the overlays patch the systemd of whatever nixpkgs they are applied to.
  outputs = _: {
    overlays = {
      default = import ./overlays;
      replace = import ./overlays/replace.nix;
    };
    lib = import ./nix/lib { };
  };
}
