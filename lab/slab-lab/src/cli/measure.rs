//! Replays traces over all contenders with a progress bar, for `replay`, `arena` and `report`.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use slab_peers::{Contender, Side};

use super::LabError;
use crate::replay::{Measures, Report, TraceReport, replay};
use crate::trace::Trace;

/// The work of a command.
pub(super) struct Plan {
    /// The contenders.
    pub(super) contenders: Vec<&'static Contender>,
    /// The measurements.
    pub(super) measures: Measures,
    /// The number of traces.
    pub(super) traces: usize,
    /// Further steps of the caller, per contender and trace.
    pub(super) steps_besides: u32,
    /// Whether the progress bar is hidden.
    pub(super) quiet: bool,
}

impl Plan {
    /// Replays the traces one by one and hands each result to `done`.
    pub(super) fn carry_out(
        &self,
        traces: impl Iterator<Item = Result<Trace, LabError>>,
        mut done: impl FnMut(&Trace, &TraceReport, &ProgressBar) -> Result<(), LabError>,
    ) -> Result<Report, LabError> {
        let progress = self.progress();
        let mut report = Report { traces: Vec::new() };
        for trace in traces {
            let trace = trace?;
            let tick = |contender: &str| {
                progress.set_message(format!("{} {contender}", trace.name()));
                progress.inc(1);
            };
            let result = replay(&trace, &self.contenders, self.measures, &tick)?;
            done(&trace, &result, &progress)?;
            report.traces.push(result);
        }
        progress.finish_and_clear();
        Ok(report)
    }

    fn progress(&self) -> ProgressBar {
        let steps = self.measures.rounds + self.steps_besides + 1;
        progress_bar(self.traces * self.contenders.len() * steps as usize, self.quiet)
    }
}

/// Makes a bar on standard error; hidden if that is not a terminal.
pub(super) fn progress_bar(steps: usize, quiet: bool) -> ProgressBar {
    let target = match quiet {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    match ProgressStyle::with_template("{elapsed:>4} {wide_bar} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Writes each trace that an allocator of this workspace failed to stderr, with the reason. Returns 1 if
/// there is one, else 0.
pub(super) fn exit_code(report: &Report) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for trace in &report.traces {
        let ours = trace.results.iter().filter(|result| result.side == Side::Ours);
        for result in ours.filter(|result| result.status != "ok") {
            eprintln!("slab-lab: {} failed {}: {}", result.allocator, trace.trace, result.status);
            code = ExitCode::FAILURE;
        }
    }
    code
}
