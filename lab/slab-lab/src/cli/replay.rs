//! `replay` and `arena`: replays traces over all contenders and prints tables or JSON.

use std::process::ExitCode;

use super::args::RunArguments;
use super::measure::{Plan, exit_code};
use super::output::print;
use super::traces::named_contenders;
use super::{LabError, table};
use crate::replay::Measures;
use crate::replay::advice::advise;

pub(super) fn run(arguments: &RunArguments, measures: Measures) -> Result<ExitCode, LabError> {
    let selection = &arguments.selection;
    let plan = Plan {
        contenders: named_contenders(&selection.allocators)?,
        measures,
        traces: selection.traces.count(),
        steps_besides: 0,
        quiet: arguments.json,
    };
    let report = plan.carry_out(selection.traces.read(), |_, result, progress| {
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
