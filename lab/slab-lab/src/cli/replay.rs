//! `replay` and `arena`: replays traces over all contenders and prints tables or JSON.

use std::process::ExitCode;

use super::args::RunArguments;
use super::measure::{Plan, exit_code};
use super::output::print;
use super::traces::named_contenders;
use super::{LabError, table};
use crate::replay::Measures;
use crate::replay::advice::advise;
use crate::trace::{Place, Trace};

/// Runs the command. Each trace runs once for each number in `larger`, its blocks larger by so many
/// bytes.
pub(super) fn run(
    arguments: &RunArguments,
    measures: Measures,
    larger: &[usize],
) -> Result<ExitCode, LabError> {
    let selection = &arguments.selection;
    let plan = Plan {
        contenders: named_contenders(&selection.allocators)?,
        measures,
        traces: selection.traces.count() * larger.len(),
        steps_besides: 0,
        quiet: arguments.json,
    };
    let traces = selection.traces.read().flat_map(|trace| match trace {
        Ok(trace) => larger.iter().map(|&bytes| with_larger_blocks(&trace, bytes)).collect(),
        Err(error) => vec![Err(error)],
    });
    let report = plan.carry_out(traces, |_, result, progress| {
        if arguments.json {
            return Ok(());
        }
        let advice = advise(result).to_string();
        progress.suspend(|| print(&format!("{}{advice}", table::trace(result))))
    })?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| LabError::Output(e.into()))?;
        print(&format!("{json}\n"))?;
    } else {
        print(&table::summary(&report))?;
    }
    Ok(exit_code(&report))
}

/// Returns a trace with larger blocks, whose name says so.
fn with_larger_blocks(trace: &Trace, bytes: usize) -> Result<Trace, LabError> {
    if bytes == 0 {
        return Ok(trace.clone());
    }
    let name = format!("{} + {bytes} B", trace.name());
    let larger = trace.with_larger_blocks(bytes).map_err(|fault| fault.at(&name, Place::File))?;
    Ok(larger.with_name(name))
}
