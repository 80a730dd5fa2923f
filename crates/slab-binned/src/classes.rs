//! Size classes: which block serves which size. Tables and arithmetic only.
//!
//! A class is found in one look-up, in a table of a byte for each 16 of size: 4 KiB, of which a program
//! whose blocks are small reads a line or two.

/// Bytes that block sizes are counted in, and what every block is aligned to.
pub const GRANULE_BYTES: usize = 16;

/// Bytes of a page, the unit of large blocks. Blocks up to [`SMALL_BYTES_MAX`] are cut from a page.
pub const PAGE_BYTES: usize = 4096;

/// Granules of a page.
pub const PAGE_GRANULES: u32 = (PAGE_BYTES / GRANULE_BYTES) as u32;

/// The largest block that shares its page with others.
pub const SMALL_BYTES_MAX: u32 = 2048;

/// The largest size that a class serves; larger blocks are runs of pages.
pub const CLASS_BYTES_MAX: usize = 64 * 1024;

/// The number of classes of the finest table.
pub const CLASS_COUNT_MAX: usize = FINE_SIZES.len();

const STANDARD_SIZES: [u32; 13] =
    [16, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 65_536];

const FINE_SIZES: [u32; 37] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024,
    2048, 4096, 8192, 12_288, 16_384, 20_480, 24_576, 28_672, 32_768, 36_864, 40_960, 45_056,
    49_152, 53_248, 57_344, 61_440, 65_536,
];

/// A table of size classes, chosen when an allocator is made. Both tables are part of the
/// determinism contract: they will not change within a snapshot version.
///
/// # Examples
///
/// ```
/// use slab_binned::SizeClasses;
///
/// assert_eq!(SizeClasses::Standard.sizes().len(), 13);
/// assert_eq!(SizeClasses::Standard.block_bytes(16_385), Some(65_536));
/// assert_eq!(SizeClasses::Fine.block_bytes(16_385), Some(20_480));
/// assert_eq!(SizeClasses::Fine.block_bytes(65_537), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum SizeClasses {
    /// The 13 classes 16, 32, 48, 64, 128, 256, 512, 1 K, 2 K, 4 K, 8 K, 16 K and 64 K.
    ///
    /// Between 16 KiB and 64 KiB there is none: a block of 16,385 bytes takes 65,536, four times as
    /// much, and a block of 32 KiB twice as much.
    #[default]
    Standard,
    /// The same and 24 more: four a doubling up to a kibibyte, and steps of 4096 bytes from 8 KiB to
    /// 64 KiB. A block takes at most 1.25 times its size from 64 bytes to 1 KiB, and
    /// at most 1.5 times from 8 KiB on, in exchange for memory that fewer sizes can share.
    Fine,
}

impl SizeClasses {
    /// Returns the block sizes of all classes in bytes, smallest first. *O*(1).
    pub const fn sizes(self) -> &'static [u32] {
        self.map().sizes
    }

    /// Returns the bytes of the block that serves `size` bytes, or `None` if `size` is larger than
    /// every class. *O*(1).
    pub const fn block_bytes(self, size: usize) -> Option<usize> {
        match self.map().class_of(if size == 0 { 1 } else { size }) {
            Some(class) => Some(self.map().sizes[class] as usize),
            None => None,
        }
    }

    #[inline]
    pub(crate) const fn map(self) -> &'static ClassMap {
        match self {
            Self::Standard => &STANDARD,
            Self::Fine => &FINE,
        }
    }
}

static STANDARD: ClassMap = ClassMap::new(&STANDARD_SIZES);
static FINE: ClassMap = ClassMap::new(&FINE_SIZES);

/// The look-up table of one set of classes.
#[derive(Debug)]
pub struct ClassMap {
    /// Bytes of each class, ascending.
    pub sizes: &'static [u32],
    /// Class by `⌈size / 16⌉ - 1`.
    classes: [u8; CLASS_BYTES_MAX / GRANULE_BYTES],
}

impl ClassMap {
    const fn new(sizes: &'static [u32]) -> Self {
        assert!(are_valid(sizes), "invalid size classes");
        let mut map = Self { sizes, classes: [0; CLASS_BYTES_MAX / GRANULE_BYTES] };
        let (mut step, mut class) = (0, 0);
        while step < map.classes.len() {
            if (step + 1) * GRANULE_BYTES > sizes[class] as usize {
                class += 1;
            }
            map.classes[step] = class as u8;
            step += 1;
        }
        map
    }

    /// Returns the class of the smallest block that holds `size` bytes; `None` for no bytes, and for
    /// more than any class holds.
    #[inline]
    pub const fn class_of(&self, size: usize) -> Option<usize> {
        // Zero wraps around to a step beyond the table.
        let step = size.wrapping_sub(1) / GRANULE_BYTES;
        if step < self.classes.len() { Some(self.classes[step] as usize) } else { None }
    }

    /// Returns the bytes of a class's blocks.
    #[inline]
    pub fn bytes(&self, class: usize) -> u32 {
        self.sizes[class]
    }

    /// Returns the pages of a class's blocks, or `None` if they share pages.
    #[inline]
    pub fn pages(&self, class: usize) -> Option<u32> {
        let bytes = self.sizes[class];
        (bytes > SMALL_BYTES_MAX).then_some(bytes / PAGE_BYTES as u32)
    }

    /// Returns the class of the largest block that fits into `granules` granules of a page, of which
    /// there is at least one.
    pub fn largest_within(&self, granules: u32) -> usize {
        let bytes = (granules * GRANULE_BYTES as u32).min(SMALL_BYTES_MAX);
        // That of the smallest block that holds them, or the one before.
        let class = self.class_of(bytes as usize).unwrap_or(0);
        class - usize::from(self.sizes[class] > bytes)
    }
}

/// Returns whether a set of classes suits the look-up, pages and the cutting of remainders.
const fn are_valid(sizes: &[u32]) -> bool {
    let mut class = 0;
    while class < sizes.len() {
        let bytes = sizes[class] as usize;
        let ascends = class == 0 || sizes[class - 1] < sizes[class];
        let divides = bytes.is_multiple_of(GRANULE_BYTES)
            && (bytes <= SMALL_BYTES_MAX as usize || bytes.is_multiple_of(PAGE_BYTES));
        if !ascends || !divides {
            return false;
        }
        class += 1;
    }
    sizes[0] as usize == GRANULE_BYTES && sizes[sizes.len() - 1] as usize == CLASS_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for table in [SizeClasses::Standard, SizeClasses::Fine] {
            for size in 1..=CLASS_BYTES_MAX {
                let bytes = table.block_bytes(size).unwrap();
                let expected = table.sizes().iter().find(|&&class| class as usize >= size);
                assert_eq!(expected.map(|&class| class as usize), Some(bytes), "{size}");
            }
            assert_eq!(table.block_bytes(0), Some(16));
            assert_eq!(table.map().class_of(0), None);
            assert_eq!(table.block_bytes(CLASS_BYTES_MAX + 1), None);
            assert_eq!(table.block_bytes(usize::MAX), None);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn any_remainder_of_a_page_is_cut_without_a_rest() {
        for table in [SizeClasses::Standard, SizeClasses::Fine] {
            for granules in 1..PAGE_GRANULES {
                let (mut rest, mut pieces) = (granules, 0);
                while rest != 0 {
                    rest -= table.map().bytes(table.map().largest_within(rest)) / 16;
                    pieces += 1;
                }
                assert!(pieces <= crate::small_page::PIECES_MAX, "{pieces} pieces of {granules}");
            }
        }
    }
}
