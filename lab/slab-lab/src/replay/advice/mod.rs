//! Which allocator to take, or to keep `malloc`, and why: judged by the numbers of one trace alone.
//!
//! 1. A trace of fewer than [`REQUESTS_MIN`] requests gets no verdict.
//! 2. The *pick* is, of the allocators that got through with their checks on, the one whose time and
//!    memory, each as a multiple of the best, have the smallest product. Differences below a tenth do
//!    not count, and between equals a crate's default mode comes first.
//! 3. Keep `malloc` if the pick is not faster by a tenth and by more than the rounds differ, or if
//!    it saves less than [`SHARE_MIN`] of the program's run. How much of the run `malloc` takes is
//!    known if the recording says how long the program ran.
//!
//! ```text
//! judged    the numbers that can be compared, and the verdict
//! reasons   the sentences
//! ```

mod judged;
mod reasons;
#[cfg(test)]
mod tests;

pub use judged::{LEVEL, REQUESTS_MIN, SHARE_MIN, Verdict};

use std::fmt;

use super::TraceReport;
use crate::words;
use judged::Judged;

/// A recommendation for one trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The advice in one word.
    pub verdict: Verdict,
    /// The allocator to take where memory is a region; `None` if none got through.
    pub pick: Option<&'static str>,
    /// The fastest that can be recommended.
    pub fastest: Option<&'static str>,
    /// The one with the least memory that can be recommended.
    pub smallest: Option<&'static str>,
    /// Why the confidence is low; empty if it is high.
    pub doubts: Vec<String>,
    /// The recommendation in a few sentences.
    pub headline: String,
    /// Other crates that suit what the trace shows: sentences.
    pub hints: Vec<String>,
    /// The warnings of the recording; may be empty.
    pub warnings: String,
    /// The reasons, the alternatives and the failures: sentences.
    pub reasons: Vec<String>,
}

/// Judges the results of one trace.
pub fn advise(report: &TraceReport) -> Advice {
    let judged = Judged::new(report);
    let name = |result: &super::ContenderReport| result.allocator;
    Advice {
        verdict: judged.verdict,
        pick: judged.pick.map(name),
        fastest: judged.fastest.map(name),
        smallest: judged.smallest.map(name),
        doubts: reasons::doubts(&judged),
        headline: reasons::headline(&judged),
        hints: reasons::hints(&judged),
        warnings: report.warnings.clone(),
        reasons: reasons::reasons(&judged),
    }
}

/// The recommendation for a terminal: the headline, and a line for each hint, doubt and warning.
impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline)?;
        self.hints.iter().try_for_each(|hint| writeln!(f, "  {hint}"))?;
        if !self.doubts.is_empty() && self.verdict != Verdict::TooFewRequests {
            writeln!(f, "  Confidence: low, {}.", words::list(&self.doubts))?;
        }
        if !self.warnings.is_empty() {
            writeln!(f, "  Warnings of the recording: {}.", self.warnings)?;
        }
        Ok(())
    }
}
