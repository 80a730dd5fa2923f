//! From a size to its class.

use crate::buffer::{NO_CLASS, key};
use crate::error::PoolError;
use crate::magazine::CLASSES_MAX;

/// The sizes of [`BufferPool::new`](crate::BufferPool::new): powers of two from a page to a mebibyte.
pub const DEFAULT_CLASSES: [usize; 9] =
    [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];

/// In a table: ask [`ClassMap::class_of`]. Beyond any shelf.
const UNSURE: u8 = NO_CLASS;

/// By bit: the class of all sizes `s` whose `s - 1` has its highest bit there, if it is the same for all.
type ByBits<T> = [T; usize::BITS as usize];

/// The keys of the classes of most sizes.
#[derive(Debug)]
pub struct KeyMap(ByBits<u64>);

impl KeyMap {
    /// Returns the key of the class of a size, or one beyond all classes if it does not know.
    #[inline(always)]
    pub fn key(&self, bytes: usize) -> u64 {
        let bits = (usize::BITS - 1) - (bytes.wrapping_sub(1) | 1).leading_zeros();
        self.0[bits as usize]
    }
}

/// Rising sizes, and a table that knows most answers.
#[derive(Debug)]
pub struct ClassMap {
    direct: ByBits<u8>,
    sizes: Box<[usize]>,
    configured: usize,
}

impl ClassMap {
    /// Returns the map of `sizes`, followed by doublings of the last up to `oversize_max`. `direct` is whether
    /// the table may answer.
    pub fn new(sizes: &[usize], oversize_max: usize, direct: bool) -> Result<Self, PoolError> {
        let largest = *sizes.last().ok_or(PoolError::NoClasses)?;
        if sizes.len() > CLASSES_MAX {
            return Err(PoolError::TooManyClasses { count: sizes.len(), max: CLASSES_MAX });
        }
        if let Some(index) = sizes.iter().position(|&bytes| bytes == 0) {
            return Err(PoolError::EmptyClass { index });
        }
        if let Some(index) = (1..sizes.len()).find(|&index| sizes[index] <= sizes[index - 1]) {
            let (bytes, previous_bytes) = (sizes[index], sizes[index - 1]);
            return Err(PoolError::ClassOrder { index, bytes, previous_bytes });
        }
        let doublings = std::iter::successors(largest.checked_mul(2), |size| size.checked_mul(2))
            .take_while(|&size| size <= oversize_max.min(isize::MAX as usize));
        let all: Box<[usize]> = sizes.iter().copied().chain(doublings).take(CLASSES_MAX).collect();
        let mut map =
            Self { direct: [UNSURE; usize::BITS as usize], sizes: all, configured: sizes.len() };
        for bits in (0..usize::BITS - 1).filter(|_| direct) {
            let least = if bits == 0 { 1 } else { (1 << bits) + 1 };
            let class = map.class_of(least);
            if class == map.class_of(1 << (bits + 1)) {
                map.direct[bits as usize] = class.map_or(UNSURE, |class| class as u8);
            }
        }
        Ok(map)
    }

    /// Returns the table of a pool's keys.
    pub fn keys(&self, pool: u64) -> KeyMap {
        KeyMap(self.direct.map(|class| key(pool, class)))
    }

    /// Returns the smallest class that is large enough.
    pub fn class_of(&self, bytes: usize) -> Option<usize> {
        let class = self.sizes.partition_point(|&size| size < bytes);
        (class < self.sizes.len()).then_some(class)
    }

    /// Returns the sizes that were asked for.
    pub fn configured(&self) -> &[usize] {
        &self.sizes[..self.configured]
    }

    /// Returns all sizes, those for large requests included.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::base;

    #[test]
    fn the_table_never_contradicts_the_search() {
        let odd = [3, 64, 65, 1000, 4096, 5000, 1 << 20];
        for classes in [&DEFAULT_CLASSES[..], &odd, &[1], &[1, 2, 3, 4], &[usize::MAX / 4]] {
            let map = ClassMap::new(classes, 8 << 20, true).expect("rising");
            let near = |&size: &usize| [size - 1, size, size.saturating_add(1)];
            let sizes =
                map.sizes.iter().flat_map(near).chain((0..usize::BITS).map(|bits| 1 << bits));
            let mut direct = 0;
            let keys = map.keys(5);
            for size in sizes.chain([0, 1, 2, 3, usize::MAX]) {
                let answer = (keys.key(size) - base(5)) as usize;
                if answer < CLASSES_MAX {
                    direct += 1;
                    assert_eq!(map.class_of(size), Some(answer), "{size} of {classes:?}");
                }
            }
            assert!(classes.len() != 9 || direct > 40, "the table knows most: {direct}");
        }
    }

    #[test]
    fn powers_of_two_are_all_direct() {
        let map = ClassMap::new(&DEFAULT_CLASSES, 1 << 20, true).expect("rising");
        let keys = map.keys(1);
        for size in (1..=1 << 20).step_by(if cfg!(miri) { 30_011 } else { 97 }) {
            let class = (keys.key(size) - base(1)) as usize;
            assert_eq!(Some(class), map.class_of(size));
        }
        let locked = ClassMap::new(&DEFAULT_CLASSES, 1 << 20, false).expect("rising");
        assert_eq!(locked.keys(1).key(4096), key(1, UNSURE));
    }
}
