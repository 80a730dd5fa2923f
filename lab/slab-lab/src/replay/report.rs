//! The results of a replay, in the shape of the JSON output.

use serde::Serialize;
use slab_peers::{Checks, Side};

use crate::trace::{Profile, Run};

/// The results of all traces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The traces, in the order in which they ran.
    pub traces: Vec<TraceReport>,
}

/// The results of one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceReport {
    /// The trace's name.
    pub trace: String,
    /// The number of its requests.
    pub operations: usize,
    /// The most bytes that are live at one time, as requested.
    pub peak_live_bytes: usize,
    /// Nanoseconds that the harness takes per request; already subtracted from every contender.
    pub harness_ns_per_op: Option<f64>,
    /// One result per contender.
    pub results: Vec<ContenderReport>,
    /// How often the contenders were timed in turn.
    #[serde(skip)]
    pub rounds: u32,
    /// Counts over the trace.
    #[serde(skip)]
    pub profile: Profile,
    /// The recording's facts about the whole run.
    #[serde(skip)]
    pub run: Run,
    /// The warnings of the recording; may be empty.
    #[serde(skip)]
    pub warnings: String,
}

/// The result of one contender on one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContenderReport {
    /// The contender's name.
    pub allocator: &'static str,
    /// `ok`, or why it failed.
    pub status: String,
    /// Median nanoseconds per request.
    pub ns_per_op: Option<f64>,
    /// Bytes of the pages it wrote to, plus its own value; `None` without a region.
    pub footprint_bytes: Option<usize>,
    /// The smallest region in which the trace runs, if that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_arena_bytes: Option<usize>,
    /// Half the distance between the quartiles of the rounds, in nanoseconds per request.
    #[serde(skip)]
    pub spread_ns: Option<f64>,
    /// Whose allocator it is.
    #[serde(skip)]
    pub side: Side,
    /// Its checks.
    #[serde(skip)]
    pub checks: Checks,
}

impl TraceReport {
    /// Returns the contender's time as a multiple of the fastest rival that got through; `None` if
    /// either is lost in the cost of the harness.
    pub fn times_best_rival(&self, result: &ContenderReport) -> Option<f64> {
        let rivals = self.results.iter().filter(|result| result.side == Side::Rival);
        let best = rivals.filter_map(|result| result.ns_per_op).min_by(f64::total_cmp)?;
        result.ns_per_op.filter(|&ns| ns > 0.0 && best > 0.0).map(|ns| ns / best)
    }

    /// Returns a contender's footprint as a multiple of the live bytes.
    pub fn times_peak(&self, result: &ContenderReport) -> Option<f64> {
        Some(result.footprint_bytes? as f64 / self.peak_live_bytes.max(1) as f64)
    }

    /// Returns a contender's smallest region as a multiple of the live bytes.
    pub fn arena_times_peak(&self, result: &ContenderReport) -> Option<f64> {
        Some(result.smallest_arena_bytes? as f64 / self.peak_live_bytes.max(1) as f64)
    }
}

/// The median of some measurements and their spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Middle {
    /// The median; of an even number of measurements the upper one.
    pub median: f64,
    /// Half the distance between the quartiles.
    pub spread: f64,
}

impl Middle {
    /// Returns the middle of the measurements; `None` if there are none.
    pub fn of(mut measurements: Vec<f64>) -> Option<Self> {
        measurements.sort_by(f64::total_cmp);
        let at = |quarters: usize| measurements.get(measurements.len() * quarters / 4).copied();
        Some(Self { median: at(2)?, spread: (at(3)? - at(1)?) / 2.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_ignores_outliers() {
        assert_eq!(Middle::of(vec![]), None);
        assert_eq!(Middle::of(vec![3.0]), Some(Middle { median: 3.0, spread: 0.0 }));
        let middle = Middle::of(vec![5.0, 1.0, 900.0, 3.0, 4.0]).expect("five");
        assert_eq!(middle, Middle { median: 4.0, spread: 1.0 });
    }
}
