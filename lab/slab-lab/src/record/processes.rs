//! The recordings of all processes that a program started.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use slab_record::format::{HEADER_BYTES, Header};

/// The largest of some recordings.
pub(super) struct Largest {
    /// Its file.
    pub(super) file: PathBuf,
    /// The name of its program.
    pub(super) name: String,
    /// The number of the other recordings.
    pub(super) others: usize,
}

/// Returns the largest recording of a directory; `None` if there is none.
pub(super) fn largest(place: &Path) -> Option<Largest> {
    let mut recordings = Vec::new();
    for entry in fs::read_dir(place).ok()?.flatten() {
        if let Some(header) = header(&entry.path()) {
            recordings.push((header.end, entry.path(), header));
        }
    }
    recordings.sort_by_key(|(end, file, _)| (*end, file.clone()));
    let others = recordings.len().checked_sub(1)?;
    let (_, file, header) = recordings.pop()?;
    let name = String::from_utf8_lossy(&header.name);
    let name = name.trim_end_matches('\0').replace(char::is_control, "?");
    Some(Largest { file, name, others })
}

/// Reads the header of a recording; `None` if the file is something else.
fn header(file: &Path) -> Option<Header> {
    let mut bytes = [0; HEADER_BYTES];
    File::open(file).ok()?.read_exact(&mut bytes).ok()?;
    Header::from_bytes(&bytes)
}
