//! The recordings inside the program; `traces/README.md` says how each was made.

use super::{OPERATIONS_MAX, Trace, TraceError, read};

/// A trace: its name, its program and the work of that program, its file.
type Embedded = (&'static str, &'static str, &'static [u8]);

macro_rules! traces {
    ($($name:literal: $what:literal),* $(,)?) => {
        &[$(($name, $what, include_bytes!(concat!("../../traces/", $name, ".slabtrace")))),*]
    };
}

const EMBEDDED: &[Embedded] = traces![
    "mawk": "mawk 1.3 counts and concatenates fields of 20,000 lines",
    "bc": "GNU bc 1.07 computes 700 square roots, pi and e to 90 digits",
    "nginx": "nginx 1.22 serves 1,800 requests of curl, two thirds of them compressed",
    "lua": "Lua 5.4 counts words in tables, concatenates and sorts",
    "sqlite": "SQLite 3.40 inserts, indexes, updates, groups, deletes and vacuums",
    "imagemagick": "ImageMagick 6.9 resizes, blurs and rotates ten small pictures",
    "jq": "jq 1.6 filters and groups 1,200 records",
    "git": "git 2.47 runs log -p --stat -M over 12 commits of 40 files",
    "redis": "Redis 7.0 serves 28,000 commands of redis-benchmark from 20 clients",
    "xmllint": "libxml2 2.9 parses 2,500 items and evaluates an XPath",
    "cc1plus": "GCC 12 compiles a file that uses map, string and vector, at -O1",
    "python": "CPython 3.11 makes objects and dictionaries, and reads and writes JSON",
];

/// Returns the names of the embedded traces.
pub fn embedded_names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|&(name, ..)| name)
}

/// Returns name and description of each embedded trace.
pub fn embedded_descriptions() -> impl Iterator<Item = (&'static str, &'static str)> {
    EMBEDDED.iter().map(|&(name, what, _)| (name, what))
}

/// Reads the embedded trace of this name; `None` if there is none.
///
/// # Errors
///
/// As [`read`]. An embedded trace that cannot be read is a defect of the build.
pub fn embedded(name: &str) -> Result<Option<Trace>, TraceError> {
    let found = EMBEDDED.iter().find(|&&(known, ..)| known == name);
    found.map(|&(name, _, bytes)| read(name, name, bytes, OPERATIONS_MAX)).transpose()
}
