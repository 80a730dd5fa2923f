//! The command line: arguments in, tables and exit codes out. From the bottom up:
//!
//! ```text
//! error       why a command fails                  output      standard output
//! args        the arguments                        table       rows and columns
//! traces      from names to traces and contenders  provenance  what a report says about its making
//! measure     traces through all contenders, with a progress bar
//! count, import, info, list, plot, replay, report, record, sites, threads      one command each
//! ```

mod args;
mod count;
mod error;
mod import;
mod info;
mod list;
mod measure;
mod output;
mod plot;
mod provenance;
mod record;
mod replay;
mod report;
mod sites;
mod table;
mod threads;
mod traces;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
pub use error::LabError;

use crate::replay::Measures;

/// Runs the program. Exit codes: 0 for success, 1 if an allocator of this workspace failed a trace,
/// 2 if a file or an argument is refused; a recorded program that fails passes its own code on.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            eprintln!("slab-lab: {}", error::in_one_line(&error.to_string()));
            return ExitCode::from(2);
        }
        // Help and version.
        Err(shown) => shown.exit(),
    };
    if arguments.list {
        return finish(list::run());
    }
    finish(match arguments.command.unwrap_or_default() {
        Command::Replay(arguments) => {
            let measures = Measures { rounds: arguments.rounds(), arena: arguments.arena };
            replay::run(&arguments.run, measures, &[0])
        }
        Command::Arena(arguments) => {
            let larger: &[usize] = if arguments.perturb { &[0, 8, 24] } else { &[0] };
            replay::run(&arguments.run, Measures { rounds: 0, arena: true }, larger)
        }
        Command::Sites(arguments) => sites::run(&arguments),
        Command::Threads(arguments) => threads::run(&arguments),
        Command::Count(arguments) => count::run(&arguments.run),
        Command::Report(arguments) => report::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Plot(arguments) => plot::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Worker(arguments) => {
            let served = crate::replay::worker::serve(&arguments.contender);
            served.map(|()| ExitCode::SUCCESS).map_err(LabError::Worker)
        }
    })
}

/// Reports an error and returns the exit code.
fn finish(outcome: Result<ExitCode, LabError>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("slab-lab: {error}");
        error.exit_code()
    })
}
