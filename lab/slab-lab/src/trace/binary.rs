//! The lab's own format: small, and without paths, stacks, addresses, threads or times of requests.
//!
//! ```text
//! file      = "SLABTRACE" version:u8 zstd-frame(contents)         version = 2
//! contents  = name-length name run warnings operation-count operation*
//! run       = milliseconds resident-bytes                         0 = unknown
//! warnings  = unknown-frees replaced-blocks refused-requests foreign-lines
//! operation = head more
//!     head % 4 = 0   allocation            head / 4 = size * 2 + aligned
//!     head % 4 = 1   zeroed allocation     head / 4 = size * 2 + aligned
//!                    more = log2(alignment) if aligned = 1, else nothing: the alignment is 16
//!     head % 4 = 2   free                  head / 4 = slot                more = nothing
//!     head % 4 = 3   realloc               head / 4 = slot                more = new size
//! ```
//!
//! Every number is a varint: seven bits per byte, the lowest first, the highest bit set on all but
//! the last byte. The name is UTF-8, at most 255 bytes. An allocation does not name its slot: it
//! takes the one vacated last, or, if none is vacant, the next new one from zero. The frame carries
//! a checksum. Version 1, which is still read, has neither `run` nor `warnings`.

use std::io::{self, BufRead, Write};

use super::{Fault, MALLOC_ALIGN, Op, Place, Run, Trace, TraceBuilder, TraceError, Warnings};

/// The first bytes of every file, before the version.
pub const MAGIC: &[u8] = b"SLABTRACE";

/// The version written, and the newest one read.
pub const VERSION: u8 = 2;

const NAME_BYTES_MAX: usize = 255;
const ALLOC: u64 = 0;
const ALLOC_ZEROED: u64 = 1;
const FREE: u64 = 2;
const REALLOC: u64 = 3;

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
        trace.ops().len() as u64,
    ] {
        write_number(to, number)?;
    }
    for op in trace.ops() {
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
        write_number(to, value << 2 | kind)?;
        if let Some(more) = more {
            write_number(to, more)?;
        }
    }
    Ok(())
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
        let announced = self.number()?;
        let mut builder = TraceBuilder::default();
        for read in 0..announced.min(first as u64) {
            self.operation(&mut builder).map_err(|fault| match fault {
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
        })
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

    fn operation(&mut self, builder: &mut TraceBuilder) -> Result<(), Fault> {
        let head = self.number()?;
        let (kind, value) = (head & 3, head >> 2);
        match kind {
            FREE => builder.free(value),
            REALLOC => {
                let new_size = self.number()?;
                builder.realloc(value, new_size)
            }
            _ => {
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
