//! The bytes of a recording: a header, then records of 32 bytes, all numbers little-endian.
//!
//! ```text
//! header  = magic:8 process:8 start-ticks:8 start-ns:8 last-ticks:8 last-ns:8 lost:8 resident:8
//!           end:8 ended:8 name:32 0:16
//! record  = meta:8 a:8 b:8 c:8
//! meta    = kind | part << 3 | stack << 8 | thread << 28        3, 5, 20 and 36 bits
//! ```
//!
//! | kind | part | a | b | c |
//! |---|---|---|---|---|
//! | 0 nothing: a record that was not finished | | | | |
//! | 1 allocation | log2(alignment) | ticks | block, 0 if refused | size |
//! | 2 zeroed allocation | log2(alignment) | ticks | block, 0 if refused | size |
//! | 3 free | | ticks | block | |
//! | 4 start of a resize | | ticks | block | |
//! | 5 end of a resize by the same thread | log2(alignment) | ticks | new block, 0 if refused | size |
//! | 6 part of a call stack, named by `stack` | its number | return addresses, the innermost first | | |
//! | 7 part of a mapped file, numbered by `stack` | 0 | first address | end | offset in the file |
//! | | from 1 | 24 bytes of its path | | |
//!
//! A record of a free or of the start of a resize is written before the request, any other one after
//! it. So in the order of the records no block is allocated before the block at the same address is
//! freed, on any number of threads. Zero in the header means unknown. `end` is the length of the
//! recording in bytes, unless the program was killed: then a few thousand records may follow.

/// The first bytes of every recording, with the version of the format.
pub const MAGIC: [u8; 8] = *b"SLABREC\x01";

/// Bytes of the header.
pub const HEADER_BYTES: usize = 128;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 32;

/// The most return addresses of a call stack.
pub const FRAMES_MAX: usize = 30;

/// The largest number of a call stack.
pub const STACK_MAX: u32 = (1 << 20) - 1;

/// Kinds of records.
pub mod kind {
    /// A record that was not finished.
    pub const NOTHING: u8 = 0;
    /// An allocation.
    pub const ALLOC: u8 = 1;
    /// A zeroed allocation.
    pub const ALLOC_ZEROED: u8 = 2;
    /// A free.
    pub const FREE: u8 = 3;
    /// The start of a resize.
    pub const RESIZE_START: u8 = 4;
    /// The end of a resize.
    pub const RESIZE_END: u8 = 5;
    /// A part of a call stack.
    pub const STACK: u8 = 6;
    /// A part of a mapped file.
    pub const MODULE: u8 = 7;
}

/// A record, with its fields taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// One of [`kind`].
    pub kind: u8,
    /// 5 bits; see the table.
    pub part: u8,
    /// 20 bits: the call stack of an allocation or resize, 0 if unknown.
    pub stack: u32,
    /// 36 bits: the thread.
    pub thread: u64,
    /// The three numbers; see the table.
    pub numbers: [u64; 3],
}

impl Record {
    /// Returns the record as four numbers. Larger fields than the format has are cut.
    #[inline]
    pub const fn words(&self) -> [u64; 4] {
        let meta = (self.kind & 7) as u64
            | ((self.part & 31) as u64) << 3
            | ((self.stack & STACK_MAX) as u64) << 8
            | self.thread << 28;
        let [a, b, c] = self.numbers;
        [meta, a, b, c]
    }

    /// Returns the bytes of the record.
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record. All bytes mean one.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let [meta, a, b, c] = words(bytes);
        Self {
            kind: (meta & 7) as u8,
            part: (meta >> 3 & 31) as u8,
            stack: (meta >> 8) as u32 & STACK_MAX,
            thread: meta >> 28,
            numbers: [a, b, c],
        }
    }
}

/// The start of a recording. Zero means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The number of the process.
    pub process: u64,
    /// The clock of the records at the start.
    pub start_ticks: u64,
    /// Nanoseconds of a monotonic clock at the same time.
    pub start_ns: u64,
    /// The clock of the records at some later time, the end if the program ended regularly.
    pub last_ticks: u64,
    /// Nanoseconds at the same time.
    pub last_ns: u64,
    /// Requests that did not fit.
    pub lost: u64,
    /// The most bytes that were resident.
    pub resident_bytes: u64,
    /// The length of the recording.
    pub end: u64,
    /// 1 if the program ended regularly.
    pub ended: u64,
    /// The name of the program, filled up with zeros.
    pub name: [u8; 32],
}

impl Header {
    /// Returns the bytes of the header.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        let numbers = [
            self.process,
            self.start_ticks,
            self.start_ns,
            self.last_ticks,
            self.last_ns,
            self.lost,
            self.resident_bytes,
            self.end,
            self.ended,
        ];
        for (place, number) in bytes[8..80].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[80..112].copy_from_slice(&self.name);
        bytes
    }

    /// Reads a header; `None` if the bytes begin otherwise.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if bytes[..8] != MAGIC {
            return None;
        }
        let [
            _,
            process,
            start_ticks,
            start_ns,
            last_ticks,
            last_ns,
            lost,
            resident_bytes,
            end,
            ended,
        ] = words::<10>(bytes);
        let mut name = [0; 32];
        name.copy_from_slice(&bytes[80..112]);
        let times = Self { process, start_ticks, start_ns, last_ticks, last_ns, ..Self::default() };
        Some(Self { lost, resident_bytes, end, ended, name, ..times })
    }
}

/// Reads numbers of eight bytes.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        *word = u64::from_le_bytes(eight);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_headers_are_read_back() {
        let numbers = [1, u64::MAX, 3];
        let record = Record { kind: 5, part: 31, stack: STACK_MAX, thread: 1 << 35, numbers };
        assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        let header = Header { process: 7, ended: 1, name: [b'x'; 32], ..Header::default() };
        assert_eq!(Header::from_bytes(&header.to_bytes()), Some(header));
        assert_eq!(Header::from_bytes(&[0; HEADER_BYTES]), None);
    }
}
