//! The output of a command, with its machine and date.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Outcome, root};

/// The results of one source.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub command: String,
    pub date: String,
    pub seconds: u64,
    pub machine: String,
    pub rustc: String,
    pub versions: BTreeMap<String, String>,
    pub left_out: String,
    pub sections: Vec<Section>,
    /// Lines beside the tables.
    pub notes: Vec<String>,
}

/// A table with the lines above it.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub struct Section {
    pub title: String,
    /// The first is the head; all have as many cells.
    pub rows: Vec<Vec<String>>,
}

/// The tables that a command printed, and the other lines.
pub type Printed = (Vec<Section>, Vec<String>);

fn path(name: &str) -> PathBuf {
    root().join("docs/figures").join(name).with_extension("json")
}

impl Record {
    pub fn save(&self, name: &str) -> Outcome<()> {
        Ok(std::fs::write(path(name), serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Returns the rest of the note that starts with `start`.
    pub fn note(&self, start: &str) -> Option<&str> {
        self.notes.iter().find_map(|note| note.strip_prefix(start))
    }
}

impl Section {
    /// Returns the names in the first column.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().skip(1).map(|row| row[0].as_str())
    }

    /// Returns the number in a row and a column.
    pub fn number(&self, name: &str, column: &str) -> Option<f64> {
        let column = self.rows[0].iter().position(|head| head == column)?;
        self.rows.iter().skip(1).find(|row| row[0] == name)?[column].parse().ok()
    }

    /// Returns the ratio of one number to another, both above zero.
    pub fn ratio(&self, ours: &str, rival: &str, column: &str) -> Option<f64> {
        let (ours, rival) = (self.number(ours, column)?, self.number(rival, column)?);
        (ours > 0.0 && rival > 0.0).then(|| ours / rival)
    }
}

/// All results that are kept.
pub struct Records {
    all: BTreeMap<&'static str, Record>,
    missing: RefCell<BTreeSet<String>>,
}

impl Records {
    pub fn load() -> Outcome<Self> {
        let mut all = BTreeMap::new();
        for source in crate::SOURCES {
            let path = path(source.name);
            if path.exists() {
                let record = serde_json::from_str(&std::fs::read_to_string(&path)?);
                all.insert(
                    source.name,
                    record.map_err(|error| format!("{}: {error}", path.display()))?,
                );
            }
        }
        Ok(Self { all, missing: RefCell::default() })
    }

    pub fn get(&self, source: &str) -> Option<&Record> {
        let found = self.all.get(source);
        if found.is_none() {
            self.miss(format!("no results of {source}: benches/figures {source}"));
        }
        found
    }

    /// Notes that a page has a figure without a result.
    pub fn miss(&self, what: String) {
        self.missing.borrow_mut().insert(what);
    }

    /// Prints the missing figures. Returns whether there are none.
    pub fn report_missing(&self) -> bool {
        let missing = self.missing.borrow();
        missing.iter().for_each(|what| eprintln!("{what}"));
        missing.is_empty()
    }
}

/// Finds the tables in printed text, each with the lines above it, and returns them and the other lines.
///
/// Paragraphs are separated by blank lines; the lines of a table have as many cells, at least two, which two
/// blanks or more separate.
pub fn sections_of(text: &str) -> Printed {
    let (mut sections, mut notes) = (Vec::new(), Vec::new());
    for paragraph in text.split("\n\n") {
        let lines: Vec<&str> = paragraph.lines().filter(|line| !line.trim().is_empty()).collect();
        let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line)).collect();
        let is_row = |index: usize| rows[index].len() > 1;
        let start = (1..rows.len()).find(|&at| is_row(at) && rows[at].len() == rows[at - 1].len());
        let Some(start) = start.map(|second| second - 1) else {
            notes.extend(lines.into_iter().map(str::to_owned));
            continue;
        };
        let length = rows[start..].iter().take_while(|row| row.len() == rows[start].len()).count();
        notes.extend(lines[start + length..].iter().map(|line| (*line).to_owned()));
        let title = lines[..start].join(" ");
        sections.push(Section { title, rows: rows[start..start + length].to_vec() });
    }
    (sections, notes)
}

fn cells(line: &str) -> Vec<String> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use slab_testkit::Table;

    #[test]
    fn printed_tables_are_read_again() {
        let mut table = Table::new(["contender", "ns/op", "ratio"]);
        table.push(["slab-pool, clean", "2.80", "0.221"]);
        table.push(["mimalloc", "12.70", "-"]);
        let text =
            format!("preamble\n\nacquire, 4096 bytes\n{table}of mimalloc: 3\n\n1 x 1, 2 x 2\n");
        let (sections, notes) = sections_of(&text);
        assert_eq!(notes, ["preamble", "of mimalloc: 3", "1 x 1, 2 x 2"]);
        let [section] = &sections[..] else { panic!("one table: {sections:?}") };
        assert_eq!(section.title, "acquire, 4096 bytes");
        assert_eq!(section.names().collect::<Vec<_>>(), ["slab-pool, clean", "mimalloc"]);
        assert_eq!(section.number("slab-pool, clean", "ns/op"), Some(2.8));
        assert_eq!(section.number("mimalloc", "ratio"), None);
        assert_eq!(section.ratio("mimalloc", "slab-pool, clean", "ns/op"), Some(12.7 / 2.8));
    }
}
