//! `threads`: thread-safe heaps, on one thread and on several.

use std::process::ExitCode;

use slab_peers::{SharedContender, Side, shared_contenders};

use super::LabError;
use super::args::ThreadsArguments;
use super::measure::progress_bar;
use super::output::print;
use super::table::{number, table};
use crate::replay::protocol::Division;
use crate::replay::{ThreadReport, replay_threads};
use crate::trace::Trace;
use crate::words;

pub(super) fn run(arguments: &ThreadsArguments) -> Result<ExitCode, LabError> {
    let selection = &arguments.selection;
    let contenders = named(&selection.allocators)?;
    let steps = selection.traces.count() * contenders.len() * arguments.rounds as usize;
    let progress = progress_bar(steps, false);
    let mut code = ExitCode::SUCCESS;
    for trace in selection.traces.read() {
        let trace = trace?;
        let recorded = trace.context().thread_count();
        let (division, what) = match arguments.copies {
            None if recorded > 1 => {
                let what = "the recorded threads, ordered where they share blocks";
                (Division::Recorded, format!("{recorded} threads: {what}"))
            }
            copies => {
                let copies = copies.unwrap_or(2);
                let what = "each makes all requests, on blocks that the others do not see";
                (Division::Copies(copies), format!("{copies} threads: {what}"))
            }
        };
        let tick = |contender: &str| {
            progress.set_message(format!("{} {contender}", trace.name()));
            progress.inc(1);
        };
        let reports = replay_threads(&trace, &contenders, division, arguments.rounds, &tick)?;
        let ours = contenders.iter().zip(&reports);
        for (contender, report) in ours.filter(|(contender, _)| contender.side() == Side::Ours) {
            if report.status != "ok" {
                let name = contender.name();
                eprintln!("slab-lab: {name} failed {}: {}", trace.name(), report.status);
                code = ExitCode::FAILURE;
            }
        }
        progress.suspend(|| print(&text(&trace, &what, &reports)))?;
    }
    progress.finish_and_clear();
    Ok(code)
}

fn text(trace: &Trace, what: &str, reports: &[ThreadReport]) -> String {
    let head = ["heap", "ns/request, 1 thread", "all threads", "speed-up", "lock taken", "status"];
    let rows = reports.iter().map(|report| {
        let locked = if report.is_behind_lock { " behind a lock" } else { "" };
        vec![
            format!("{}{locked}", report.allocator),
            number(report.single_ns),
            number(report.threads_ns),
            report.speed_up().map_or_else(String::new, words::times),
            report.contended.map_or_else(String::new, words::percent),
            report.status.clone(),
        ]
    });
    format!(
        "\n{}: {}; {what}\n{}\nAll threads: from the first request to the end of the last thread, per request; \
         with the waiting for requests of other threads on the same block.\n",
        trace.name(),
        words::counted(trace.ops().len(), "request"),
        table(&head, rows.collect()),
    )
}

/// Returns the heaps of these names; if there are no names, those without a lock of ours and one of each
/// kind behind a lock.
fn named(names: &[String]) -> Result<Vec<SharedContender>, LabError> {
    if names.is_empty() {
        let slow = ["buddy_system_allocator", "linked_list_allocator", "axallocator"];
        let chosen = shared_contenders().filter(|contender| !slow.contains(&contender.name()));
        return Ok(chosen.collect());
    }
    let named = names.iter().map(|name| {
        SharedContender::named(name).ok_or_else(|| {
            let known: Vec<_> = shared_contenders().map(|contender| contender.name()).collect();
            LabError::UnknownAllocator { name: name.clone(), known: known.join(", ") }
        })
    });
    named.collect()
}
