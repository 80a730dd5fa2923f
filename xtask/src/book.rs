//! Links of the pages that mdbook wrote: the file is there, and the element of an anchor too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use html5gum::{Token, Tokenizer};
use ignore::WalkBuilder;

use crate::faults::Faults;
use crate::links::{is_external, resolve};

/// The identifiers and links of a page.
#[derive(Default)]
struct Page {
    ids: BTreeSet<String>,
    links: Vec<String>,
}

/// Checks every page below `root`.
pub fn check(root: &Path) -> Result<Faults> {
    let mut pages = BTreeMap::new();
    for entry in WalkBuilder::new(root).standard_filters(false).build() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "html") {
            let page = parse(&fs::read_to_string(&path)?)?;
            pages.insert(path, page);
        }
    }
    ensure!(!pages.is_empty(), "{} has no page", root.display());
    let mut broken = BTreeSet::new();
    for (path, page) in &pages {
        // Its links are relative to wherever the missing page was looked for.
        if path.ends_with("404.html") {
            continue;
        }
        for link in page.links.iter().filter(|link| !is_external(link)) {
            if !leads_somewhere(&pages, path, link) {
                broken.insert(format!("{}: {link}", path.strip_prefix(root)?.display()));
            }
        }
    }
    println!("{} pages of the book", pages.len());
    Ok(Faults(broken.into_iter().collect()))
}

fn leads_somewhere(pages: &BTreeMap<PathBuf, Page>, from: &Path, link: &str) -> bool {
    let (path, anchor) = resolve(from, link);
    path.exists()
        && (anchor.is_empty() || pages.get(&path).is_none_or(|page| page.ids.contains(anchor)))
}

fn parse(text: &str) -> Result<Page> {
    let mut page = Page::default();
    for token in Tokenizer::new(text) {
        let Token::StartTag(tag) = token? else { continue };
        for (key, value) in tag.attributes {
            let value = String::from_utf8_lossy(&value).into_owned();
            match &key[..] {
                b"id" => drop(page.ids.insert(value)),
                b"href" | b"src" if !value.is_empty() => page.links.push(value),
                _ => {}
            }
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(page: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("page.html"), page).unwrap();
        fs::write(root.path().join("other.html"), "<h1 id=\"there\">Other</h1>").unwrap();
        fs::write(root.path().join("style.css"), "").unwrap();
        check(root.path()).unwrap().0
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let page = "<h1 id=here></h1><a href='#here'></a><a href=\"other.html#there\"></a>\
            <link href=style.css><img src='https://example.org/none'><a href='mailto:x'>";
        assert_eq!(broken(page), Vec::<String>::new());
    }

    #[test]
    fn files_and_elements_that_are_not_there_are_faults() {
        let page = "<a href='none.html'></a><img src='none.svg'><a href='#none'></a><a href='other.html#none'>";
        let faults = ["#none", "none.html", "none.svg", "other.html#none"];
        assert_eq!(broken(page), faults.map(|link| format!("page.html: {link}")));
    }

    #[test]
    fn a_book_without_pages_is_an_error() {
        assert!(check(tempfile::tempdir().unwrap().path()).is_err());
    }
}
