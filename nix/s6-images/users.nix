# SPDX-License-Identifier: MIT
#
# The users and groups of an image: /etc/passwd, /etc/group and /etc/shadow, known when the image is
# built. NixOS picks free ids when it is activated; here that is done once, in the order of the names,
# so that the same configuration gives the same ids.
{ lib }:
bare: config:
let
  inherit (lib)
    any
    attrNames
    attrValues
    concatMapStrings
    concatStringsSep
    elem
    filter
    filterAttrs
    foldl'
    optional
    unique
    ;
  inherit (config.users) users groups;

  always = [
    "root"
    "nobody"
  ];
  isNix = user: config.nix.enable && lib.hasPrefix "nixbld" user.name;
  kept = filterAttrs (
    name: user:
    (user.enable or true) && (elem name always || !(bare.users.users ? ${name}) || isNix user)
  ) users;
  members =
    name:
    unique (
      groups.${name}.members
      ++ map (user: user.name) (filter (user: elem name user.extraGroups) (attrValues kept))
    );
  keptGroups = filterAttrs (
    name: _:
    elem name [
      "root"
      "nogroup"
    ]
    || !(bare.users.groups ? ${name})
    || any (user: user.group == name || elem name user.extraGroups) (attrValues kept)
  ) groups;

  # Fills in what is null: the next free number, upwards or downwards from where NixOS starts.
  number =
    key: start: step: all:
    let
      taken = filter (id: id != null) (map (one: one.${key}) (attrValues all));
      next =
        state: name:
        if all.${name}.${key} != null then
          state // { ${name} = all.${name}.${key}; }
        else
          let
            from = start all.${name};
            direction = step all.${name};
            find = id: if elem id (taken ++ attrValues state) then find (id + direction) else id;
          in
          state // { ${name} = find from; };
    in
    foldl' next { } (attrNames all);
  uids = number "uid" (user: if user.isNormalUser then 1000 else 999) (
    user: if user.isNormalUser then 1 else -1
  ) kept;
  gids = number "gid" (_: 999) (_: -1) keptGroups;

  shell =
    user:
    if user.shell ? shellPath then
      user.shell.shellPath
    else
      lib.removePrefix "/run/current-system/sw" (toString user.shell);
  hash =
    user:
    if user.hashedPassword != null then
      user.hashedPassword
    else if user.initialHashedPassword != null then
      user.initialHashedPassword
    else
      "!";
  line = concatStringsSep ":";
  lines = f: names: concatMapStrings (name: "${f name}\n") names;
  # As in every other system: root first.
  inOrder = all: [ "root" ] ++ filter (name: name != "root") (attrNames all);
in
{
  inherit uids gids;

  # User names -> user, of those that are in the image.
  users = kept;

  passwd = lines (
    name:
    let
      user = kept.${name};
    in
    line [
      user.name
      "x"
      (toString uids.${name})
      (toString gids.${user.group})
      user.description
      user.home
      (shell user)
    ]
  ) (inOrder kept);

  group = lines (
    name:
    line [
      groups.${name}.name
      "x"
      (toString gids.${name})
      (concatStringsSep "," (members name))
    ]
  ) (inOrder keptGroups);

  # Days since 1970 of the last change: 1, since the image has no date.
  shadow = lines (name: "${kept.${name}.name}:${hash kept.${name}}:1::::::") (inOrder kept);

  # Homes that the image has: { path, uid, gid, mode }.
  homes = map (name: {
    path = kept.${name}.home;
    uid = uids.${name};
    gid = gids.${kept.${name}.group};
    mode = kept.${name}.homeMode or "700";
  }) (filter (name: kept.${name}.createHome) (attrNames kept));

  # What cannot be had: text by user.
  errors = lib.concatMap (
    user:
    optional (!(keptGroups ? ${user.group}))
      "users.users.${user.name}.group: there is no group ${user.group}; define users.groups.${user.group}"
    ++
      optional
        (any (key: (user.${key} or null) != null) [
          "password"
          "initialPassword"
          "hashedPasswordFile"
        ])
        "users.users.${user.name}: an image has no activation that could make a password of password, initialPassword or hashedPasswordFile; give hashedPassword (mkpasswd makes one)"
  ) (attrValues kept);
}
