//! `info`: what recordings consist of.

use std::process::ExitCode;

use super::LabError;
use super::args::InfoArguments;
use super::output::print;
use super::table::{Cells, table};
use crate::trace::{Profile, Trace};
use crate::words::bytes;

pub(super) fn run(arguments: &InfoArguments) -> Result<ExitCode, LabError> {
    let mut rows = Vec::new();
    let mut notes = String::new();
    for trace in arguments.traces.read() {
        let trace = trace?;
        rows.push(row(&trace));
        let warnings = trace.warnings().to_string();
        if !warnings.is_empty() {
            notes += &format!("{}: {warnings}\n", trace.name());
        }
    }
    let head = [
        "trace",
        "requests",
        "allocs",
        "zeroed",
        "reallocs",
        "frees",
        "aligned",
        "peak blocks",
        "peak bytes",
        "largest",
    ];
    print(&format!("{}\n{notes}", table(&head, rows)))?;
    Ok(ExitCode::SUCCESS)
}

fn row(trace: &Trace) -> Cells {
    let profile = Profile::of(trace);
    vec![
        trace.name().to_owned(),
        trace.ops().len().to_string(),
        profile.allocs.to_string(),
        profile.zeroed.to_string(),
        profile.reallocs.to_string(),
        profile.frees.to_string(),
        profile.aligned.to_string(),
        trace.slots().to_string(),
        bytes(trace.peak_live_bytes()),
        bytes(profile.largest_bytes),
    ]
}
