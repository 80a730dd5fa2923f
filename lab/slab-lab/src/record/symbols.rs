//! The functions of call stacks, by the symbols and debug information of the program's files.

use std::collections::HashMap;
use std::fs;

use addr2line::Loader;
use object::{Object as _, ObjectSegment as _};

use crate::trace::Stacks;

/// Replaces `FILE+0xOFFSET` by the functions there, the innermost first, each with file and line if they
/// are known. Frames of the recorder itself are left out.
pub(super) fn name_frames(stacks: &mut Stacks) {
    let mut files = HashMap::new();
    stacks.rename(|frame| {
        let Some((file, offset)) = place(frame) else { return vec![frame.to_owned()] };
        if file.ends_with("/libslab_record.so") {
            return Vec::new();
        }
        let symbols = files.entry(file.to_owned()).or_insert_with(|| Symbols::of(file));
        let functions = symbols.as_ref().map(|symbols| symbols.functions(offset));
        match functions {
            Some(functions) if !functions.is_empty() => functions,
            _ => vec![format!("{}+{offset:#x}", short(file))],
        }
    });
}

fn place(frame: &str) -> Option<(&str, u64)> {
    let (file, offset) = frame.rsplit_once("+0x")?;
    Some((file, u64::from_str_radix(offset, 16).ok()?))
}

/// Returns a path without directories.
fn short(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The symbols of a file.
struct Symbols {
    loader: Loader,
    /// For each segment: offset in the file, length, address.
    segments: Vec<[u64; 3]>,
}

impl Symbols {
    fn of(file: &str) -> Option<Self> {
        let bytes = fs::read(file).ok()?;
        let object = object::File::parse(&*bytes).ok()?;
        let segments = object.segments().map(|segment| {
            let (offset, length) = segment.file_range();
            [offset, length, segment.address()]
        });
        Some(Self { segments: segments.collect(), loader: Loader::new(file).ok()? })
    }

    fn functions(&self, offset: u64) -> Vec<String> {
        let address = self.segments.iter().find_map(|&[start, length, address]| {
            let inside = offset.checked_sub(start).filter(|&inside| inside < length)?;
            address.checked_add(inside)
        });
        let Some(address) = address else { return Vec::new() };
        let mut functions = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let Some(name) = frame.function else { continue };
                let Ok(name) = name.demangle() else { continue };
                let place = frame.location.and_then(|place| Some((place.file?, place.line?)));
                functions.push(match place {
                    Some((file, line)) => format!("{name} ({}:{line})", short(file)),
                    None => name.into_owned(),
                });
            }
        }
        if functions.is_empty() {
            let symbol = self.loader.find_symbol(address);
            functions.extend(
                symbol.map(|symbol| addr2line::demangle_auto(symbol.into(), None).into_owned()),
            );
        }
        functions.into_iter().map(|name| name.replace(char::is_control, "?")).collect()
    }
}
