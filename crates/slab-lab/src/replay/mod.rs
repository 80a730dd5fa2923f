//! All contenders over a trace, each in a process of its own.

pub mod advice;
mod map;
pub mod protocol;
mod report;
mod samples;
mod session;
mod summary;
pub mod worker;

use std::io;
use std::time::{Duration, Instant};

use slab_peers::Contender;
use thiserror::Error;

pub use map::{Area, HeapMap, SHADES};
pub use report::{ContenderReport, Middle, Report, TraceReport};
pub use samples::{Moment, Samples};
pub use session::Session;
pub use summary::{Means, Summary};

use crate::trace::{Trace, binary};
use protocol::{Answer, Request};

/// The largest peak that is replayed. Every contender has a region of its own, all at the same time,
/// and every byte of it is written: at this peak that is half a GiB each.
pub const PEAK_BYTES_MAX: usize = 256 << 20;

/// Timed operations per round and contender: some milliseconds, so that starting a round is nothing.
const ROUND_OPERATIONS: usize = 200_000;

/// What looking at all live blocks now and then may take longer than not looking.
const SAMPLING: Duration = Duration::from_secs(10);

/// A contender that has used so much time on a trace is not timed again on it.
const BUDGET: Duration = Duration::from_millis(400);

/// Returns how long one replay may take. A contender that needs more is not waited for: 2 µs for a
/// request is five times what the slowest useful ones need in the checking pass on a busy machine.
fn patience(trace: &Trace) -> Duration {
    const PER_OPERATION: Duration = Duration::from_micros(2);
    const BYTES_PER_SECOND: usize = 100_000_000;
    let sizes = trace.ops().iter().map(|op| op.new_bytes());
    let bytes = sizes.fold(region_bytes(trace), usize::saturating_add);
    let operations = u32::try_from(trace.ops().len()).unwrap_or(u32::MAX);
    Duration::from_millis(500)
        + PER_OPERATION * operations
        + Duration::from_secs((bytes / BYTES_PER_SECOND) as u64)
}

/// A replay that cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The trace needs more memory than is sensible.
    #[error(
        "{trace}: {peak_bytes} bytes live at one time, more than the {limit} that are replayed"
    )]
    LargePeak {
        /// Its name.
        trace: String,
        /// What it needs.
        peak_bytes: usize,
        /// What is accepted.
        limit: usize,
    },
    /// A worker process cannot be started.
    #[error("a worker cannot be started: {0}")]
    Worker(#[from] io::Error),
}

/// Returns the size of the region in which a trace is replayed: four times the peak up to 32 MiB,
/// twice the peak beyond, in whole MiB. All but the most wasteful fit, and none is hurt by a tight
/// fit.
pub fn region_bytes(trace: &Trace) -> usize {
    const UNIT: usize = 1 << 20;
    let peak = trace.peak_live_bytes();
    let times = if peak <= 32 << 20 { 4 } else { 2 };
    peak.saturating_mul(times).next_multiple_of(UNIT).max(UNIT)
}

/// What is found out about each contender, besides that it works.
#[derive(Debug, Clone, Copy)]
pub struct Measures {
    /// How often the contenders are timed in turn.
    pub rounds: u32,
    /// Whether the smallest region is looked for.
    pub arena: bool,
}

