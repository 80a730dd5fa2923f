//! What a replay found out, in the shape of the JSON output.

use serde::Serialize;
use slab_peers::Side;

/// The results of all traces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// In the order in which they ran.
    pub traces: Vec<TraceReport>,
}

/// The results of one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceReport {
    /// Its name.
    pub trace: String,
    /// Its requests.
    pub operations: usize,
    /// The most bytes that live at one time, as asked for.
    pub peak_live_bytes: usize,
    /// The harness's own cost, already subtracted from every contender.
    pub harness_ns_per_op: Option<f64>,
    /// One per contender.
    pub results: Vec<ContenderReport>,
}

/// How one contender did on one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContenderReport {
    /// Its name.
    pub allocator: &'static str,
    /// `ok`, or the reason in words.
    pub status: String,
    /// Median nanoseconds per request.
    pub ns_per_op: Option<f64>,
    /// Pages touched, and the allocator's own value; `None` without a region.
    pub footprint_bytes: Option<usize>,
    /// The smallest region in which the trace runs, where it was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_arena_bytes: Option<usize>,
    /// Half the distance between the quartiles of the rounds, in nanoseconds per request.
    #[serde(skip)]
    pub spread_ns: Option<f64>,
    /// Whose it is.
    #[serde(skip)]
    pub side: Side,
}

impl TraceReport {
    /// Returns how many times as long a contender took as the fastest rival that got through.
    /// Nothing if either drowned in the harness's own cost.
    pub fn times_best_rival(&self, result: &ContenderReport) -> Option<f64> {
        let rivals = self.results.iter().filter(|result| result.side == Side::Rival);
        let best = rivals.filter_map(|result| result.ns_per_op).min_by(f64::total_cmp)?;
        result.ns_per_op.filter(|&ns| ns > 0.0 && best > 0.0).map(|ns| ns / best)
    }

    /// Returns how many times the live bytes a contender's footprint is.
    pub fn times_peak(&self, result: &ContenderReport) -> Option<f64> {
        Some(result.footprint_bytes? as f64 / self.peak_live_bytes.max(1) as f64)
    }

    /// Returns how many times the live bytes a contender's smallest region is.
    pub fn arena_times_peak(&self, result: &ContenderReport) -> Option<f64> {
        Some(result.smallest_arena_bytes? as f64 / self.peak_live_bytes.max(1) as f64)
    }
}

/// The middle of some measurements, and half the distance of their quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Middle {
    /// The median; of an even number of measurements the upper one.
    pub median: f64,
    /// Half the interquartile distance.
    pub spread: f64,
}

impl Middle {
    /// Returns the middle of measurements, or `None` of none.
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
