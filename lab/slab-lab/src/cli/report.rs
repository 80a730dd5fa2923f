//! `report`: replays traces over all contenders and writes one HTML page.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::ExitCode;

use slab_peers::Contender;

use super::args::{ReportArguments, ReportOptions};
use super::measure::{Plan, exit_code};
use super::output::print;
use super::traces::named_contenders;
use super::{LabError, provenance};
use crate::html::{Page, Watched};
use crate::replay::advice::advise;
use crate::replay::{ReplayError, TraceReport, sample};
use crate::trace::Trace;

pub(super) fn run(arguments: &ReportArguments) -> Result<ExitCode, LabError> {
    let selection = &arguments.selection;
    let mut left_out = Vec::new();
    if let Some(first) = selection.traces.first {
        left_out.push(format!("Everything after the first {first} requests of each recording."));
    }
    let traces = selection.traces.read();
    let report = Reporter { options: &arguments.options, recording: None, left_out };
    report.run(&selection.allocators, traces, selection.traces.count())
}

/// Makes a page of traces.
pub(super) struct Reporter<'a> {
    pub(super) options: &'a ReportOptions,
    /// How the trace was recorded, if the lab did so.
    pub(super) recording: Option<String>,
    /// Sentences for the list of what is left out.
    pub(super) left_out: Vec<String>,
}

impl Reporter<'_> {
    /// Measures, writes the page, and prints the recommendations.
    pub(super) fn run(
        self,
        allocators: &[String],
        traces: impl Iterator<Item = Result<Trace, LabError>>,
        count: usize,
    ) -> Result<ExitCode, LabError> {
        let output = &self.options.output;
        // Refuse before minutes of measuring.
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
        let mut watched = Vec::new();
        let report = plan.carry_out(traces, |trace, result, progress| {
            let tick = |contender: &str| {
                progress.set_message(format!("{} {contender}", trace.name()));
                progress.inc(1);
            };
            watched.push(watch(trace, result, &plan.contenders, &tick)?);
            let advice = advise(result).to_string();
            progress.suspend(|| print(&advice))
        })?;
        let page = Page { report: &report, watched: &watched, provenance: &provenance };
        let written = fs::write(output, page.html());
        written.map_err(|error| LabError::Write { file: output.clone(), error })?;
        print(&format!("{}\n", output.display()))?;
        Ok(exit_code(&report))
    }
}

/// Samples the heaps of the contenders that got through and have a region.
fn watch(
    trace: &Trace,
    result: &TraceReport,
    contenders: &[&'static Contender],
    tick: &dyn Fn(&str),
) -> Result<Vec<Watched>, ReplayError> {
    let mut watched = Vec::new();
    for (contender, result) in contenders.iter().zip(&result.results) {
        tick(contender.name());
        if result.status != "ok" {
            continue;
        }
        // One that fails only now keeps its numbers and has no picture.
        if let Ok(samples) = sample(trace, contender)?
            && !samples.moments.is_empty()
        {
            watched.push(Watched { allocator: contender.name(), samples });
        }
    }
    Ok(watched)
}

/// Checks that a file can be written, without changing anything.
pub(super) fn check_writable(file: &Path) -> Result<(), LabError> {
    let probe = || {
        let is_new = !file.exists();
        OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
        if is_new { fs::remove_file(file) } else { Ok(()) }
    };
    probe().map_err(|error| LabError::Write { file: file.to_owned(), error })
}
