//! Limits of a replay: memory and time.

use std::time::Duration;

use crate::trace::Trace;

/// The largest peak that is replayed. Each contender has its own region, all at the same time, and
/// every byte of it is written: at this peak that is half a GiB each.
pub const PEAK_BYTES_MAX: usize = 256 << 20;

/// Returns the size of the region in which a trace is replayed, in whole MiB: four times the peak up
/// to 32 MiB, twice the peak beyond. All but the most wasteful allocators fit, and a tight fit slows
/// none down.
pub fn region_bytes(trace: &Trace) -> usize {
    const UNIT: usize = 1 << 20;
    let peak = trace.peak_live_bytes();
    let times = if peak <= 32 << 20 { 4 } else { 2 };
    peak.saturating_mul(times).next_multiple_of(UNIT).max(UNIT)
}

/// Returns how long one replay may take; a slower contender fails. 2 µs for a request are five times
/// what the slowest useful ones need in the checking pass on a busy machine. The ten seconds before them
/// are for a machine with many more runnable threads than cores: with sixteen on two cores, half a second
/// was too short for a debug build.
pub(super) fn patience(trace: &Trace) -> Duration {
    const PER_OPERATION: Duration = Duration::from_micros(2);
    const BYTES_PER_SECOND: usize = 100_000_000;
    let sizes = trace.ops().iter().map(|op| op.new_bytes());
    let bytes = sizes.fold(region_bytes(trace), usize::saturating_add);
    let operations = u32::try_from(trace.ops().len()).unwrap_or(u32::MAX);
    Duration::from_secs(10)
        + PER_OPERATION * operations
        + Duration::from_secs((bytes / BYTES_PER_SECOND) as u64)
}
