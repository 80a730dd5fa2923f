//! The lab's own format: small, and without addresses. Names of functions are there only if call
//! stacks were recorded.
//!
//! ```text
//! file      = "SLABTRACE" version:u8 zstd-frame(contents)         version = 3
//! contents  = name-length name run warnings stacks operation-count (mark* operation)*
//! run       = milliseconds resident-bytes                         0 = unknown
//! warnings  = unknown-frees replaced-blocks refused-requests foreign-lines lost-requests
//! stacks    = name-count (name-length name)* stack-count (frame-count name-number*)*
//! operation = head more
//!     head % 8 = 0   allocation            head / 8 = size * 2 + aligned
//!     head % 8 = 1   zeroed allocation     head / 8 = size * 2 + aligned
//!                    more = log2(alignment) if aligned = 1, else nothing: the alignment is 16
//!     head % 8 = 2   free                  head / 8 = slot                more = nothing
//!     head % 8 = 3   realloc               head / 8 = slot                more = new size
//! mark      = head
//!     head % 8 = 4   the thread from here on; 0 before the first mark
//!     head % 8 = 5   microseconds passed since the last such mark
//!     head % 8 = 6   the call stack of allocations and reallocs from here on, counted from 1; 0 = unknown
//! ```
//!
//! Every number is a varint: seven bits per byte, the lowest first, the highest bit set on all but
//! the last byte. The name is UTF-8, at most 255 bytes. An allocation does not name its slot: it
//! takes the one vacated last, or, if none is vacant, the next new one from zero. The frame carries
//! a checksum. Older versions are still read: 2 has neither `lost-requests` nor `stacks` nor marks, and
//! its heads have `% 4` in place of `% 8`; 1 is the same without `run` and `warnings`.

use std::io::{self, BufRead, Write};

use super::context::STACK_FRAMES_MAX;
use super::{
    Context, Fault, MALLOC_ALIGN, Op, Place, Run, Stacks, Trace, TraceBuilder, TraceError, Warnings,
};

/// The first bytes of every file, before the version.
pub const MAGIC: &[u8] = b"SLABTRACE";

/// The version written, and the newest one read.
pub const VERSION: u8 = 3;

const NAME_BYTES_MAX: usize = 255;
const ALLOC: u64 = 0;
const ALLOC_ZEROED: u64 = 1;
const FREE: u64 = 2;
const REALLOC: u64 = 3;
const THREAD: u64 = 4;
const TIME: u64 = 5;
const SITE: u64 = 6;

/// The longest name of a function.
const FRAME_BYTES_MAX: usize = 1 << 16;

/// The zstd level for traces that are kept.
pub const SMALL: i32 = 19;

/// The zstd level for traces that are read at once.
pub const FAST: i32 = 1;

/// Writes a trace, compressed with a level of zstd.
///
/// # Errors
///
/// Those of `to`.
pub fn write(trace: &Trace, mut to: impl Write, level: i32) -> io::Result<()> {
    to.write_all(MAGIC)?;
    to.write_all(&[VERSION])?;
    let mut frame = zstd::Encoder::new(to, level)?;
    frame.include_checksum(true)?;
    write_contents(trace, &mut frame)?;
    frame.finish()?.flush()
}

fn write_contents(trace: &Trace, to: &mut impl Write) -> io::Result<()> {
    let mut name = trace.name();
    while name.len() > NAME_BYTES_MAX {
        let mut shorter = name.chars();
        shorter.next_back();
        name = shorter.as_str();
    }
    write_number(to, name.len() as u64)?;
    to.write_all(name.as_bytes())?;
    let (run, warnings) = (trace.run(), trace.warnings());
    for number in [
        run.milliseconds,
        run.resident_bytes,
        warnings.unknown_frees,
        warnings.replaced_blocks,
        warnings.refused_requests,
        warnings.foreign_lines,
        warnings.lost_requests,
    ] {
        write_number(to, number)?;
    }
    let context = trace.context();
    write_stacks(context.stacks(), to)?;
    write_number(to, trace.ops().len() as u64)?;
    let mut marks = Marks::default();
    for (index, op) in trace.ops().iter().enumerate() {
        marks.write(context, index, op, to)?;
        let (kind, value, more) = match *op {
            Op::Alloc { layout, .. } | Op::AllocZeroed { layout, .. } => {
                let aligned = layout.align() != MALLOC_ALIGN;
                let zeroed = matches!(op, Op::AllocZeroed { .. });
                let kind = if zeroed { ALLOC_ZEROED } else { ALLOC };
                let value = (layout.size() as u64) << 1 | u64::from(aligned);
                (kind, value, aligned.then(|| layout.align().trailing_zeros().into()))
            }
            Op::Free { slot, .. } => (FREE, slot.into(), None),
            Op::Realloc { slot, new_size, .. } => (REALLOC, slot.into(), Some(new_size as u64)),
        };
        write_number(to, value << 3 | kind)?;
        if let Some(more) = more {
            write_number(to, more)?;
        }
    }
    Ok(())
}

