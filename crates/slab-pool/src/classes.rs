//! The size classes of a pool, and the tables that find the class of a size.

use crate::error::PoolError;
use crate::key::{Key, PoolKey};
use crate::magazine::CLASSES_MAX;

/// The sizes of [`BufferPool::new`](crate::BufferPool::new): powers of two from a page to a mebibyte.
pub const DEFAULT_CLASSES: [usize; 9] =
    [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];

/// One entry for each position of the highest bit of `size - 1`.
type ByBits<T> = [T; usize::BITS as usize];

/// The keys of the classes of most sizes.
#[derive(Debug)]
pub struct KeyMap(ByBits<Key>);

impl KeyMap {
    /// Returns the key of a size's class, or a key without a class if only [`ClassMap::class_of`] knows it.
    #[inline(always)]
    pub fn key(&self, bytes: usize) -> Key {
        let bits = (usize::BITS - 1) - (bytes.wrapping_sub(1) | 1).leading_zeros();
        self.0[bits as usize]
    }
}

/// The sizes of all classes, rising, and a table of the classes of most sizes.
#[derive(Debug)]
pub struct ClassMap {
    /// The class of all sizes that share an entry, if they have the same one.
    direct: ByBits<Option<usize>>,
    sizes: Box<[usize]>,
    /// So many of the sizes were set; doublings for large requests follow.
    configured: usize,
}

impl ClassMap {
    /// Returns the map of `sizes`, followed by doublings of the last up to `oversize_max`. Without `direct` the table stays
    /// empty, so that all requests take the slow path.
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
            Self { direct: [None; usize::BITS as usize], sizes: all, configured: sizes.len() };
        for bits in (0..usize::BITS - 1).filter(|_| direct) {
            let least = if bits == 0 { 1 } else { (1 << bits) + 1 };
            let class = map.class_of(least);
            if class == map.class_of(1 << (bits + 1)) {
                map.direct[bits as usize] = class;
            }
        }
        Ok(map)
    }

    /// Returns the table of a pool's keys.
    pub fn keys(&self, pool: PoolKey) -> KeyMap {
        KeyMap(self.direct.map(|class| Key::new(pool, class)))
    }

    /// Returns the smallest class that is large enough.
    pub fn class_of(&self, bytes: usize) -> Option<usize> {
        let class = self.sizes.partition_point(|&size| size < bytes);
        (class < self.sizes.len()).then_some(class)
    }

    /// Returns the sizes that were set.
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

    #[test]
    fn the_table_never_contradicts_the_search() {
        let odd = [3, 64, 65, 1000, 4096, 5000, 1 << 20];
        for classes in [&DEFAULT_CLASSES[..], &odd, &[1], &[1, 2, 3, 4], &[usize::MAX / 4]] {
            let map = ClassMap::new(classes, 8 << 20, true).expect("rising");
            let near = |&size: &usize| [size - 1, size, size.saturating_add(1)];
            let sizes =
                map.sizes.iter().flat_map(near).chain((0..usize::BITS).map(|bits| 1 << bits));
            let mut direct = 0;
            let pool = PoolKey::new(5);
            let keys = map.keys(pool);
            for size in sizes.chain([0, 1, 2, 3, usize::MAX]) {
                if let Some(answer) = keys.key(size).fast_class(pool) {
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
        let pool = PoolKey::new(1);
        let keys = map.keys(pool);
        for size in (1..=1 << 20).step_by(if cfg!(miri) { 30_011 } else { 97 }) {
            let class = keys.key(size).fast_class(pool);
            assert!(class.is_some());
            assert_eq!(class, map.class_of(size));
        }
        let slow = ClassMap::new(&DEFAULT_CLASSES, 1 << 20, false).expect("rising");
        assert_eq!(slow.keys(pool).key(4096).fast_class(pool), None);
    }
}
