//! The map of a region: where blocks and free runs start and end.
//!
//! Two bits of a unit say what it is:
//!
//! | starts | live | |
//! |---|---|---|
//! | 1 | 1 | the first unit of a block |
//! | 1 | 0 | the first unit of a free run, or the first fresh one |
//! | 0 | 1 | the last unit of a free run of two or more |
//! | 0 | 0 | any other |
//!
//! The unit behind the last one counts as a block. The length of a run is the distance to the next start. So that
//! at most two groups are looked at, a run that covers whole groups besides those of its first and its last unit says its
//! length there: the live word of the group behind the first unit's is the length, and so is, if the run is free, that of the
//! group before the last unit's. No unit of these groups is the first or the last one of a run.
#![expect(unsafe_code, reason = "reads and writes the map")]

use super::region::{GROUP_UNITS, RegionRef};

/// The live word of a group whose last unit is the last one of a free run. No run is as long.
const END_ONLY: u32 = 1 << (GROUP_UNITS - 1);

/// The part that a unit has in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The first of a block, live or parked.
    Block,
    /// The first of a free run, or the first fresh one.
    Free,
    /// The last of a free run of two or more.
    FreeEnd,
    /// Another one of a run.
    Inside,
}

/// A row of units of a region: a block or a free run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub region: RegionRef,
    pub first: u32,
    pub len: u32,
}

#[inline]
pub const fn bit(unit: u32) -> u32 {
    1 << (unit % GROUP_UNITS)
}

impl RegionRef {
    /// Returns what a unit is.
    ///
    /// # Safety
    ///
    /// `unit <= frontier`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn state(self, unit: u32) -> State {
        // SAFETY: as the caller promises.
        let group = unsafe { self.group(unit) };
        match (group.starts.get() & bit(unit) != 0, group.live.get() & bit(unit) != 0) {
            (true, true) => State::Block,
            (true, false) => State::Free,
            (false, true) => State::FreeEnd,
            (false, false) => State::Inside,
        }
    }

    /// Returns whether a unit is the first of a free run, or the first fresh one.
    ///
    /// # Safety
    ///
    /// `unit <= frontier`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn is_free_start(self, unit: u32) -> bool {
        // SAFETY: as the caller promises.
        let group = unsafe { self.group(unit) };
        group.starts.get() & !group.live.get() & bit(unit) != 0
    }

    /// Returns where the free run starts that ends before a unit, if one does.
    ///
    /// # Safety
    ///
    /// `0 < unit <= frontier`, and a run ends before the unit.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn free_start_before(self, unit: u32) -> Option<u32> {
        let last = unit - 1;
        // SAFETY: as the caller promises.
        let group = unsafe { self.group(last) };
        let starts = group.starts.get();
        if (starts ^ group.live.get()) & bit(last) == 0 {
            return None;
        }
        // A free run of one unit starts where it ends.
        // SAFETY: the last unit of a longer one.
        Some(if starts & bit(last) != 0 { last } else { unsafe { self.start_of(last) } })
    }

    /// Returns the length of the block that starts at a unit, if one does and if it ends in the group of the unit.
    ///
    /// # Safety
    ///
    /// `unit <= frontier`.
    #[inline]
    pub unsafe fn short_block(self, first: u32) -> Option<u32> {
        // SAFETY: as the caller promises.
        let group = unsafe { self.group(first) };
        let starts = group.starts.get();
        let behind = (starts >> (first % GROUP_UNITS)) >> 1;
        let is_block = starts & group.live.get() & bit(first) != 0;
        (is_block && behind != 0).then(|| behind.trailing_zeros() + 1)
    }

    /// Returns the length of the run that starts at a unit. Looks at two groups at most.
    ///
    /// # Safety
    ///
    /// A block or a free run starts there, not the fresh units.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn len_at(self, first: u32) -> u32 {
        // SAFETY: a start lies before the frontier.
        let starts = unsafe { self.group(first) }.starts.get();
        let behind = (starts >> (first % GROUP_UNITS)) >> 1;
        if behind != 0 {
            return behind.trailing_zeros() + 1;
        }
        // SAFETY: as the caller promises.
        unsafe { self.len_beyond(first) }
    }

    #[inline(never)]
    unsafe fn len_beyond(self, first: u32) -> u32 {
        let at = first - first % GROUP_UNITS + GROUP_UNITS;
        // SAFETY: the run ends in this group or behind it, at the frontier at most.
        let group = unsafe { self.group(at) };
        let starts = group.starts.get();
        if starts != 0 {
            return at + starts.trailing_zeros() - first;
        }
        match group.live.get() {
            // The run ends with this group.
            0 | END_ONLY => at + GROUP_UNITS - first,
            len => len,
        }
    }

    /// Returns where the free run starts whose last unit this is. Looks at two groups at most.
    ///
    /// # Safety
    ///
    /// The unit is a [`State::FreeEnd`].
    pub unsafe fn start_of(self, last: u32) -> u32 {
        // SAFETY: an end lies before the frontier.
        let starts = unsafe { self.group(last) }.starts.get();
        let before = starts & (bit(last) - 1);
        let at = last - last % GROUP_UNITS;
        if before != 0 {
            return at + before.ilog2();
        }
        // SAFETY: before the frontier, as the end is.
        let group = unsafe { self.group(at - GROUP_UNITS) };
        match group.starts.get() {
            // The run starts before this group.
            0 => last + 1 - group.live.get(),
            starts => at - GROUP_UNITS + starts.ilog2(),
        }
    }
}

