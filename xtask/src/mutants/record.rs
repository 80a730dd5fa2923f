//! The committed outcomes of a crate's mutants, a line each: outcome, date, hash of the function, mutant.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Score;
use super::tool::Mutant;

const HEAD: &str = "# Tried mutants, from `.ci/jobs/mutants`: outcome, date, hash of the function's text, mutant.\n";

/// The verdict of the tests on a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Caught,
    Missed,
    Timeout,
    Unviable,
}

const NAMES: [(Outcome, &str); 4] = [
    (Outcome::Caught, "caught"),
    (Outcome::Missed, "missed"),
    (Outcome::Timeout, "timeout"),
    (Outcome::Unviable, "unviable"),
];

struct Entry {
    outcome: Outcome,
    date: String,
    text: u32,
}

/// The outcomes by the mutant's key.
#[derive(Default)]
pub struct Record(BTreeMap<String, Entry>);

impl Record {
    /// Reads a file; a file that is not there is an empty record.
    pub fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(file) => Self::parse(&file).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(file: &str) -> Result<Self> {
        let mut record = Self::default();
        for line in file.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.splitn(4, ' ').collect();
            let [outcome, date, text, key] = fields[..] else { bail!("not four fields: {line}") };
            let known = NAMES.iter().find(|(_, name)| *name == outcome);
            let (outcome, _) = *known.with_context(|| format!("no outcome: {line}"))?;
            let entry = Entry { outcome, date: date.into(), text: u32::from_str_radix(text, 16)? };
            record.0.insert(key.into(), entry);
        }
        Ok(record)
    }

    /// Writes the file, or none for an empty record.
    pub fn write(&self, path: &Path) -> Result<()> {
        if !self.0.is_empty() {
            fs::create_dir_all(path.parent().context("a path without a folder")?)?;
            fs::write(path, self.print())?;
        }
        Ok(())
    }

    fn print(&self) -> String {
        let mut file = HEAD.to_owned();
        for (key, entry) in &self.0 {
            let (_, outcome) = NAMES.iter().find(|(outcome, _)| *outcome == entry.outcome).unwrap();
            writeln!(file, "{outcome} {} {:08x} {key}", entry.date, entry.text).unwrap();
        }
        file
    }

    /// Forgets mutants that are not among the given ones, and those whose function has changed.
    pub fn keep(&mut self, mutants: &[&Mutant]) {
        let present: BTreeMap<&str, u32> =
            mutants.iter().map(|mutant| (&*mutant.key, mutant.text)).collect();
        self.0.retain(|key, entry| present.get(key.as_str()) == Some(&entry.text));
    }

    /// Records an outcome.
    pub fn set(&mut self, mutant: &Mutant, outcome: Outcome, date: &str) {
        self.0.insert(mutant.key.clone(), Entry { outcome, date: date.into(), text: mutant.text });
    }

    /// Returns when a mutant was tried.
    pub fn date(&self, mutant: &Mutant) -> Option<&str> {
        self.0.get(&mutant.key).map(|entry| entry.date.as_str())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn score(&self) -> Score {
        Score::of(self.0.values().map(|entry| entry.outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(key: &str, text: u32) -> Mutant {
        Mutant { package: "slab-a".into(), name: key.into(), key: key.into(), text }
    }

    #[test]
    fn a_record_reads_what_it_wrote() {
        let mut record = Record::default();
        record.set(&mutant("a.rs: replace + with - in f", 7), Outcome::Missed, "2026-11-28");
        record.set(
            &mutant("a.rs: replace f -> u8 with 0", 0xffff_ffff),
            Outcome::Unviable,
            "2026-11-29",
        );
        let file = record.print();
        assert!(
            file.contains("\nmissed 2026-11-28 00000007 a.rs: replace + with - in f\n"),
            "{file}"
        );
        assert_eq!(Record::parse(&file).unwrap().print(), file);
    }

    #[test]
    fn a_mutant_that_is_gone_or_whose_function_changed_is_forgotten() {
        let mut record = Record::default();
        for key in ["same", "changed", "gone"] {
            record.set(&mutant(key, 1), Outcome::Caught, "2026-11-28");
        }
        record.keep(&[&mutant("same", 1), &mutant("changed", 2)]);
        assert_eq!(record.0.keys().collect::<Vec<_>>(), ["same"]);
    }

    #[test]
    fn a_damaged_line_is_an_error() {
        assert!(Record::parse("caught 2026-11-28\n").is_err());
        assert!(Record::parse("passed 2026-11-28 00000001 x\n").is_err());
        assert!(Record::parse("caught 2026-11-28 zz x\n").is_err());
    }
}
