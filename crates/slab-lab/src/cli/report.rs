//! `report`: all contenders over some traces, as one HTML file.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::ExitCode;

use slab_peers::Contender;

use super::args::{ReportArguments, ReportOptions};
use super::measure::{Plan, exit_code};
use super::traces::named_contenders;
use super::{LabError, print, provenance};
use crate::html::{Detail, Page, Watched};
use crate::replay::advice::advise;
use crate::replay::{ReplayError, TraceReport, sample};
use crate::trace::{Profile, Trace};

pub(super) fn run(arguments: &ReportArguments) -> Result<ExitCode, LabError> {
    let selection = &arguments.selection;
    let mut left_out = Vec::new();
    if let Some(first) = selection.traces.first {
        left_out.push(format!("All but the first {first} operations of each recording."));
    }
    let traces = selection.traces.read();
    let report = Reporter { options: &arguments.options, recording: None, left_out };
    report.run(&selection.allocators, traces, selection.traces.count())
}

/// From traces to a file.
pub(super) struct Reporter<'a> {
    pub(super) options: &'a ReportOptions,
    /// How the only trace was recorded.
    pub(super) recording: Option<String>,
    /// What is not in the traces, in sentences.
    pub(super) left_out: Vec<String>,
}

impl Reporter<'_> {
    /// Measures, writes the file, and says what is in it.
    pub(super) fn run(
        self,
        allocators: &[String],
        traces: impl Iterator<Item = Result<Trace, LabError>>,
        count: usize,
    ) -> Result<ExitCode, LabError> {
        let output = &self.options.output;
        // Better now than after minutes of measuring.
        check_writable(output)?;
        let plan = Plan {
            contenders: named_contenders(allocators)?,
            measures: self.options.measures(),
            traces: count,
            steps_besides: 1,
            quiet: false,
        };
        let mut provenance = provenance::gather(self.options.measures(), self.left_out);
        provenance.recording = self.recording;
        let mut details = Vec::new();
        let report = plan.carry_out(traces, |trace, result, progress| {
            let tick = |contender: &str| {
                progress.set_message(format!("{} {contender}", trace.name()));
                progress.inc(1);
            };
            details.push(detail(trace, result, &plan.contenders, &tick)?);
            let advice = advise(result).headline;
            progress.suspend(|| print(&format!("{advice}\n")))
        })?;
        let page = Page { report: &report, details: &details, provenance: &provenance };
        let written = fs::write(output, page.html());
        written.map_err(|error| LabError::Write { file: output.clone(), error })?;
        print(&format!("{}\n", output.display()))?;
        Ok(exit_code(&report))
    }
}

/// Watches those that got through.
fn detail(
    trace: &Trace,
    result: &TraceReport,
    contenders: &[&'static Contender],
    tick: &dyn Fn(&str),
) -> Result<Detail, ReplayError> {
    let mut watched = Vec::new();
    for (contender, result) in contenders.iter().zip(&result.results) {
        tick(contender.name());
        if result.status != "ok" {
            continue;
        }
        // One that fails now after all has its numbers, only no picture.
        if let Ok(samples) = sample(trace, contender)?
            && !samples.moments.is_empty()
        {
            watched.push(Watched { allocator: contender.name(), samples });
        }
    }
    Ok(Detail { profile: Profile::of(trace), watched, oddities: trace.oddities().to_string() })
}

/// Finds out whether a file can be written, and leaves everything as it is.
pub(super) fn check_writable(file: &Path) -> Result<(), LabError> {
    let probe = || {
        let is_new = !file.exists();
        OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
        if is_new { fs::remove_file(file) } else { Ok(()) }
    };
    probe().map_err(|error| LabError::Write { file: file.to_owned(), error })
}