fn write_stacks(stacks: &Stacks, to: &mut impl Write) -> io::Result<()> {
    write_number(to, stacks.names().len() as u64)?;
    for name in stacks.names() {
        let mut end = name.len().min(FRAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        write_number(to, end as u64)?;
        to.write_all(&name.as_bytes()[..end])?;
    }
    write_number(to, stacks.len() as u64)?;
    for stack in stacks.numbers() {
        write_number(to, stack.len() as u64)?;
        stack.iter().try_for_each(|&frame| write_number(to, frame.into()))?;
    }
    Ok(())
}

/// Thread, time and stack that hold at some place of the file.
#[derive(Default)]
struct Marks {
    thread: u16,
    site: u32,
    times: usize,
    microseconds: u64,
}

impl Marks {
    /// Writes what changes before a request.
    fn write(
        &mut self,
        context: &Context,
        index: usize,
        op: &Op,
        to: &mut impl Write,
    ) -> io::Result<()> {
        let thread = context.thread(index);
        if thread != self.thread {
            self.thread = thread;
            write_number(to, u64::from(thread) << 3 | THREAD)?;
        }
        if let Some(&(at, microseconds)) = context.times().get(self.times)
            && at == index
        {
            let passed = (microseconds - self.microseconds).min(u64::MAX >> 3);
            write_number(to, passed << 3 | TIME)?;
            (self.times, self.microseconds) = (self.times + 1, microseconds);
        }
        let site = context.site(index).map_or(0, |site| site as u32 + 1);
        if site != self.site && !matches!(op, Op::Free { .. }) {
            self.site = site;
            write_number(to, u64::from(site) << 3 | SITE)?;
        }
        Ok(())
    }
}

fn write_number(to: &mut impl Write, mut number: u64) -> io::Result<()> {
    while number >= 0x80 {
        to.write_all(&[number as u8 | 0x80])?;
        number >>= 7;
    }
    to.write_all(&[number as u8])
}

/// Reads a trace, up to `first` operations. `name` is the trace's if the file has none.
pub(super) fn read(
    file: &str,
    name: &str,
    mut from: impl BufRead,
    first: usize,
) -> Result<Trace, TraceError> {
    let mut start = [0; MAGIC.len() + 1];
    let head = from.read_exact(&mut start).map_err(Fault::Io);
    head.map_err(|fault| fault.at(file, Place::File))?;
    let [.., version] = start;
    if !(1..=VERSION).contains(&version) {
        return Err(Fault::Version { found: version, known: VERSION }.at(file, Place::File));
    }
    let frame = zstd::Decoder::with_buffer(from).map_err(Fault::Io);
    let frame = frame.map_err(|fault| fault.at(file, Place::File))?;
    let mut contents = Contents { version, bytes: io::BufReader::new(frame), offset: 0 };
    contents.trace(name, first).map_err(|fault| fault.at(file, Place::Byte(contents.offset)))
}

/// The decompressed contents, read up to `offset`.
struct Contents<R> {
    version: u8,
    bytes: R,
    offset: u64,
}

impl<R: BufRead> Contents<R> {
    fn trace(&mut self, name: &str, first: usize) -> Result<Trace, Fault> {
        let own_name = self.name()?;
        let (mut run, warnings) = match self.version {
            1 => Default::default(),
            _ => (self.run()?, self.warnings()?),
        };
        let mut builder = TraceBuilder::default();
        let stacks = match self.version {
            1 | 2 => 0,
            _ => self.stacks(builder.stacks())?,
        };
        let announced = self.number()?;
        let mut marks = Marks::default();
        for read in 0..announced.min(first as u64) {
            self.operation(&mut builder, &mut marks, stacks).map_err(|fault| match fault {
                Fault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Fault::Truncated { read, announced }
                }
                other => other,
            })?;
        }
        if announced <= first as u64 && !self.bytes.fill_buf()?.is_empty() {
            return Err(Fault::Trailing);
        }
        if builder.operations() == 0 {
            return Err(Fault::NoOperation);
        }
        if announced > first as u64 {
            // The facts are about the whole run, not about a part of it.
            run = Run::default();
        }
        let name = if own_name.is_empty() { name } else { &own_name };
        Ok(builder.finish(name, run, warnings))
    }

    fn run(&mut self) -> Result<Run, Fault> {
        Ok(Run { milliseconds: self.number()?, resident_bytes: self.number()? })
    }

    fn warnings(&mut self) -> Result<Warnings, Fault> {
        Ok(Warnings {
            unknown_frees: self.number()?,
            replaced_blocks: self.number()?,
            refused_requests: self.number()?,
            foreign_lines: self.number()?,
            lost_requests: if self.version < 3 { 0 } else { self.number()? },
        })
    }

    /// Reads the call stacks and returns their number.
    fn stacks(&mut self, stacks: &mut Stacks) -> Result<usize, Fault> {
        for _ in 0..self.number()? {
            let length = self.number()?;
            let length = usize::try_from(length).ok().filter(|&length| length <= FRAME_BYTES_MAX);
            let mut name = vec![0; length.ok_or(Fault::Stacks)?];
            self.bytes.read_exact(&mut name)?;
            self.offset += name.len() as u64;
            let name = String::from_utf8(name).map_err(|_| Fault::Stacks)?;
            // A name is printed: control characters could drive the terminal.
            stacks.add_name(name.replace(char::is_control, "?"))?;
        }
        for _ in 0..self.number()? {
            let mut frames = Vec::new();
            for _ in 0..self.number()? {
                if frames.len() == STACK_FRAMES_MAX {
                    return Err(Fault::Stacks);
                }
                frames.push(self.number()?);
            }
            stacks.add(&frames)?;
        }
        Ok(stacks.len())
    }

    fn name(&mut self) -> Result<String, Fault> {
        const LIMIT: Fault = Fault::Name { limit: NAME_BYTES_MAX };
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|&length| length <= NAME_BYTES_MAX);
        let mut name = vec![0; length.ok_or(LIMIT)?];
        self.bytes.read_exact(&mut name)?;
        self.offset += name.len() as u64;
        let name = String::from_utf8(name).map_err(|_| LIMIT)?;
        // The name is printed: control characters could drive the terminal.
        if name.chars().any(char::is_control) { Err(LIMIT) } else { Ok(name) }
    }

    /// Reads an operation and the marks before it.
    fn operation(
        &mut self,
        builder: &mut TraceBuilder,
        marks: &mut Marks,
        stacks: usize,
    ) -> Result<(), Fault> {
        let kind_bits = if self.version < 3 { 2 } else { 3 };
        let (kind, value) = loop {
            let head = self.number()?;
            let (kind, value) = (head & ((1 << kind_bits) - 1), head >> kind_bits);
            match kind {
                THREAD => marks.thread = u16::try_from(value).unwrap_or(u16::MAX),
                TIME => marks.microseconds = marks.microseconds.saturating_add(value),
                SITE if value <= stacks as u64 => marks.site = value as u32,
                SITE => return Err(Fault::Stacks),
                _ => break (kind, value),
            }
            let microseconds = (kind == TIME).then_some(marks.microseconds);
            builder.now(marks.thread, marks.site, microseconds)?;
        };
        match kind {
            FREE => builder.free(value),
            REALLOC => {
                let new_size = self.number()?;
                builder.realloc(value, new_size)
            }
            ALLOC | ALLOC_ZEROED => {
                let align = match value & 1 {
                    0 => MALLOC_ALIGN as u64,
                    _ => {
                        let exponent = self.number()?;
                        u32::try_from(exponent)
                            .ok()
                            .and_then(|exponent| 1u64.checked_shl(exponent))
                            .unwrap_or(u64::MAX)
                    }
                };
                builder.alloc(value >> 1, align, kind == ALLOC_ZEROED).map(|_slot| ())
            }
            _ => Err(Fault::Kind),
        }
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.bytes.read_exact(&mut byte)?;
            self.offset += 1;
            let bits = u64::from(byte[0] & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Fault::LongNumber);
            }
            number |= bits << shift;
            if byte[0] < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::LongNumber)
    }
}
