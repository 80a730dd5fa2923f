//! The line of a page: what the page belongs to.

/// The use of a page. Told by the first and the last line of a run; those between are stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    /// No page at all: the end of a segment, or a number that was never given to a page.
    #[default]
    Edge = 0,
    /// A run that is in the tree.
    Free = 1,
    /// A run that was taken.
    Taken = 2,
    /// A page that is cut into small blocks.
    Small = 3,
}

/// The line of a page. All bytes zero is a valid line, an `Edge`.
///
/// # Invariants
///
/// - **L1 (ends)**: the first and the last line of every run tell its kind and, if it is free, its
///   length.
/// - **L2 (linked)**: `left`, `right` and `height` are those of the tree in the first line of a free
///   run. In the line of a page of small blocks `left` is for whoever owns the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Line {
    /// Pages of the run.
    pub len: u32,
    /// The subtree of smaller runs; 0 for none.
    pub left: u32,
    /// The subtree of larger runs; 0 for none.
    pub right: u32,
    /// Height of the subtree below, 1 for a leaf.
    pub height: u8,
    /// The use of the page.
    pub kind: Kind,
}

/// The lines of all pages, by number. Page 0 is always an `Edge`.
pub trait Lines {
    /// Returns a page's line; an `Edge` for a number that is no page.
    fn line(&self, page: u32) -> Line;

    /// Replaces a page's line. Nothing happens for a number that is no page.
    fn set_line(&mut self, page: u32, line: Line);
}
