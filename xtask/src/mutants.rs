//! Mutation testing in slices: which mutants were tried, with what outcome, and the score of each crate.
//!
//! cargo-mutants needs a day for all mutants. A slice takes those that were not tried yet, then those tried
//! longest ago, and [`record`] keeps the outcomes in a committed file per crate, so that slices add up to
//! the whole. A mutant counts as tried until the text of its function changes.

mod record;
mod tool;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::faults::Faults;
use record::{Outcome, Record};
use tool::Mutant;

const FOLDER: &str = ".ci/mutants";

/// What `cargo xtask mutants` does.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many mutants to try; zero prints the score alone.
    #[arg(long, default_value_t = 0)]
    count: usize,
    /// The crate to take them from [default: all].
    #[arg(long)]
    package: Option<String>,
    /// The date to record, as `date +%F` prints it.
    #[arg(long)]
    date: String,
    /// The folder that cargo-mutants writes to.
    #[arg(long)]
    output: PathBuf,
    /// How many mutants are tried at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The least share of the tried mutants of a crate that its tests must notice.
    #[arg(long, default_value_t = 90.0)]
    percent_min: f64,
}

/// Tries a slice of mutants, records it, and checks the score of each crate.
pub fn check(arguments: &Arguments) -> Result<Faults> {
    let mutants = tool::list()?;
    let mut crates: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in &mutants {
        crates.entry(&mutant.package).or_default().push(mutant);
    }
    let mut records = BTreeMap::new();
    for (&name, mutants) in &crates {
        let mut record = Record::read(&file_of(name))?;
        record.keep(mutants);
        records.insert(name, record);
    }
    if arguments.count > 0 {
        let wanted = |mutant: &&Mutant| {
            arguments.package.as_ref().is_none_or(|name| *name == mutant.package)
        };
        let slice = slice(mutants.iter().filter(wanted), &records, arguments.count);
        let by_name: HashMap<&str, &Mutant> =
            mutants.iter().map(|mutant| (&*mutant.name, mutant)).collect();
        for (name, outcome) in tool::run(&slice, &mutants, &arguments.output, arguments.jobs)? {
            let mutant = by_name.get(&*name).with_context(|| format!("no such mutant: {name}"))?;
            let record = records.get_mut(mutant.package.as_str()).expect("each crate has a record");
            record.set(mutant, outcome, &arguments.date);
        }
        for (name, record) in &records {
            record.write(&file_of(name))?;
        }
    }
    let mut faults = Faults::default();
    for (name, record) in &records {
        let total = crates[name].len();
        let score = record.score();
        println!("{name:12} {:5} of {total:5} mutants tried, {score}", record.len());
        if score.percent().is_some_and(|percent| percent < arguments.percent_min) {
            faults.add(format!("{name}: below {} %", arguments.percent_min));
        }
    }
    Ok(faults)
}

fn file_of(package: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{package}.txt"))
}

/// Returns the first `count` mutants in the order of their turn: not tried, then by date. Within a date the
/// order is that of a hash, so that a slice is a sample of all files.
fn slice<'a>(
    mutants: impl Iterator<Item = &'a Mutant>,
    records: &BTreeMap<&str, Record>,
    count: usize,
) -> Vec<&'a Mutant> {
    let turn = |mutant: &Mutant| {
        let date = records.get(mutant.package.as_str()).and_then(|record| record.date(mutant));
        (date.unwrap_or_default().to_owned(), tool::hash(&mutant.key))
    };
    let mut ordered: Vec<_> = mutants.map(|mutant| (turn(mutant), mutant)).collect();
    ordered.sort_by(|one, other| one.0.cmp(&other.0));
    ordered.into_iter().take(count).map(|(_, mutant)| mutant).collect()
}

/// How many mutants of a crate its tests noticed.
#[derive(Default)]
struct Score {
    noticed: usize,
    missed: usize,
}

impl Score {
    fn of(outcomes: impl Iterator<Item = Outcome>) -> Self {
        let mut score = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Caught | Outcome::Timeout => score.noticed += 1,
                Outcome::Missed => score.missed += 1,
                Outcome::Unviable => {}
            }
        }
        score
    }

    /// Returns the share of noticed mutants, of those that compile.
    fn percent(&self) -> Option<f64> {
        let tried = self.noticed + self.missed;
        (tried > 0).then(|| 100.0 * self.noticed as f64 / tried as f64)
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} noticed, {} missed", self.noticed, self.missed)?;
        self.percent().map_or(Ok(()), |percent| write!(f, ": {percent:.1} %"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(key: &str) -> Mutant {
        Mutant { package: "slab-a".into(), name: key.into(), key: key.into(), text: 1 }
    }

    #[test]
    fn a_slice_takes_what_was_not_tried_then_the_oldest() {
        let mutants: Vec<Mutant> = ["new", "old", "older", "newer"].map(mutant).into();
        let mut record = Record::default();
        record.set(&mutants[0], Outcome::Caught, "2026-12-01");
        record.set(&mutants[1], Outcome::Caught, "2026-11-02");
        record.set(&mutants[2], Outcome::Missed, "2026-11-01");
        let records = BTreeMap::from([("slab-a", record)]);
        let slice = slice(mutants.iter(), &records, 3);
        assert_eq!(
            slice.iter().map(|mutant| mutant.key.as_str()).collect::<Vec<_>>(),
            ["newer", "older", "old"]
        );
    }

    #[test]
    fn a_timeout_is_noticed_and_what_does_not_compile_is_left_out() {
        let outcomes = [Outcome::Caught, Outcome::Timeout, Outcome::Missed, Outcome::Unviable];
        let score = Score::of(outcomes.into_iter());
        assert_eq!((score.noticed, score.missed), (2, 1));
        assert_eq!(Score::of([Outcome::Unviable].into_iter()).percent(), None);
        assert_eq!(Score::of([Outcome::Missed].into_iter()).percent(), Some(0.0));
    }
}
