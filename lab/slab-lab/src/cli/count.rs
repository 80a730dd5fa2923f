//! `count`: the instructions of a request, by valgrind's callgrind.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use slab_peers::Contender;

use super::LabError;
use super::args::RunArguments;
use super::measure::progress_bar;
use super::output::print;
use super::table::{label, number, table};
use super::traces::named_contenders;
use crate::replay::worker::HARNESS;
use crate::replay::{ReplayError, count, counter_is_installed, geometric_mean};
use crate::trace::Trace;

/// The counts of one contender: for each trace the instructions of a request, or why there are none.
type Row = Vec<Result<f64, String>>;

/// Counts every trace on every contender. The harness is counted too and subtracted.
pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, LabError> {
    if !counter_is_installed() {
        print("SKIPPED: valgrind, which counts the instructions, is not installed\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let selection = &arguments.selection;
    let contenders = named_contenders(&selection.allocators)?;
    let traces = selection.traces.read().collect::<Result<Vec<Trace>, _>>()?;
    let names: Vec<&str> =
        [HARNESS].into_iter().chain(contenders.iter().map(|c| c.name())).collect();
    let counts = all(&names, &traces, arguments.json)?;
    let (harness, counts) = counts.split_first().map_or((&[][..], &[][..]), |(h, c)| (&h[..], c));
    let rows: Vec<Row> = counts.iter().map(|row| above(harness, row)).collect();
    print(&match arguments.json {
        true => json(&contenders, &traces, &rows)?,
        false => text(&contenders, &traces, &rows),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Counts all pairs of a contender and a trace, as many at one time as there are cores.
fn all(names: &[&str], traces: &[Trace], quiet: bool) -> Result<Vec<Row>, ReplayError> {
    let jobs: Vec<(usize, usize)> =
        (0..traces.len()).flat_map(|t| (0..names.len()).map(move |n| (n, t))).collect();
    let progress = progress_bar(jobs.len(), quiet);
    let nothing = || traces.iter().map(|_| Err(String::new())).collect::<Row>();
    let rows: Mutex<Vec<Row>> = Mutex::new(names.iter().map(|_| nothing()).collect());
    let failure = Mutex::new(None);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&(name, trace)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            progress.set_message(format!("{} {}", traces[trace].name(), names[name]));
            let operations = traces[trace].ops().len() as f64;
            match count(names[name], &traces[trace]) {
                Ok(counted) => {
                    let each = counted.map(|count| count as f64 / operations);
                    rows.lock().unwrap_or_else(|e| e.into_inner())[name][trace] = each;
                }
                Err(error) => *failure.lock().unwrap_or_else(|e| e.into_inner()) = Some(error),
            }
            progress.inc(1);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    progress.finish_and_clear();
    match failure.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some(error) => Err(error),
        None => Ok(rows.into_inner().unwrap_or_else(|e| e.into_inner())),
    }
}

/// Subtracts the harness.
fn above(harness: &[Result<f64, String>], row: &Row) -> Row {
    let pairs = row.iter().zip(harness);
    pairs.map(|(count, harness)| Ok(count.clone()? - harness.clone()?)).collect()
}

fn mean(row: &Row) -> Option<f64> {
    geometric_mean(row.iter().flatten().copied().filter(|&count| count > 0.0))
}

fn text(contenders: &[&Contender], traces: &[Trace], rows: &[Row]) -> String {
    let mut head = vec!["instructions a request"];
    head.extend(traces.iter().map(Trace::name));
    head.push("geometric mean");
    let lines = contenders.iter().zip(rows).map(|(contender, row)| {
        let name = label(contender.name(), contender.side(), contender.checks());
        let cells = row.iter().map(|count| number(count.as_ref().ok().copied()));
        [name].into_iter().chain(cells).chain([number(mean(row))]).collect()
    });
    let mut text = format!("{}\n", table(&head, lines.collect()));
    for (contender, row) in contenders.iter().zip(rows) {
        for (trace, count) in traces.iter().zip(row) {
            if let Err(reason) = count {
                text += &format!("{} on {}: {reason}\n", contender.name(), trace.name());
            }
        }
    }
    text
}

fn json(contenders: &[&Contender], traces: &[Trace], rows: &[Row]) -> Result<String, LabError> {
    let results = contenders.iter().zip(rows).map(|(contender, row)| {
        let counts = traces.iter().zip(row).map(|(trace, count)| match count {
            Ok(count) => (trace.name().to_owned(), serde_json::json!(count)),
            Err(reason) => (trace.name().to_owned(), serde_json::json!(reason)),
        });
        let counts: serde_json::Map<_, _> = counts.collect();
        serde_json::json!({ "allocator": contender.name(), "instructions_per_op": counts,
            "geometric_mean": mean(row) })
    });
    let results: Vec<_> = results.collect();
    let json = serde_json::to_string_pretty(&results);
    Ok(json.map_err(|error| LabError::Output(error.into()))? + "\n")
}
