//! The result of a check.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

/// Lines that say what is wrong and where.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    /// Prints the faults; returns failure if there is one.
    pub fn report(&self) -> ExitCode {
        for fault in &self.0 {
            println!("{fault}");
        }
        if self.0.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Reports a check that cannot run here, as `skip` of .ci/common.sh does.
pub fn skip(name: &str, why: &str) -> Result<()> {
    println!("SKIPPED: {name}, {why}");
    if let Some(file) = std::env::var_os("SKIPPED_FILE") {
        writeln!(
            OpenOptions::new().append(true).create(true).open(file)?,
            "SKIPPED: {name}, {why}"
        )?;
    }
    Ok(())
}