impl Run {
    /// Returns the unit behind the run.
    #[inline]
    pub fn end(self) -> u32 {
        self.first + self.len
    }

    /// Writes the run into the map as a block or as a free run.
    ///
    /// # Safety
    ///
    /// The run lies in its region, before the frontier, is not empty, and the map says nothing of its units.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn begin(self, is_live: bool) {
        let Self { region, first, len } = self;
        let last = first + len - 1;
        // SAFETY: the run lies before the frontier.
        let group = unsafe { region.group(first) };
        group.starts.set(group.starts.get() | bit(first));
        if is_live {
            group.live.set(group.live.get() | bit(first));
        } else if len > 1 {
            // SAFETY: the run lies before the frontier.
            let group = unsafe { region.group(last) };
            group.live.set(group.live.get() | bit(last));
        } else {
            return;
        }
        // SAFETY: as the caller promises.
        unsafe { self.set_len(if is_live { None } else { Some(last) }, len) };
    }

    /// Removes a block or a free run from the map.
    ///
    /// # Safety
    ///
    /// The map says that the run is such a one.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn end_run(self, is_live: bool) {
        let Self { region, first, len } = self;
        let last = first + len - 1;
        // SAFETY: a start lies before the frontier.
        let group = unsafe { region.group(first) };
        group.starts.set(group.starts.get() & !bit(first));
        if is_live {
            group.live.set(group.live.get() & !bit(first));
        } else if len > 1 {
            // SAFETY: an end lies before the frontier.
            let group = unsafe { region.group(last) };
            group.live.set(group.live.get() & !bit(last));
        } else {
            return;
        }
        // SAFETY: as the caller promises.
        unsafe { self.set_len(if is_live { None } else { Some(last) }, 0) };
    }

    /// Makes a free run of at most 64 units a block.
    ///
    /// # Safety
    ///
    /// The map says that the run is such a one.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn make_block(self) {
        let Self { region, first, len } = self;
        let last = first + len - 1;
        // SAFETY: a run lies before the frontier.
        let group = unsafe { region.group(last) };
        // A run of one unit has no mark at its end. One of at most 64 that covers a group says its length there once,
        // as a block does too.
        group.live.set(group.live.get() & !bit(last));
        // SAFETY: see above.
        let group = unsafe { region.group(first) };
        group.live.set(group.live.get() | bit(first));
    }

    /// Writes a number into the words that hold the length of a long run.
    #[cfg_attr(target_pointer_width = "64", inline)]
    unsafe fn set_len(self, last: Option<u32>, len: u32) {
        let last_unit = self.first + self.len - 1;
        if last_unit / GROUP_UNITS < self.first / GROUP_UNITS + 2 {
            return;
        }
        // SAFETY: the group belongs to the run.
        unsafe { self.region.group(self.first + GROUP_UNITS) }.live.set(len);
        if let Some(last) = last {
            // SAFETY: the group belongs to the run.
            unsafe { self.region.group(last - GROUP_UNITS) }.live.set(len);
        }
    }
}
