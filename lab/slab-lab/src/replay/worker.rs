//! The process in which one contender runs one trace; a crash ends this process only.

use std::io::{self, BufRead, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use slab_peers::{Contender, SharedContender, Side};

use super::Samples;
use super::limits::region_bytes;
use super::pins::Pins;
use super::protocol::{Answer, Division, Request};
use crate::exec::{Failure, Heap, Idle, Region, ThreadPlan};
use crate::trace::{self, OPERATIONS_MAX, Trace};

/// The name under which a worker runs the allocator that does nothing.
pub const HARNESS: &str = "harness";

/// Before the name of a heap that several threads use.
pub const THREADS: &str = "threads/";

/// The most threads that each replay a whole trace, which needs so many times its memory.
pub const COPIES_MAX: u32 = 64;

/// Serves requests from standard input until it ends.
///
/// # Errors
///
/// If the lab breaks the protocol or ends.
pub fn serve(contender: &str) -> io::Result<()> {
    // The answer carries the reason, and the lab shows it.
    panic::set_hook(Box::new(|_| {}));
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut input = io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let contents = input.by_ref().take(u64::from_le_bytes(length));
    let trace = trace::read("worker", "worker", contents, OPERATIONS_MAX)
        .map_err(|error| invalid(error.to_string()))?;
    let size = region_bytes(&trace);
    if let Some(name) = contender.strip_prefix(THREADS) {
        let contender =
            SharedContender::named(name).ok_or_else(|| invalid(format!("no {name}")))?;
        return serve_requests(input, |request| match request {
            Request::Threads { division, repetitions } => {
                threads(&contender, &trace, division, repetitions)
            }
            other => unreachable!("{other:?} is not for threads"),
        });
    }
    let mut region = match Region::new(size) {
        Ok(region) => region,
        Err(failure) => return serve_requests(input, |_| Err(failure.clone())),
    };
    if contender == HARNESS {
        let idle = Idle::new(&trace, &mut region);
        return serve_requests(input, |request| match request {
            Request::Check => Ok(Answer::Checked { footprint_bytes: None }),
            Request::Round { repetitions } => round(repetitions, || Heap::idle(&idle).run(&trace)),
            Request::Arena => Ok(Answer::Arena { bytes: None }),
            Request::Sample => Ok(Answer::Sampled(Samples::default())),
            Request::Pins => Ok(Answer::Pinned(Vec::new())),
            Request::Threads { .. } => unreachable!("the harness has one thread"),
        });
    }
    let contender =
        Contender::named(contender).ok_or_else(|| invalid(format!("no {contender}")))?;
    serve_requests(input, |request| match request {
        Request::Check => check(contender, &mut region, &trace),
        Request::Round { repetitions } => {
            round(repetitions, || Heap::new(contender, &mut region, size)?.run(&trace))
        }
        Request::Arena => arena(contender, &mut region, &trace),
        Request::Sample => sample(contender, &mut region, &trace),
        Request::Pins => pins(contender, &mut region, &trace),
        Request::Threads { .. } => unreachable!("such a worker has another name"),
    })
}

fn threads(
    contender: &SharedContender,
    trace: &Trace,
    division: Division,
    repetitions: u32,
) -> Result<Answer, Failure> {
    let (plan, heaps) = match division {
        Division::Single => (ThreadPlan::single(trace), 1),
        Division::Recorded => (ThreadPlan::recorded(trace), 1),
        Division::Copies(copies) => {
            let copies = copies.clamp(1, COPIES_MAX) as usize;
            (ThreadPlan::copies(trace, copies), copies)
        }
    };
    let mut region = Region::new(region_bytes(trace) * heaps)?;
    let (mut took, mut contended) = (Duration::ZERO, None);
    for repetition in 0..=repetitions {
        let (time, found_taken) = plan.run(contender, &mut region)?;
        // The first replay is not timed: it warms caches.
        if repetition > 0 {
            took += time;
            contended = found_taken.map(|found| found + contended.unwrap_or(0));
        }
    }
    Ok(Answer::TimedThreads {
        nanoseconds: took.as_nanos() as u64,
        requests: plan.requests() as u64 * u64::from(repetitions),
        contended,
    })
}

/// The step of the search for the smallest region.
const ARENA_UNIT_BYTES: usize = 128;

/// Finds the smallest region by bisection, between the peak of live bytes and the whole region. It
/// assumes that more memory is never worse, which a buddy system can violate a little.
fn arena(contender: &Contender, region: &mut Region, trace: &Trace) -> Result<Answer, Failure> {
    if contender.side() == Side::Reference {
        return Ok(Answer::Arena { bytes: None });
    }
    let mut survives = |units: usize| {
        let replay = || Heap::new(contender, region, units * ARENA_UNIT_BYTES)?.run(trace);
        // A rival may panic if its region is too small.
        panic::catch_unwind(AssertUnwindSafe(replay)).is_ok_and(|outcome| outcome.is_ok())
    };
    let mut too_small = trace.peak_live_bytes() / ARENA_UNIT_BYTES;
    let mut enough = region_bytes(trace) / ARENA_UNIT_BYTES;
    while too_small + 1 < enough {
        let middle = too_small.midpoint(enough);
        if survives(middle) {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    let bytes = enough * ARENA_UNIT_BYTES;
    Heap::new(contender, region, bytes)?.check(trace)?;
    Ok(Answer::Arena { bytes: Some(bytes) })
}

fn sample(contender: &Contender, region: &mut Region, trace: &Trace) -> Result<Answer, Failure> {
    let size = region.size();
    let heap = Heap::new(contender, region, size)?;
    let Some(bounds) = heap.bounds() else { return Ok(Answer::Sampled(Samples::default())) };
    let mut samples = Samples::new(bounds, trace.ops().len());
    heap.check_observed(trace, &mut |operation, live| {
        samples.observe(operation, live.by_address());
    })?;
    Ok(Answer::Sampled(samples))
}

fn pins(contender: &Contender, region: &mut Region, trace: &Trace) -> Result<Answer, Failure> {
    let size = region.size();
    let heap = Heap::new(contender, region, size)?;
    let mut pins = Pins::new(trace);
    heap.check_observed(trace, &mut |request, live| pins.observe(request, live.by_slot()))?;
    Ok(Answer::Pinned(pins.finish()))
}

/// Answers requests until the input ends.
fn serve_requests(
    mut input: impl BufRead,
    mut answer: impl FnMut(Request) -> Result<Answer, Failure>,
) -> io::Result<()> {
    let mut line = String::new();
    while input.read_line(&mut line)? != 0 {
        let request: Request = serde_json::from_str(&line)?;
        line.clear();
        let answer = match panic::catch_unwind(AssertUnwindSafe(|| answer(request))) {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => Answer::Failed { reason: failure.to_string() },
            Err(payload) => {
                let said = payload.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
                Answer::Failed { reason: format!("panicked: {}", said.unwrap_or("no message")) }
            }
        };
        let mut output = io::stdout().lock();
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

fn check(contender: &Contender, region: &mut Region, trace: &Trace) -> Result<Answer, Failure> {
    region.mark();
    let size = region.size();
    let heap = Heap::new(contender, region, size)?;
    let value_bytes = heap.value_bytes();
    heap.check(trace)?;
    let lives_here = contender.side() != Side::Reference;
    let footprint_bytes = lives_here.then(|| region.touched_bytes() + value_bytes);
    Ok(Answer::Checked { footprint_bytes })
}

/// The first replay is not timed: it warms caches that other processes have used meanwhile.
fn round(
    repetitions: u32,
    mut replay: impl FnMut() -> Result<Duration, Failure>,
) -> Result<Answer, Failure> {
    replay()?;
    let mut took = Duration::ZERO;
    for _ in 0..repetitions {
        took += replay()?;
    }
    Ok(Answer::Timed { nanoseconds: took.as_nanos() as u64 })
}
