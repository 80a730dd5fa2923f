//! The lab: see the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    slab_lab::cli::main()
}
