# SPDX-License-Identifier: MIT
#
# segments -> version -> list of patch files.
#
# A segment `{ from, to, patches }` says that these patches were verified on `from` and on `to`, two
# versions of one major, and on what was verified between them. Segments are in ascending order.
{ warn }:
segments: version:
let
  inherit (builtins)
    compareVersions
    concatStringsSep
    elemAt
    filter
    head
    length
    match
    replaceStrings
    ;

  last = list: elemAt list (length list - 1);

  majorOf =
    text:
    let
      found = match "([0-9]+)([.~-].*)?" text;
    in
    if found == null then
      throw "plainboot: \"${text}\" is not a systemd version such as 257 or 257.13"
    else
      head found;

  # Nix sorts "258-rc1" after "258"; it knows only "pre" as coming before.
  comparable = replaceStrings [ "-rc" "~rc" ] [ "pre" "pre" ];
  isAtLeast = a: b: compareVersions (comparable a) (comparable b) >= 0;

  major = majorOf version;
  majors = builtins.foldl' (
    known: segment:
    let
      m = majorOf segment.from;
    in
    if builtins.elem m known then known else known ++ [ m ]
  ) [ ] segments;

  ofMajor = filter (segment: majorOf segment.from == major) segments;
  started = filter (segment: isAtLeast version segment.from) ofMajor;
  # A version older than all that were verified gets the patches of its nearest neighbour.
  chosen = if started == [ ] then head ofMajor else last started;
  newest = (last ofMajor).to;
  isVerified = started != [ ] && isAtLeast chosen.to version;

  command = "cargo xtask rebase-patches ${version}";
  list = concatStringsSep ", " majors;

  refusal =
    if segments == [ ] then
      "no systemd version is verified yet, so none can be patched; in a checkout of plainboot, run: ${command}"
    else if compareVersions major (head majors) < 0 then
      "systemd ${version} (systemd.package, by default that of nixpkgs) is too old: the oldest major with patches is ${head majors} (supported: ${list}); use a nixpkgs with a newer systemd"
    else
      "systemd ${version} (systemd.package, by default that of nixpkgs) has no verified patches (supported majors: ${list}); set systemd.package to one of these, or, in a checkout of plainboot, run: ${command}";

  doubt = "plainboot: the patches were not verified on systemd ${version}; using those of ${chosen.from} to ${chosen.to} (newest verified ${major}: ${newest}). In a checkout of plainboot, run: ${command}";
in
if ofMajor == [ ] then
  throw "plainboot: ${refusal}"
else if isVerified then
  chosen.patches
else
  warn doubt chosen.patches
