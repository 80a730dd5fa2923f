//! The pages of the documentation, and the places in them where figures go:
//!
//! ```text
//! <!-- figures: NAME -->
//! <!-- /figures -->
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::record::Records;
use crate::{Outcome, blocks, chart, root};

const START: &str = "<!-- figures: ";
const END: &str = "<!-- /figures -->";

/// Pages whose figures belong to the day of a decision, and say so.
const HISTORY: [&str; 2] = ["ARCHITECTURE.md", "CHANGELOG.md"];

/// Returns all pages that have figures, and all charts, as they should be.
pub fn rendered(records: &Records) -> Outcome<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for path in pages()? {
        let text = fs::read_to_string(&path)?;
        if text.contains(START) {
            let filled = fill(&text, |name| blocks::block(name, records));
            files.push((
                path.clone(),
                filled.map_err(|error| format!("{}: {error}", shown(&path)))?,
            ));
        }
    }
    if let Some(record) = records.get("replay") {
        let folder = root().join("docs/figures");
        files.push((folder.join("speed.svg"), chart::speed(record)?));
        files.push((folder.join("memory.svg"), chart::memory(record)?));
    }
    Ok(files)
}

/// Returns a path as it is called in the repository.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The pages: at the root, in the book, and those of the crates.
fn pages() -> Outcome<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/crates", "crates", "lab"] {
        for entry in fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            let is_page = !matches!(folder, "crates" | "lab");
            let path = if is_page { path } else { path.join("README.md") };
            if path.extension().is_some_and(|extension| extension == "md") && path.exists() {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// Replaces what lies between the marks.
fn fill(text: &str, block: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(START) {
        let (name, after) = after.split_once(" -->").ok_or("a mark without an end")?;
        let (_, after) = after.split_once(END).ok_or_else(|| format!("`{name}` has no {END}"))?;
        let block = block(name).ok_or_else(|| format!("there are no figures `{name}`"))?;
        filled += &format!("{before}{START}{name} -->\n{}\n{END}", block.trim_end());
        rest = after;
    }
    Ok(filled + rest)
}

/// Finds measurements outside of the marks: ratios, times and counts of instructions.
pub fn typed_by_hand() -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for path in pages()? {
        if HISTORY.iter().any(|page| path.ends_with(page)) {
            continue;
        }
        let text = fill(&fs::read_to_string(&path)?, |_| Some(String::new()))?;
        let lines = text.lines().filter(|line| is_measurement(line));
        found.extend(lines.map(|line| format!("{}: typed by hand: {}", shown(&path), line.trim())));
    }
    Ok(found)
}

/// Whether a number stands before a unit of measurement.
fn is_measurement(line: &str) -> bool {
    ["×", "ns", "µs", "instructions"].iter().any(|unit| {
        line.match_indices(unit).any(|(at, _)| {
            let after = line[at + unit.len()..].chars().next();
            let before = line[..at].trim_end_matches([' ', '-', '*', '|']);
            !after.is_some_and(char::is_alphanumeric)
                && before.ends_with(|c: char| c.is_ascii_digit())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_replaced_and_the_rest_stays() {
        let page = "a\n<!-- figures: x -->\nold\n<!-- /figures -->\nb\n<!-- figures: x --><!-- /figures -->";
        let filled = fill(page, |_| Some("new\n".into())).expect("well-formed");
        let expected = "a\n<!-- figures: x -->\nnew\n<!-- /figures -->\nb\n<!-- figures: x -->\nnew\n<!-- /figures -->";
        assert_eq!(filled, expected);
        assert_eq!(fill(&filled, |_| Some("new\n".into())).expect("well-formed"), expected);
    }

    #[test]
    fn a_broken_mark_is_an_error() {
        assert!(fill("<!-- figures: x -->\n", |_| Some(String::new())).is_err());
        assert!(fill("<!-- figures: x --><!-- /figures -->", |_| None).is_err());
    }

    #[test]
    fn every_page_with_code_is_compiled() {
        let book =
            fs::read_to_string(root().join("benches/lib.rs")).expect("the examples of the book");
        let mut count = 0;
        for page in pages().expect("the pages") {
            if !fs::read_to_string(&page).expect("a page").contains("```rust") {
                continue;
            }
            let name = shown(&page);
            let of_crate = page.with_file_name("src/lib.rs");
            let is_included = match fs::read_to_string(of_crate) {
                Ok(library) => library.contains("include_str!(\"../README.md\")"),
                Err(_) => book.contains(&format!("include_str!(\"../{name}\")")),
            };
            assert!(is_included, "no test compiles the examples of {name}");
            count += 1;
        }
        assert!(count > 10, "{count} pages with code");
    }

    #[test]
    fn measurements_are_told_from_other_numbers() {
        for line in ["0.24 × talc", "takes 31 ns", "47 instructions", "a pair | 3 ns |"] {
            assert!(is_measurement(line), "{line}");
        }
        for line in
            ["n × m", "32 bytes a kibibyte", "*O*(threads × classes)", "an instruction", "2 tons"]
        {
            assert!(!is_measurement(line), "{line}");
        }
    }
}
