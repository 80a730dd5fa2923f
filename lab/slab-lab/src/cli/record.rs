//! `record`: runs a program under a recorder, then writes the report.

use std::iter;
use std::process::ExitCode;

use super::args::RecordArguments;
use super::report::{Reporter, check_writable};
use super::traces::named_contenders;
use super::{LabError, import, provenance};
use crate::record::{Recorded, Recorder, Wish, find_program, is_script, record};
use crate::trace::OPERATIONS_MAX;
use crate::words;

pub(super) fn run(arguments: &RecordArguments) -> Result<ExitCode, LabError> {
    let [program, program_arguments @ ..] = &arguments.program[..] else {
        unreachable!("clap wants a program");
    };
    // Refuse before the program runs for minutes.
    named_contenders(&arguments.allocators)?;
    for file in iter::once(&arguments.options.output).chain(&arguments.keep) {
        check_writable(file)?;
    }
    let path = find_program(program)?;
    let recorder = Recorder::choose(arguments.with.map(Recorder::from))?;
    let recorded = provenance::command(
        arguments.program.iter().map(|argument| argument.to_string_lossy().into_owned()),
    );
    say(&format!("recording {recorded} with {}", recorder.name()));
    let mut left_out = Vec::new();
    if arguments.stacks && recorder != Recorder::SlabRecord {
        say(&format!("{} records no call stacks for the lab", recorder.name()));
    }
    if recorder != Recorder::SlabRecord && is_script(&path) {
        let path = path.display();
        let warning = format!("{path} is a script: the processes that it starts are not recorded");
        say(&warning);
        left_out.push(format!("{warning}."));
    }
    let first = arguments.first.unwrap_or(OPERATIONS_MAX);
    let wish = Wish { first, stacks: arguments.stacks };
    let recorded_requests = record(recorder, &path, program_arguments, wish)?;
    let Recorded { trace, other_processes, failure } = recorded_requests;
    if let Some(failure) = failure {
        if let Some(keep) = &arguments.keep {
            import::save(&trace, keep)?;
            say(&format!("{} has the recording until then", keep.display()));
        }
        return Err(failure.into());
    }
    if other_processes > 0 {
        let more = match other_processes {
            1 => "1 more process was".to_owned(),
            many => format!("{} more processes were", words::count(many)),
        };
        let note =
            format!("{more} recorded; {} made the most requests and is replayed", trace.name());
        say(&note);
        left_out.push(format!("{note}."));
    }
    let requests = words::counted(trace.ops().len(), "request");
    let peak = words::bytes(trace.peak_live_bytes());
    say(&format!("recorded {requests}, at most {peak} live; now replaying"));
    if let Some(keep) = &arguments.keep {
        import::save(&trace, keep)?;
    }
    if trace.ops().len() >= first {
        left_out.push(format!("Everything after the first {requests} of the recording."));
    }
    let recording = Some(format!("{recorded}, recorded with {} just before", recorder.name()));
    let report = Reporter { options: &arguments.options, recording, left_out };
    report.run(&arguments.allocators, iter::once(Ok(trace)), 1)
}

/// Reports progress on standard error; standard output is the program's.
fn say(text: &str) {
    eprintln!("slab-lab: {text}");
}
