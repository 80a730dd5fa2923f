//! The recordings that travel with the program; `traces/README.md` says how each was made.

use super::{OPERATIONS_MAX, Trace, TraceError, read};

macro_rules! traces {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../traces/", $name, ".slabtrace")))),*]
    };
}

const EMBEDDED: &[(&str, &[u8])] = traces![
    "mawk",
    "bc",
    "nginx",
    "lua",
    "sqlite",
    "imagemagick",
    "jq",
    "git",
    "redis",
    "xmllint",
    "cc1plus",
    "python",
];

/// Returns the names of the embedded traces.
pub fn embedded_names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|&(name, _)| name)
}

/// Reads the embedded trace of this name, or says that there is none.
///
/// # Errors
///
/// As [`read`]; an embedded trace that cannot be read is a defect of the build.
pub fn embedded(name: &str) -> Result<Option<Trace>, TraceError> {
    let found = EMBEDDED.iter().find(|&&(known, _)| known == name);
    found.map(|&(name, bytes)| read(name, name, bytes, OPERATIONS_MAX)).transpose()
}
