//! The misuse matrix of docs/VERIFICATION.md: each cell names a test, and each test is there.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;

use crate::faults::Faults;
use crate::soundness::{defines, sections};

const PAGE: &str = "docs/VERIFICATION.md";
/// The matrix had 126 cells when the check was written; a parser that reads fewer than this reads nothing.
const CELL_COUNT_MIN: usize = 100;

/// Checks the section "The misuse matrix".
pub fn check() -> Result<Faults> {
    let page = fs::read_to_string(PAGE)?;
    let sections = sections(&page);
    let section = sections.get("The misuse matrix").context("no section on the misuse matrix")?;
    Ok(judge(section, CELL_COUNT_MIN, |path| fs::read_to_string(path).unwrap_or_default()))
}

fn judge(section: &str, cell_count_min: usize, source: impl Fn(&str) -> String) -> Faults {
    let mut faults = Faults::default();
    let mut fault = |what: String| faults.add(format!("{PAGE}: {what}"));
    // How many cells name each letter.
    let mut uses = BTreeMap::new();
    for (letter, path, names) in tests(section) {
        uses.insert(letter, 0);
        let source = source(path);
        for name in names {
            let shown =
                if name == "compile_fail" { source.contains(name) } else { defines(&source, name) };
            if !shown {
                fault(format!("({letter}) names `{name}`, which is not in {path}"));
            }
        }
    }
    let (mut cell_count, mut columns) = (0, 0);
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let misuse = cells.next().unwrap_or_default();
        let outcomes: Vec<&str> = cells.collect();
        if misuse == "misuse" {
            columns = outcomes.len();
            continue;
        }
        if outcomes.len() != columns {
            fault(format!("{misuse}: {} cells below a head of {columns}", outcomes.len()));
        }
        for outcome in outcomes {
            cell_count += 1;
            let letters = letters(outcome);
            for letter in &letters {
                match uses.get_mut(letter) {
                    Some(uses) => *uses += 1,
                    None => fault(format!("{misuse}: ({letter}) is not listed")),
                }
            }
            if letters.is_empty() && outcome != "–" && !outcome.contains("undefined") {
                fault(format!("{misuse}: no test for '{outcome}'"));
            }
        }
    }
    for (letter, _) in uses.iter().filter(|(_, uses)| **uses == 0) {
        fault(format!("({letter}) is in no cell"));
    }
    if cell_count < cell_count_min {
        fault(format!("the misuse matrix has only {cell_count} cells"));
    }
    faults
}

/// Returns the list below the matrix: letter, file, names of tests.
fn tests(section: &str) -> Vec<(char, &str, Vec<&str>)> {
    static ITEM: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?s)^\*\*(\w)\*\* `([^`]+)`: (.*)").unwrap());
    static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`(\w+)`").unwrap());
    let items = section.split("\n- ").skip(1).filter_map(|item| ITEM.captures(item));
    items
        .map(|item| {
            let (_, [letter, path, text]) = item.extract();
            // An item ends at a blank line.
            let text = text.split("\n\n").next().unwrap_or_default();
            let names = NAME.captures_iter(text).map(|name| name.extract::<1>().1[0]).collect();
            (letter.chars().next().unwrap(), path, names)
        })
        .collect()
}

/// Returns the letters in the parentheses of a cell: `refused (a, b)`.
fn letters(outcome: &str) -> Vec<char> {
    static LETTERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\((\w(?:, \w)*)\)").unwrap());
    LETTERS
        .captures_iter(outcome)
        .flat_map(|found| found.extract::<1>().1[0].split(", ").flat_map(str::chars))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "\nText.\n\n| misuse | safe | unsafe |\n|---|---|---|\n\
        | twice | refused: `X` (a) | undefined |\n| wrong | – | passes (a, b) |\n\n\
        - **a** `x.rs`: `one_test`; in a child\n  `other_test`\n- **b** `y.rs`: `compile_fail`\n\nMore `text`.\n";

    fn source(path: &str) -> String {
        if path == "x.rs" { "fn one_test() {}\nfn other_test() {}" } else { "```compile_fail" }
            .into()
    }

    fn faults(section: &str) -> Vec<String> {
        let found = judge(section, 4, source).0;
        found
            .iter()
            .map(|fault| fault.trim_start_matches("docs/VERIFICATION.md: ").to_owned())
            .collect()
    }

    #[test]
    fn a_matrix_whose_cells_have_tests_passes() {
        assert_eq!(faults(SECTION), Vec::<String>::new());
    }

    #[test]
    fn each_rule_refuses_its_matrix() {
        for (from, to, expected) in [
            ("`other_test`", "`gone_test`", "(a) names `gone_test`, which is not in x.rs"),
            ("`y.rs`", "`x.rs`", "(b) names `compile_fail`, which is not in x.rs"),
            ("| undefined |\n", "| undefined | – |\n", "twice: 3 cells below a head of 2"),
            ("(a, b)", "(a, b, c)", "wrong: (c) is not listed"),
            ("| – |", "| refused |", "wrong: no test for 'refused'"),
            ("(a, b)", "(a)", "(b) is in no cell"),
        ] {
            assert_eq!(faults(&SECTION.replace(from, to)), [expected]);
        }
    }

    #[test]
    fn a_matrix_without_cells_is_a_fault() {
        assert!(faults("\nText.\n").contains(&"the misuse matrix has only 0 cells".to_owned()));
    }
}
