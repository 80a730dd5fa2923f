//! A stack whose links are in its items: pushing and popping allocate nothing.

use std::mem;

/// An item of a [`Stack`]: it has a field for the link to the item below.
pub trait Linked: Sized {
    /// Returns the link. It is `None` while the item is in no stack.
    fn link(&mut self) -> &mut Option<Box<Self>>;
}

/// A last-in-first-out list of boxed items. All operations are *O*(1), dropping it is *O*(items).
#[derive(Debug)]
pub struct Stack<T: Linked> {
    head: Option<Box<T>>,
}

impl<T: Linked> Stack<T> {
    /// Returns a stack without items.
    pub const fn new() -> Self {
        Self { head: None }
    }

    /// Adds an item on top.
    #[inline(always)]
    pub fn push(&mut self, mut item: Box<T>) {
        let below = self.head.take();
        let unlinked = mem::replace(item.link(), below);
        debug_assert!(unlinked.is_none(), "an item is in one stack at most");
        // Both are `None`; forgetting them spares the hot path two checks.
        mem::forget(unlinked);
        mem::forget(self.head.replace(item));
    }

    /// Takes the item that was pushed last.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Box<T>> {
        let below = self.head.as_mut()?.link().take();
        mem::replace(&mut self.head, below)
    }

    /// Returns whether there is no item.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }
}

impl<T: Linked> Default for Stack<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked> Drop for Stack<T> {
    /// Drops the items one by one: dropping nested boxes would recurse as deep as the stack is high.
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// A stack that knows its length and is moved as a whole.
#[derive(Debug)]
pub struct Magazine<T: Linked> {
    items: Stack<T>,
    len: usize,
}

impl<T: Linked> Magazine<T> {
    /// Returns a magazine without items.
    pub const fn new() -> Self {
        Self { items: Stack::new(), len: 0 }
    }

    /// Makes a magazine of a stack of `len` items.
    pub(super) fn from_parts(items: Stack<T>, len: usize) -> Self {
        Self { items, len }
    }

    pub(super) fn into_parts(self) -> (Stack<T>, usize) {
        (self.items, self.len)
    }

    /// Puts an item on top.
    pub fn push(&mut self, item: Box<T>) {
        self.items.push(item);
        self.len += 1;
    }

    /// Takes the item that was pushed last.
    pub fn pop(&mut self) -> Option<Box<T>> {
        let item = self.items.pop()?;
        self.len -= 1;
        Some(item)
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Linked> Default for Magazine<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(u32, Option<Box<Self>>);

    impl Linked for Item {
        fn link(&mut self) -> &mut Option<Box<Self>> {
            &mut self.1
        }
    }

    #[test]
    fn a_stack_returns_what_was_pushed_last() {
        let mut stack = Stack::new();
        assert!(stack.is_empty() && stack.pop().is_none());
        for number in 0..3 {
            stack.push(Box::new(Item(number, None)));
            assert!(!stack.is_empty());
        }
        for number in (0..3).rev() {
            assert!(stack.pop().is_some_and(|item| item.0 == number && item.1.is_none()));
        }
        assert!(stack.is_empty());
    }
}
