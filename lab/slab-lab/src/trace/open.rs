//! Opens a recording of any known format, compressed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::{Fault, Place, Trace, TraceError, binary, heaptrack, recorded, valgrind};

/// Reads a recording of any known format, compressed or not, up to `first` operations.
///
/// The trace is named after the file, without directories and extensions. A trace in the lab's own
/// format keeps its name.
///
/// # Errors
///
/// A [`TraceError`] with the file's name and the line or byte at fault.
pub fn open(path: &Path, first: usize) -> Result<Trace, TraceError> {
    let shown = path.display().to_string();
    // The name is printed: control characters could drive the terminal.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.replace(char::is_control, "?");
    let name = name.split('.').find(|part| !part.is_empty()).unwrap_or("unnamed");
    let file = File::open(path).map_err(|error| Fault::Io(error).at(&shown, Place::File))?;
    read(&shown, name, file, first)
}

/// Reads a recording. Errors call it `file`; the trace is called `name`.
///
/// # Errors
///
/// As [`open`].
pub fn read(
    file: &str,
    name: &str,
    from: impl io::Read,
    first: usize,
) -> Result<Trace, TraceError> {
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    const GZIP: &[u8] = &[0x1f, 0x8b];

    let whole = |fault: Fault| fault.at(file, Place::File);
    let mut bytes = BufReader::new(from);
    let start = bytes.fill_buf().map_err(|error| whole(error.into()))?;
    if start.is_empty() {
        Err(whole(Fault::Empty))
    } else if start.starts_with(ZSTD) {
        let frame = zstd::Decoder::with_buffer(bytes).map_err(|error| whole(error.into()))?;
        plain(file, name, BufReader::new(frame), first)
    } else if start.starts_with(GZIP) {
        plain(file, name, BufReader::new(flate2::bufread::MultiGzDecoder::new(bytes)), first)
    } else {
        plain(file, name, bytes, first)
    }
}

/// Picks the reader by the first bytes of the decompressed contents.
fn plain(
    file: &str,
    name: &str,
    mut bytes: impl BufRead,
    first: usize,
) -> Result<Trace, TraceError> {
    let whole = |fault: Fault| fault.at(file, Place::File);
    let start = bytes.fill_buf().map_err(|error| whole(error.into()))?;
    if start.is_empty() {
        Err(whole(Fault::Empty))
    } else if start.starts_with(binary::MAGIC) {
        binary::read(file, name, bytes, first)
    } else if recorded::is_start(start) {
        recorded::read(file, name, bytes, first)
    } else if heaptrack::is_start(start) {
        heaptrack::read(file, name, bytes, first)
    } else if valgrind::is_start(start) {
        valgrind::read(file, name, bytes, first)
    } else {
        Err(Fault::Foreign.at(file, Place::Line(1)))
    }
}
