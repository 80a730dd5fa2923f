//! The instructions of a replay, counted by valgrind's callgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::limits::patience;
use super::protocol::{Answer, Request};
use super::session::Session;
use super::{ReplayError, run};
use crate::trace::Trace;

/// The function that is counted, with everything that it calls: the timed loop of a replay.
const COUNTED: &str = "*slab_lab::exec::heap::counted_requests*";

/// callgrind executes a program so many times slower than the processor, and more.
const SLOWDOWN: u32 = 20;

/// Returns whether callgrind can be started.
pub fn counter_is_installed() -> bool {
    let mut version = Command::new("valgrind");
    version.args(["--tool=callgrind", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Counts the instructions of one replay, the harness included. The inner error says why the
/// contender failed.
///
/// # Errors
///
/// As [`replay`](super::replay()).
pub fn count(contender: &str, trace: &Trace) -> Result<Result<u64, String>, ReplayError> {
    let place = tempfile::Builder::new().prefix("slab-lab-").tempdir()?;
    let log = place.path().join("log");
    let mut callgrind = Command::new("valgrind");
    callgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        // valgrind reads a percent sign as a placeholder.
        .arg(format!("--log-file={}", log.to_string_lossy().replace('%', "%%")));
    let mut session = Session::start_under(callgrind, contender, &run::packed(trace)?)?;
    // A round without repetitions is one replay.
    let patience = Duration::from_secs(60) + patience(trace) * SLOWDOWN;
    match session.ask(Request::Round { repetitions: 0 }, patience) {
        Answer::Timed { .. } => {}
        Answer::Failed { reason } => return Ok(Err(reason)),
        other => return Ok(Err(format!("unexpected answer {other:?}"))),
    }
    session.finish();
    Ok(collected(&log).ok_or_else(|| "callgrind counted nothing".to_owned()))
}

/// Reads the count from the last line of callgrind's log.
fn collected(log: &Path) -> Option<u64> {
    let text = fs::read_to_string(log).ok()?;
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.split_whitespace().next()?.parse().ok().filter(|&count| count > 0)
}
