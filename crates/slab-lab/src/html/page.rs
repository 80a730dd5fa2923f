//! A replay as one HTML page that needs nothing but itself: no script, no font, no picture from
//! elsewhere. Nothing is measured here.
//!
//! ```text
//! overview    the traces and their recommendations, if there are several
//! section     one trace: recommendation, charts, table
//!   bars        time, memory, sizes, lifetimes
//!   timeline    pages over time          heap_map    what was live where
//! footer      how all of that was measured
//! ```
//!
//! The page is HTML and well-formed XML at the same time, so that strict parsers can check it.

mod bars;
mod colours;
mod footer;
mod heap_map;
mod overview;
mod section;
#[cfg(test)]
mod tests;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use footer::Provenance;
pub use timeline::Watched;

use crate::replay::Report;
use crate::replay::advice::advise;
use crate::trace::Profile;
use crate::words;

const STYLE: &str = include_str!("style.css");

/// What is shown of a trace besides its results.
pub struct Detail {
    /// What it is made of.
    pub profile: Profile,
    /// The heaps of those that got through, as far as they have a region.
    pub watched: Vec<Watched>,
    /// What did not add up in the recording; may be empty.
    pub oddities: String,
}

/// Everything that a page shows.
pub struct Page<'a> {
    /// The results.
    pub report: &'a Report,
    /// One per trace, in the same order.
    pub details: &'a [Detail],
    /// How the results came about.
    pub provenance: &'a Provenance,
}

impl Page<'_> {
    /// Writes the page.
    pub fn html(&self) -> String {
        self.markup().into_string()
    }

    fn markup(&self) -> Markup {
        let names: Vec<&str> =
            self.report.traces.iter().map(|trace| trace.trace.as_str()).collect();
        let title = match names.len() {
            0..=3 => format!("Allocators for {}", words::list(&names)),
            many => format!("Allocators for {many} programs"),
        };
        let traces = self.report.traces.iter().zip(self.details).enumerate();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    // Void elements are closed, as XML wants it.
                    (PreEscaped(r#"<meta charset="utf-8"/>"#))
                    (PreEscaped(
                        r#"<meta name="viewport" content="width=device-width, initial-scale=1"/>"#
                    ))
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (title) }
                        p.faint {
                            "The memory requests of "
                            (if names.len() == 1 { "a real program" } else { "real programs" })
                            ", replayed over every allocator on " (self.provenance.date) ". "
                            a href="#method" { "How it was measured" }
                        }
                    }
                    main {
                        (overview::draw(self.report))
                        @for (index, (trace, detail)) in traces {
                            (section::draw(index, trace, detail, &advise(trace)))
                        }
                    }
                    (self.provenance.draw(self.report, self.details))
                }
            }
        }
    }
}

/// Returns the name of a trace's section, which links lead to.
fn anchor(index: usize) -> String {
    format!("trace-{}", index + 1)
}
