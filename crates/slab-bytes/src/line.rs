//! One header per granule, outside the granules: what lies in a granule is known without reading
//! memory that a user could have overwritten.
#![expect(unsafe_code, reason = "lines lie in the memory that regions were given")]

use core::ptr::NonNull;

use slab_core::{LiveWord, VacantWord};

use crate::class::SizeClass;

/// The part that a granule has in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    /// Inside a segment, a block or a free run; what else the line says may be out of date, but
    /// `back` never points before the region's first line.
    #[default]
    Inside,
    /// Before the first granule of a region, or behind its last one.
    Edge,
    /// Behind the last granule in use of a region that has fresh granules from here on.
    Frontier,
    /// The first granule of a free run, linked into the run bins.
    Free,
    /// The last granule of a free run of two or more.
    FreeEnd,
    /// The first granule of a block that is a whole run.
    Block,
    /// The first granule of such a block that was shrunk to a size of a class and stays a run.
    Borrowed,
    /// The first granule of a run handed out as pages.
    Pages,
    /// The first granule of a freed run that is cached whole for the next request of its length; to its
    /// neighbours it is not free.
    Cached,
    /// The first granule of the active segment of a class.
    Active,
    /// The first granule of a segment with live and vacant slots, in its class's list.
    Partial,
    /// The first granule of a segment without vacant slots, in no list.
    Full,
    /// The first granule of a segment without live slots that its class has in reserve.
    Spare,
}

impl Kind {
    /// Returns whether this is the first granule of a segment.
    #[inline]
    pub const fn is_segment(self) -> bool {
        // They are the last kinds, which takes one comparison.
        self as u8 >= Self::Active as u8
    }

    /// Returns whether this is the first granule of a run of any use, or of none.
    pub const fn is_head(self) -> bool {
        self.is_segment()
            || matches!(
                self,
                Self::Free | Self::Block | Self::Borrowed | Self::Pages | Self::Cached
            )
    }
}

/// The header of a granule. A zeroed line is a valid one of kind `Inside`. It has the same size on all machines, so that
/// granules lie at the same offsets; on 32 bits that costs 0.8 % of a region.
///
/// # Invariants
///
/// - **H1 (heads)**: a line whose kind is that of a head is the first of a run of `len` granules of
///   the same region, which no other head covers; whoever ends the run changes the kind.
/// - **H2 (ends)**: the last line of a free run of two or more is a `FreeEnd` with the run's `len`;
///   every other line of a run, but its head, is `Inside`.
/// - **H3 (back)**: every line inside a segment says how far back its head lies; a line that is a
///   head or an end has `back == 0`.
/// - **H4 (slots)**: in a segment, `live` has bits below the slot count only; a bit is set exactly
///   while its slot is live. A `Partial` segment has some bits set, but
///   not all; a `Full` one has all, a `Spare` one none.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(32))]
pub struct Line {
    /// Segments: slots that are live.
    pub live: LiveWord,
    /// `Free`: the next run of the bin. `Cached`: the next of the stack. `Partial`: the next in the class's list.
    pub next: Option<LineRef>,
    /// The previous one of the same list; `None` for the first.
    pub prev: Option<LineRef>,
    /// Heads and `FreeEnd`: granules of the run.
    pub len: u32,
    pub kind: Kind,
    /// Segments: index of the [`SizeClass`]. `Free`: the run's bin. `Cached`: how many runs the stack has from this one down.
    pub class: u8,
    /// Segments: how many slots there are, and whether a smaller class borrowed one.
    pub slots: Slots,
    /// Granules back to the head of the segment.
    pub back: u8,
}

const _: () = assert!(size_of::<Line>() == 32);

/// A segment's slot count, and whether smaller classes have borrowed from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slots(u8);

impl Slots {
    const BORROWED: u8 = 0x80;

    pub const fn new(count: u32) -> Self {
        assert!(count >= 1 && count <= VacantWord::SLOT_COUNT_MAX);
        Self(count as u8)
    }

    #[inline]
    pub const fn count(self) -> u32 {
        (self.0 & !Self::BORROWED) as u32
    }

    #[inline]
    pub const fn borrowed(self) -> bool {
        self.0 & Self::BORROWED != 0
    }

