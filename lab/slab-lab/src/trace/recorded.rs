//! Recordings of slab-record; `slab_record::format` has the format.
//!
//! A frame of a call stack is named `FILE+0xOFFSET` until its symbols are looked up.

use std::collections::HashMap;
use std::io::{self, BufRead};

use slab_record::format::{HEADER_BYTES, Header, MAGIC, RECORD_BYTES, Record, kind};

use super::context::STACK_FRAMES_MAX;
use super::tracker::Tracker;
use super::{Fault, Place, Trace, TraceError};

/// The most different stacks: those that a record can name.
const STACKS_MAX: usize = 1 << 20;

/// The most mapped files that are kept.
const MODULES_MAX: usize = 1 << 12;

/// The longest path of a mapped file.
const PATH_BYTES_MAX: usize = 1 << 10;

/// Returns whether bytes may be such a recording.
pub(super) fn is_start(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Reads a recording, up to `first` operations. An unfinished record at the end is left out: a program
/// that was killed writes one.
pub(super) fn read(
    file: &str,
    name: &str,
    mut from: impl BufRead,
    first: usize,
) -> Result<Trace, TraceError> {
    let mut header = [0; HEADER_BYTES];
    from.read_exact(&mut header).map_err(|error| Fault::Io(error).at(file, Place::File))?;
    let header = Header::from_bytes(&header).ok_or(Fault::Foreign.at(file, Place::File))?;
    let mut reader = Reader::new(header);
    let mut offset = HEADER_BYTES as u64;
    let mut record = [0; RECORD_BYTES];
    while reader.tracker.operations() < first {
        let outcome = read_record(&mut from, &mut record);
        let is_whole = outcome.map_err(|error| Fault::Io(error).at(file, Place::Byte(offset)))?;
        if !is_whole {
            break;
        }
        let taken = reader.take(Record::from_bytes(&record));
        taken.map_err(|fault| fault.at(file, Place::Byte(offset)))?;
        offset += RECORD_BYTES as u64;
    }
    if reader.tracker.operations() == 0 {
        return Err(Fault::NoOperation.at(file, Place::File));
    }
    reader.finish(name).map_err(|fault| fault.at(file, Place::File))
}

/// Reads a record; `false` at the end.
fn read_record(from: &mut impl BufRead, record: &mut [u8; RECORD_BYTES]) -> io::Result<bool> {
    match from.read_exact(record) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A mapped file.
#[derive(Default)]
struct Module {
    start: u64,
    end: u64,
    offset: u64,
    path: Vec<u8>,
}

struct Reader {
    tracker: Tracker,
    header: Header,
    /// Numbers of threads, in the order of their first request.
    threads: HashMap<u64, u16>,
    /// The block that each thread is resizing, as the number of its slot.
    resizing: HashMap<u64, u64>,
    /// The return addresses of each stack.
    stacks: HashMap<u32, Vec<u64>>,
    /// The numbers of the stacks that requests name, counted from 1 in the order of their first use.
    sites: HashMap<u32, u32>,
    used_stacks: Vec<u32>,
    modules: HashMap<u32, Module>,
    last_ticks: u64,
}

impl Reader {
    fn new(header: Header) -> Self {
        let mut tracker = Tracker::default();
        tracker.run.resident_bytes = header.resident_bytes;
        tracker.warnings.lost_requests = header.lost;
        Self {
            tracker,
            header,
            threads: HashMap::new(),
            resizing: HashMap::new(),
            stacks: HashMap::new(),
            sites: HashMap::new(),
            used_stacks: Vec::new(),
            modules: HashMap::new(),
            last_ticks: 0,
        }
    }

    fn take(&mut self, record: Record) -> Result<(), Fault> {
        match record.kind {
            kind::NOTHING => return Ok(()),
            kind::STACK => return self.stack(record),
            kind::MODULE => return self.module(record),
            _ => {}
        }
        let [ticks, block, size] = record.numbers;
        self.begin(&record, ticks)?;
        let align = 1u64 << record.part;
        match record.kind {
            kind::FREE => self.tracker.free(block),
            kind::RESIZE_START => {
                // A start without an end was cut off by the end of its thread.
                self.resizing.insert(record.thread, block);
                self.tracker.start_resize(block);
                Ok(())
            }
            kind::RESIZE_END => match self.resizing.remove(&record.thread) {
                Some(old) => self.tracker.end_resize(old, block, size),
                None => self.tracker.alloc(block, size, align),
            },
            _ if block == 0 => {
                self.tracker.warnings.refused_requests += 1;
                Ok(())
            }
            kind::ALLOC_ZEROED => self.tracker.place(block, size, align, true),
            _ => self.tracker.alloc(block, size, align),
        }
    }

    /// Notes thread, time and stack of a request.
    fn begin(&mut self, record: &Record, ticks: u64) -> Result<(), Fault> {
        let next = self.threads.len() as u16;
        let thread = *self.threads.entry(record.thread).or_insert(next);
        let site = match self.sites.get(&record.stack) {
            Some(&site) => site,
            None if record.stack == 0 => 0,
            None => {
                self.used_stacks.push(record.stack);
                let site = self.used_stacks.len() as u32;
                self.sites.insert(record.stack, site);
                site
            }
        };
        let microseconds = self.microseconds(ticks);
        self.last_ticks = self.last_ticks.max(ticks);
        self.tracker.now(thread, site, microseconds)
    }

    /// Returns the time from the start; `None` if the header has no two moments.
    fn microseconds(&self, ticks: u64) -> Option<u64> {
        let Header { start_ticks, start_ns, last_ticks, last_ns, .. } = self.header;
        let ns = last_ns.checked_sub(start_ns).filter(|&ns| ns > 0)?;
        let all = last_ticks.checked_sub(start_ticks).filter(|&all| all > 0)?;
        let passed = u128::from(ticks.saturating_sub(start_ticks));
        let passed_ns = passed * u128::from(ns) / u128::from(all);
        Some(u64::try_from(passed_ns / 1000).unwrap_or(u64::MAX))
    }

    fn stack(&mut self, record: Record) -> Result<(), Fault> {
        if self.stacks.len() >= STACKS_MAX && !self.stacks.contains_key(&record.stack) {
            return Err(Fault::Stacks);
        }
        let frames = self.stacks.entry(record.stack).or_default();
        let place = usize::from(record.part) * 3;
        if frames.len() < place + 3 {
            frames.resize(place + 3, 0);
        }
        frames[place..place + 3].copy_from_slice(&record.numbers);
        Ok(())
    }

    fn module(&mut self, record: Record) -> Result<(), Fault> {
        if self.modules.len() >= MODULES_MAX && !self.modules.contains_key(&record.stack) {
            return Err(Fault::Stacks);
        }
        let module = self.modules.entry(record.stack).or_default();
        let Some(part) = usize::from(record.part).checked_sub(1) else {
            [module.start, module.end, module.offset] = record.numbers;
            return Ok(());
        };
        let place = part * 24;
        if module.path.len() < place + 24 && place + 24 <= PATH_BYTES_MAX {
            module.path.resize(place + 24, 0);
        }
        let bytes: Vec<u8> =
            record.numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        if let Some(part) = module.path.get_mut(place..place + 24) {
            part.copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn finish(mut self, name: &str) -> Result<Trace, Fault> {
        // At least as long as the last request says.
        let last = self.microseconds(self.last_ticks.max(self.header.last_ticks));
        self.tracker.run.milliseconds = last.map_or(0, |last| last.div_ceil(1000));
        let mut modules: Vec<(Module, String)> = Vec::new();
        for (_, module) in self.modules {
            let path = String::from_utf8_lossy(&module.path).trim_end_matches('\0').to_owned();
            // A name is printed: control characters could drive the terminal.
            modules.push((module, path.replace(char::is_control, "?")));
        }
        modules.sort_by_key(|(module, _)| module.start);
        let mut numbers = HashMap::new();
        for stack in self.used_stacks {
            let mut frames = Vec::new();
            let addresses = self.stacks.get(&stack).map_or(&[][..], |frames| frames);
            for &address in addresses.iter().filter(|&&address| address != 0) {
                // The call is before the return address.
                let address = address - 1;
                let number = match numbers.get(&address) {
                    Some(&number) => number,
                    None => {
                        let name = frame_name(&modules, address);
                        let number = self.tracker.stacks().add_name(name)?;
                        numbers.insert(address, number);
                        number
                    }
                };
                frames.push(number.into());
            }
            frames.truncate(STACK_FRAMES_MAX);
            self.tracker.stacks().add(&frames)?;
        }
        Ok(self.tracker.finish(name))
    }
}

/// Returns `FILE+0xOFFSET`, or the address if it is in no file.
fn frame_name(modules: &[(Module, String)], address: u64) -> String {
    let after = modules.partition_point(|(module, _)| module.start <= address);
    let found = after.checked_sub(1).map(|index| &modules[index]);
    match found.filter(|(module, _)| address < module.end) {
        Some((module, path)) => {
            let offset = (address - module.start).saturating_add(module.offset);
            format!("{path}+{offset:#x}")
        }
        None => format!("{address:#x}"),
    }
}
