//! `import`: writes a recording as a trace file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;

use super::LabError;
use super::args::ImportArguments;
use super::output::print;
use crate::trace::{self, OPERATIONS_MAX, Trace, binary};

pub(super) fn run(arguments: &ImportArguments) -> Result<ExitCode, LabError> {
    let mut trace = trace::open(&arguments.file, arguments.first.unwrap_or(OPERATIONS_MAX + 1))?;
    if let Some(name) = &arguments.name {
        trace = trace.with_name(name);
    }
    let default_output = format!("{}.slabtrace", trace.name());
    let output = arguments.output.as_deref().unwrap_or(Path::new(&default_output));
    save(&trace, output)?;
    print(&format!(
        "{}: {} requests, at most {} bytes live, named {}\n",
        output.display(),
        trace.ops().len(),
        trace.peak_live_bytes(),
        trace.name(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a trace into a file of the lab's own format.
pub(super) fn save(trace: &Trace, file: &Path) -> Result<(), LabError> {
    let written = File::create(file)
        .and_then(|created| binary::write(trace, BufWriter::new(created), binary::SMALL));
    written.map_err(|error| LabError::Write { file: file.to_owned(), error })
}
