//! The messages of a search: little-endian numbers, the same on every platform, in at most [`MESSAGE_BYTES_MAX`] bytes.
//!
//! A message starts with version and kind, a byte each, and ends with a checksum of eight bytes.

use thiserror::Error;

use super::report::OperationSummary;
use crate::mix::Mixer;

/// The version of the messages.
pub const SEARCH_VERSION: u8 = 1;

/// The most bytes of a message.
pub const MESSAGE_BYTES_MAX: usize = 256;

/// Start of the checksum of a message: no other digest starts with it.
const CHECKSUM_DOMAIN: u64 = u64::from_le_bytes(*b"searchms");

/// The reason for which a message is refused. The search goes on when the right one comes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The peer has another version.
    #[error("the message has version {found}; this crate reads version {supported}")]
    Version {
        /// Version of the message.
        found: u8,
        /// Version that is read.
        supported: u8,
    },
    /// It is shorter or longer than it says, or than a message can be.
    #[error("a message of {len} bytes, of at most {max}, does not end where its contents end")]
    Length {
        /// Bytes of the message.
        len: usize,
        /// The most bytes of a message.
        max: usize,
    },
    /// It was changed on its way.
    #[error("the message was sent with checksum {expected:016x}; its contents have {found:016x}")]
    Checksum {
        /// The checksum that it was sent with.
        expected: u64,
        /// The checksum of its contents.
        found: u64,
    },
    /// The peer is at another step of the search.
    #[error("expected a message of kind {expected}, found kind {found}")]
    Kind {
        /// Kind of the message that was expected.
        expected: u8,
        /// Kind of the message.
        found: u8,
    },
    /// It contradicts what the peer said before, or itself.
    #[error("the peer contradicts itself: expected that {what} (number {number})")]
    Broken {
        /// The expectation.
        what: &'static str,
        /// The number of which it is not true.
        number: u64,
    },
    /// The search has ended.
    #[error("the search has ended")]
    Ended,
}

impl SearchError {
    /// Refuses unless something holds.
    pub(super) fn check(
        holds: bool,
        what: &'static str,
        number: impl Into<u64>,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Broken { what, number: number.into() }) }
    }
}

/// A message that is being written or that is waiting to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: [u8; MESSAGE_BYTES_MAX],
    len: usize,
}

impl Message {
    pub fn new(kind: u8) -> Self {
        let mut message = Self { bytes: [0; MESSAGE_BYTES_MAX], len: 0 };
        message.put(&[SEARCH_VERSION, kind]);
        message
    }

    /// Appends bytes. Each kind of message has room for what it consists of.
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        } else {
            debug_assert!(false, "a message is too short for its contents");
        }
    }

    pub fn put_u32(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    pub fn put_u64(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    /// Appends the checksum.
    pub fn finish(mut self) -> Self {
        self.put_u64(checksum(&self.bytes[..self.len]));
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut mixer = Mixer::new();
    mixer.pair(CHECKSUM_DOMAIN, bytes.len() as u64);
    mixer.bytes(bytes);
    mixer.state()
}

/// Reads a message, and never past its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Bytes of the whole message.
    len: usize,
}

impl<'a> Reader<'a> {
    /// Checks length, version, checksum and kind.
    pub fn new(message: &'a [u8], expected_kind: u8) -> Result<Self, SearchError> {
        let wrong_length = SearchError::Length { len: message.len(), max: MESSAGE_BYTES_MAX };
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(wrong_length);
        }
        let Some((content, sum)) = message.split_last_chunk::<8>() else {
            return Err(wrong_length);
        };
        let &[version, kind, ref bytes @ ..] = content else { return Err(wrong_length) };
        if version != SEARCH_VERSION {
            return Err(SearchError::Version { found: version, supported: SEARCH_VERSION });
        }
        let (expected, found) = (u64::from_le_bytes(*sum), checksum(content));
        if expected != found {
            return Err(SearchError::Checksum { expected, found });
        }
        if kind != expected_kind {
            return Err(SearchError::Kind { expected: expected_kind, found: kind });
        }
        Ok(Self { bytes, len: message.len() })
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], SearchError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(len) else {
            return Err(SearchError::Length { len: self.len, max: MESSAGE_BYTES_MAX });
        };
        self.bytes = rest;
        Ok(taken)
    }

    pub fn u8(&mut self) -> Result<u8, SearchError> {
        Ok(self.number::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, SearchError> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    pub fn u64(&mut self) -> Result<u64, SearchError> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], SearchError> {
        Ok(self.take(N)?.first_chunk().copied().unwrap_or([0; N]))
    }

    /// Refuses bytes that are left.
    pub fn end(self) -> Result<(), SearchError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(SearchError::Length { len: self.len, max: MESSAGE_BYTES_MAX })
        }
    }
}

/// The kinds of operations in messages.
const ALLOC: u8 = 1;
const ALLOC_DIRTY: u8 = 2;
const FREE: u8 = 3;
const WRITE: u8 = 4;
const TRIM: u8 = 5;

impl OperationSummary {
    /// Appends the operation to a message.
    pub(super) fn put(&self, message: &mut Message) {
        match *self {
            Self::Alloc { size, align, zeroed, id } => {
                message.put(&[if zeroed { ALLOC } else { ALLOC_DIRTY }]);
                message.put_u32(size as u32);
                message.put(&[align.trailing_zeros() as u8]);
                message.put_u64(id.to_bits());
            }
            Self::Free { id } => {
                message.put(&[FREE]);
                message.put_u64(id.to_bits());
            }
            Self::Write { id, offset, len, ref start } => {
                message.put(&[WRITE]);
                message.put_u64(id.to_bits());
                message.put_u32(offset as u32);
                message.put_u32(len as u32);
                message.put(&start[..start.len().min(len)]);
            }
            Self::Trim { released_pages } => {
                message.put(&[TRIM]);
                message.put_u32(released_pages as u32);
            }
        }
    }

    /// Reads an operation.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, SearchError> {
        let kind = reader.u8()?;
        Ok(match kind {
            ALLOC | ALLOC_DIRTY => {
                let (size, align_log2) = (reader.u32()? as usize, reader.u8()?);
                let possible = size <= crate::BLOCK_BYTES_MAX
                    && 1_usize << align_log2.min(31) <= crate::ALIGN_MAX;
                SearchError::check(possible, "a block can have that size", size as u64)?;
                let (align, zeroed) = (1 << align_log2, kind == ALLOC);
                Self::Alloc { size, align, zeroed, id: id(reader)? }
            }
            FREE => Self::Free { id: id(reader)? },
            WRITE => {
                let id = id(reader)?;
                let (offset, len) = (reader.u32()? as usize, reader.u32()? as usize);
                let possible = offset.saturating_add(len) <= crate::BLOCK_BYTES_MAX;
                SearchError::check(possible, "a block can have those bytes", len as u64)?;
                let start = reader.take(len.min(super::report::SHOWN_BYTES))?.to_vec();
                Self::Write { id, offset, len, start }
            }
            TRIM => Self::Trim { released_pages: reader.u32()? as usize },
            _ => {
                return Err(SearchError::Broken {
                    what: "an operation is known",
                    number: kind.into(),
                });
            }
        })
    }
}

fn id(reader: &mut Reader<'_>) -> Result<crate::BlockId, SearchError> {
    let bits = reader.u64()?;
    crate::BlockId::from_bits(bits)
        .ok_or(SearchError::Broken { what: "an id can have been handed out", number: bits })
}
