//! The bytes of a delta: little-endian numbers, the same on every platform.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `slabdelt`, |
//! | 4 | version |
//! | 16 | configuration, as a fingerprint starts from it |
//! | 16 | digests of the state before and after |
//! | 9 | whether there is a fingerprint, and the one after |
//! | 24 | counts of allocations and frees, most steps |
//! | 24 | records, list of the indices without a block, small page |
//! | 4, 8 each | number of bins; first index and length of each |
//! | 8 | chunks, root of the free runs |
//! | 4, 17 each | chunks that changed: number, pages, page numbers, touched pages, whether the memory is fresh |
//! | 4, 24 each | records that changed: index, generation, tag, chunk, granule, length |
//! | 4, 12 each | first lines of free runs that changed: page, left, right |
//! | 4, 10 each | pages that changed: chunk, page, number of stretches |
//! | 4 each | offset in the page and length of a stretch, followed by its bytes |
//! | 8 | digest of all bytes of the pages that changed, as they are after |
//! | 8 | checksum of everything before |

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

use super::DeltaError;
use crate::classes::PAGE_BYTES;
use crate::mix::Mixer;

/// The version of deltas that this crate takes and applies.
pub const DELTA_VERSION: u32 = 1;

const MAGIC: u64 = u64::from_le_bytes(*b"slabdelt");

/// Start of the checksum of a delta: no other digest starts with it.
const CHECKSUM_DOMAIN: u64 = u64::from_le_bytes(*b"deltasum");

/// Start of the digest of pages: no other digest starts with it.
const CONTENT_DOMAIN: u64 = u64::from_le_bytes(*b"newpages");

/// The changes since a checkpoint. [`delta_since`](crate::BlockAllocator::delta_since) takes them, and
/// [`apply_delta`](crate::BlockAllocator::apply_delta) makes them in a peer that is where the checkpoint was taken.
///
/// It is a string of bytes, the same on every platform, and ends with a checksum. With feature `serde` it is
/// serialised as those bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Delta {
    bytes: Vec<u8>,
    base: u64,
    end: u64,
    fingerprint: Option<u64>,
    pages: usize,
}

