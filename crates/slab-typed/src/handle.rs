//! Handles: the index of a slot and the generation of the value in it.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;

/// Names one value of one [`SlabAllocator`](crate::SlabAllocator). It takes 8 bytes, and so does its `Option`.
///
/// A handle is an index and a generation. Each time a slot is filled its generation rises, so a stale handle never reads
/// the next value. Handles compare by index first.
///
/// The bits of a handle are opaque. [`SlabAllocator::locate`](crate::SlabAllocator::locate) returns the place it leads
/// to.
///
/// # Invariants
///
/// - **H1 (odd)**: the generation is odd. Dead slots have even generations, so an equal generation means a live value.
///
/// # Examples
///
/// ```
/// use slab_typed::{SlabAllocator, SlotHandle};
///
/// let mut names = SlabAllocator::new(64);
/// let handle = names.insert("Ada");
/// assert_eq!(SlotHandle::from_bits(handle.to_bits()), Some(handle));
/// assert_eq!(size_of::<Option<SlotHandle>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotHandle {
    index: u32,
    generation: NonZeroU32,
}

impl SlotHandle {
    /// Returns the handle with these bits, or `None` if no value ever had it: the generation is even, or the last one,
    /// before which slots are retired.
    ///
    /// Any other bits make a handle that is safe to use: it is looked up, not trusted.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlotHandle;
    ///
    /// assert_eq!(SlotHandle::from_bits(2 << 32), None);
    /// assert_eq!(SlotHandle::from_bits(3 << 32 | 7).unwrap().generation(), 3);
    /// ```
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match (bits >> u32::BITS) as u32 {
            // Slots are retired before this generation.
            u32::MAX => None,
            generation => Self::from_parts(bits as u32, generation),
        }
    }

    /// Returns the bits: the generation above, the index below. Never zero.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << u32::BITS | self.index as u64
    }

    /// Returns the generation: odd, and higher for each value that fills the slot.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation.get()
    }

    #[inline]
    pub(crate) const fn from_parts(index: u32, generation: u32) -> Option<Self> {
        if generation.is_multiple_of(2) {
            return None;
        }
        Some(Self::live(index, generation))
    }

    /// The handle of the value that fills a slot now, at an odd `generation`, or fills it next, at an even one.
    #[inline]
    pub(crate) const fn live(index: u32, generation: u32) -> Self {
        match NonZeroU32::new(generation | 1) {
            Some(generation) => Self { index, generation },
            None => unreachable!(),
        }
    }

    /// The handle of the next slot, in the same generation. The caller knows that there is one.
    #[inline]
    pub(crate) const fn following(self) -> Self {
        Self { index: self.index + 1, generation: self.generation }
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }
}

impl fmt::Debug for SlotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index(), self.generation())
    }
}

/// The type of handle that a [`SlabAllocator`](crate::SlabAllocator) returns: [`SlotHandle`], or a wrapper of your
/// choice, so that a key of one map does not compile on another.
///
/// [`TypedHandle`] makes such types without an implementation of this trait.
///
/// # Examples
///
/// ```
/// use slab_typed::{Key, SlabAllocator, SlotHandle};
///
/// #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// struct NodeKey(SlotHandle);
///
/// impl Key for NodeKey {
///     fn from_handle(handle: SlotHandle) -> Self {
///         Self(handle)
///     }
///
///     fn handle(self) -> SlotHandle {
///         self.0
///     }
/// }
///
/// let mut nodes: SlabAllocator<&str, NodeKey> = SlabAllocator::with_key(64);
/// let root: NodeKey = nodes.insert("root");
/// assert_eq!(nodes[root], "root");
/// ```
pub trait Key: Copy {
    /// Wraps a handle.
    fn from_handle(handle: SlotHandle) -> Self;
    /// Returns the handle inside.
    fn handle(self) -> SlotHandle;
}

impl Key for SlotHandle {
    #[inline]
    fn from_handle(handle: SlotHandle) -> Self {
        handle
    }

    #[inline]
    fn handle(self) -> SlotHandle {
        self
    }
}

/// A [`SlotHandle`] for maps with this `Tag`. It takes 8 bytes, and so does its `Option`.
///
/// `Tag` is any type; no value of it is ever made, and the handle is `Copy`, `Send` and `Sync` whatever it is.
///
/// # Examples
///
/// ```
/// use slab_typed::{SlabAllocator, TypedHandle};
///
/// enum Player {}
/// type PlayerKey = TypedHandle<Player>;
///
/// let mut players: SlabAllocator<&str, PlayerKey> = SlabAllocator::with_key(64);
/// let ada: PlayerKey = players.insert("Ada");
/// assert_eq!(players.get(ada), Some(&"Ada"));
/// ```
///
/// A key of one map does not compile on another:
///
/// ```compile_fail,E0308
/// use slab_typed::{SlabAllocator, TypedHandle};
///
/// enum Player {}
/// enum Monster {}
///
/// let mut players: SlabAllocator<&str, TypedHandle<Player>> = SlabAllocator::with_key(64);
/// let monsters: SlabAllocator<&str, TypedHandle<Monster>> = SlabAllocator::with_key(64);
/// let ada = players.insert("Ada");
/// monsters.get(ada);
/// ```
///
/// Nor does an untyped handle:
///
/// ```compile_fail,E0308
/// use slab_typed::{SlabAllocator, TypedHandle};
///
/// enum Player {}
///
/// let mut anything = SlabAllocator::new(64);
/// let players: SlabAllocator<&str, TypedHandle<Player>> = SlabAllocator::with_key(64);
/// let ada = anything.insert("Ada");
/// players.get(ada);
/// ```
#[repr(transparent)]
pub struct TypedHandle<Tag> {
    handle: SlotHandle,
    tag: PhantomData<fn() -> Tag>,
}

impl<Tag> Key for TypedHandle<Tag> {
    #[inline]
    fn from_handle(handle: SlotHandle) -> Self {
        Self { handle, tag: PhantomData }
    }

    #[inline]
    fn handle(self) -> SlotHandle {
        self.handle
    }
}

// Not derived: derives would require the same traits of `Tag`.

impl<Tag> Clone for TypedHandle<Tag> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<Tag> Copy for TypedHandle<Tag> {}

impl<Tag> PartialEq for TypedHandle<Tag> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl<Tag> Eq for TypedHandle<Tag> {}

impl<Tag> PartialOrd for TypedHandle<Tag> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Tag> Ord for TypedHandle<Tag> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.handle.cmp(&other.handle)
    }
}

impl<Tag> Hash for TypedHandle<Tag> {
    #[inline]
    fn hash<S: Hasher>(&self, state: &mut S) {
        self.handle.hash(state);
    }
}

impl<Tag> fmt::Debug for TypedHandle<Tag> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}
