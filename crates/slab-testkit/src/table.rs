//! Results as text: what the benches print, and what the figures of the book are read from.

use std::fmt;

/// Rows of cells under a head, printed in columns: the first to the left, numbers to the right, two
/// blanks at least between any two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// As many cells in each; the first is the head.
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
    /// If it has not as many cells as the head, or if a cell is empty or has two blanks in a row: the
    /// printed table could not be read again.
    pub fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(cells.len(), self.rows[0].len(), "cells in {cells:?}, under {:?}", self.rows[0]);
        let is_legible = |cell: &String| !cell.is_empty() && !cell.contains("  ");
        assert!(cells.iter().all(is_legible), "a cell without a text of its own in {cells:?}");
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
    #[should_panic(expected = "without a text of its own")]
    fn an_empty_cell_is_a_mistake() {
        Table::new(["a", "b"]).push(["1", ""]);
    }
}
