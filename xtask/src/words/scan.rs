//! Finds retired words in one file.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;

use proc_macro2::{TokenStream, TokenTree};
use regex::Regex;

use super::list::{List, Retired};

/// A retired word in a file.
#[derive(Debug)]
pub struct Hit {
    pub path: PathBuf,
    pub line: usize,
    pub word: String,
    pub instead: String,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} (write: {})", self.path.display(), self.line, self.word, self.instead)
    }
}

/// Returns the retired words in `text`, at most one per line and entry of the list.
pub fn scan(list: &List, path: &Path, text: &str) -> Vec<Hit> {
    let retired: Vec<&Retired> =
        list.retired.iter().filter(|retired| retired.applies_to(path)).collect();
    let rust = path.extension().is_some_and(|extension| extension == "rs");
    let idents = if rust { identifiers(text) } else { HashMap::new() };
    let mut hits = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let parts = parts(line);
        let idents = idents.get(&number).map_or(&[][..], Vec::as_slice);
        for retired in &retired {
            let name = || parts.iter().find(|part| retired.names.contains(part)).cloned();
            let ident = || idents.iter().find(|ident| retired.idents.is_match(ident)).cloned();
            let phrase = || retired.phrases.iter().find_map(|phrase| shown(phrase, line));
            let word = name().or_else(ident).or_else(phrase);
            if let Some(word) = word.filter(|_| !retired.allows(line)) {
                let instead = retired.instead.clone();
                hits.push(Hit { path: path.to_owned(), line: number, word, instead });
            }
        }
    }
    hits
}

/// Returns what `phrase` finds in `line`: its group `word`, or all of it.
fn shown(phrase: &Regex, line: &str) -> Option<String> {
    let found = phrase.captures(line)?;
    Some(found.name("word").unwrap_or_else(|| found.get_match()).as_str().to_owned())
}

/// Returns the words of a line and the parts of its identifiers, in lower case: `LinkedList::next_cell`
/// has the parts `linked`, `list`, `next` and `cell`.
///
/// An acronym takes the first letter of the next part: `HTTPServer` has the parts `https` and `erver`.
fn parts(line: &str) -> Vec<String> {
    static PART: LazyLock<Regex> = LazyLock::new(|| Regex::new("[A-Z]?[a-z]+|[A-Z]+").unwrap());
    PART.find_iter(line).map(|part| part.as_str().to_lowercase()).collect()
}

/// Returns the identifiers of Rust code by line, without those in comments and strings.
fn identifiers(source: &str) -> HashMap<usize, Vec<String>> {
    fn collect(tokens: TokenStream, found: &mut HashMap<usize, Vec<String>>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => collect(group.stream(), found),
                TokenTree::Ident(ident) => {
                    found.entry(ident.span().start().line).or_default().push(ident.to_string());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
    let mut found = HashMap::new();
    if let Ok(tokens) = TokenStream::from_str(source) {
        collect(tokens, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &str, path: &str, text: &str) -> Vec<(usize, String)> {
        let list = List::parse(&format!("read = []\n[[retired]]\nuse = 'bin'\n{list}")).unwrap();
        scan(&list, Path::new(path), text).into_iter().map(|hit| (hit.line, hit.word)).collect()
    }

    #[test]
    fn a_name_is_found_as_a_word_and_as_a_part() {
        let found = words(
            "names = ['zorch']",
            "a.md",
            "A zorch.\nZorched\n`ZorchList` `get_zorch`\nZORCH_MAX",
        );
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn an_identifier_is_found_in_code_alone_and_whole() {
        let source =
            "// zorch\nfn zorch() { re_zorch(\"zorch\") }\n/// zorch\nfn f() { a.zorch() }\n";
        let found = words("idents = ['zorch']", "a.rs", source);
        assert_eq!(found, [(2, "zorch".into()), (4, "zorch".into())]);
        assert_eq!(words("idents = ['zorch']", "a.md", "zorch"), []);
    }

    #[test]
    fn an_identifier_inside_a_macro_is_found() {
        assert_eq!(words("idents = ['zorch']", "a.rs", "m! { zorch }").len(), 1);
    }

    #[test]
    fn a_phrase_is_a_pattern_within_a_line() {
        let found = words("phrases = ['for zorch\\b']", "a.rs", "// for zorch\n// for zorches\n");
        assert_eq!(found, [(1, "for zorch".into())]);
    }

    #[test]
    fn a_phrase_shows_its_group() {
        assert_eq!(
            words("phrases = ['^// (?<word>Zorch) ']", "a.rs", "// Zorch x"),
            [(1, "Zorch".into())]
        );
    }

    #[test]
    fn an_allowed_line_passes() {
        assert_eq!(
            words("names = ['zorch']\nallow = ['a zorch\\?']", "a.md", "a zorch?\na zorch").len(),
            1
        );
    }

    #[test]
    fn a_word_can_be_retired_in_some_folders() {
        let list = "names = ['zorch']\nonly = ['crates/a']";
        assert_eq!(words(list, "crates/a/b.rs", "// zorch").len(), 1);
        assert_eq!(words(list, "crates/ab/b.rs", "// zorch"), []);
    }
}
