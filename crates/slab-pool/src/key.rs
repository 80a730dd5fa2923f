//! A pool and a size class in one word.

use crate::magazine::CLASSES_MAX;

/// Bits of a key below the pool's number.
const CLASS_BITS: u32 = 8;
/// The class of buffers that belong to no class and are not kept. Not below [`CLASSES_MAX`].
const NO_CLASS: u8 = 0x3f;
/// Set in the key of a buffer whose release must take the slow path.
const SLOW_RELEASE: u64 = 0x80;

/// The part that all keys of one pool have in common: its number, shifted. Zero is no pool's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolKey(u64);

impl PoolKey {
    /// The key of no pool.
    pub const NONE: Self = Self(0);

    /// Returns the key of a pool; `number` is not zero.
    pub fn new(number: u64) -> Self {
        debug_assert!(number != 0);
        Self(number << CLASS_BITS)
    }

    /// Returns the pool's number, for `Debug`.
    pub fn number(self) -> u64 {
        self.0 >> CLASS_BITS
    }
}

/// A pool, a size class of it and a flag, so that one comparison answers three questions: is this the pool that the
/// thread used last, is the size in a class, and may the fast path be taken?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// Returns the key of a class; `None` stands for buffers without a class.
    pub fn new(pool: PoolKey, class: Option<usize>) -> Self {
        let class = class.and_then(|class| u8::try_from(class).ok()).unwrap_or(NO_CLASS);
        Self(pool.0 | u64::from(class))
    }

    /// Returns this key with the flag that sends releases into the slow path.
    pub fn with_slow_release(self) -> Self {
        Self(self.0 | SLOW_RELEASE)
    }

    /// Returns the class.
    pub fn class(self) -> Option<usize> {
        let class = self.0 as u8 & NO_CLASS;
        (class != NO_CLASS).then_some(usize::from(class))
    }

    /// Returns the class if the key is one of `pool`, has a class, and has no flag.
    #[inline(always)]
    pub fn fast_class(self, pool: PoolKey) -> Option<usize> {
        // Keys of other pools differ above the class; a flag, or no class, is too large as well.
        let class = self.0 ^ pool.0;
        (class < CLASSES_MAX as u64).then_some(class as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unflagged_key_of_the_same_pool_has_a_fast_class() {
        let [ours, other] = [1, 2].map(PoolKey::new);
        for class in 0..CLASSES_MAX {
            let key = Key::new(ours, Some(class));
            assert_eq!((key.class(), key.fast_class(ours)), (Some(class), Some(class)));
            assert_eq!((key.fast_class(other), key.fast_class(PoolKey::NONE)), (None, None));
            let slow = key.with_slow_release();
            assert_eq!((slow.class(), slow.fast_class(ours)), (Some(class), None));
        }
        let none = Key::new(ours, None);
        assert_eq!((none.class(), none.fast_class(ours)), (None, None));
        assert_eq!(none.with_slow_release().class(), None);
    }
}
