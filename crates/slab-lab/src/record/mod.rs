//! Runs a program under one of the recorders that exist, and reads what it wrote.
//!
//! The program keeps its terminal; the recording lies in a directory of its own that is gone as soon
//! as it was read, whatever happens.

mod error;
mod install;
mod recorder;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::RecordError;
pub use install::installation;
pub use recorder::{Recorder, find_program, is_script};

use crate::trace::{self, OPERATIONS_MAX, Trace};

/// Whether a program is being recorded, so that an interrupt is its and not ours.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// Runs a program and returns what it asked its allocator for, up to `first` operations.
///
/// An interrupt (Ctrl-C) ends the program, as servers are ended, and not the recording.
///
/// # Errors
///
/// A [`RecordError`] if the program is not there or fails, or if the recording cannot be read.
pub fn record(
    recorder: Recorder,
    program: &Path,
    arguments: &[OsString],
    first: usize,
) -> Result<Trace, RecordError> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let name = name.replace(char::is_control, "?");
    let place = tempfile::Builder::new().prefix("slab-lab-").tempdir();
    let place = place.map_err(RecordError::Temporary)?;
    let (mut command, recording) = recorder.command(place.path(), program, arguments)?;
    let status = {
        let _programs_to_handle = Interrupts::left_to_the_program()?;
        command.status().map_err(|error| RecordError::Start { what: recorder.name(), error })?
    };
    let interrupted = accept(&name, status)?;
    let file = open(&recording, interrupted).map_err(|error| match error.kind() {
        // heaptrack's library was never loaded.
        io::ErrorKind::NotFound => RecordError::Silent { program: name.clone() },
        _ => RecordError::Unreadable { program: name.clone(), error },
    })?;
    // Not under the name of a file that will be gone.
    let shown = format!("the recording of {name}");
    let first = first.min(OPERATIONS_MAX);
    trace::read(&shown, &name, file, first).map_err(|error| match error.fault {
        trace::Fault::NoOperation | trace::Fault::Empty => RecordError::Silent { program: name },
        _ => error.into(),
    })
}

/// Opens a recording. What was interrupted may end in the middle of a line, which is cut off.
fn open(recording: &Path, interrupted: bool) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(interrupted).open(recording)?;
    if interrupted {
        const LINE_BYTES_MAX: u64 = 1 << 18;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(LINE_BYTES_MAX);
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut end)?;
        if let Some(last) = end.iter().rposition(|&byte| byte == b'\n') {
            file.set_len(start + last as u64 + 1)?;
        }
        file.rewind()?;
    }
    Ok(file)
}

/// Refuses the recording of a program that failed. Returns whether it was interrupted, which is no
/// failure.
fn accept(program: &str, status: ExitStatus) -> Result<bool, RecordError> {
    const SIGINT: i32 = 2;
    let signal = recorder::signal(status);
    let interrupted = signal == Some(SIGINT);
    if status.success() || interrupted {
        return Ok(interrupted);
    }
    let program = program.to_owned();
    Err(match signal {
        Some(signal) => RecordError::Crashed { program, signal },
        None => RecordError::Failed { program, code: status.code().unwrap_or(1) },
    })
}

/// While this lives, an interrupt is left to the program.
struct Interrupts;

impl Interrupts {
    fn left_to_the_program() -> Result<Self, RecordError> {
        let handled = ctrlc::set_handler(|| {
            if !RECORDING.load(Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        // A second recording in one process finds the handler of the first.
        match handled {
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
            Err(error) => return Err(RecordError::Interrupts(error)),
        }
        RECORDING.store(true, Ordering::SeqCst);
        Ok(Self)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        RECORDING.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_an_interrupt_cut_off_is_left_out() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("recording");
        for (written, kept) in [("+ 1\n+ 2\n+ 3", "+ 1\n+ 2\n"), ("+ 1\n", "+ 1\n"), ("", "")] {
            fs::write(&file, written).expect("a file");
            let mut text = String::new();
            let whole = open(&file, false).and_then(|mut file| file.read_to_string(&mut text));
            assert_eq!((whole.expect("a file"), text.as_str()), (written.len(), written));
            text.clear();
            let cut = open(&file, true).and_then(|mut file| file.read_to_string(&mut text));
            assert_eq!((cut.expect("a file"), text.as_str()), (kept.len(), kept));
        }
    }
}
