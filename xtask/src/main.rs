// SPDX-License-Identifier: MIT
//! The thin binary: parse, run, exit code. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let flags = xtask::flags::Flags::parse();
    xtask::run(&flags).into()
}
