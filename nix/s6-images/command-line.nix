# SPDX-License-Identifier: MIT
#
# A command line of a unit file in the words of a shell; see "COMMAND LINES" in systemd.service(5).
#
# Throws a text for what has no counterpart.
{ lib }:
let
  inherit (lib)
    concatMapStrings
    concatStringsSep
    elemAt
    escapeShellArg
    foldl'
    head
    length
    removePrefix
    stringToCharacters
    ;

  escapes = {
    n = "\n";
    t = "\t";
    s = " ";
    r = "\r";
  };

  # text -> words, without quotes and escapes. `word` is null between words.
  words =
    text:
    let
      put = state: char: state // { word = (if state.word == null then "" else state.word) + char; };
      close =
        state:
        if state.word == null then
          state
        else
          state
          // {
            words = state.words ++ [ state.word ];
            word = null;
          };
      step =
        state: char:
        if state.escaped then
          put (state // { escaped = false; }) (escapes.${char} or char)
        else if char == "\\" then
          state // { escaped = true; }
        else if state.quote != "" then
          if char == state.quote then state // { quote = ""; } else put state char
        else if char == "\"" || char == "'" then
          put (state // { quote = char; }) ""
        else if
          lib.elem char [
            " "
            "\t"
            "\n"
          ]
        then
          close state
        else
          put state char;
      end = foldl' step {
        words = [ ];
        word = null;
        quote = "";
        escaped = false;
      } (stringToCharacters text);
    in
    if end.quote != "" || end.escaped then
      throw "a quote or an escape is not closed in: ${text}"
    else
      (close end).words;

  # The specifiers that have a meaning in an image; see "SPECIFIERS" in systemd.unit(5).
  specify =
    name: text:
    let
      known = {
        "%" = "%";
        n = "${name}.service";
        N = name;
        p = name;
        i = "";
        t = "/run";
        S = "/var/lib";
        C = "/var/cache";
        L = "/var/log";
        E = "/etc";
        T = "/tmp";
        V = "/var/tmp";
      };
    in
    concatMapStrings (
      part:
      if builtins.isString part then
        part
      else
        known.${head part} or (throw "%${head part} has no meaning in an image, in: ${text}")
    ) (builtins.split "%(.)" text);

  # A word with its variables, which a shell expands as systemd does.
  expand =
    word:
    let
      whole = builtins.match "\\$([A-Za-z_][A-Za-z0-9_]*)" word;
      parts = builtins.split "\\$\\$|\\$\\{([A-Za-z_][A-Za-z0-9_]*)}" word;
      part =
        one:
        if builtins.isString one then
          (if one == "" then "" else escapeShellArg one)
        else if head one == null then
          "'$'"
        else
          "\"\${${head one}-}\"";
    in
    # On its own it is as many words as its value has.
    if whole != null then
      "\${${head whole}-}"
    else if word == "" then
      "''"
    else
      concatMapStrings part parts;

  flags =
    text:
    let
      first = builtins.substring 0 1 text;
      rest = flags (removePrefix first text);
    in
    if
      text != ""
      && lib.elem first [
        "-"
        "@"
        ":"
        "+"
        "!"
      ]
    then
      rest // { ${first} = true; }
    else if first == "|" then
      throw "the prefix | has no counterpart, in: ${text}"
    else
      { inherit text; };
in
{
  inherit words;

  # line -> the characters before its program, such as "-" and "@".
  prefix =
    line:
    let
      trimmed = lib.trim line;
    in
    lib.removeSuffix (flags trimmed).text trimmed;

  # name of the unit -> how to become its user (a prefix, with a space) -> shell -> line
  # -> { command, mayFail }; `command` can follow `exec`.
  translate =
    name: become: shell: line:
    let
      marked = flags (lib.trim line);
      list = words (specify name marked.text);
      shown = map (if marked ? ":" then escapeShellArg else expand) list;
      user = if marked ? "+" || marked ? "!" then "" else become;
    in
    if list == [ ] then
      throw "an empty command"
    else if lib.elem ";" list then
      throw "several commands in one line: ${line}"
    else if marked ? "@" && length list < 2 then
      throw "@ without a name for the program: ${line}"
    else
      {
        mayFail = marked ? "-";
        # builtins.split drops what the text refers to in the store.
        command = lib.addContextFrom line (
          if marked ? "@" then
            "${user}${shell} -c 'exec -a \"$1\" \"$0\" \"\${@:2}\"' ${concatStringsSep " " shown}"
          else
            user + concatStringsSep " " shown
        );
      };

  # "A=b 'C=d e'" -> { A = "b"; C = "d e"; }
  assignments =
    text:
    lib.listToAttrs (
      map (
        word:
        let
          found = builtins.match "([^=]+)=(.*)" word;
        in
        if found == null then
          throw "no assignment: ${word}"
        else
          lib.nameValuePair (elemAt found 0) (lib.addContextFrom text (elemAt found 1))
      ) (words text)
    );
}
