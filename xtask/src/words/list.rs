//! The list of retired words, `words.toml`.

use std::path::Path;

use anyhow::Result;
use regex::{Regex, RegexSet};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    read: Vec<String>,
    #[serde(default)]
    skip: Vec<String>,
    retired: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    idents: Vec<String>,
    #[serde(default)]
    phrases: Vec<String>,
    r#use: String,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
}

/// Which files are read, and which words are retired.
pub struct List {
    read: RegexSet,
    skip: RegexSet,
    pub retired: Vec<Retired>,
}

/// Words that share a replacement.
pub struct Retired {
    /// Words of prose and parts of identifiers, in lower case.
    pub names: Vec<String>,
    /// Whole identifiers of Rust code.
    pub idents: RegexSet,
    /// Phrases within a line.
    pub phrases: Vec<Regex>,
    /// The word to write.
    pub instead: String,
    /// Path prefixes where the words are retired; empty stands for everywhere.
    only: Vec<String>,
    /// Lines where the words are legitimate.
    allow: RegexSet,
}

impl List {
    /// Parses the file.
    pub fn parse(file: &str) -> Result<Self> {
        let file: File = toml::from_str(file)?;
        Ok(Self {
            read: RegexSet::new(file.read)?,
            skip: RegexSet::new(file.skip)?,
            retired: file.retired.into_iter().map(Retired::new).collect::<Result<_>>()?,
        })
    }

    /// Returns whether the file at `path` is checked.
    pub fn reads(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        self.read.is_match(&path) && !self.skip.is_match(&path)
    }
}

impl Retired {
    fn new(entry: Entry) -> Result<Self> {
        Ok(Self {
            names: entry.names,
            idents: RegexSet::new(entry.idents.iter().map(|ident| format!("^(?:{ident})$")))?,
            phrases: entry
                .phrases
                .iter()
                .map(|phrase| Regex::new(phrase))
                .collect::<Result<_, _>>()?,
            instead: entry.r#use,
            only: entry.only,
            allow: RegexSet::new(entry.allow)?,
        })
    }

    /// Returns whether the words are retired in the file at `path`.
    pub fn applies_to(&self, path: &Path) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| path.starts_with(prefix))
    }

    /// Returns whether the words are legitimate in `line`.
    pub fn allows(&self, line: &str) -> bool {
        self.allow.is_match(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_parses() {
        let list = List::parse(include_str!("../../words.toml")).unwrap();
        assert!(list.retired.len() > 20);
    }

    #[test]
    fn a_misspelled_key_is_refused() {
        assert!(List::parse("read = []\n[[retired]]\nname = ['x']\nuse = 'y'\n").is_err());
    }

    #[test]
    fn files_are_read_by_pattern_and_skipped_by_pattern() {
        let list = List::parse("read = ['\\.rs$']\nskip = ['^docs/']\nretired = []\n").unwrap();
        assert!(list.reads(Path::new("crates/a/lib.rs")));
        assert!(!list.reads(Path::new("docs/a.rs")));
        assert!(!list.reads(Path::new("a.png")));
    }
}
