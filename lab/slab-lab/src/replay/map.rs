//! The map of a heap, place by time, as few rectangles.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Samples;

/// Shades of the map, and so its accuracy: neighbours of one shade become one rectangle.
pub const SHADES: u8 = 6;

/// A range of rows and moments in which a heap is equally full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// The moments, by index; the last one lasts until the end of the trace.
    pub moments: Range<usize>,
    /// The rows, from the region's start.
    pub rows: Range<usize>,
    /// How full it is, from 1 to [`SHADES`].
    pub shade: u8,
}

/// A heap over time and place. Where there is no area, nothing is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapMap {
    /// The number of rows.
    pub rows: usize,
    /// Bytes per row.
    pub row_bytes: usize,
    /// Disjoint areas.
    pub areas: Vec<Area>,
}

impl HeapMap {
    /// Makes the map of some samples with at most `rows_max` rows, which is not zero.
    pub fn new(samples: &Samples, rows_max: usize) -> Self {
        let used =
            samples.moments.iter().map(|moment| moment.cells.len()).max().unwrap_or(0).max(1);
        let cells_per_row = used.div_ceil(rows_max);
        let mut areas = Vec::new();
        // The areas that reach up to the current moment, by first row, end and shade.
        let mut open = BTreeMap::<(usize, usize, u8), usize>::new();
        for (index, moment) in samples.moments.iter().enumerate() {
            let shades: Vec<u8> = moment.cells.chunks(cells_per_row).map(shade).collect();
            let mut still_open = BTreeMap::new();
            let mut row = 0;
            for run in shades.chunk_by(|one, next| one == next) {
                let key = (row, row + run.len(), run[0]);
                row += run.len();
                if run[0] > 0 {
                    still_open.insert(key, open.remove(&key).unwrap_or(index));
                }
            }
            areas.extend(open.into_iter().map(|area| closed(area, index)));
            open = still_open;
        }
        areas.extend(open.into_iter().map(|area| closed(area, samples.moments.len())));
        let row_bytes = cells_per_row * samples.cell_bytes();
        Self { rows: used.div_ceil(cells_per_row), row_bytes, areas }
    }
}

fn closed(((first, end, shade), since): ((usize, usize, u8), usize), now: usize) -> Area {
    Area { moments: since..now, rows: first..end, shade }
}

/// Returns the shade of some cells; 0 only if nothing in them is live.
fn shade(cells: &[u8]) -> u8 {
    let sum: usize = cells.iter().map(|&cell| usize::from(cell)).sum();
    (sum * usize::from(SHADES)).div_ceil(cells.len() * 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_in_time_and_place_are_one_area() {
        // 2048 cells of one byte; two blocks, then one of them, then nothing, then one again.
        let mut samples = Samples::new(0..2048, 4);
        let (low, high) = ((0, 4), (6, 8));
        let heaps = [vec![low, high], vec![low], vec![], vec![low]];
        for (operation, live) in heaps.into_iter().enumerate() {
            samples.observe(operation, &live.into_iter().collect());
        }
        let map = HeapMap::new(&samples, 4);
        assert_eq!((map.rows, map.row_bytes), (4, 2));
        let area = |moments, rows| Area { moments, rows, shade: SHADES };
        assert_eq!(map.areas, [area(0..1, 3..4), area(0..2, 0..2), area(3..4, 0..2)]);
        let empty = HeapMap::new(&Samples::new(0..2048, 4), 9);
        assert_eq!((empty.rows, empty.areas.len()), (1, 0));
    }
}
