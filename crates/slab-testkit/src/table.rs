//! Results as text. The benches print it, and the figures of the book are read from it.

use std::fmt;

/// Rows of cells under a head, printed in columns with at least two spaces between them. The first column is
/// aligned to the left, the others to the right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Rows of equal length; the first is the head.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table without rows.
    pub fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    ///
    /// # Panics
    ///
    /// If the row is not as long as the head, or if a cell is empty or has two spaces in a row, because then the
    /// printed table could not be read.
    pub fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.rows[0].len(), "cells in {cells:?}, under {:?}", self.rows[0]);
        let is_legible = |cell: &String| !cell.is_empty() && !cell.contains("  ");
        assert!(cells.iter().all(is_legible), "an empty cell or two spaces in {cells:?}");
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = (0..self.rows[0].len()).filter_map(width).collect();
        for row in &self.rows {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "cells in")]
    fn a_row_of_another_length_is_a_mistake() {
        Table::new(["a", "b"]).push(["1"]);
    }

    #[test]
    #[should_panic(expected = "an empty cell")]
    fn an_empty_cell_is_a_mistake() {
        Table::new(["a", "b"]).push(["1", ""]);
    }
}
