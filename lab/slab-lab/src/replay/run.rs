//! All contenders over a trace: started, checked, and timed in turn.

use std::io;
use std::time::{Duration, Instant};

use slab_peers::Contender;
use thiserror::Error;

use super::limits::{PEAK_BYTES_MAX, patience};
use super::protocol::{Answer, Request};
use super::worker::HARNESS;
use super::{ContenderReport, Middle, Samples, Session, TraceReport};
use crate::trace::{Profile, Trace, binary};

/// Timed operations per round and contender: some milliseconds, so that starting a round does not count.
const ROUND_OPERATIONS: usize = 200_000;

/// The extra time for looking at all live blocks now and then.
const SAMPLING: Duration = Duration::from_secs(10);

/// A contender that has used so much time on a trace is not timed again on it.
const BUDGET: Duration = Duration::from_millis(400);

/// Why a replay cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The trace needs too much memory.
    #[error(
        "{trace}: {peak_bytes} bytes live at one time, more than the {limit} that can be replayed"
    )]
    LargePeak {
        /// The trace's name.
        trace: String,
        /// The peak of its live bytes.
        peak_bytes: usize,
        /// The largest accepted peak.
        limit: usize,
    },
    /// A worker process cannot be started.
    #[error("a worker cannot be started: {0}")]
    Worker(#[from] io::Error),
}

/// The measurements of each contender, besides the checking pass.
#[derive(Debug, Clone, Copy)]
pub struct Measures {
    /// How often the contenders are timed in turn.
    pub rounds: u32,
    /// Whether the smallest region is measured.
    pub arena: bool,
}

/// Replays a trace over the contenders. `tick` is called after each step.
///
/// # Errors
///
/// If the replay cannot start. A contender's own failure is in its result.
pub fn replay(
    trace: &Trace,
    contenders: &[&'static Contender],
    measures: Measures,
    tick: &dyn Fn(&str),
) -> Result<TraceReport, ReplayError> {
    let mut harness = Entrant::start(HARNESS, trace)?;
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
        rounds: measures.rounds,
        profile: Profile::of(trace),
        run: trace.run(),
        warnings: trace.warnings().to_string(),
    })
}

/// Samples the heap of one contender during a trace; the inner error says why it failed.
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

/// Returns the bytes of pages in use that each call stack keeps empty while one contender runs a trace,
/// on average; the last entry is that of requests without a stack. The inner error says why it failed.
///
/// # Errors
///
/// As [`replay`].
pub fn pinned_bytes(
    trace: &Trace,
    contender: &'static Contender,
) -> Result<Result<Vec<u64>, String>, ReplayError> {
    let mut session = start(contender.name(), trace)?;
    Ok(match session.ask(Request::Pins, patience(trace) + SAMPLING) {
        Answer::Pinned(bytes) => Ok(bytes),
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
    Ok(Session::start(contender, &packed(trace)?)?)
}

/// Returns a trace as a worker reads it.
pub(super) fn packed(trace: &Trace) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    binary::write(trace, &mut contents, binary::FAST)?;
    Ok(contents)
}

/// A contender during a trace.
struct Entrant {
    session: Session,
    failure: Option<String>,
    footprint_bytes: Option<usize>,
    smallest_arena_bytes: Option<usize>,
    /// Nanoseconds per operation of each round.
    rounds_ns: Vec<f64>,
    spent: Duration,
    /// The longest that one replay may take.
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
            checks: contender.checks(),
        }
    }
}
