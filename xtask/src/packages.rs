//! The manifests of unpacked packages: what crates.io and docs.rs show of a crate is there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::faults::Faults;

/// Checks the packages `CRATE-VERSION` below `folder`.
pub fn check(folder: &Path, version: &str, crates: &[String]) -> Result<Faults> {
    let changes = fs::read_to_string("CHANGELOG.md")?;
    let mut faults = Faults::default();
    if !changes.contains("## Unreleased") && !changes.contains(&format!("## {version}")) {
        faults.add(format!("CHANGELOG.md has no section for {version}"));
    }
    for name in crates {
        for fault in judge(&folder.join(format!("{name}-{version}")), name, &changes)? {
            faults.add(format!("{name}: {fault}"));
        }
    }
    Ok(faults)
}

/// Returns the features of a manifest.
pub fn features(manifest: &Path) -> Result<Vec<String>> {
    let manifest: Table = toml::from_str(&fs::read_to_string(manifest)?)?;
    Ok(table(&manifest, "features")
        .map(|features| features.keys().cloned().collect())
        .unwrap_or_default())
}

fn table<'a>(of: &'a Table, key: &str) -> Option<&'a Table> {
    of.get(key).and_then(Value::as_table)
}

/// Returns what is wrong with the unpacked package in `root`.
fn judge(root: &Path, name: &str, changes: &str) -> Result<Vec<String>> {
    let manifest: Table = toml::from_str(&fs::read_to_string(root.join("Cargo.toml"))?)?;
    let package = table(&manifest, "package").context("no package")?;
    let mut faults = Vec::new();
    for key in [
        "description",
        "readme",
        "license",
        "documentation",
        "rust-version",
        "keywords",
        "categories",
    ] {
        let empty = |value: &Value| match value {
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Boolean(set) => !set,
            _ => false,
        };
        if package.get(key).is_none_or(empty) {
            faults.push(format!("no {key}"));
        }
    }
    let keywords = package.get("keywords").and_then(Value::as_array).map_or(0, Vec::len);
    if !(1..=5).contains(&keywords) {
        faults.push(format!("{keywords} keywords, not one to five"));
    }
    let readme = package.get("readme").and_then(Value::as_str).unwrap_or("README.md");
    for file in [readme, "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"] {
        if !root.join(file).exists() {
            faults.push(format!("no {file} in the package"));
        }
    }
    let docs_rs = table(package, "metadata").and_then(|metadata| table(metadata, "docs"));
    let all_features =
        docs_rs.and_then(|docs| table(docs, "rs")).and_then(|rs| rs.get("all-features"));
    if all_features.and_then(Value::as_bool) != Some(true) {
        faults.push("docs.rs would not document all features".into());
    }
    if root.join("tests").exists() {
        faults.push("tests, which need a crate that is not published".into());
    }
    if !changes.contains(&format!("- `{name}`: ")) {
        faults.push("CHANGELOG.md does not name it".into());
    }
    let source = fs::read_to_string(root.join("src/lib.rs")).unwrap_or_default();
    for feature in features(&root.join("Cargo.toml"))? {
        if feature != "default" && !source.contains(&format!("//! | `{feature}`")) {
            faults.push(format!("feature {feature} is not in the table of src/lib.rs"));
        }
    }
    for (dependency, value) in table(&manifest, "dependencies").into_iter().flatten() {
        if value.as_table().is_some_and(|table| table.contains_key("path")) {
            faults.push(format!("the dependency {dependency} by path"));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = 'slab-a'\ndescription = 'd'\nreadme = 'README.md'\nlicense = 'MIT'\n\
        documentation = 'https://docs.rs'\nrust-version = '1.88'\nkeywords = ['a']\ncategories = ['c']\n\
        [package.metadata.docs.rs]\nall-features = true\n[features]\ndefault = []\nstd = []\n\
        [dependencies]\nspin = { version = '0.12' }\n";

    /// Returns what is wrong with a package after `change` has edited its folder.
    fn faults(manifest: &str, change: impl Fn(&Path)) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("src")).unwrap();
        for (file, text) in [
            ("Cargo.toml", manifest),
            ("README.md", "r"),
            ("LICENSE-APACHE", "l"),
            ("LICENSE-MIT", "l"),
            ("src/lib.rs", "//! | `std` | yes |\n"),
        ] {
            fs::write(root.join(file), text).unwrap();
        }
        change(root);
        judge(root, "slab-a", "## Unreleased\n\n- `slab-a`: new\n").unwrap()
    }

    #[test]
    fn a_whole_package_passes() {
        assert_eq!(faults(MANIFEST, |_| ()), Vec::<String>::new());
    }

    #[test]
    fn each_rule_of_the_manifest_refuses_its_package() {
        for (from, to, expected) in [
            ("description = 'd'", "description = ''", "no description"),
            ("rust-version = '1.88'", "", "no rust-version"),
            ("['a']", "['a', 'b', 'c', 'd', 'e', 'f']", "6 keywords, not one to five"),
            (
                "all-features = true",
                "all-features = false",
                "docs.rs would not document all features",
            ),
            ("std = []", "std = []\nnew = []", "feature new is not in the table of src/lib.rs"),
            ("spin = { ", "spin = { path = '../spin', ", "the dependency spin by path"),
            ("'README.md'", "'ABOUT.md'", "no ABOUT.md in the package"),
        ] {
            assert_eq!(faults(&MANIFEST.replace(from, to), |_| ()), [expected]);
        }
    }

    #[test]
    fn each_rule_of_the_files_refuses_its_package() {
        let found = faults(MANIFEST, |root| fs::remove_file(root.join("LICENSE-MIT")).unwrap());
        assert_eq!(found, ["no LICENSE-MIT in the package"]);
        let found = faults(MANIFEST, |root| fs::create_dir(root.join("tests")).unwrap());
        assert_eq!(found, ["tests, which need a crate that is not published"]);
    }

    #[test]
    fn a_crate_that_the_changelog_does_not_name_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), MANIFEST).unwrap();
        let found = judge(folder.path(), "slab-a", "- `slab-b`: new\n").unwrap();
        assert!(found.contains(&"CHANGELOG.md does not name it".to_owned()));
    }
}
