//! `plot`: draws the heap over time.

use std::fs;
use std::process::ExitCode;

use super::LabError;
use super::args::PlotArguments;
use super::output::print;
use super::traces::named_contenders;
use crate::plot::svg;
use crate::replay::sample;

pub(super) fn run(arguments: &PlotArguments) -> Result<ExitCode, LabError> {
    let contenders = named_contenders(&arguments.allocators)?;
    for trace in arguments.traces.read() {
        let trace = trace?;
        for contender in &contenders {
            let samples = match sample(&trace, contender)? {
                Ok(samples) if samples.moments.is_empty() => {
                    print(&format!("{}: {}: has no region\n", trace.name(), contender.name()))?;
                    continue;
                }
                Ok(samples) => samples,
                Err(reason) => {
                    print(&format!("{}: {}: {reason}\n", trace.name(), contender.name()))?;
                    continue;
                }
            };
            let title = format!("{} on {}", trace.name(), contender.name());
            let drawing = svg(&title, &samples).map_err(LabError::Drawing)?;
            // The trace's name is not trusted: it must not lead out of the directory.
            let name =
                format!("{}-{}.svg", trace.name(), contender.name()).replace(['/', '\\'], "-");
            let file = arguments.output.join(name);
            fs::write(&file, drawing)
                .map_err(|error| LabError::Write { file: file.clone(), error })?;
            print(&format!("{}\n", file.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
