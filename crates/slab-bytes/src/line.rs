//! One header per granule, outside the granules: what lies in a granule is known without reading
//! memory that a user could have overwritten.
#![expect(unsafe_code, reason = "lines lie in the memory that regions were given")]

use core::ptr::NonNull;

use slab_core::VacantWord;

use crate::class::SizeClass;

/// What a line says of its granule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    /// Inside a segment, a block or a free run; what else the line says may be out of date, but
    /// `back` never points before the region's first line.
    #[default]
    Inside,
    /// Before the first or behind the last granule of a region.
    Edge,
    /// The first granule of a free run, linked into the run bins.
    Free,
    /// The last granule of a free run of two or more.
    FreeEnd,
    /// The first granule of a segment of slots.
    Segment,
    /// The first granule of a block that is a run of its own.
    Block,
    /// The first granule of a run handed out as pages.
    Pages,
}

/// The header of a granule. A zeroed line is a valid one of kind `Inside`.
///
/// # Invariants
///
/// - **H1 (heads)**: a line of kind `Free`, `Segment`, `Block` or `Pages` is the first of a run of
///   `len` granules of the same region, which no other head covers; whoever ends the run changes
///   the kind.
/// - **H2 (ends)**: the line before a head and the line behind a run are never out of date: the last
///   line of a free run of two or more is a `FreeEnd` with the run's `len`, that of any other run of
///   two or more is `Inside`.
/// - **H3 (back)**: every line inside a segment says how far back its head lies; a line that is a
///   head or an end has `back == 0`.
/// - **H4 (slots)**: in a segment, `vacant` has bits below `slots` only, and a bit is set only while
///   its slot is neither live nor held by the class's front.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Line {
    /// `Segment`: slots that are free and not held by a front.
    pub vacant: VacantWord,
    /// `Free`: the next run of the bin. `Segment`: the next in the class's list of partial ones.
    pub next: Option<LineRef>,
    /// The previous one of the same list; `None` for the first.
    pub prev: Option<LineRef>,
    /// Heads and `FreeEnd`: granules of the run.
    pub len: u32,
    pub kind: Kind,
    /// `Segment`: index of its [`SizeClass`].
    pub class: u8,
    /// `Segment`: how many slots it has, in the low seven bits, and whether one of them was lent to
    /// a smaller class.
    pub slots: Slots,
    /// Granules back to the head of the segment.
    pub back: u8,
}

/// A segment's slot count, and whether smaller classes have borrowed from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slots(u8);

impl Slots {
    const LENT: u8 = 0x80;

    pub const fn new(count: u32) -> Self {
        assert!(count >= 1 && count <= VacantWord::SLOT_COUNT_MAX);
        Self(count as u8)
    }

    #[inline]
    pub const fn count(self) -> u32 {
        (self.0 & !Self::LENT) as u32
    }

    #[inline]
    pub const fn lent(self) -> bool {
        self.0 & Self::LENT != 0
    }

    pub const fn lend(self) -> Self {
        Self(self.0 | Self::LENT)
    }
}

impl Line {
    /// Returns the head of a fresh segment, all of whose slots are vacant.
    pub fn segment(class: SizeClass, len: u32) -> Self {
        let slot_count = class.slot_count(len);
        Self {
            vacant: VacantWord::new(slot_count),
            len,
            kind: Kind::Segment,
            class: class.index() as u8,
            slots: Slots::new(slot_count),
            ..Self::default()
        }
    }

    /// Returns whether every slot of the segment is vacant.
    #[inline]
    pub fn is_unused(&self) -> bool {
        self.vacant == VacantWord::new(self.slots.count())
    }
}

/// A line of a region that an allocator owns.
///
/// # Invariants
///
/// - **R1 (owned)**: the line lies in the initialised line array of a region that was given to the
///   allocator holding the reference; whoever gave it keeps it valid and private to that allocator
///   for as long as the allocator is used. No Rust reference to a line ever outlives a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRef(NonNull<Line>);

impl LineRef {
    /// # Safety
    ///
    /// R1 holds for `line`.
    pub const unsafe fn new(line: NonNull<Line>) -> Self {
        Self(line)
    }

    /// Returns the address of the line, to compare and to compute with.
    #[inline]
    pub fn addr(self) -> usize {
        self.0.addr().get()
    }

    /// Returns a copy of the line.
    #[inline]
    pub fn get(self) -> Line {
        // SAFETY: valid and initialised by R1.
        unsafe { self.0.read() }
    }

    /// Replaces the line.
    #[inline]
    pub fn set(self, line: Line) {
        // SAFETY: valid for writes by R1.
        unsafe { self.0.write(line) };
    }

    /// Changes part of the line.
    #[inline]
    pub fn edit<T>(self, change: impl FnOnce(&mut Line) -> T) -> T {
        // SAFETY: valid by R1, and `change` knows no other way to this line that it could use
        // meanwhile: references are made only here, and callers pass closures over plain values.
        let line = unsafe { &mut *self.0.as_ptr() };
        change(line)
    }

    /// Returns the line `count` further on.
    ///
    /// # Safety
    ///
    /// The line array reaches that far, its closing `Edge` included.
    #[inline]
    pub unsafe fn forward(self, count: u32) -> Self {
        // SAFETY: the caller vouches for the array, so R1 holds for the result.
        Self(unsafe { self.0.add(count as usize) })
    }

    /// Returns the line `count` further back.
    ///
    /// # Safety
    ///
    /// The line array reaches that far, its opening `Edge` included.
    #[inline]
    pub unsafe fn backward(self, count: u32) -> Self {
        // SAFETY: the caller vouches for the array, so R1 holds for the result.
        Self(unsafe { self.0.sub(count as usize) })
    }
}

/// A doubly linked list of lines, newest first. It serves the partial segments of a class and the
/// runs of a bin; a line is in one list at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineList {
    first: Option<LineRef>,
}

impl LineList {
    pub const EMPTY: Self = Self { first: None };

    #[inline]
    pub fn first(&self) -> Option<LineRef> {
        self.first
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds a line that is in no list. *O*(1).
    #[inline]
    pub fn push(&mut self, line: LineRef) {
        let next = self.first.replace(line);
        line.edit(|line| (line.prev, line.next) = (None, next));
        if let Some(next) = next {
            next.edit(|next| next.prev = Some(line));
        }
    }

    /// Takes out a line that is in this list. *O*(1).
    #[inline]
    pub fn remove(&mut self, line: LineRef) {
        let Line { prev, next, .. } = line.get();
        match prev {
            Some(prev) => prev.edit(|prev| prev.next = next),
            None => self.first = next,
        }
        if let Some(next) = next {
            next.edit(|next| next.prev = prev);
        }
    }

    /// Returns the lines, newest first.
    pub fn iter(&self) -> impl Iterator<Item = LineRef> + use<> {
        core::iter::successors(self.first, |line| line.get().next)
    }
}
