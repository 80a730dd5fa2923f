//! The page: title, overview, one section per trace, method.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::footer::Provenance;
use super::timeline::Watched;
use super::{overview, section};
use crate::replay::Report;
use crate::replay::advice::advise;
use crate::words;

pub(super) const STYLE: &str = include_str!("style.css");

/// Everything that a page shows.
pub struct Page<'a> {
    /// The results.
    pub report: &'a Report,
    /// The sampled heaps of each trace, in the same order.
    pub watched: &'a [Vec<Watched>],
    /// How the results were measured.
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
        let traces = self.report.traces.iter().zip(self.watched).enumerate();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    // XML requires that void elements are closed.
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
                        @for (index, (trace, watched)) in traces {
                            (section::draw(index, trace, watched, &advise(trace)))
                        }
                    }
                    (self.provenance.draw(self.report))
                }
            }
        }
    }
}
