//! The choices made when an allocator is made. They are part of its determinism contract.

use crate::classes::{CLASS_BYTES_MAX, PAGE_BYTES, SizeClasses};

/// The largest block in bytes: a gibibyte, on every platform, so that all refuse the same sizes.
pub const BLOCK_BYTES_MAX: usize = 1 << 30;

/// The largest alignment in bytes. Chunks start at multiples of it, so that what an alignment costs
/// is the same wherever the memory lies.
pub const ALIGN_MAX: usize = PAGE_BYTES;

/// Bytes of a chunk unless chosen otherwise.
const CHUNK_BYTES: usize = 256 * 1024;

/// The fewest and the most pages that a chunk can be chosen to have.
#[cfg(feature = "alloc")]
const CHUNK_PAGES_MIN: u32 = (CLASS_BYTES_MAX / PAGE_BYTES) as u32;
#[cfg(feature = "alloc")]
const CHUNK_PAGES_MAX: u32 = (BLOCK_BYTES_MAX / PAGE_BYTES) as u32;

/// Size classes, chunk size and byte cap of an allocator. Peers that are to agree are made with equal
/// ones: the fingerprint starts from them.
///
/// # Examples
///
/// ```
/// use slab_binned::{BinnedAllocator, BinnedError, Config, SizeClasses};
///
/// let config = Config::new().classes(SizeClasses::Fine).chunk_bytes(64 * 1024).cap_bytes(100_000);
/// let mut blocks = BinnedAllocator::with_config(config);
/// assert!(blocks.alloc(90_000).is_ok());
/// assert!(matches!(blocks.alloc(90_000), Err(BinnedError::OverCap { cap: 98_304, .. })));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Config {
    pub(crate) classes: SizeClasses,
    pub(crate) chunk_pages: u32,
    pub(crate) cap_pages: Option<u32>,
}

impl Config {
    /// Returns the 13 standard classes, chunks of 256 KiB and no cap.
    pub const fn new() -> Self {
        Self {
            classes: SizeClasses::Standard,
            chunk_pages: (CHUNK_BYTES / PAGE_BYTES) as u32,
            cap_pages: None,
        }
    }

    /// Chooses the size classes.
    #[must_use]
    pub const fn classes(mut self, classes: SizeClasses) -> Self {
        self.classes = classes;
        self
    }

    /// Chooses how much memory is acquired at a time, rounded up to whole pages of 4096 bytes and put
    /// between 64 KiB and a gibibyte. A larger block gets a chunk of its size, and a cap may
    /// leave less.
    #[must_use]
    pub const fn chunk_bytes(mut self, bytes: usize) -> Self {
        let bytes = if bytes > BLOCK_BYTES_MAX { BLOCK_BYTES_MAX } else { bytes };
        let bytes = if bytes < CLASS_BYTES_MAX { CLASS_BYTES_MAX } else { bytes };
        self.chunk_pages = bytes.div_ceil(PAGE_BYTES) as u32;
        self
    }

    /// Limits the bytes of all chunks together, rounded down to whole pages of 4096 bytes. The
    /// metadata beside them does not count.
    #[must_use]
    pub const fn cap_bytes(mut self, bytes: usize) -> Self {
        let pages = bytes / PAGE_BYTES;
        // A cap that no number of pages reaches is none.
        self.cap_pages = if pages > u32::MAX as usize { None } else { Some(pages as u32) };
        self
    }

    /// Returns the bytes that the cap permits, or `None` without one.
    pub const fn cap(&self) -> Option<usize> {
        match self.cap_pages {
            Some(pages) => Some((pages as usize).saturating_mul(PAGE_BYTES)),
            None => None,
        }
    }

    /// Returns whether the methods above can make these numbers.
    #[cfg(feature = "alloc")]
    pub(crate) const fn is_possible(&self) -> bool {
        CHUNK_PAGES_MIN <= self.chunk_pages && self.chunk_pages <= CHUNK_PAGES_MAX
    }

    /// Returns the configuration that [`words`](Self::words) returns these numbers for.
    #[cfg(feature = "alloc")]
    pub(crate) fn from_words([shape, cap]: [u64; 2]) -> Option<Self> {
        let classes = match shape >> 32 {
            0 => SizeClasses::Standard,
            1 => SizeClasses::Fine,
            _ => return None,
        };
        let cap_pages = match cap.checked_sub(1) {
            Some(pages) => Some(u32::try_from(pages).ok()?),
            None => None,
        };
        let config = Self { classes, chunk_pages: shape as u32, cap_pages };
        config.is_possible().then_some(config)
    }

    /// Returns the numbers that a fingerprint starts from.
    pub(crate) const fn words(&self) -> [u64; 2] {
        let classes = match self.classes {
            SizeClasses::Standard => 0,
            SizeClasses::Fine => 1,
        };
        let cap = match self.cap_pages {
            Some(pages) => pages as u64 + 1,
            None => 0,
        };
        [classes << 32 | self.chunk_pages as u64, cap]
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Numbers that no method makes are refused.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Config", deny_unknown_fields)]
        struct Fields {
            classes: SizeClasses,
            chunk_pages: u32,
            cap_pages: Option<u32>,
        }
        let Fields { classes, chunk_pages, cap_pages } = Fields::deserialize(deserializer)?;
        let config = Self { classes, chunk_pages, cap_pages };
        if config.is_possible() {
            Ok(config)
        } else {
            let found = serde::de::Unexpected::Unsigned(chunk_pages.into());
            Err(serde::de::Error::invalid_value(found, &"16 to 262144 pages in a chunk"))
        }
    }
}
