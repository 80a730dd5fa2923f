//! The program of the lab; the library has the documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    slab_lab::cli::main()
}
