//! The command line: arguments in, tables and exit codes out.

mod args;
mod error;
mod import;
mod info;
mod measure;
mod plot;
mod provenance;
mod record;
mod replay;
mod report;
mod table;
mod traces;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
pub use error::LabError;

use crate::replay::Measures;

/// Runs the program: 0 if all went well, 1 if one of our allocators failed a trace, 2 if a file or an
/// argument is no good; a recorded program that fails passes its own exit code on.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command.unwrap_or_default() {
        Command::Replay(arguments) => {
            let measures = Measures { rounds: arguments.rounds(), arena: arguments.arena };
            replay::run(&arguments.run, measures)
        }
        Command::Arena(arguments) => {
            replay::run(&arguments.run, Measures { rounds: 0, arena: true })
        }
        Command::Report(arguments) => report::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Plot(arguments) => plot::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Worker(arguments) => {
            let served = crate::replay::worker::serve(&arguments.contender);
            served.map(|()| ExitCode::SUCCESS).map_err(LabError::Worker)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("slab-lab: {error}");
        error.exit_code()
    })
}

/// Prints to standard output. That the reader has gone away is no failure.
fn print(text: &str) -> Result<(), LabError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(LabError::Output(error)),
        _ => Ok(()),
    }
}
