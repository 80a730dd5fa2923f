//! Heap maps: the live blocks over time and place.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::colours::colour;
use super::timeline::Watched;
use crate::replay::{HeapMap, SHADES};
use crate::words;

/// Rows of a map at most.
const ROWS: usize = 120;

/// Draws the maps of the allocators that are named.
pub(super) fn draw(watched: &[Watched], named: &[&str]) -> Markup {
    html! {
        figure.chart {
            figcaption {
                b { "Heap maps" }
                " Time runs to the right, addresses upwards from the region's start. The stronger the \
                 colour, the more of the place is live. Each map has its own scale."
            }
            div.maps {
                @for heap in watched.iter().filter(|heap| named.contains(&heap.allocator)) {
                    (map(heap))
                }
            }
        }
    }
}

fn map(heap: &Watched) -> Markup {
    let map = HeapMap::new(&heap.samples, ROWS);
    let height = words::bytes(map.rows * map.row_bytes);
    let moments = heap.samples.moments.len();
    let label = format!("Heap map of {}: live blocks lie within {height}", heap.allocator);
    html! {
        div.map style={ "color:" (colour(heap.allocator)) } {
            p.title { b { (heap.allocator) } span { "blocks within " (height) } }
            svg viewBox={ "0 0 " (moments) " " (map.rows) } preserveAspectRatio="none" role="img"
                shape-rendering="crispEdges" aria-label=(label) {
                @for shade in 1..=SHADES {
                    path d=(path(&map, shade)) fill-opacity=(opacity(shade)) {}
                }
            }
        }
    }
}

/// Returns all areas of a shade as one path.
fn path(map: &HeapMap, shade: u8) -> String {
    let mut path = String::new();
    for area in map.areas.iter().filter(|area| area.shade == shade) {
        let (x, width) = (area.moments.start, area.moments.len());
        // An SVG counts from the top.
        let (y, height) = (map.rows - area.rows.end, area.rows.len());
        // Writing to a string cannot fail.
        let _written = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
    }
    path
}

fn opacity(shade: u8) -> String {
    format!("{:.2}", f64::from(shade) / f64::from(SHADES))
}
