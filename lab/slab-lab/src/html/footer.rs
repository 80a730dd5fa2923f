//! How the numbers were measured.

use maud::{Markup, html};
use slab_peers::contenders;

use crate::replay::Report;
use crate::replay::advice::{REQUESTS_MIN, SHARE_MIN};
use crate::words;

/// How a replay was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The command line.
    pub command: String,
    /// Date and time.
    pub date: String,
    /// Processor, memory, operating system.
    pub machine: String,
    /// The lab's version, profile and compiler.
    pub lab: String,
    /// How often the contenders were timed in turn.
    pub rounds: u32,
    /// How the trace was recorded, if the lab did so.
    pub recording: Option<String>,
    /// Further sentences for the list of what is left out.
    pub left_out: Vec<String>,
}

impl Provenance {
    /// Draws the end of the page.
    pub(super) fn draw(&self, report: &Report) -> Markup {
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
                        "The median of " (words::counted(self.rounds as usize, "round")) ". In each "
                        "round every allocator replays the trace in a separate process, one after the "
                        "other in changing order. A request is an allocation, a realloc or a free "
                        "through a trait object, and one byte written into each new block. The same "
                        "loop over an allocator that does nothing is subtracted"
                        @if !harness.is_empty() { " (" (words::list(&harness)) " ns a request)" }
                        "."
                    }
                    dt { "Memory" }
                    dd {
                        "Footprint: the 4 KiB pages of a generous region that are written to, and the "
                        "allocator's own value. Smallest region: by bisection, in steps of 128 bytes. "
                        "Pages over time and heap maps show blocks without metadata, at 200 moments."
                    }
                    dt { "Checks" }
                    dd {
                        "Before it is timed, each allocator runs the trace once while every block is "
                        "filled, inspected, and checked for overlap and alignment."
                    }
                    dt { "Recommendation" }
                    dd {
                        "Fewer than " (words::count(REQUESTS_MIN)) " requests give no verdict. Of the "
                        "allocators that got through with their checks on, the pick is the one whose "
                        "time and memory (the smallest region if it was measured, else the "
                        "footprint), each as a multiple of the best, have the smallest product; less "
                        "than a tenth is no difference, and between equals a crate's default mode is "
                        "taken. malloc stays unless the pick is faster by a tenth and by more than "
                        "the rounds differ, and saves at least " (words::percent(SHARE_MIN)) " of the "
                        "program's run. Recordings of heaptrack say how long that was, slowed down by "
                        "up to 2 µs a request."
                    }
                    dt { "Left out" }
                    dd { ul { @for sentence in self.omissions(report) { li { (sentence) } } } }
                }
            }
        }
    }

    fn omissions(&self, report: &Report) -> Vec<String> {
        let mut omissions = vec![
            "One thread replays the requests of all threads, and nothing happens between two \
             requests, so CPU caches are warmer than in a real run: this compares allocators and \
             does not predict how much faster a program becomes."
                .to_owned(),
            "Recordings of heaptrack show no alignments, and reallocs as a free and an allocation. \
             No recording shows memory that a program takes from the system directly."
                .to_owned(),
        ];
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

/// Returns names and versions of the contenders.
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
