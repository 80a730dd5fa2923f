//! A bounded stack of plain values: the magazine of one class, and the batch in which values change magazines.
#![expect(unsafe_code, reason = "the values lie in an array that is initialised up to a length")]

use core::fmt;
use core::mem::MaybeUninit;

/// A bounded stack of `Copy` values.
///
/// # Invariants
///
/// - **S1 (initialised)**: the first `len` items are initialised, and `len <= limit <= N`.
pub struct Stack<I: Copy, const N: usize> {
    // In front of the items: for small stacks all lies in few cache lines.
    len: u16,
    limit: u16,
    items: [MaybeUninit<I>; N],
}

impl<I: Copy, const N: usize> Stack<I, N> {
    /// Returns an empty stack that takes up to `limit` values, at most `N`.
    pub const fn new(limit: usize) -> Self {
        const { assert!(N <= u16::MAX as usize) };
        let limit = if limit < N { limit } else { N } as u16;
        Self { len: 0, limit, items: [const { MaybeUninit::uninit() }; N] }
    }

    /// Returns how many values there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Returns whether there is no value.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many values the stack takes.
    #[inline]
    pub const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Returns whether the stack takes no further value.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Adds a value. Returns whether there was room.
    #[inline]
    pub fn push(&mut self, item: I) -> bool {
        if self.is_full() {
            return false;
        }
        // SAFETY: `len < limit <= N` by S1 and the test.
        unsafe { self.items.as_mut_ptr().add(self.len()).write(MaybeUninit::new(item)) };
        self.len += 1;
        true
    }

    /// Returns the newest value, and leaves it.
    #[inline]
    pub fn peek(&self) -> Option<I> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: `0 < len <= N` by S1 and the test, and that item is initialised by S1.
        Some(unsafe { self.items.as_ptr().add(self.len() - 1).cast::<I>().read() })
    }

    /// Removes and returns the newest value, unless `map` returns `None` for it.
    #[inline(always)]
    pub fn pop_if<T>(&mut self, map: impl FnOnce(I) -> Option<T>) -> Option<T> {
        let mapped = map(self.peek()?)?;
        self.len -= 1;
        Some(mapped)
    }

    /// Removes and returns the newest value.
    #[inline]
    pub fn pop(&mut self) -> Option<I> {
        let newest = self.peek()?;
        self.len -= 1;
        Some(newest)
    }

    /// Moves the oldest values into another stack, in their order: at most `count`, as many as there are and as
    /// have room. *O*(values).
    pub fn move_oldest<const M: usize>(&mut self, to: &mut Stack<I, M>, count: usize) {
        let count = count.min(self.len()).min(to.limit() - to.len());
        // SAFETY: by S1 the first `count <= len` items are initialised, and `to` has room for them behind its
        // own. Two exclusive references do not overlap.
        unsafe {
            let room = to.items.as_mut_ptr().add(to.len());
            room.copy_from_nonoverlapping(self.items.as_ptr(), count);
        }
        to.len += count as u16;
        self.items.copy_within(count..self.len as usize, 0);
        self.len -= count as u16;
    }

    /// Returns the values, oldest first.
    pub fn as_slice(&self) -> &[I] {
        let items = self.items.as_ptr().cast::<I>();
        // SAFETY: initialised by S1.
        unsafe { core::slice::from_raw_parts(items, self.len()) }
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<I: Copy, const N: usize> Clone for Stack<I, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: Copy, const N: usize> Copy for Stack<I, N> {}

impl<I: Copy, const N: usize> fmt::Debug for Stack<I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("len", &self.len).field("limit", &self.limit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_leave_newest_first_and_batches_take_the_oldest() {
        let mut stack = Stack::<u32, 8>::new(6);
        for value in 0..6 {
            assert!(stack.push(value));
        }
        assert!(!stack.push(6), "the limit holds");
        let mut batch = Stack::<u32, 4>::new(3);
        stack.move_oldest(&mut batch, 4);
        assert_eq!(batch.as_slice(), [0, 1, 2]);
        assert_eq!(stack.as_slice(), [3, 4, 5]);
        stack.move_oldest(&mut batch, 4);
        assert_eq!(stack.len(), 3, "a full batch takes nothing");
        assert_eq!(stack.pop(), Some(5));
        batch.clear();
        stack.move_oldest(&mut batch, 4);
        assert_eq!(batch.as_slice(), [3, 4]);
        assert_eq!((stack.pop(), stack.peek(), stack.is_empty()), (None, None, true));
    }

    #[test]
    fn a_limit_is_at_most_the_capacity() {
        assert_eq!(Stack::<u8, 4>::new(100).limit(), 4);
        assert!(!Stack::<u8, 4>::new(0).push(1));
    }
}
