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
    a = character "0007";
    b = character "0008";
    f = character "000c";
    n = "\n";
    r = "\r";
    s = " ";
    t = "\t";
    v = character "000b";
    "\\" = "\\";
    "\"" = "\"";
    "'" = "'";
  };
  # "00e9" -> "é"
  character = hex: builtins.fromJSON "\"\\u${hex}\"";
  # What follows a backslash -> the text that systemd makes of both; see "QUOTING" in systemd.syntax(7). What
  # is no escape it keeps, with the backslash.
  unescape =
    text: sequence:
    let
      hex = builtins.match "x([0-7][0-9a-fA-F])|u([0-9a-fA-F]{4})|U0000([0-9a-fA-F]{4})" sequence;
      octal = builtins.match "([01])([0-7])([0-7])" sequence;
      digit = place: lib.toInt (elemAt octal place);
      code = lib.fixedWidthString 4 "0" (
        lib.toLower (
          if hex != null then
            lib.findFirst (found: found != null) "" hex
          else if octal != null then
            lib.toHexString (digit 0 * 64 + digit 1 * 8 + digit 2)
          else
            ""
        )
      );
    in
    if escapes ? ${sequence} then
      escapes.${sequence}
    else if builtins.match "x[89a-fA-F].|[23]..|U[0-9a-fA-F]{8}" sequence != null && hex == null then
      # A part of a character, and one that JSON has in two parts.
      throw "write the character instead of \\${sequence}, in: ${text}"
    else if code == "0000" || builtins.match "d[89a-f].." code != null then
      "\\${sequence}"
    else
      character code;

  # text -> [ { text; bare; } ], without quotes and escapes; `bare`: it had none. `word` is null between words.
  parse =
    text:
    let
      put =
        state: string: bare:
        state
        // {
          word = (if state.word == null then "" else state.word) + string;
          bare = state.bare && bare;
        };
      close =
        state:
        if state.word == null then
          state
        else
          state
          // {
            words = state.words ++ [
              {
                text = state.word;
                inherit (state) bare;
              }
            ];
            word = null;
            bare = true;
          };
      step =
        state: char:
        if builtins.isList char then
          put state (unescape text (head char)) false
        else if state.quote != "" then
          if char == state.quote then state // { quote = ""; } else put state char false
        else if char == "\"" || char == "'" then
          put (state // { quote = char; }) "" false
        else if
          lib.elem char [
            " "
            "\t"
            "\n"
          ]
        then
          close state
        else
          put state char true;
      # Escapes are lists of one, and the rest single characters.
      tokens = lib.concatMap (
        part: if builtins.isString part then stringToCharacters part else [ part ]
      ) (builtins.split "\\\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)" text);
      end = foldl' step {
        words = [ ];
        word = null;
        bare = true;
        quote = "";
      } tokens;
    in
    if end.quote != "" then throw "a quote is not closed in: ${text}" else (close end).words;
  words = text: map (word: word.text) (parse text);

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
      found = parse marked.text;
      # So that it is an argument.
      list = map (word: if word.text == "\\;" then ";" else specify name word.text) found;
      shown = map (if marked ? ":" then escapeShellArg else expand) list;
      user = if marked ? "+" || marked ? "!" then "" else become;
    in
    if list == [ ] then
      throw "an empty command"
    else if
      lib.elem {
        text = ";";
        bare = true;
      } found
    then
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
