//! The result of a check.

use std::process::ExitCode;

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
