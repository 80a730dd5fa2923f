//! Checks that CI runs beside the tests. `cargo xtask help` lists them.
//!
//! Each check is a module: it reads files or the output of another tool, and returns [`Faults`]. A check
//! that finds faults prints each on its own line and exits with status 1.

mod faults;

mod book;
mod commits;
mod coverage;
mod links;
mod matrix;
mod mutants;
mod packages;
mod soundness;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
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
    /// Checks the links of the pages that mdbook wrote.
    Book {
        /// The folder that mdbook wrote to.
        folder: PathBuf,
    },
    /// Checks the form of the commits after BASE.
    Commits {
        /// The last commit that is not checked.
        base: String,
    },
    /// Checks the share of lines that the tests run, per crate.
    Coverage {
        /// The summary that cargo-llvm-cov wrote as JSON.
        report: PathBuf,
        crates: Vec<String>,
    },
    /// Prints the features of a manifest as a TOML array.
    Features { manifest: PathBuf },
    /// Checks the relative links of Markdown pages.
    Links { pages: Vec<PathBuf> },
    /// Checks that each cell of the misuse matrix in docs/VERIFICATION.md has a test.
    Matrix,
    /// Tries a slice of mutants, records the outcomes in .ci/mutants, and prints the score of each crate.
    Mutants(mutants::Arguments),
    /// Checks the manifests and files of unpacked packages.
    Packages {
        /// The folder with a folder CRATE-VERSION for each crate.
        folder: PathBuf,
        version: String,
        crates: Vec<String>,
    },
    /// Checks that docs/SOUNDNESS.md names every module that opens unsafe code.
    Soundness,
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
    // Cargo runs it in the caller's folder; every path is relative to the root.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    std::env::set_current_dir(PathBuf::from(xtask).join(".."))?;
    let faults = run(Arguments::parse().check)?;
    Ok(faults.report())
}

fn run(check: Check) -> Result<Faults> {
    match check {
        Check::Book { folder } => book::check(&folder),
        Check::Commits { base } => commits::check(&base),
        Check::Coverage { report, crates } => coverage::check(&report, &crates),
        Check::Features { manifest } => {
            println!("{:?}", packages::features(&manifest)?);
            Ok(Faults::default())
        }
        Check::Links { pages } => links::check(&pages),
        Check::Matrix => matrix::check(),
        Check::Mutants(arguments) => mutants::check(&arguments),
        Check::Packages { folder, version, crates } => packages::check(&folder, &version, &crates),
        Check::Soundness => soundness::check(),
        Check::Words { paths, count } => words::check(&paths, count),
    }
}