impl Delta {
    /// Reads the bytes of a delta. *O*(bytes); memory for as many is acquired.
    ///
    /// # Errors
    ///
    /// [`DeltaError`], unless the bytes are those of a delta of this version, unchanged since.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeltaError> {
        View::read(bytes)?;
        let mut copy = Vec::new();
        let no_memory = |_| DeltaError::OutOfMemory { bytes: bytes.len() };
        copy.try_reserve_exact(bytes.len()).map_err(no_memory)?;
        copy.extend_from_slice(bytes);
        Self::new(copy)
    }

    /// As [`from_bytes`](Self::from_bytes), without a copy.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, DeltaError> {
        let View { base, end, fingerprint, ref pages, .. } = View::read(&bytes)?;
        let pages = pages.clone().count();
        Ok(Self { base, end, fingerprint, pages, bytes })
    }

    /// Returns the bytes, to be sent or stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the digest of the checkpoint that the delta starts at.
    pub fn base_digest(&self) -> u64 {
        self.base
    }

    /// Returns the digest of the state that the delta leads to.
    pub fn end_digest(&self) -> u64 {
        self.end
    }

    /// Returns the fingerprint that the delta leads to, if the allocator has one.
    pub fn fingerprint(&self) -> Option<u64> {
        self.fingerprint
    }

    /// Returns the number of pages whose bytes it changes.
    pub fn page_count(&self) -> usize {
        self.pages
    }

    /// Reads the parts.
    pub(super) fn view(&self) -> Result<View<'_>, DeltaError> {
        View::read(&self.bytes)
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta")
            .field("bytes", &self.bytes.len())
            .field("pages", &self.pages)
            .field("base_digest", &self.base)
            .field("end_digest", &self.end)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Delta {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::snapshot::content::serialize(&self.bytes, serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Delta {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::snapshot::content::deserialize(deserializer)?;
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}

/// Writes the bytes of a delta.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Returns the bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), DeltaError> {
        let len = self.bytes.len() + bytes.len();
        let no_memory = |_| DeltaError::OutOfMemory { bytes: len };
        self.bytes.try_reserve(bytes.len()).map_err(no_memory)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub fn u32s(&mut self, numbers: &[u32]) -> Result<(), DeltaError> {
        numbers.iter().try_for_each(|number| self.bytes(&number.to_le_bytes()))
    }

    pub fn u64s(&mut self, numbers: &[u64]) -> Result<(), DeltaError> {
        numbers.iter().try_for_each(|number| self.bytes(&number.to_le_bytes()))
    }

    /// Writes the title.
    pub fn start(&mut self) -> Result<(), DeltaError> {
        self.u64s(&[MAGIC])?;
        self.u32s(&[DELTA_VERSION])
    }

    /// Returns the place of a number that [`set_u32`](Self::set_u32) writes.
    pub fn place_for_u32(&mut self) -> Result<usize, DeltaError> {
        let place = self.bytes.len();
        self.u32s(&[0])?;
        Ok(place)
    }

    pub fn set_u32(&mut self, place: usize, number: u32) {
        if let Some(bytes) = self.bytes.get_mut(place..place + 4) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
    }

    pub fn set_u16(&mut self, place: usize, number: u16) {
        if let Some(bytes) = self.bytes.get_mut(place..place + 2) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Forgets the bytes behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Writes the digest of the pages and the checksum.
    pub fn finish(mut self, content: &ContentDigest) -> Result<Delta, DeltaError> {
        self.u64s(&[content.number()])?;
        let sum = checksum(&self.bytes);
        self.u64s(&[sum])?;
        Delta::new(self.bytes)
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut mixer = Mixer::new();
    mixer.pair(CHECKSUM_DOMAIN, bytes.len() as u64);
    mixer.bytes(bytes);
    mixer.state()
}

/// The digest of pages after a change. A receiver whose pages differed before comes to another one.
pub struct ContentDigest(Mixer);

impl ContentDigest {
    pub fn new() -> Self {
        let mut mixer = Mixer::new();
        mixer.pair(CONTENT_DOMAIN, 0);
        Self(mixer)
    }

    /// Takes in a page.
    pub fn page(&mut self, chunk: u32, page: u32, bytes: &[u8]) {
        self.0.pair(chunk.into(), page.into());
        self.0.bytes(bytes);
    }

    pub fn number(&self) -> u64 {
        self.0.state()
    }
}

/// A chunk that changed.
#[derive(Clone, Copy)]
pub struct ChunkChange {
    pub chunk: u32,
    pub pages: u32,
    pub room_pages: u32,
    pub touched_pages: u32,
    /// Whether its memory is another, which starts as zeros.
    pub fresh: bool,
}

/// The parts of a delta. Its length, its checksum and the order of its parts are right; the numbers were not looked at.
pub struct View<'a> {
    pub config: [u64; 2],
    pub base: u64,
    pub end: u64,
    pub fingerprint: Option<u64>,
    pub alloc_count: u64,
    pub free_count: u64,
    pub steps_max: u64,
    pub record_count: u32,
    /// First index and length of the list of the indices without a block.
    pub spare: [u32; 2],
    /// Chunk, page in the chunk and granules cut; no granules for no page.
    pub small_page: [u32; 3],
    bins: &'a [u8],
    pub chunk_count: u32,
    pub root: u32,
    chunks: &'a [u8],
    records: &'a [u8],
    lines: &'a [u8],
    pub pages: Pages<'a>,
    /// Digest of the pages after the change.
    pub content: u64,
}

impl<'a> View<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DeltaError> {
        let mut reader = Reader { bytes, at: 0 };
        let title = reader.u64()?;
        let version = reader.u32()?;
        if title != MAGIC {
            return Err(DeltaError::Broken { what: "it starts as a delta does", number: title });
        }
        if version != DELTA_VERSION {
            return Err(DeltaError::Version { found: version, supported: DELTA_VERSION });
        }
        let Some((content, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(DeltaError::Length { expected: 8, found: bytes.len() });
        };
        let (expected, found) = (u64::from_le_bytes(*sum), checksum(content));
        if expected != found {
            return Err(DeltaError::Checksum { expected, found });
        }
        reader.bytes = content;
        let config = [reader.u64()?, reader.u64()?];
        let (base, end) = (reader.u64()?, reader.u64()?);
        let has_fingerprint = reader.flag()?;
        let fingerprint = reader.u64()?;
        let [alloc_count, free_count, steps_max] = [reader.u64()?, reader.u64()?, reader.u64()?];
        let record_count = reader.u32()?;
        let spare = [reader.u32()?, reader.u32()?];
        let small_page = [reader.u32()?, reader.u32()?, reader.u32()?];
        let bins = reader.list(8)?;
        let (chunk_count, root) = (reader.u32()?, reader.u32()?);
        let (chunks, records) = (reader.list(17)?, reader.list(24)?);
        let lines = reader.list(12)?;
        let count = reader.u32()?;
        let pages = Pages { reader: Reader { ..reader }, left: count };
        let mut walked = pages.clone();
        for page in walked.by_ref() {
            page?;
        }
        let content_digest = walked.reader.u64()?;
        let end_at = walked.reader.at;
        if end_at != content.len() {
            return Err(DeltaError::Length { expected: end_at + 8, found: bytes.len() });
        }
        let fingerprint = has_fingerprint.then_some(fingerprint);
        Ok(Self {
            config,
            base,
            end,
            fingerprint,
            alloc_count,
            free_count,
            steps_max,
            record_count,
            spare,
            small_page,
            bins,
            chunk_count,
            root,
            chunks,
            records,
            lines,
            pages,
            content: content_digest,
        })
    }

    /// Returns the first index and the length of each bin.
    pub fn bins(&self) -> impl ExactSizeIterator<Item = [u32; 2]> {
        numbers(self.bins)
    }

    pub fn chunks(&self) -> impl ExactSizeIterator<Item = ChunkChange> {
        self.chunks.as_chunks::<17>().0.iter().map(|row| {
            let [chunk, pages, room_pages, touched_pages] = words(&row[..16]);
            ChunkChange { chunk, pages, room_pages, touched_pages, fresh: row[16] != 0 }
        })
    }

    /// Returns the index and the five numbers of each record that changed.
    pub fn records(&self) -> impl ExactSizeIterator<Item = [u32; 6]> {
        numbers(self.records)
    }

    /// Returns page, left and right of each line that changed.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = [u32; 3]> {
        numbers(self.lines)
    }
}

