//! The command-line program; everything is in [`proxjet::front::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    proxjet::front::cli::main()
}