/// Replays a trace over the contenders. `tick` is called after each step.
///
/// # Errors
///
/// If the replay cannot start at all. What a contender does wrong is in its result.
pub fn replay(
    trace: &Trace,
    contenders: &[&'static Contender],
    measures: Measures,
    tick: &dyn Fn(&str),
) -> Result<TraceReport, ReplayError> {
    let mut harness = Entrant::start(worker::HARNESS, trace)?;
    let mut entrants = Vec::new();
    for contender in contenders {
        let mut entrant = Entrant::start(contender.name(), trace)?;
        entrant.check();
        if measures.arena {
            entrant.arena();
        }
        tick(contender.name());
        entrants.push(entrant);
    }
    let operations = trace.ops().len();
    let repetitions = ROUND_OPERATIONS.div_ceil(operations.max(1)) as u32;
    for round in 0..measures.rounds as usize {
        harness.round(operations, repetitions);
        for turn in 0..entrants.len() {
            let turn = (turn + round) % contenders.len();
            entrants[turn].round(operations, repetitions);
            tick(contenders[turn].name());
        }
    }
    let harness = Middle::of(harness.rounds_ns);
    let harness_ns = harness.map_or(0.0, |middle| middle.median);
    let results = entrants.into_iter().zip(contenders);
    let results = results.map(|(entrant, contender)| entrant.result(contender, harness_ns));
    Ok(TraceReport {
        trace: trace.name().to_owned(),
        operations,
        peak_live_bytes: trace.peak_live_bytes(),
        harness_ns_per_op: harness.map(|middle| middle.median),
        results: results.collect(),
    })
}

/// Watches the heap of one contender while it goes through a trace, or says why it did not.
///
/// # Errors
///
/// As [`replay`].
pub fn sample(
    trace: &Trace,
    contender: &'static Contender,
) -> Result<Result<Samples, String>, ReplayError> {
    let mut session = start(contender.name(), trace)?;
    Ok(match session.ask(Request::Sample, patience(trace) + SAMPLING) {
        Answer::Sampled(samples) => Ok(samples),
        Answer::Failed { reason } => Err(reason),
        other => Err(format!("unexpected answer {other:?}")),
    })
}

/// Starts a worker for a trace.
///
/// # Errors
///
/// As [`replay`].
pub fn start(contender: &str, trace: &Trace) -> Result<Session, ReplayError> {
    let peak_bytes = trace.peak_live_bytes();
    if peak_bytes > PEAK_BYTES_MAX {
        let (trace, limit) = (trace.name().to_owned(), PEAK_BYTES_MAX);
        return Err(ReplayError::LargePeak { trace, peak_bytes, limit });
    }
    let mut contents = Vec::new();
    binary::write(trace, &mut contents, binary::FAST)?;
    Ok(Session::start(contender, &contents)?)
}

/// A contender on its way through a trace.
struct Entrant {
    session: Session,
    failure: Option<String>,
    footprint_bytes: Option<usize>,
    smallest_arena_bytes: Option<usize>,
    /// Nanoseconds per operation of each round.
    rounds_ns: Vec<f64>,
    spent: Duration,
    /// For one replay.
    patience: Duration,
}

impl Entrant {
    fn start(contender: &str, trace: &Trace) -> Result<Self, ReplayError> {
        let session = start(contender, trace)?;
        Ok(Self {
            session,
            failure: None,
            footprint_bytes: None,
            smallest_arena_bytes: None,
            rounds_ns: Vec::new(),
            spent: Duration::ZERO,
            patience: patience(trace),
        })
    }

    fn check(&mut self) {
        match self.session.ask(Request::Check, self.patience) {
            Answer::Checked { footprint_bytes } => self.footprint_bytes = footprint_bytes,
            other => self.fail(other),
        }
    }

    fn arena(&mut self) {
        /// Twice the binary logarithm of the largest region in units.
        const REPLAYS_MAX: u32 = 64;
        if self.failure.is_none() {
            match self.session.ask(Request::Arena, self.patience * REPLAYS_MAX) {
                Answer::Arena { bytes } => self.smallest_arena_bytes = bytes,
                other => self.fail(other),
            }
        }
    }

    fn round(&mut self, operations: usize, repetitions: u32) {
        if self.failure.is_some() || self.spent >= BUDGET {
            return;
        }
        let start = Instant::now();
        let patience = self.patience * (repetitions + 1);
        match self.session.ask(Request::Round { repetitions }, patience) {
            Answer::Timed { nanoseconds } => {
                let timed_operations = operations as f64 * f64::from(repetitions);
                self.rounds_ns.push(nanoseconds as f64 / timed_operations);
            }
            other => self.fail(other),
        }
        self.spent += start.elapsed();
    }

    fn fail(&mut self, answer: Answer) {
        self.failure = Some(match answer {
            Answer::Failed { reason } => reason,
            other => format!("unexpected answer {other:?}"),
        });
    }

    fn result(self, contender: &'static Contender, harness_ns: f64) -> ContenderReport {
        let middle = Middle::of(self.rounds_ns).filter(|_| self.failure.is_none());
        ContenderReport {
            allocator: contender.name(),
            status: self.failure.unwrap_or_else(|| "ok".to_owned()),
            ns_per_op: middle.map(|middle| middle.median - harness_ns),
            footprint_bytes: self.footprint_bytes,
            smallest_arena_bytes: self.smallest_arena_bytes,
            spread_ns: middle.map(|middle| middle.spread),
            side: contender.side(),
        }
    }
}
