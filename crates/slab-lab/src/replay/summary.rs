//! Several traces in one line per allocator: geometric means.

use slab_peers::Side;

use super::{ContenderReport, Report, TraceReport};

/// One thing to say about a contender on a trace: its heading, and how it is worked out.
type Figure = (&'static str, fn(&TraceReport, &ContenderReport) -> Option<f64>);

const TIME: [Figure; 2] =
    [("ns/op", |_, result| result.ns_per_op), ("× best rival", TraceReport::times_best_rival)];
const ARENA: Figure = ("arena × peak", TraceReport::arena_times_peak);
const FOOTPRINT: Figure = ("footprint × peak", TraceReport::times_peak);

/// How all contenders did on all traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What the means are of.
    pub headings: Vec<&'static str>,
    /// Whether there are times among them.
    pub timed: bool,
    /// One per contender.
    pub rows: Vec<Means>,
}

/// How one contender did on all traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Means {
    /// Its name.
    pub allocator: &'static str,
    /// Whose it is.
    pub side: Side,
    /// Geometric means over the traces it got through, one per heading.
    pub means: Vec<Option<f64>>,
    /// How many traces it got through.
    pub passed: usize,
}

impl Report {
    /// Returns the means over all traces; nothing if there are not at least two.
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
                means: figures.iter().map(mean).collect(),
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

fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
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
