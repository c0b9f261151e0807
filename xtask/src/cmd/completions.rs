// SPDX-License-Identifier: MIT
//! `cargo xtask completions`

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{CommandFactory as _, ValueHint};
use clap_complete::Shell;

use super::Context;
use crate::fault::Status;
use crate::flags::Flags;
use crate::series;
use crate::sources::Lock;

/// Print what lets a shell complete `cargo xtask`, with the names of patches and versions
///
/// Defines `xtask` as a short form of `cargo xtask`, which is completed in each shell; bash also
/// completes `cargo xtask` itself, and leaves the rest to cargo's own completion. Patches and versions
/// are those of this checkout: print it again after a new release.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask completions bash > ~/.xtask.bash  # and at the end of ~/.bashrc: . ~/.xtask.bash
  cargo xtask completions zsh >> ~/.zshrc       # after compinit
  cargo xtask completions fish > ~/.config/fish/conf.d/xtask.fish")]
pub struct Args {
    #[arg(value_name = "SHELL", value_enum)]
    shell: Known,
}

/// The shells whose completion is tested; clap knows more.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// The name under which a shell finds the command.
const NAME: &str = "xtask";

pub fn run(context: &Context<'_>, args: &Args) -> Result<Status> {
    let series = series::load(&context.checkout.patches())?;
    let lock = Lock::load(&context.checkout.lock())?;
    let patches: Vec<String> = series.patches.iter().map(|p| p.id.clone()).collect();
    let versions: Vec<String> = lock.iter().map(|l| l.version.to_string()).collect();
    let mut command = with_names(Flags::command(), &patches, &versions).bin_name(NAME);
    let mut script = Vec::new();
    let (shell, before, after) = match args.shell {
        Known::Bash => (Shell::Bash, "xtask() { cargo xtask \"$@\"; }\n", BASH),
        Known::Zsh => (Shell::Zsh, "", ZSH),
        Known::Fish => (Shell::Fish, "function xtask; cargo xtask $argv; end\n", ""),
    };
    clap_complete::generate(shell, &mut command, NAME, &mut script);
    let mut script = format!("{before}{}{after}", String::from_utf8_lossy(&script));
    if let Known::Fish = args.shell {
        script += &fish_values(&command);
    }
    context.ui.result(&script);
    Ok(Status::Yes)
}

/// The command with the values of today where a patch or a version is asked for: for completion alone,
/// since others are welcome, too.
fn with_names(command: clap::Command, patches: &[String], versions: &[String]) -> clap::Command {
    let command = command.mut_args(|argument| {
        let names = argument.get_value_names().unwrap_or_default();
        let values = match names.first().map(|name| name.as_str()) {
            Some("PATCH") => patches,
            Some("VERSION" | "OTHER") => versions,
            Some("PATH" | "PATH-OR-URL" | "FILE") => {
                return argument.value_hint(ValueHint::AnyPath);
            }
            Some("DIR") => return argument.value_hint(ValueHint::DirPath),
            _ => return argument,
        };
        argument.value_parser(PossibleValuesParser::new(values.to_vec()))
    });
    command.mut_subcommands(|command| with_names(command, patches, versions))
}

/// The values of positional arguments, which clap_complete 4.6 leaves out for fish.
fn fish_values(command: &clap::Command) -> String {
    let mut lines = String::new();
    for inner in command.get_subcommands() {
        let values = inner.get_positionals().flat_map(clap::Arg::get_possible_values);
        let names: Vec<String> = values.map(|v| v.get_name().to_owned()).collect();
        if !names.is_empty() {
            let (name, names) = (inner.get_name(), names.join(" "));
            let when = format!("-n '__fish_xtask_using_subcommand {name}'");
            lines += &format!("complete -c xtask {when} -f -a '{names}'\n");
        }
    }
    lines
}

/// `cargo xtask …` is handed to the completion of `xtask`, all else to that of cargo. That one is loaded
/// by bash-completion when it is first asked for (`_comp_load` from 2.12 on, `_completion_loader` before),
/// and then takes over the name, so ours goes on top of it again.
const BASH: &str = r#"
_xtask_over_cargo() {
    local spec
    spec=$(complete -p cargo 2>/dev/null)
    if [[ $spec == *" -F "* && $spec != *" -F _cargo_or_xtask "* ]]; then
        spec=${spec##* -F }
        _xtask_cargo=${spec%% *}
    fi
    complete -F _cargo_or_xtask -o bashdefault -o default cargo
}

_cargo_or_xtask() {
    if [[ ${COMP_WORDS[1]} == xtask && $COMP_CWORD -gt 1 ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "$2" "$3"
        return
    fi
    if [[ -z ${_xtask_cargo-} ]]; then
        if declare -F _comp_load >/dev/null; then
            _comp_load -- cargo
        elif declare -F _completion_loader >/dev/null; then
            _completion_loader cargo
        fi
        _xtask_over_cargo
    fi
    if [[ -n ${_xtask_cargo-} ]]; then
        "$_xtask_cargo" "$@"
    fi
}
_xtask_over_cargo
"#;

const ZSH: &str = r#"
xtask() { cargo xtask "$@" }
"#;