    /// Returns the slots of a segment from which a smaller class borrowed.
    pub const fn with_borrowed(self) -> Self {
        Self(self.0 | Self::BORROWED)
    }

    /// Returns the slots of a segment from which no class has borrowed.
    pub const fn without_borrowed(self) -> Self {
        Self(self.0 & !Self::BORROWED)
    }
}

impl Line {
    /// Returns the head of a fresh segment of `len` granules.
    pub fn segment(class: SizeClass, len: u32) -> Self {
        Self {
            len,
            kind: Kind::Full,
            class: class.index() as u8,
            slots: Slots::new(class.slot_count(len)),
            ..Self::default()
        }
    }
}

/// A line of a region that an allocator owns.
///
/// # Invariants
///
/// - **R1 (owned)**: the line lies in the initialised part (G3) of the line array of a region that was
///   given to the allocator holding the reference; the giver keeps it valid and private to that allocator
///   for as long as the allocator is used. No Rust reference to a line ever outlives a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
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

    /// Returns a copy of the whole line. Hot paths read single fields instead: a wide load that
    /// follows a narrow store waits until the store has reached the cache.
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

    /// Changes part of the line. Only for who holds the allocator exclusively.
    #[inline]
    pub fn edit<T>(self, change: impl FnOnce(&mut Line) -> T) -> T {
        // SAFETY: valid by R1, and `change` knows no other way to this line that it could use
        // meanwhile: references are made only here, and callers pass closures over plain values.
        let line = unsafe { &mut *self.0.as_ptr() };
        change(line)
    }

    /// Makes the line the head of a run of `len` granules.
    #[inline]
    pub fn set_head(self, kind: Kind, len: u32) {
        self.edit(|line| (line.len, line.kind, line.back) = (len, kind, 0));
    }

    /// Makes the line the head of a free run that belongs into a bin.
    #[inline]
    pub fn set_free(self, len: u32, bin: usize) {
        let class = bin as u8;
        self.edit(|line| {
            (line.len, line.kind, line.class, line.back) = (len, Kind::Free, class, 0);
        });
    }

    /// Returns the bin of a free run.
    #[inline]
    pub fn bin(self) -> usize {
        self.class_index()
    }

    /// Makes the line one inside a segment.
    #[inline]
    pub fn set_back(self, back: u8) {
        // SAFETY: valid for writes by R1.
        unsafe { (*self.0.as_ptr()).back = back };
    }

    /// Returns the line's kind.
    #[inline]
    pub fn kind(self) -> Kind {
        // SAFETY: valid and initialised by R1.
        unsafe { (*self.0.as_ptr()).kind }
    }

    /// Returns the granules of the run.
    #[inline]
    pub fn len(self) -> u32 {
        // SAFETY: valid and initialised by R1.
        unsafe { (*self.0.as_ptr()).len }
    }

    /// Returns how far back the head of the segment lies.
    #[inline]
    pub fn back(self) -> u32 {
        // SAFETY: valid and initialised by R1.
        u32::from(unsafe { (*self.0.as_ptr()).back })
    }

    /// Returns how many runs the stack of a cached one has from this one down.
    #[inline]
    pub fn depth(self) -> u8 {
        // SAFETY: valid and initialised by R1.
        unsafe { (*self.0.as_ptr()).class }
    }

    /// Makes a run the top of its stack of cached runs.
    #[inline]
    pub fn set_cached(self, below: Option<LineRef>, depth: u8) {
        self.edit(|line| (line.kind, line.next, line.class) = (Kind::Cached, below, depth));
    }

    /// Returns the index of the segment's class.
    #[inline]
    pub fn class_index(self) -> usize {
        // SAFETY: valid and initialised by R1.
        usize::from(unsafe { (*self.0.as_ptr()).class })
    }

    /// Returns the segment's slots.
    #[inline]
    pub fn slots(self) -> Slots {
        // SAFETY: valid and initialised by R1.
        unsafe { (*self.0.as_ptr()).slots }
    }

    /// Returns which of the segment's slots are live.
    #[inline]
    pub fn live(self) -> LiveWord {
        // SAFETY: valid and initialised by R1.
        unsafe { (*self.0.as_ptr()).live }
    }

    /// Notes that a smaller class borrowed a slot of the segment.
    pub fn note_borrowed(self) {
        self.edit(|line| line.slots = line.slots.with_borrowed());
    }

    /// Returns the segment's slots that are not live.
    #[inline]
    pub fn vacant(self) -> VacantWord {
        self.live().vacant(self.slots().count())
    }

    /// Returns the next line of its list.
    pub fn next(self) -> Option<Self> {
        // SAFETY: valid and initialised by R1.
        unsafe { (*self.0.as_ptr()).next }
    }

    /// Replaces the segment's live slots.
    #[inline]
    pub fn set_live(self, live: LiveWord) {
        // SAFETY: valid for writes by R1.
        unsafe { (*self.0.as_ptr()).live = live };
    }

    /// Replaces the line's kind.
    #[inline]
    pub fn set_kind(self, kind: Kind) {
        // SAFETY: valid for writes by R1.
        unsafe { (*self.0.as_ptr()).kind = kind };
    }

    /// Returns the line `count` further on.
    ///
    /// # Safety
    ///
    /// The initialised part of the line array reaches that far, its closing `Edge` or `Frontier` included.
    #[inline]
    pub unsafe fn forward(self, count: usize) -> Self {
        // SAFETY: the caller guarantees the array, so R1 holds for the result.
        Self(unsafe { self.0.add(count) })
    }

    /// Zeroes the lines of a range, counted from this one.
    ///
    /// # Safety
    ///
    /// The line array, initialised or not, has these lines, and nothing is known of them that a zeroed line
    /// does not say.
    pub unsafe fn initialise(self, range: core::ops::Range<usize>) {
        // SAFETY: the caller guarantees the array.
        let first = unsafe { self.0.add(range.start) };
        // SAFETY: the caller guarantees the array, which is valid for writes by R1; a zeroed line is valid.
        unsafe { first.write_bytes(0, range.len()) };
    }

    /// Copies `count` lines, from this one on, to another place, which may overlap.
    ///
    /// # Safety
    ///
    /// They are initialised, and R1 holds for as many lines there, but for their being initialised.
    pub unsafe fn copy_to(self, place: Self, count: usize) {
        // SAFETY: the caller guarantees both places.
        unsafe { self.0.copy_to(place.0, count) };
    }

    /// Returns the line `count` further back.
    ///
    /// # Safety
    ///
    /// The line array reaches that far, its opening `Edge` included.
    #[inline]
    pub unsafe fn backward(self, count: u32) -> Self {
        // SAFETY: the caller guarantees the array, so R1 holds for the result.
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

    /// Takes out the newest line. *O*(1).
    #[inline]
    pub fn pop(&mut self) -> Option<LineRef> {
        let line = self.first?;
        self.first = line.next();
        if let Some(next) = self.first {
            next.edit(|next| next.prev = None);
        }
        Some(line)
    }

    /// Takes out a line that is in this list. *O*(1).
    #[inline]
    pub fn remove(&mut self, line: LineRef) {
        let (prev, next) = line.edit(|line| (line.prev, line.next));
        match prev {
            Some(prev) => prev.edit(|prev| prev.next = next),
            None => self.first = next,
        }
        if let Some(next) = next {
            next.edit(|next| next.prev = prev);
        }
    }

    /// Puts a line that is in no list into the place of one that is in this list. *O*(1).
    #[inline]
    pub fn replace(&mut self, line: LineRef, with: LineRef) {
        let (prev, next) = line.edit(|line| (line.prev, line.next));
        with.edit(|with| (with.prev, with.next) = (prev, next));
        match prev {
            Some(prev) => prev.edit(|prev| prev.next = Some(with)),
            None => self.first = Some(with),
        }
        if let Some(next) = next {
            next.edit(|next| next.prev = Some(with));
        }
    }

    /// Replaces the first line by what became of it.
    pub fn moved(&mut self, moved: impl FnOnce(LineRef) -> LineRef) {
        self.first = self.first.map(moved);
    }

    /// Returns the lines, newest first.
    pub fn iter(&self) -> impl Iterator<Item = LineRef> + use<> {
        core::iter::successors(self.first, |line| line.next())
    }
}
