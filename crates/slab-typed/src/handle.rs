//! Handles: where a value was put, and in which life of its slot.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;

/// Names one value of one [`SlabAllocator`](crate::SlabAllocator): 8 bytes, and so is its `Option`.
///
/// A handle is an index and the generation of the slot at the time. Each time a slot is filled its
/// generation moves on, so that a handle whose value is gone never reads the next one.
///
/// The bits of a handle are opaque. [`SlabAllocator::locate`](crate::SlabAllocator::locate) says
/// where a handle leads.
///
/// # Invariants
///
/// - **H1 (odd)**: the generation is odd. Slots hold even generations while they are dead, so that
///   an equal generation means a live value.
///
/// # Examples
///
/// ```
/// use slab_typed::{SlabAllocator, SlotHandle};
///
/// let mut names = SlabAllocator::new(64);
/// let handle = names.allocate("Ada")?;
/// assert_eq!(SlotHandle::from_bits(handle.to_bits()), Some(handle));
/// assert_eq!(size_of::<Option<SlotHandle>>(), 8);
/// # Ok::<(), slab_typed::SlabError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotHandle {
    index: u32,
    generation: NonZeroU32,
}

impl SlotHandle {
    /// Returns the handle with these bits, or `None` if no live slot ever had them, because the
    /// generation is even, or the very last, before which a slot is retired. *O*(1).
    ///
    /// Any other bits make a handle that is safe to use everywhere: what it names is looked up, not
    /// trusted.
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
            // A slot is retired before it gets there.
            u32::MAX => None,
            generation => Self::from_parts(bits as u32, generation),
        }
    }

    /// Returns the bits: the generation above, the index below. Never zero. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlotHandle;
    ///
    /// assert_eq!(SlotHandle::from_bits(3 << 32 | 7).unwrap().to_bits(), 3 << 32 | 7);
    /// ```
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << u32::BITS | self.index as u64
    }

    /// Returns the generation: odd, and higher in each life of the slot. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// names.free(ada)?;
    /// let bob = names.allocate("Bob")?; // In the slot where Ada was.
    /// assert!(bob.generation() > ada.generation());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
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

    /// The handle to a slot in the life that `generation` belongs to or precedes.
    #[inline]
    pub(crate) const fn live(index: u32, generation: u32) -> Self {
        match NonZeroU32::new(generation | 1) {
            Some(generation) => Self { index, generation },
            None => unreachable!(),
        }
    }

    /// The handle to the next slot, in the same generation. The caller knows that there is one.
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
        write!(f, "{}v{}", self.index, self.generation)
    }
}

/// What a [`SlabAllocator`](crate::SlabAllocator) hands out: [`SlotHandle`], or a type of your own
/// around it, so that a key of one map does not compile on another.
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
/// let root: NodeKey = nodes.allocate("root")?;
/// assert_eq!(nodes[root], "root");
/// # Ok::<(), slab_typed::SlabError>(())
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

/// A [`SlotHandle`] that belongs to the maps tagged `Tag`; 8 bytes, and so is its `Option`.
///
/// `Tag` is any type, and no value of it is ever made. Being `Copy`, `Send` and so on does not
/// depend on it.
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
/// let ada: PlayerKey = players.allocate("Ada")?;
/// assert_eq!(players.get(ada), Some(&"Ada"));
/// # Ok::<(), slab_typed::SlabError>(())
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
/// let ada = players.allocate("Ada").unwrap();
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
/// let ada = anything.allocate("Ada").unwrap();
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

// Written out, because derived ones would ask the same of `Tag`.

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
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<Tag> Ord for TypedHandle<Tag> {
    #[inline]
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
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
