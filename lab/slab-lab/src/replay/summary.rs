//! Geometric means over several traces, one line per allocator.

use slab_peers::{Checks, Side};

use super::{ContenderReport, Report, TraceReport};

/// A column: its heading, and how it is computed.
type Figure = (&'static str, fn(&TraceReport, &ContenderReport) -> Option<f64>);

const TIME: [Figure; 2] =
    [("ns/request", |_, result| result.ns_per_op), ("× best rival", TraceReport::times_best_rival)];
const ARENA: Figure = ("smallest region × live", TraceReport::arena_times_peak);
const FOOTPRINT: Figure = ("footprint × live", TraceReport::times_peak);

/// The means of all contenders.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The headings of the columns.
    pub headings: Vec<&'static str>,
    /// Whether there are times among the columns.
    pub timed: bool,
    /// One row per contender.
    pub rows: Vec<Means>,
}

/// The means of one contender.
#[derive(Debug, Clone, PartialEq)]
pub struct Means {
    /// The contender's name.
    pub allocator: &'static str,
    /// Whose allocator it is.
    pub side: Side,
    /// Its checks.
    pub checks: Checks,
    /// Geometric means over the traces that it got through, one per heading.
    pub means: Vec<Option<f64>>,
    /// The largest smallest region of those traces, as a multiple of the live bytes.
    pub worst_arena: Option<f64>,
    /// The number of traces that it got through.
    pub passed: usize,
}

impl Report {
    /// Returns the means over all traces; `None` for fewer than two traces.
    pub fn summary(&self) -> Option<Summary> {
        let first = self.traces.first().filter(|_| self.traces.len() > 1)?;
        let timed = first.harness_ns_per_op.is_some();
        let arenas = first.results.iter().any(|result| result.smallest_arena_bytes.is_some());
        let mut figures = Vec::new();
        figures.extend(TIME.iter().filter(|_| timed));
        figures.extend(Some(&ARENA).filter(|_| arenas));
        figures.push(&FOOTPRINT);
        let rows = first.results.iter().enumerate().map(|(row, contender)| {
            let results = || self.traces.iter().map(|trace| (trace, &trace.results[row]));
            let mean = |(_, figure): &&Figure| {
                let values = results().filter_map(|(trace, result)| figure(trace, result));
                geometric_mean(values.filter(|&value| value > 0.0))
            };
            Means {
                allocator: contender.allocator,
                side: contender.side,
                checks: contender.checks,
                means: figures.iter().map(mean).collect(),
                worst_arena: results()
                    .filter_map(|(trace, result)| trace.arena_times_peak(result))
                    .max_by(f64::total_cmp),
                passed: results().filter(|(_, result)| result.status == "ok").count(),
            }
        });
        let rows = rows.collect();
        Some(Summary {
            headings: figures.iter().map(|(heading, _)| *heading).collect(),
            timed,
            rows,
        })
    }
}

pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric() {
        let mean = geometric_mean([1.0, 4.0, 16.0].into_iter()).expect("values");
        assert!((mean - 4.0).abs() < 1e-9, "{mean}");
        assert_eq!(geometric_mean([].into_iter()), None);
    }
}
