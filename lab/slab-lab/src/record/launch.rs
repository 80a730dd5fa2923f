//! Finds the recorders and starts a program under them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fs};

use super::install::Missing;
use super::{RecordError, Recorder};

impl Recorder {
    /// Returns the requested recorder, or else the first one that is installed.
    ///
    /// # Errors
    ///
    /// [`RecordError::Missing`], with the command that installs it.
    pub fn choose(asked: Option<Self>) -> Result<Self, RecordError> {
        let candidates = match asked {
            Some(recorder) => vec![recorder],
            None => Self::ALL.to_vec(),
        };
        let installed = candidates.into_iter().find(|recorder| recorder.is_installed());
        Ok(installed.ok_or_else(|| Missing::new(asked))?)
    }

    /// Returns whether it is installed.
    pub fn is_installed(self) -> bool {
        match self {
            Self::SlabRecord => !LIBRARY.is_empty(),
            Self::Heaptrack | Self::Valgrind => find_program(OsStr::new(self.name())).is_ok(),
        }
    }

    /// Returns the command that records a program, and the file of the recording.
    pub(super) fn command(
        self,
        place: &Path,
        program: &Path,
        arguments: &[OsString],
        with_stacks: bool,
    ) -> Result<(Command, PathBuf), RecordError> {
        let recording = place.join("recording");
        let mut command = match self {
            Self::SlabRecord => {
                let mut command = under_slab_record(place, program, &recording)?;
                if with_stacks {
                    command.env("SLAB_LAB_RECORD_STACKS", "1");
                }
                command
            }
            Self::Heaptrack => under_heaptrack(program, &recording)?,
            Self::Valgrind => under_valgrind(program, &recording),
        };
        command.args(arguments);
        Ok((command, recording))
    }
}

/// The library of slab-record; empty if it could not be compiled for this system.
const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/slab_record.so"));

/// Loads slab-record's library into the program. Each process that the program starts writes a
/// recording whose name begins with `recording`.
fn under_slab_record(
    place: &Path,
    program: &Path,
    recording: &Path,
) -> Result<Command, RecordError> {
    let library = place.join("libslab_record.so");
    fs::write(&library, LIBRARY).map_err(RecordError::Temporary)?;
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", preload(library)).env("SLAB_LAB_RECORD", recording);
    Ok(command)
}

/// Returns the libraries to load: this one first, then those that the user wants.
fn preload(library: PathBuf) -> OsString {
    let mut preload = library.into_os_string();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    preload
}

/// Loads heaptrack's library into the program, as the script `heaptrack --raw` does. The script
/// itself prints into the program's output, and never ends if the program cannot load the library.
fn under_heaptrack(program: &Path, recording: &Path) -> Result<Command, RecordError> {
    const LIBRARY: &str = "libheaptrack_preload.so";

    let script = find_program(OsStr::new(Recorder::Heaptrack.name()))?;
    let script = script.canonicalize().unwrap_or(script);
    let directory = script.parent().unwrap_or(Path::new("/"));
    // The installation writes the library's path into this line of the script.
    let text = fs::read_to_string(&script).unwrap_or_default();
    let said = text.lines().find_map(|line| line.trim().strip_prefix("LIB_REL_PATH="));
    let said = said.map(|path| path.trim_matches('"'));
    let places = said.into_iter().chain(["../lib/heaptrack", "../lib64/heaptrack"]);
    let mut libraries = places.map(|place| directory.join(place).join(LIBRARY));
    let library = libraries
        .find_map(|library| library.canonicalize().ok())
        .ok_or(RecordError::Library { library: LIBRARY, script })?;

    let mut command = Command::new(program);
    command.env("LD_PRELOAD", preload(library)).env("DUMP_HEAPTRACK_OUTPUT", recording);
    Ok(command)
}

fn under_valgrind(program: &Path, recording: &Path) -> Command {
    // valgrind reads a percent sign as a placeholder.
    let log = recording.to_string_lossy().replace('%', "%%");
    let mut command = Command::new(Recorder::Valgrind.name());
    command
        .args(["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"])
        .args(["--trace-malloc=yes", "--child-silent-after-fork=yes"])
        .arg(format!("--log-file={log}"))
        .arg(program);
    command
}

/// Returns the path of a program; a name without directories is looked up in `PATH`.
///
/// # Errors
///
/// [`RecordError::Program`].
pub fn find_program(name: &OsStr) -> Result<PathBuf, RecordError> {
    let named = Path::new(name);
    let candidates: Vec<PathBuf> = match named.components().count() {
        1 if !named.is_absolute() && !name.to_string_lossy().contains('/') => {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).map(|directory| directory.join(named)).collect()
        }
        _ => vec![named.to_owned()],
    };
    let exists = candidates.iter().any(|candidate| candidate.exists());
    let found = candidates.into_iter().find(|candidate| is_executable(candidate));
    found.ok_or_else(|| RecordError::Program { program: name.to_string_lossy().into(), exists })
}

/// Returns whether a program is a script; only its interpreter is recorded.
pub fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    let read = File::open(program).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"#!"
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// Returns the signal that ended a program.
pub(super) fn signal(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None.filter(|_: &i32| !status.success());
    signal
}
