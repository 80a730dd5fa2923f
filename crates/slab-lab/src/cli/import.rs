//! `import`: from a recording to a trace file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;

use super::args::ImportArguments;
use super::{LabError, print};
use crate::trace::{self, OPERATIONS_MAX, binary};

pub(super) fn run(arguments: &ImportArguments) -> Result<ExitCode, LabError> {
    let mut trace = trace::open(&arguments.file, arguments.first.unwrap_or(OPERATIONS_MAX + 1))?;
    if let Some(name) = &arguments.name {
        trace = trace.with_name(name);
    }
    let default_output = format!("{}.slabtrace", trace.name());
    let output = arguments.output.as_deref().unwrap_or(Path::new(&default_output));
    let written = File::create(output)
        .and_then(|file| binary::write(&trace, BufWriter::new(file), binary::SMALL));
    written.map_err(|error| LabError::Write { file: output.to_owned(), error })?;
    print(&format!(
        "{}: {} operations, {} bytes at most, as {}\n",
        output.display(),
        trace.ops().len(),
        trace.peak_live_bytes(),
        trace.name(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
