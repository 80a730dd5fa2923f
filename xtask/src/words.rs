//! Retired words: the repository keeps to one vocabulary.
//!
//! [`list`] reads `words.toml`, [`scan`] finds its words in one file, and this module walks the repository.

mod list;
mod scan;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ignore::WalkBuilder;

use crate::faults::Faults;
use list::List;
use scan::Hit;

const LIST: &str = "xtask/words.toml";
const EXEMPT: &str = "xtask/words-exempt.txt";

/// Checks the given paths; without paths, checks the repository except for its exempt areas, and that each
/// exempt area still needs the exemption.
pub fn check(paths: &[PathBuf], count: bool) -> Result<Faults> {
    let list = List::parse(&fs::read_to_string(LIST)?).context(LIST)?;
    let exempt = fs::read_to_string(EXEMPT)?;
    let everything = paths.is_empty();
    let hits = find(&list, if everything { &[] } else { paths })?;
    if count {
        print_counts(&hits);
        return Ok(Faults::default());
    }
    Ok(if everything {
        judge(&hits, &exempt_areas(&exempt))
    } else {
        Faults(hits.iter().map(Hit::to_string).collect())
    })
}

/// Returns the areas of the exemption file: a path per line, blank lines and comments aside.
fn exempt_areas(file: &str) -> Vec<&str> {
    file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Returns a fault for each hit outside the exempt areas, and for each exempt area without a hit.
fn judge(hits: &[Hit], exempt: &[&str]) -> Faults {
    let mut faults = Faults::default();
    for hit in hits {
        if !exempt.iter().any(|area| hit.path.starts_with(area)) {
            faults.add(hit.to_string());
        }
    }
    for area in exempt {
        if !hits.iter().any(|hit| hit.path.starts_with(area)) {
            faults.add(format!("{EXEMPT}: {area} has no retired word left: remove its line"));
        }
    }
    faults
}

/// Returns the retired words in the files below `paths`, or in the repository if there are none.
fn find(list: &List, paths: &[PathBuf]) -> Result<Vec<Hit>> {
    let root = [PathBuf::from(".")];
    let mut hits = Vec::new();
    for path in if paths.is_empty() { &root[..] } else { paths } {
        anyhow::ensure!(path.exists(), "{} does not exist", path.display());
        // `.ci` and `.github` are hidden, but not to this check.
        let walk = WalkBuilder::new(path)
            .hidden(false)
            .require_git(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .sort_by_file_path(Path::cmp)
            .build();
        for entry in walk {
            let entry = entry?;
            let path = entry.path().strip_prefix(".").unwrap_or(entry.path());
            if entry.file_type().is_some_and(|kind| kind.is_file()) && list.reads(path) {
                let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
                hits.extend(scan::scan(list, path, &text));
            }
        }
    }
    Ok(hits)
}

/// Prints how often each word occurs in each area, an area being a crate or a top-level entry.
fn print_counts(hits: &[Hit]) {
    let mut areas: BTreeMap<PathBuf, BTreeMap<&str, usize>> = BTreeMap::new();
    for hit in hits {
        let in_crate = hit.path.starts_with("crates") || hit.path.starts_with("lab");
        let depth = if in_crate { 2 } else { 1 };
        let area = hit.path.components().take(depth).collect();
        *areas.entry(area).or_default().entry(&hit.word).or_default() += 1;
    }
    for (area, words) in areas {
        let mut words: Vec<_> = words.into_iter().collect();
        words.sort_by_key(|&(_, times)| std::cmp::Reverse(times));
        println!("{}: {}", area.display(), words.iter().map(|(_, times)| times).sum::<usize>());
        for (word, times) in words {
            println!("    {times:4} {word}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(path: &str) -> Hit {
        Hit { path: path.into(), line: 3, word: "zorch".into(), instead: "bin".into() }
    }

    #[test]
    fn a_hit_outside_the_exempt_areas_is_a_fault() {
        let faults =
            judge(&[hit("crates/a/src/lib.rs"), hit("crates/b/src/lib.rs")], &["crates/a"]);
        assert_eq!(faults.0, ["crates/b/src/lib.rs:3: zorch (write: bin)"]);
    }

    #[test]
    fn an_area_is_a_whole_path_component() {
        assert_eq!(judge(&[hit("crates/ab/x.rs"), hit("crates/a/x.rs")], &["crates/a"]).0.len(), 1);
    }

    #[test]
    fn an_exemption_that_is_not_needed_is_a_fault() {
        let faults = judge(&[], &["crates/a"]);
        assert_eq!(
            faults.0,
            ["xtask/words-exempt.txt: crates/a has no retired word left: remove its line"]
        );
    }

    #[test]
    fn areas_are_lines_without_comments() {
        assert_eq!(exempt_areas("# why\n\ncrates/a\n  docs\n"), ["crates/a", "docs"]);
    }

    #[test]
    fn the_walk_reads_hidden_folders_but_not_ignored_ones() {
        let root = tempfile::tempdir().unwrap();
        for folder in [".ci", "target", ".git"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("page.md"), "a zorch\n").unwrap();
        }
        fs::write(root.path().join(".gitignore"), "target\n").unwrap();
        let list = List::parse("read = ['\\.md$']\n[[retired]]\nnames = ['zorch']\nuse = 'bin'\n")
            .unwrap();
        let hits = find(&list, &[root.path().to_path_buf()]).unwrap();
        assert_eq!(hits.len(), 1);
        assert!(hits[0].path.ends_with(".ci/page.md"));
    }
}
