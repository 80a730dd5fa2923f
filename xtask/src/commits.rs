//! The mechanical part of the commit form that CONTRIBUTING.md states.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::faults::{Faults, skip};

const SUBJECT_COLUMNS_MAX: usize = 72;

/// The areas beside the crates that a subject can begin with.
const AREAS: [&str; 8] = ["benches", "ci", "docs", "fuzz", "lab", "metal", "workspace", "xtask"];

/// First words that cannot be an imperative.
const NOT_VERBS: [&str; 12] =
    ["a", "all", "an", "each", "every", "its", "new", "no", "some", "the", "this", "when"];

/// Imperatives that end as other forms do.
const VERBS: [&str; 10] =
    ["bias", "bring", "embed", "exceed", "feed", "focus", "need", "shed", "speed", "string"];

/// Checks the commits after `base`, except for merges. Without that commit the check is skipped by name.
pub fn check(base: &str) -> Result<Faults> {
    let Ok(history) = git(&["merge-base", "--is-ancestor", base, "HEAD"]) else {
        skip(
            "commits",
            &format!("the history does not reach back to {base}: a shallow or another clone"),
        )?;
        return Ok(Faults::default());
    };
    debug_assert!(history.is_empty());
    let range = format!("{base}..HEAD");
    let log = git(&["log", "--no-merges", "--format=%h%x00%B%x01", &range])?;
    let areas = areas()?;
    let mut faults = Faults::default();
    let mut count = 0;
    for commit in log.split('\x01').map(str::trim_start).filter(|commit| !commit.is_empty()) {
        let (hash, message) = commit.split_once('\0').expect("the format has a null");
        for fault in judge(message, &areas) {
            faults
                .add(format!("{hash} {}\n    {fault}", message.lines().next().unwrap_or_default()));
        }
        count += 1;
    }
    println!("{count} commits after {base}");
    Ok(faults)
}

/// Runs git and returns its output.
fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).output()?;
    ensure!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the names of the crates and [`AREAS`].
fn areas() -> Result<BTreeSet<String>> {
    let mut areas: BTreeSet<String> = AREAS.map(str::to_owned).into();
    for folder in ["crates", "lab"] {
        for entry in fs::read_dir(folder)? {
            areas.insert(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(areas)
}

/// Returns what is wrong with a commit message.
fn judge(message: &str, areas: &BTreeSet<String>) -> Vec<String> {
    let mut lines = message.lines();
    let subject = lines.next().unwrap_or_default();
    // The form that `git revert` writes: the reverted subject is checked already.
    let mut faults =
        if subject.starts_with("Revert \"") { Vec::new() } else { judge_subject(subject, areas) };
    if lines.next().is_some_and(|second| !second.is_empty()) {
        faults.push("the second line is not blank".into());
    }
    if lines.all(|line| line.trim().is_empty()) {
        faults.push("no body says why".into());
    }
    faults
}

fn judge_subject(subject: &str, areas: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let columns = subject.chars().count();
    if columns > SUBJECT_COLUMNS_MAX {
        faults.push(format!("the subject has {columns} columns, more than {SUBJECT_COLUMNS_MAX}"));
    }
    if subject.ends_with('.') {
        faults.push("the subject ends with a full stop".into());
    }
    let Some((named, change)) = subject.split_once(": ") else {
        faults.push("the subject is not `crate-or-area: imperative …`".into());
        return faults;
    };
    for area in named.split(", ").filter(|area| !areas.contains(*area)) {
        let known = areas.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        faults.push(format!("`{area}` is no crate or area, which are {known}"));
    }
    let first = change.split(' ').next().unwrap_or_default();
    if first.starts_with(char::is_uppercase) || first.is_empty() {
        faults.push("the change does not begin with a verb in lower case".into());
    } else if !is_imperative(first) {
        faults.push(format!(
            "`{first}` is no imperative: write `add`, not `adds`, `added` or `adding`"
        ));
    }
    faults
}

/// Returns whether a word can be an imperative, judged by its ending.
fn is_imperative(word: &str) -> bool {
    let third_person = word.ends_with('s') && !word.ends_with("ss");
    let other_form = third_person || word.ends_with("ed") || word.ends_with("ing");
    VERBS.contains(&word) || !(other_form || NOT_VERBS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(message: &str) -> Vec<String> {
        judge(message, &BTreeSet::from(["slab-pool", "slab-core", "ci"].map(str::to_owned)))
    }

    #[test]
    fn the_form_passes() {
        let none: Vec<String> = Vec::new();
        assert_eq!(
            faults("slab-pool: bound idle memory in bytes\n\nA count of buffers is no bound.\n"),
            none
        );
        assert_eq!(faults("slab-core, slab-pool: embed the canary\n\nOne place.\n"), none);
        assert_eq!(
            faults("Revert \"slab-pool: bound idle memory in bytes, and more words\"\n\nWhy.\n"),
            none
        );
    }

    #[test]
    fn each_rule_refuses_its_message() {
        for (message, part) in [
            (format!("ci: add {}\n\nWhy.", "x".repeat(65)), "73 columns"),
            ("ci: add a job.\n\nWhy.".into(), "full stop"),
            ("Verification: add a job\n\nWhy.".into(), "`Verification` is no crate"),
            ("slab-pool and more\n\nWhy.".into(), "is not `crate-or-area"),
            ("ci: Add a job\n\nWhy.".into(), "lower case"),
            ("ci: \n\nWhy.".into(), "lower case"),
            ("ci: adds a job\n\nWhy.".into(), "`adds` is no imperative"),
            ("ci: added a job\n\nWhy.".into(), "`added` is no imperative"),
            ("ci: adding a job\n\nWhy.".into(), "`adding` is no imperative"),
            ("ci: the job is new\n\nWhy.".into(), "`the` is no imperative"),
            ("ci: add a job\nWhy.\n\nMore.".into(), "not blank"),
            ("ci: add a job\n".into(), "no body"),
            ("ci: add a job\n\n \n".into(), "no body"),
        ] {
            let found: Vec<String> = faults(&message);
            assert_eq!(found.len(), 1, "{message}: {found:?}");
            assert!(found[0].contains(part), "{message}: {found:?}");
        }
    }

    #[test]
    fn seventy_two_columns_pass() {
        assert_eq!(faults(&format!("ci: add {}\n\nWhy.", "x".repeat(64))).len(), 0);
    }
}
