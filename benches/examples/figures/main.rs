//! The figures of the documentation, from what measures them to the pages: `benches/figures`.
//!
//! ```text
//! record    the output of a command, with date, machine and versions: docs/figures/NAME.json
//! sources   the commands, and what each leaves out
//! tables    the layout of Markdown tables
//! blocks    the blocks of the pages, as Markdown
//! chart     the charts, as SVG
//! pages     the places of blocks and charts in the documentation
//! ```

mod blocks;
mod chart;
mod pages;
mod record;
mod sources;
mod tables;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use record::Records;
use sources::{SOURCES, Source};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match &words[..] {
        ["--check"] => check(),
        ["--render"] => render(),
        ["--list"] => {
            SOURCES.iter().for_each(|source| println!("{:<14} {}", source.name, source.command));
            Ok(true)
        }
        names => measure(names),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::from(2)
        }
    }
}

/// Measures the named sources, or all, and renders. One that fails keeps its earlier results.
fn measure(names: &[&str]) -> Outcome<bool> {
    if let Some(name) =
        names.iter().find(|name| !SOURCES.iter().any(|source| source.name == **name))
    {
        return Err(format!("there are no figures `{name}`; --list names all").into());
    }
    let wanted = |source: &&Source| names.is_empty() || names.contains(&source.name);
    let sources: Vec<&Source> = SOURCES.iter().filter(wanted).collect();
    let (start, mut failed) = (Instant::now(), Vec::new());
    sources::build(&sources)?;
    println!(
        "built in {} s; from here on, the machine should have nothing else to do",
        start.elapsed().as_secs()
    );
    for (index, source) in sources.iter().enumerate() {
        println!("[{}/{}] {}: {}", index + 1, sources.len(), source.name, source.command);
        match source.run() {
            Ok(record) => {
                record.save(source.name)?;
                println!("      {} s", record.seconds);
            }
            Err(error) => {
                eprintln!("      FAILED, the earlier results stay: {error}");
                failed.push(source.name);
            }
        }
    }
    if names.is_empty() {
        // The drawing is the same each time: it measures nothing.
        sources::draw()?;
    }
    let complete = render()?;
    println!(
        "{} s; failed: {}",
        start.elapsed().as_secs(),
        if failed.is_empty() { "none".into() } else { failed.join(", ") }
    );
    Ok(complete && failed.is_empty())
}

/// Writes all pages and charts. Returns whether every figure has a result.
fn render() -> Outcome<bool> {
    let records = Records::load()?;
    for (path, text) in pages::rendered(&records)? {
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            std::fs::write(&path, text)?;
            println!("wrote {}", pages::shown(&path));
        }
    }
    Ok(records.report_missing())
}

/// Prints the pages and charts that differ from the stored results, and the figures that were typed by hand.
fn check() -> Outcome<bool> {
    let records = Records::load()?;
    let mut faults = Vec::new();
    for (path, text) in pages::rendered(&records)? {
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            faults.push(format!(
                "{} differs from docs/figures: benches/figures --render",
                pages::shown(&path)
            ));
        }
    }
    faults.extend(pages::typed_by_hand()?);
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    Ok(records.report_missing() && faults.is_empty())
}

#[cfg(test)]
mod tests {
    /// Runs `--check` with the tests.
    #[test]
    fn the_pages_say_what_was_measured() {
        assert!(
            super::check().expect("pages and results can be read"),
            "benches/figures --check says where"
        );
    }
}
