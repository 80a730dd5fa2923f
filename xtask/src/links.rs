//! Relative links of Markdown pages: the file is there, and the heading of an anchor too.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::faults::Faults;

/// The links and anchors of a page.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

/// Checks the relative links of the given pages.
pub fn check(pages: &[PathBuf]) -> Result<Faults> {
    let mut read = HashMap::new();
    let mut faults = Faults::default();
    let mut count = 0;
    for path in pages {
        for link in load(&mut read, path)?.links.clone() {
            if is_external(&link) {
                continue;
            }
            count += 1;
            if !leads_somewhere(&mut read, path, &link)? {
                faults.add(format!("{}: {link}", path.display()));
            }
        }
    }
    println!("{count} relative links in {} pages", pages.len());
    Ok(faults)
}

/// Returns whether a link names another site: a scheme and a colon.
pub fn is_external(link: &str) -> bool {
    link.split('/').next().is_some_and(|start| start.contains(':'))
}

/// Returns the path that a link on the page `from` leads to, and its anchor.
pub fn resolve<'a>(from: &Path, link: &'a str) -> (PathBuf, &'a str) {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    if path.is_empty() {
        return (from.to_owned(), anchor);
    }
    let mut resolved = PathBuf::new();
    for component in from.parent().unwrap_or(Path::new("")).join(path).components() {
        match component {
            Component::ParentDir if resolved.file_name().is_some() => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    (resolved, anchor)
}

fn leads_somewhere(read: &mut HashMap<PathBuf, Page>, from: &Path, link: &str) -> Result<bool> {
    let (path, anchor) = resolve(from, link);
    if !path.as_os_str().is_empty() && !path.exists() {
        return Ok(false);
    }
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    Ok(anchor.is_empty() || !is_page || load(read, &path)?.anchors.contains(anchor))
}

fn load<'a>(read: &'a mut HashMap<PathBuf, Page>, path: &Path) -> Result<&'a Page> {
    if !read.contains_key(path) {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        read.insert(path.to_owned(), parse(&text));
    }
    Ok(&read[path])
}

fn parse(text: &str) -> Page {
    let mut page = Page::default();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                page.anchors.insert(anchor(&heading.take().unwrap_or_default()));
            }
            _ => {}
        }
    }
    page
}

/// Returns the anchor that GitHub and mdbook give a heading.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || "_- ".contains(*letter);
    heading.to_lowercase().chars().filter(kept).collect::<String>().trim().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(page: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("README.md"), "# The `code` of it\n\n## What, else?\n").unwrap();
        let path = root.path().join("docs/page.md");
        fs::write(&path, page).unwrap();
        let prefix = format!("{}: ", path.display());
        check(&[path]).unwrap().0.iter().map(|fault| fault.replace(&prefix, "")).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let page = "# Here\n[a](../README.md) [b](../README.md#the-code-of-it) ![c](../README.md#what-else)\n\
            [d](#here) [e](https://example.org/none) [f](.)\n```\n[g](none.md)\n```\n`[h](none.md)`\n";
        assert_eq!(broken(page), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_not_there_is_a_fault() {
        assert_eq!(broken("[a](none.md) ![b](none.svg)"), ["none.md", "none.svg"]);
        assert_eq!(broken("a [reference][r]\n\n[r]: none.md\n"), ["none.md"]);
    }

    #[test]
    fn a_heading_that_is_not_there_is_a_fault() {
        let page = "[a](#none) [b](../README.md#none)\n```\n# None\n```\n";
        assert_eq!(broken(page), ["#none", "../README.md#none"]);
    }

    #[test]
    fn paths_are_relative_to_the_page() {
        assert_eq!(
            resolve(Path::new("docs/a/b.md"), "../c.md#d"),
            (PathBuf::from("docs/c.md"), "d")
        );
        assert_eq!(
            resolve(Path::new("README.md"), "docs/./c.md"),
            (PathBuf::from("docs/c.md"), "")
        );
    }
}
