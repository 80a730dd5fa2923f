//! The share of lines that the tests run, per crate, from the summary that cargo-llvm-cov writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::faults::Faults;

const SHARE_PERCENT_MIN: f64 = 95.0;

#[derive(Deserialize)]
struct Report {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Lines {
    covered: u64,
    count: u64,
}

/// Checks that the tests run 95 of 100 lines of each crate.
pub fn check(report: &Path, crates: &[String]) -> Result<Faults> {
    judge(&fs::read_to_string(report)?, crates)
}

fn judge(report: &str, crates: &[String]) -> Result<Faults> {
    let report: Report = serde_json::from_str(report)?;
    let files = &report.data.first().context("the report is empty")?.files;
    let mut lines: BTreeMap<&str, Lines> = BTreeMap::new();
    for file in files {
        if let Some(name) = crate_of(&file.filename) {
            let sum = lines.entry(name).or_default();
            sum.covered += file.summary.lines.covered;
            sum.count += file.summary.lines.count;
        }
    }
    let mut faults = Faults::default();
    for name in crates {
        let Lines { covered, count } = lines.get(name.as_str()).copied().unwrap_or_default();
        ensure!(count > 0, "no line of {name} was measured");
        let share = 100.0 * covered as f64 / count as f64;
        println!("{name:12} {covered:5} of {count:5} lines, {share:.1} %");
        if share < SHARE_PERCENT_MIN {
            faults.add(format!(
                "{name}: {share:.1} % of its lines are run by tests, below {SHARE_PERCENT_MIN} %"
            ));
        }
    }
    Ok(faults)
}

/// Returns the crate of a source file: `slab-core` for `/home/x/crates/slab-core/src/lib.rs`.
fn crate_of(file: &str) -> Option<&str> {
    let (name, rest) = file.rsplit_once("crates/")?.1.split_once('/')?;
    rest.starts_with("src/").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, u64, u64)]) -> Result<Vec<String>> {
        let file = |(name, covered, count): &(&str, u64, u64)| serde_json::json!({"filename": name, "summary": {"lines": {"covered": covered, "count": count}}});
        let files: Vec<_> = files.iter().map(file).collect();
        let report = serde_json::json!({"data": [{"files": files}]}).to_string();
        Ok(judge(&report, &["slab-a".to_owned()])?.0)
    }

    #[test]
    fn ninety_five_per_cent_pass_and_less_does_not() {
        let a = "/x/crates/slab-a/src/lib.rs";
        assert_eq!(faults(&[(a, 95, 100)]).unwrap().len(), 0);
        let found = faults(&[(a, 949, 1000)]).unwrap();
        assert_eq!(found, ["slab-a: 94.9 % of its lines are run by tests, below 95 %"]);
    }

    #[test]
    fn the_files_of_a_crate_are_added_up_and_others_left_out() {
        let files = [
            ("/x/crates/slab-a/src/lib.rs", 100, 100),
            ("/x/crates/slab-a/src/b/c.rs", 90, 100),
            ("/x/crates/slab-a/tests/d.rs", 0, 1000),
            ("/x/crates/slab-b/src/lib.rs", 0, 1000),
        ];
        assert_eq!(faults(&files).unwrap().len(), 0);
    }

    #[test]
    fn a_crate_that_was_not_measured_is_an_error() {
        assert!(faults(&[("/x/crates/slab-b/src/lib.rs", 1, 1)]).is_err());
        assert!(judge("{\"data\": []}", &[]).is_err());
    }
}
