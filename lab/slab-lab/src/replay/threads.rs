//! All thread-safe heaps over a trace, on one thread and on several.

use slab_peers::SharedContender;

use super::limits::patience;
use super::protocol::{Answer, Division, Request};
use super::worker::{COPIES_MAX, THREADS};
use super::{Middle, ReplayError, run};
use crate::trace::Trace;

/// Timed requests of a round.
const ROUND_REQUESTS: usize = 200_000;

/// The result of one heap.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadReport {
    /// The heap.
    pub allocator: &'static str,
    /// Whether it is behind a lock.
    pub is_behind_lock: bool,
    /// `ok`, or why it failed.
    pub status: String,
    /// Median nanoseconds of a request if one thread makes all.
    pub single_ns: Option<f64>,
    /// Median nanoseconds from the first request to the end of the last thread, divided by the number
    /// of requests of all threads.
    pub threads_ns: Option<f64>,
    /// The part of the requests that found the lock taken; `None` without a lock.
    pub contended: Option<f64>,
}

impl ThreadReport {
    /// Returns how many times faster the requests are made on several threads than on one.
    pub fn speed_up(&self) -> Option<f64> {
        Some(self.single_ns? / self.threads_ns?.max(0.01))
    }
}

/// Replays a trace on one thread and on several, round by round. `tick` is called after each step.
///
/// # Errors
///
/// If the replay cannot start. A heap's own failure is in its result.
pub fn replay_threads(
    trace: &Trace,
    contenders: &[SharedContender],
    division: Division,
    rounds: u32,
    tick: &dyn Fn(&str),
) -> Result<Vec<ThreadReport>, ReplayError> {
    let repetitions = ROUND_REQUESTS.div_ceil(trace.ops().len().max(1)) as u32;
    let heaps = match division {
        Division::Copies(copies) => copies.clamp(1, COPIES_MAX),
        Division::Single | Division::Recorded => 1,
    };
    // Threads wait for each other, and there may be more of them than cores.
    let patience = patience(trace) * (repetitions + 1) * heaps * 4;
    let mut entrants = Vec::new();
    for contender in contenders {
        let session = run::start(&format!("{THREADS}{}", contender.name()), trace)?;
        entrants.push((session, Times::default(), None::<String>));
    }
    for _ in 0..rounds {
        for (contender, (session, times, failure)) in contenders.iter().zip(&mut entrants) {
            for each in [Division::Single, division] {
                if failure.is_some() {
                    break;
                }
                match session.ask(Request::Threads { division: each, repetitions }, patience) {
                    Answer::TimedThreads { nanoseconds, requests, contended } => {
                        let requests = requests.max(1) as f64;
                        let ns = nanoseconds as f64 / requests;
                        if each == Division::Single {
                            times.single.push(ns);
                        } else {
                            times.threads.push(ns);
                            times.contended.extend(contended.map(|count| count as f64 / requests));
                        }
                    }
                    Answer::Failed { reason } => *failure = Some(reason),
                    other => *failure = Some(format!("unexpected answer {other:?}")),
                }
            }
            tick(contender.name());
        }
    }
    let reports = contenders.iter().zip(entrants).map(|(contender, (_, times, failure))| {
        let median = |times| Middle::of(times).map(|middle: Middle| middle.median);
        ThreadReport {
            allocator: contender.name(),
            is_behind_lock: contender.is_behind_lock(),
            status: failure.unwrap_or_else(|| "ok".to_owned()),
            single_ns: median(times.single),
            threads_ns: median(times.threads),
            contended: median(times.contended),
        }
    });
    Ok(reports.collect())
}

/// The measurements of one heap, one of each per round.
#[derive(Default)]
struct Times {
    single: Vec<f64>,
    threads: Vec<f64>,
    contended: Vec<f64>,
}
