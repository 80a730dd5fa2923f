//! Checks that CI runs beside the tests. `cargo xtask help` lists them.
//!
//! Each check is a module: it reads files or the output of another tool, and returns [`Faults`]. A check
//! that finds faults prints each on its own line and exits with status 1.

mod faults;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use faults::Faults;

#[derive(Parser)]
#[command(about = "Checks of the Slabworks repository")]
struct Arguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Finds retired words (xtask/words.toml) and prints the word to write instead.
    Words {
        /// Files and folders to read, exempt or not [default: everything that is not exempt].
        paths: Vec<PathBuf>,
        /// Counts the words of each area instead.
        #[arg(long)]
        count: bool,
    },
}

fn main() -> Result<ExitCode> {
    // The alias runs in the caller's folder; every path is relative to the root.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let faults = run(Arguments::parse().check)?;
    Ok(faults.report())
}

fn run(check: Check) -> Result<Faults> {
    match check {
        Check::Words { paths, count } => words::check(&paths, count),
    }
}
