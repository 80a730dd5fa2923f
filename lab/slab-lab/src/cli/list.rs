//! `--list`: the names of embedded traces and allocators.

use std::process::ExitCode;

use slab_peers::{Checks, Side, contenders};

use super::LabError;
use super::output::print;
use crate::trace;

pub(super) fn run() -> Result<ExitCode, LabError> {
    let mut text = "Embedded traces, for --trace:\n".to_owned();
    for (name, what) in trace::embedded_descriptions() {
        text += &format!("  {name:<12} {what}\n");
    }
    text += "\nAllocators, for --allocator:\n";
    for contender in contenders() {
        let whose = match (contender.side(), contender.checks()) {
            (Side::Reference, _) => "malloc of this machine, for orientation".to_owned(),
            (side, checks) => {
                let whose = if side == Side::Ours { "ours" } else { "a rival" };
                let note = match checks {
                    Checks::Default => "",
                    Checks::Off => ", checks off",
                    Checks::More => ", more checks",
                };
                format!("{} {whose}{note}", contender.version())
            }
        };
        text += &format!("  {:<24} {whose}\n", contender.name());
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
