//! All traces and their recommendations.

use maud::{Markup, html};

use super::colours::colour;
use super::section::anchor;
use crate::replay::advice::{Advice, Verdict, advise};
use crate::replay::{Report, Summary};
use crate::words;

/// Draws the overview; empty if there is only one trace.
pub(super) fn draw(report: &Report) -> Markup {
    let Some(summary) = report.summary() else { return html! {} };
    html! {
        section aria-labelledby="overview" {
            h2 id="overview" { "At a glance" }
            div.scroll tabindex="0" role="region" aria-label="Recommendations" {
                table {
                    caption { span { "The advice for each program, from its own numbers" } }
                    thead {
                        tr {
                            th scope="col" { "program" }
                            th.text scope="col" { "advice" }
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
    let pick = advice.pick.unwrap_or("—");
    match advice.verdict {
        Verdict::TooFewRequests => "no verdict: too few requests".to_owned(),
        Verdict::Nothing => "no verdict: none got through".to_owned(),
        Verdict::OnlyMalloc => "malloc".to_owned(),
        Verdict::NotFaster | Verdict::SavesLittle => format!("malloc; in a region {pick}"),
        Verdict::Unknown => format!("{pick}, if malloc matters"),
        Verdict::Take => pick.to_owned(),
        Verdict::Region => format!("in a region {pick}"),
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
                            "; the best rival is, for each program, the fastest region allocator \
                             that is not ours"
                        }
                    }
                }
                thead {
                    tr {
                        th scope="col" { "allocator" }
                        @for heading in &summary.headings { th scope="col" { (heading) } }
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