/// A page that changed: chunk, page in the chunk, and the stretches of bytes that differ.
#[derive(Clone)]
pub struct PageChange<'a> {
    pub chunk: u32,
    pub page: u32,
    stretches: Reader<'a>,
    count: u16,
}

impl<'a> PageChange<'a> {
    /// Calls `each` with the offset and the bytes of every stretch, which lie in the page.
    fn for_each(&mut self, mut each: impl FnMut(usize, &'a [u8])) -> Result<(), DeltaError> {
        for _ in 0..self.count {
            let (offset, len) = (self.stretches.u16()?, self.stretches.u16()?);
            let bytes = self.stretches.take(len.into())?;
            if usize::from(offset) + bytes.len() > PAGE_BYTES {
                let number = offset.into();
                return Err(DeltaError::Broken { what: "a stretch lies in its page", number });
            }
            each(offset.into(), bytes);
        }
        Ok(())
    }

    /// Writes the stretches into a page. They were read before.
    pub fn apply(&self, page: &mut [u8]) {
        let applied = self.clone().for_each(|offset, bytes| {
            if let Some(place) = page.get_mut(offset..offset + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        });
        debug_assert!(applied.is_ok(), "the stretches were read before");
    }
}

/// The pages that changed.
#[derive(Clone)]
pub struct Pages<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Iterator for Pages<'a> {
    type Item = Result<PageChange<'a>, DeltaError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let page = self.read();
        if page.is_err() {
            self.left = 0;
        }
        Some(page)
    }
}

impl<'a> Pages<'a> {
    fn read(&mut self) -> Result<PageChange<'a>, DeltaError> {
        let (chunk, page, count) = (self.reader.u32()?, self.reader.u32()?, self.reader.u16()?);
        let stretches = self.reader.clone();
        let mut change = PageChange { chunk, page, stretches, count };
        let mut behind = change.clone();
        behind.for_each(|_, _| {})?;
        self.reader = behind.stretches;
        change.count = count;
        Ok(change)
    }
}

/// Reads numbers, and never past the end.
#[derive(Clone)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DeltaError> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let expected = self.at.saturating_add(len);
        let taken = taken.ok_or(DeltaError::Length { expected, found: self.bytes.len() })?;
        self.at = expected;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], DeltaError> {
        Ok(self.take(N)?.first_chunk().copied().unwrap_or([0; N]))
    }

    fn u16(&mut self) -> Result<u16, DeltaError> {
        Ok(u16::from_le_bytes(self.number()?))
    }

    fn u32(&mut self) -> Result<u32, DeltaError> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    fn u64(&mut self) -> Result<u64, DeltaError> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    fn flag(&mut self) -> Result<bool, DeltaError> {
        match self.number()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(DeltaError::Broken { what: "a flag is 0 or 1", number: other.into() }),
        }
    }

    /// Takes a list of entries of so many bytes each, behind their number.
    fn list(&mut self, entry_bytes: usize) -> Result<&'a [u8], DeltaError> {
        let count = self.u32()? as usize;
        self.take(count.saturating_mul(entry_bytes))
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// Returns entries of `N` numbers each.
fn numbers<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u32; N]> {
    bytes.chunks_exact(4 * N).map(words)
}
