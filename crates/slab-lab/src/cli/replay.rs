//! `replay` and `arena`: all contenders over all traces.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use slab_peers::Side;

use super::args::RunArguments;
use super::traces::named_contenders;
use super::{LabError, print, table};
use crate::replay::advice::advise;
use crate::replay::{Measures, Report, replay};

pub(super) fn run(arguments: &RunArguments, measures: Measures) -> Result<ExitCode, LabError> {
    let contenders = named_contenders(&arguments.allocators)?;
    let steps = arguments.traces.count() * contenders.len() * (measures.rounds as usize + 1);
    let progress = progress(steps as u64, arguments.json);
    let mut report = Report { traces: Vec::new() };
    for trace in arguments.traces.read() {
        let trace = trace?;
        let tick = |contender: &str| {
            progress.set_message(format!("{} {contender}", trace.name()));
            progress.inc(1);
        };
        let result = replay(&trace, &contenders, measures, &tick)?;
        if !arguments.json {
            let advice = advise(&result).headline;
            progress.suspend(|| print(&format!("{}{advice}\n", table::trace(&result))))?;
        }
        report.traces.push(result);
    }
    progress.finish_and_clear();
    if arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| LabError::Output(e.into()))?;
        print(&format!("{json}\n"))?;
    } else {
        print(&table::summary(&report))?;
    }
    let mut ours = report.traces.iter().flat_map(|trace| &trace.results);
    let failed = ours.any(|result| result.side == Side::Ours && result.status != "ok");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A bar on standard error: hidden where that is no terminal.
fn progress(steps: u64, hidden: bool) -> ProgressBar {
    let target = match hidden {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    match ProgressStyle::with_template("{elapsed:>4} {wide_bar} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
