//! Several traces at a glance.

use maud::{Markup, html};

use super::anchor;
use super::colours::colour;
use crate::replay::advice::{Advice, advise};
use crate::replay::{Report, Summary};
use crate::words;

/// Draws the overview; nothing if there is only one trace.
pub(super) fn draw(report: &Report) -> Markup {
    let Some(summary) = report.summary() else { return html! {} };
    html! {
        section aria-labelledby="overview" {
            h2 id="overview" { "At a glance" }
            div.scroll tabindex="0" role="region" aria-label="Recommendations" {
                table {
                    caption { span { "What to take for each program, from its own numbers" } }
                    thead {
                        tr {
                            th scope="col" { "program" }
                            th.text scope="col" { "take" }
                            th.text scope="col" { "fastest" }
                            th.text scope="col" { "least memory" }
                            th scope="col" { "requests" }
                            th scope="col" { "live at the peak" }
                        }
                    }
                    tbody {
                        @for (index, trace) in report.traces.iter().enumerate() {
                            @let advice = advise(trace);
                            tr {
                                th scope="row" { a href={ "#" (anchor(index)) } { (trace.trace) } }
                                td.text { (take(&advice)) }
                                @for name in [advice.fastest, advice.smallest] {
                                    td.text { (name.unwrap_or("—")) }
                                }
                                td { (words::count(trace.operations)) }
                                td { (words::bytes(trace.peak_live_bytes)) }
                            }
                        }
                    }
                }
            }
            h3 { "All programs together" }
            (means(&summary, report.traces.len()))
        }
    }
}

fn take(advice: &Advice) -> String {
    match (advice.pick, advice.system_will_do) {
        (Some(pick), false) => pick.to_owned(),
        (Some(pick), true) => format!("system; on a region {pick}"),
        (None, true) => "system".to_owned(),
        (None, false) => "—".to_owned(),
    }
}

/// What the sections below call what the terminal's tables name in short.
fn in_words(heading: &str) -> &str {
    match heading {
        "ns/op" => "ns/request",
        "arena × peak" => "smallest region × live",
        "footprint × peak" => "footprint × live",
        other => other,
    }
}

fn means(summary: &Summary, traces: usize) -> Markup {
    html! {
            div.scroll tabindex="0" role="region" aria-label="Geometric means" {
                table {
                    caption {
                        span {
    "Geometric means over the programs that an allocator got through"
                        @if summary.timed {
                            "; the best rival is the fastest region allocator from elsewhere, on each \
                             program anew"
                        }
    }
    }
                    thead {
                        tr {
                            th scope="col" { "allocator" }
                            @for heading in &summary.headings { th scope="col" { (in_words(heading)) } }
                            th scope="col" { "got through" }
                        }
                    }
                    tbody {
                        @for row in &summary.rows {
                            tr {
                                th scope="row" {
                                    span.dot style={ "background:" (colour(row.allocator)) } {}
                                    (row.allocator)
                                }
                                @for mean in &row.means {
                                    td { (mean.map_or_else(|| "—".to_owned(), |mean| format!("{mean:.2}"))) }
                                }
                                td.bad[row.passed < traces] { (row.passed) " of " (traces) }
                            }
                        }
                    }
                }
            }
        }
}
