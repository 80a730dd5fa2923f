//! Runs cargo-mutants and reads what it writes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::record::Outcome;

const CONFIG: &str = ".ci/mutants.toml";
/// A test that hangs counts as one that notices.
const TIMEOUT_SECONDS: &str = "60";

/// An edit of one function.
#[derive(Debug, PartialEq, Eq)]
pub struct Mutant {
    pub package: String,
    /// File, line, column and edit, as cargo-mutants prints them.
    pub name: String,
    /// The name without line and column; equal ones of a file are numbered.
    pub key: String,
    /// A hash of the text of the function.
    pub text: u32,
}

impl Mutant {
    fn file(&self) -> &str {
        self.key.split(": ").next().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Listed {
    package: String,
    file: String,
    name: String,
    function: Option<Function>,
    span: Span,
}

#[derive(Deserialize)]
struct Function {
    span: Span,
}

#[derive(Deserialize, Clone, Copy)]
struct Span {
    start: Place,
    end: Place,
}

#[derive(Deserialize, Clone, Copy)]
struct Place {
    line: usize,
}

#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Tried>,
}

#[derive(Deserialize)]
struct Tried {
    scenario: Scenario,
    summary: String,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant { name: String },
}

/// Returns all mutants.
pub fn list() -> Result<Vec<Mutant>> {
    let output = Command::new("cargo")
        .args(["mutants", "--config", CONFIG, "--list", "--json"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo-mutants")?;
    ensure!(output.status.success(), "cargo mutants --list failed");
    parse_list(&output.stdout, |file| Ok(fs::read_to_string(file)?))
}

fn parse_list(json: &[u8], read: impl Fn(&str) -> Result<String>) -> Result<Vec<Mutant>> {
    let mut texts: HashMap<String, String> = HashMap::new();
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut mutants = Vec::new();
    for listed in serde_json::from_slice::<Vec<Listed>>(json)? {
        if !texts.contains_key(&listed.file) {
            texts.insert(listed.file.clone(), read(&listed.file)?);
        }
        let span = listed.function.map_or(listed.span, |function| function.span);
        let lines = texts[&listed.file].lines();
        let function: Vec<&str> = lines.take(span.end.line).skip(span.start.line - 1).collect();
        let edit = listed.name.split_once(": ").map_or(&*listed.name, |(_, edit)| edit);
        let mut key = format!("{}: {edit}", listed.file);
        let times = times.entry(key.clone()).or_insert(0);
        *times += 1;
        if *times > 1 {
            key += &format!(" #{times}");
        }
        let text = hash(&function.join("\n"));
        mutants.push(Mutant { package: listed.package, name: listed.name, key, text });
    }
    Ok(mutants)
}

/// Tries the mutants of `slice`, which are some of `all`, and returns the outcomes by the name of the mutant.
/// One that was interrupted has none.
///
/// cargo-mutants 27 tries the deletions of fields too, whatever `--re` says; `--exclude` limits that to the
/// files of the slice.
pub fn run(
    slice: &[&Mutant],
    all: &[Mutant],
    output: &Path,
    jobs: usize,
) -> Result<Vec<(String, Outcome)>> {
    fs::create_dir_all(output)?;
    let mut command = Command::new("cargo");
    command.args([
        "mutants",
        "--config",
        CONFIG,
        "--baseline",
        "skip",
        "--timeout",
        TIMEOUT_SECONDS,
    ]);
    command.args(["--colors", "never", "--jobs", &jobs.to_string(), "--output"]).arg(output);
    let files: BTreeSet<&str> = slice.iter().map(|mutant| mutant.file()).collect();
    for other in
        all.iter().map(Mutant::file).filter(|file| !files.contains(file)).collect::<BTreeSet<_>>()
    {
        command.args(["--exclude", other]);
    }
    for mutant in slice {
        command.arg("--re").arg(format!("^{}$", regex::escape(&mutant.name)));
    }
    // A missed mutant makes cargo-mutants fail; here the score decides.
    command.status().context("cargo-mutants")?;
    parse_outcomes(&fs::read_to_string(output.join("mutants.out/outcomes.json"))?)
}

fn parse_outcomes(json: &str) -> Result<Vec<(String, Outcome)>> {
    let mut found = Vec::new();
    for tried in serde_json::from_str::<Outcomes>(json)?.outcomes {
        let Scenario::Mutant { name } = tried.scenario else { continue };
        let outcome = match &*tried.summary {
            "CaughtMutant" => Outcome::Caught,
            "MissedMutant" => Outcome::Missed,
            "Timeout" => Outcome::Timeout,
            "Unviable" => Outcome::Unviable,
            _ => continue,
        };
        found.push((name, outcome));
    }
    ensure!(!found.is_empty(), "no mutant was tried");
    Ok(found)
}

/// Returns the FNV-1a hash of a text. The standard library's hash may differ between versions.
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"[
        {"package": "slab-a", "file": "a.rs", "name": "a.rs:2:9: replace + with - in f", "genre": "BinaryOperator",
         "function": {"span": {"start": {"line": 1, "column": 1}, "end": {"line": 3, "column": 2}}},
         "span": {"start": {"line": 2, "column": 9}, "end": {"line": 2, "column": 10}}},
        {"package": "slab-a", "file": "a.rs", "name": "a.rs:2:13: replace + with - in f", "genre": "BinaryOperator",
         "function": null,
         "span": {"start": {"line": 2, "column": 13}, "end": {"line": 2, "column": 14}}}
    ]"#;

    fn list(text: &str) -> Vec<Mutant> {
        parse_list(LIST.as_bytes(), |_| Ok(text.into())).unwrap()
    }

    #[test]
    fn equal_edits_of_a_file_are_numbered() {
        let mutants = list("fn f() {\n    a + b + c\n}\n");
        let keys: Vec<_> = mutants.iter().map(|mutant| mutant.key.as_str()).collect();
        assert_eq!(keys, ["a.rs: replace + with - in f", "a.rs: replace + with - in f #2"]);
    }

    #[test]
    fn the_hash_is_of_the_functions_text_alone() {
        let mutants = list("fn f() {\n    a + b + c\n}\n");
        assert_eq!(mutants[0].text, hash("fn f() {\n    a + b + c\n}"));
        assert_eq!(mutants[1].text, hash("    a + b + c"));
        assert_eq!(list("fn f() {\n    a + b + c\n}\nfn g() {}\n")[0].text, mutants[0].text);
        assert_ne!(list("fn f() {\n    a + b + d\n}\n")[0].text, mutants[0].text);
    }

    #[test]
    fn outcomes_are_read_by_name() {
        let json = r#"{"outcomes": [{"scenario": "Baseline", "summary": "Success"},
            {"scenario": {"Mutant": {"name": "a.rs:2:13: replace + with - in f", "file": "a.rs"}},
             "summary": "MissedMutant"}]}"#;
        let found = parse_outcomes(json).unwrap();
        assert_eq!(found, [("a.rs:2:13: replace + with - in f".to_owned(), Outcome::Missed)]);
        assert!(parse_outcomes(r#"{"outcomes": []}"#).is_err());
    }
}
