//! How the numbers came about.

use maud::{Markup, html};
use slab_peers::contenders;

use super::Detail;
use crate::replay::Report;
use crate::words;

/// Where, when and how a replay was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The command line.
    pub command: String,
    /// Date and time.
    pub date: String,
    /// Processor, memory, operating system.
    pub machine: String,
    /// The lab's own version, its compiler, how it was built.
    pub lab: String,
    /// How often the contenders were timed in turn.
    pub rounds: u32,
    /// How the recording came about, if it was made on the way.
    pub recording: Option<String>,
    /// What this run did not do, in sentences.
    pub left_out: Vec<String>,
}

impl Provenance {
    /// Draws the end of the page.
    pub(super) fn draw(&self, report: &Report, details: &[Detail]) -> Markup {
        let harness = report.traces.iter().filter_map(|trace| trace.harness_ns_per_op);
        let harness: Vec<String> = harness.map(|ns| format!("{ns:.1}")).collect();
        html! {
            footer {
                h2 id="method" { "How it was measured" }
                dl {
                    dt { "Command" } dd { code { (self.command) } }
                    @if let Some(recording) = &self.recording {
                        dt { "Recording" } dd { (recording) }
                    }
                    dt { "Date" } dd { (self.date) }
                    dt { "Machine" } dd { (self.machine) }
                    dt { "Versions" } dd { (self.lab) ". " (words::list(&versions(report))) "." }
                    dt { "Time" }
                    dd {
                        "The median of " (words::counted(self.rounds as usize, "round")) "; in each "
                        "round every allocator replays the trace in a process of its own, one after "
                        "the other in changing order. A request is an allocation, a realloc or a free "
                        "through a trait object, and one byte written into each new block. The same "
                        "loop over an allocator that does nothing is subtracted"
                        @if !harness.is_empty() { " (" (words::list(&harness)) " ns a request)" }
                        "; ± is half the distance of the quartiles."
                    }
                    dt { "Memory" }
                    dd {
                        "Footprint: the 4 KiB pages of a generous region in which anything was "
                        "written, and the allocator's own value. Smallest region: by bisection, in "
                        "steps of 128 bytes. Pages over time and heap maps show blocks only, no "
                        "bookkeeping, at 200 moments."
                    }
                    dt { "Checks" }
                    dd {
                        "Before it is timed, each allocator goes through the trace once with every "
                        "block filled, inspected, and compared with all others for overlap and "
                        "alignment."
                    }
                    dt { "Recommendation" }
                    dd {
                        "Of the allocators that got through: the one whose time and memory (the "
                        "smallest region where it was measured, else the footprint), each as a "
                        "multiple of the best, have the smallest product. Less than a tenth is no "
                        "difference, and between equals a crate's default mode is taken."
                    }
                    dt { "Left out" }
                    dd { ul { @for sentence in self.omissions(report, details) { li { (sentence) } } } }
                }
            }
        }
    }

    fn omissions(&self, report: &Report, details: &[Detail]) -> Vec<String> {
        let mut omissions = vec![
            "One thread replays the requests of all threads, and between two requests the program \
             does nothing: this compares allocators and does not predict how much faster a program \
             becomes."
                .to_owned(),
            "Recordings of heaptrack show neither alignments nor reallocs, which appear as a free \
             and an allocation; memory that a program takes from the system directly is in no \
             recording."
                .to_owned(),
        ];
        for (trace, detail) in report.traces.iter().zip(details) {
            if !detail.oddities.is_empty() {
                omissions
                    .push(format!("In the recording of {}: {}.", trace.trace, detail.oddities));
            }
        }
        let shown = report.traces.first().map_or(&[][..], |trace| &trace.results[..]);
        let absent: Vec<&str> = contenders()
            .iter()
            .map(|contender| contender.name())
            .filter(|name| !shown.iter().any(|result| result.allocator == *name))
            .collect();
        if !absent.is_empty() {
            omissions.push(format!("Not run: {}.", words::list(&absent)));
        }
        omissions.extend(self.left_out.iter().cloned());
        omissions
    }
}

/// Returns names and versions of all that ran.
fn versions(report: &Report) -> Vec<String> {
    let shown = report.traces.first().map_or(&[][..], |trace| &trace.results[..]);
    let ran = contenders()
        .iter()
        .filter(|contender| shown.iter().any(|result| result.allocator == contender.name()));
    let named = ran.filter(|contender| {
        // The modes of a crate share its version.
        !contender.version().is_empty() && !contender.name().contains('/')
    });
    named.map(|contender| format!("{} {}", contender.name(), contender.version())).collect()
}
