//! docs/SOUNDNESS.md names every module of its crates that opens unsafe code, and its tests are there.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::Result;
use ignore::WalkBuilder;
use regex::Regex;

use crate::faults::Faults;

const PAGE: &str = "docs/SOUNDNESS.md";

/// Checks the page against the sources below `crates`.
pub fn check() -> Result<Faults> {
    judge(&fs::read_to_string(PAGE)?, &rust_sources(Path::new("crates"))?)
}

/// Returns the text of each Rust file below `root`, by path and in order.
pub fn rust_sources(root: &Path) -> Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    for entry in WalkBuilder::new(root).sort_by_file_path(Path::cmp).build() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            sources.push((path.to_string_lossy().into_owned(), text));
        }
    }
    Ok(sources)
}

/// Returns the sections below the headings of the second level, by heading.
pub fn sections(page: &str) -> HashMap<&str, &str> {
    let mut sections = page.split("\n## ");
    sections.next();
    sections.filter_map(|section| section.split_once('\n')).collect()
}

/// Returns whether `source` defines the function `name`.
pub fn defines(source: &str, name: &str) -> bool {
    source.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        !source[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
    })
}

fn judge(page: &str, sources: &[(String, String)]) -> Result<Faults> {
    static OPENS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^\s*(#!?\[(expect|allow)\(unsafe_code|(expect\()?unsafe_code,)").unwrap()
    });
    static MODULE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"crates/([^/]+)/src/(.*)\.rs$").unwrap());
    // A name of four words or more in backticks is a test's.
    static TEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`(\w+(?:_\w+){3,})`").unwrap());

    let sections = sections(page);
    let mut faults = Faults::default();
    anyhow::ensure!(!sections.is_empty(), "{PAGE} has no section");
    for (path, source) in sources {
        let Some(parts) = MODULE.captures(path) else { continue };
        let Some(section) = sections.get(&parts[1]) else { continue };
        let named = section.contains(&format!("`{}`", &parts[2]));
        if !named && !parts[2].ends_with("tests") && OPENS.is_match(source) {
            faults.add(format!("{PAGE} does not say why {path} is sound"));
        }
    }
    for name in TEST.captures_iter(page).map(|found| found.extract::<1>().1[0]) {
        if !sources.iter().any(|(_, source)| defines(source, name)) {
            faults.add(format!("{PAGE} names the test {name}, which is not there"));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_TEXT: &str =
        "# Soundness\n\n## slab-core\n\n| `word/cell` | (`a_b_c_d`) |\n\n## slab-bytes\n\n";

    fn faults(page: &str, sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        judge(page, &sources).unwrap().0
    }

    #[test]
    fn named_modules_and_tests_pass() {
        let sources = [
            (
                "crates/slab-core/src/word/cell.rs",
                "#![expect(unsafe_code, reason = \"\")]\nfn a_b_c_d() {}",
            ),
            ("crates/slab-core/src/word/tests.rs", "#![expect(unsafe_code)]"),
            ("crates/slab-core/src/safe.rs", "// unsafe_code"),
            ("crates/slab-peers/src/peer.rs", "#![allow(unsafe_code)]"),
        ];
        assert_eq!(faults(PAGE_TEXT, &sources), Vec::<String>::new());
    }

    #[test]
    fn a_module_in_no_section_or_the_wrong_one_is_a_fault() {
        let opened = [
            "#![expect(unsafe_code)]",
            "#[allow(unsafe_code)]",
            "#![cfg_attr(\n    x,\n    expect(unsafe_code, a)",
        ];
        for opens in opened {
            for path in ["crates/slab-core/src/new.rs", "crates/slab-bytes/src/word/cell.rs"] {
                let found = faults(PAGE_TEXT, &[(path, opens), ("x.rs", "fn a_b_c_d()")]);
                assert_eq!(
                    found,
                    [format!("docs/SOUNDNESS.md does not say why {path} is sound")],
                    "{opens}"
                );
            }
        }
    }

    #[test]
    fn a_test_that_is_not_there_is_a_fault() {
        let found = faults(PAGE_TEXT, &[("crates/x.rs", "fn no_a_b_c_d() {} // a_b_c_d")]);
        assert_eq!(found, ["docs/SOUNDNESS.md names the test a_b_c_d, which is not there"]);
    }

    #[test]
    fn a_page_without_sections_is_an_error() {
        assert!(judge("# Soundness\n", &[]).is_err());
    }
}
