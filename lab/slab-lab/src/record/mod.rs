//! Runs a program under a recorder and reads the recording. From the bottom up:
//!
//! ```text
//! recorder  slab-record, heaptrack or valgrind
//! install   the command that installs a recorder
//! error     why there is no recording
//! launch    finds the recorders and starts a program under them
//! processes the recordings of all processes that a program started
//! symbols   the functions of call stacks
//! ```
//!
//! The program keeps its terminal. The recording is in a temporary directory that is removed as soon
//! as it has been read, also after an error.

mod error;
mod install;
mod launch;
mod processes;
mod recorder;
mod symbols;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::RecordError;
pub use install::installation;
pub use launch::{find_program, is_script};
pub use recorder::Recorder;

use crate::trace::{self, OPERATIONS_MAX, Trace};

/// Whether a program is being recorded: then an interrupt must not end the lab.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// The extent of a recording.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// So many requests at most.
    pub first: usize,
    /// Whether call stacks are recorded; only by [`Recorder::SlabRecord`].
    pub stacks: bool,
}

/// The recording of a program.
#[derive(Debug)]
pub struct Recorded {
    /// Its requests.
    pub trace: Trace,
    /// The number of other processes that were recorded. They made fewer requests.
    pub other_processes: usize,
    /// Why the program failed. The recording has what it did until then.
    pub failure: Option<RecordError>,
}

/// Runs a program and returns its requests.
///
/// An interrupt (Ctrl-C), with which one ends a server, ends the program and not the recording.
///
/// # Errors
///
/// A [`RecordError`] if the program is missing, or if the recording cannot be read. A program that
/// fails is an error too, except under [`Recorder::SlabRecord`], whose recordings survive it.
pub fn record(
    recorder: Recorder,
    program: &Path,
    arguments: &[OsString],
    wish: Wish,
) -> Result<Recorded, RecordError> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let name = name.replace(char::is_control, "?");
    let place = tempfile::Builder::new().prefix("slab-lab-").tempdir();
    let place = place.map_err(RecordError::Temporary)?;
    let (mut command, mut recording) =
        recorder.command(place.path(), program, arguments, wish.stacks)?;
    let status = {
        let _programs_to_handle = Interrupts::left_to_the_program()?;
        command.status().map_err(|error| RecordError::Start { what: recorder.name(), error })?
    };
    let mut shown_name = name.clone();
    let (mut other_processes, mut failure, mut interrupted) = (0, None, false);
    match accept(&name, status) {
        Ok(was_interrupted) => interrupted = was_interrupted,
        Err(error) if recorder == Recorder::SlabRecord => failure = Some(error),
        Err(error) => return Err(error),
    }
    if recorder == Recorder::SlabRecord {
        interrupted = false;
        if let Some(largest) = processes::largest(place.path()) {
            (recording, other_processes) = (largest.file, largest.others);
            if !name.starts_with(&largest.name) {
                shown_name = largest.name;
            }
        }
    }
    let read = read_recording(&recording, &name, &shown_name, interrupted, wish.first);
    match (read, failure) {
        (Ok(mut trace), failure) => {
            symbols::name_frames(trace.context_mut().stacks_mut());
            Ok(Recorded { trace, other_processes, failure })
        }
        // That the program failed matters more than that it allocated nothing before.
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(error),
    }
}

/// Reads the recording of a program; the trace gets the name `shown`.
fn read_recording(
    recording: &Path,
    name: &str,
    shown: &str,
    interrupted: bool,
    first: usize,
) -> Result<Trace, RecordError> {
    let file = open(recording, interrupted).map_err(|error| match error.kind() {
        // The program did not load the recorder's library.
        io::ErrorKind::NotFound => RecordError::Silent { program: name.to_owned() },
        _ => RecordError::Unreadable { program: name.to_owned(), error },
    })?;
    // The temporary file's name would mean nothing to the user.
    let file_name = format!("the recording of {name}");
    let first = first.min(OPERATIONS_MAX);
    trace::read(&file_name, shown, file, first).map_err(|error| match error.fault {
        trace::Fault::NoOperation | trace::Fault::Empty => {
            RecordError::Silent { program: name.to_owned() }
        }
        _ => error.into(),
    })
}

/// Opens a recording. If it was interrupted, an unfinished last line is cut off.
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

/// Refuses the recording of a program that failed. An interrupt is not a failure; returns whether
/// there was one.
fn accept(program: &str, status: ExitStatus) -> Result<bool, RecordError> {
    const SIGINT: i32 = 2;
    let signal = launch::signal(status);
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

/// While this value exists, an interrupt ends only the program.
struct Interrupts;

impl Interrupts {
    fn left_to_the_program() -> Result<Self, RecordError> {
        let handled = ctrlc::set_handler(|| {
            if !RECORDING.load(Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        // A second recording in one process keeps the handler of the first.
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
    fn an_unfinished_last_line_is_cut_off() {
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
