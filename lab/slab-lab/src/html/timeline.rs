//! Pages over time: one small chart per allocator, all at the same scale.

use maud::{Markup, html};

use super::colours::colour;
use crate::replay::{Moment, Samples};
use crate::words;

/// The drawing's own units; the page stretches it.
const WIDTH: usize = 1000;
const HEIGHT: usize = 400;

/// A heap with more than this many times the memory of the smallest would flatten the others.
const TIMES_SMALLEST_MAX: usize = 4;

/// The sampled heap of an allocator.
pub struct Watched {
    /// The allocator.
    pub allocator: &'static str,
    /// The samples.
    pub samples: Samples,
}

impl Watched {
    /// Returns the bytes of the pages that were touched.
    fn touched_bytes(&self) -> usize {
        self.samples.moments.iter().map(|moment| moment.touched_bytes).max().unwrap_or(0)
    }
}

/// Draws the heaps that can share a scale, and names the others.
pub(super) fn draw(watched: &[Watched], operations: usize) -> Markup {
    let smallest = watched.iter().map(Watched::touched_bytes).min().unwrap_or(0);
    let fits = |heap: &&Watched| heap.touched_bytes() <= smallest * TIMES_SMALLEST_MAX;
    let (shown, large): (Vec<_>, Vec<_>) = watched.iter().partition(fits);
    let full = shown.iter().map(|heap| heap.touched_bytes()).max().unwrap_or(0).max(1);
    let large: Vec<String> = large
        .iter()
        .map(|heap| format!("{} ({})", heap.allocator, words::bytes(heap.touched_bytes())))
        .collect();
    html! {
        figure.chart {
            figcaption {
                b { "Pages over time" }
                " All charts reach from 0 to " (words::bytes(full)) " and over "
                (words::counted(operations, "request")) ". "
                span.key.area {} " live bytes, "
                span.key.dashed {} " pages that hold a live block, "
                span.key.line {} " pages ever touched by a block."
                @if !large.is_empty() {
                    " Left out, because they would flatten the others: " (words::list(&large)) "."
                }
            }
            div.small-charts {
                @for heap in &shown { (chart(heap, full, operations)) }
            }
        }
    }
}

fn chart(heap: &Watched, full: usize, operations: usize) -> Markup {
    let touched = words::bytes(heap.touched_bytes());
    let live = heap.samples.moments.iter().map(|moment| moment.live_bytes).max().unwrap_or(0);
    let label = format!(
        "{}: at most {} live, pages of {touched} touched in the end",
        heap.allocator,
        words::bytes(live),
    );
    let line = |value: fn(&Moment) -> usize| path(&heap.samples, value, full, operations);
    let floor = format!("L{WIDTH} {HEIGHT}L0 {HEIGHT}Z");
    html! {
        div.small-chart style={ "color:" (colour(heap.allocator)) } {
            p.title { b { (heap.allocator) } span { (touched) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label=(label) {
                path.live d={ (line(|moment| moment.live_bytes)) (floor) } {}
                path.pages d=(line(|moment| moment.page_bytes)) {}
                path.touched d=(line(|moment| moment.touched_bytes)) {}
            }
        }
    }
}

/// Returns the path of a curve, level after the last moment.
fn path(samples: &Samples, value: fn(&Moment) -> usize, full: usize, operations: usize) -> String {
    let y = |moment: &Moment| HEIGHT - (value(moment) * HEIGHT / full).min(HEIGHT);
    let points = samples
        .moments
        .iter()
        .map(|moment| (moment.operation * WIDTH / operations.max(1), y(moment)));
    let last = samples.moments.last().map(|last| (WIDTH, y(last)));
    let mut path = String::new();
    for (x, y) in points.chain(last) {
        path.push(if path.is_empty() { 'M' } else { 'L' });
        path.push_str(&format!("{x} {y}"));
    }
    path
}
