//! Free runs of granules: a bin for each short length and log-linear bins above, a bitmap that finds
//! a bin in a few steps, and coalescing through the lines at both ends of a run. Everything is
//! *O*(1), the scan before a request is refused included: it looks at [`SCAN_MAX`] runs at most.
//!
//! A program that frees a run most often asks for one of the same length soon. The *cache* keeps freed runs
//! whole, in one stack per length, up to a bound on their number and their granules. Cached runs are merged
//! with their neighbours when the bound is reached or memory is short.
#![expect(unsafe_code, reason = "walks from line to line within a run")]

use crate::line::{Kind, LineList, LineRef};

/// Lengths up to this have a bin each, so that a request finds the shortest run that serves it, and
/// none is refused for runs that were not looked at.
const EXACT_LEN_MAX: u32 = 64;

/// Runs that are looked at, at most, before a request is refused: those of the request's own bin,
/// which holds lengths up to a quarter longer, and for large alignments those of the bins up to the
/// one that is sure to serve. The rest of them may hold a run that fits; a bound was worth more.
pub const SCAN_MAX: usize = 32;

/// Runs up to this length, and the segments of small blocks among them, are cut from the far end of a
/// free run, longer ones from the near end: small runs that stay do not divide the free memory that large
/// blocks need, and a large block has room to grow behind it. Over the recorded programs the smallest heap
/// that suffices shrank from 1.11 to 1.09 × the best rival's in the geometric mean, and from 1.30 to 1.21 × at
/// worst; 4, 16 and 32 did less. From a run that ends at fresh granules all are cut from the near end, so that
/// the memory in use stays together.
const FAR_LEN_MAX: u32 = 8;

/// Bins: one for each short length, then four per doubling up to `u32::MAX`.
const BIN_COUNT: usize = bin_of(u32::MAX) + 1;
const _: () = assert!(BIN_COUNT <= u8::MAX as usize, "a line names its bin in a byte");
const WORD_COUNT: usize = BIN_COUNT.div_ceil(u64::BITS as usize);

/// Granules of the longest cached run: longer ones are rare, and keeping one from its neighbours costs
/// more memory than it saves time. One word says which lengths have a cached run.
const CACHED_LEN_MAX: u32 = u64::BITS;

/// Cached runs of one length, at most.
const CACHED_DEPTH_MAX: u8 = 16;

/// Cached runs of all lengths, at most: so many are merged at once when memory is short.
const CACHED_COUNT_MAX: u32 = 64;

/// Granules that the cache may hold in a heap of any size.
const CACHED_GRANULES_MIN: usize = 64;

/// The cache may hold one of so many granules in use.
const CACHED_SHARE: usize = 8;

/// Returns the bin that holds runs of this length.
#[inline]
const fn bin_of(len: u32) -> usize {
    if len <= EXACT_LEN_MAX {
        return len as usize;
    }
    let shift = len.ilog2() - 2;
    // The first length of a doubling leaves 4, and that above the exact ones follows them.
    let exact_shift = EXACT_LEN_MAX.ilog2() - 2;
    let doublings = (shift - exact_shift) as usize;
    EXACT_LEN_MAX as usize + 1 + 4 * doublings + (len >> shift) as usize - 4
}

/// Returns the first bin all of whose runs are at least this long.
const fn bin_at_least(len: u32) -> usize {
    if len == 0 { 0 } else { bin_of(len - 1) + 1 }
}

/// The free runs of all regions.
///
/// # Invariants
///
/// - **B1 (linked)**: exactly the lines of kind `Free` are linked, each in the bin of its length, which it names.
/// - **B2 (marked)**: a bit of `occupied` is set exactly if its bin is not empty.
/// - **B3 (coalesced)**: no two free runs of a region touch.
/// - **B4 (cached)**: exactly the lines of kind `Cached` are in `cached`, linked by `next`, each in the stack
///   of its length, and `depth` counts a line and those below it. A bit of `cached_lens` is set exactly if
///   its stack is not empty.
#[derive(Debug)]
pub struct RunBins {
    occupied: [u64; WORD_COUNT],
    bins: [LineList; BIN_COUNT],
    cached: [Option<LineRef>; CACHED_LEN_MAX as usize],
    cached_lens: u64,
    cached_count: u32,
    /// Granules of the cached runs.
    cached_granules: usize,
    /// What `cached_granules` may be.
    cached_granules_max: usize,
    /// Granules of the free runs.
    free_granules: usize,
    /// Length of the one run that is not free, in a heap without segments, if it lies where a fresh heap
    /// would carve it; 0 if that is not known. Carving another run or shortening this one forgets it.
    alone_len: u32,
}

impl RunBins {
    pub const fn new() -> Self {
        Self {
            occupied: [0; WORD_COUNT],
            bins: [LineList::EMPTY; BIN_COUNT],
            cached: [None; CACHED_LEN_MAX as usize],
            cached_lens: 0,
            cached_count: 0,
            cached_granules: 0,
            cached_granules_max: CACHED_GRANULES_MIN,
            free_granules: 0,
            alone_len: 0,
        }
    }

    /// Returns the granules in free runs.
    #[inline]
    pub fn free_granules(&self) -> usize {
        self.free_granules
    }

    /// Returns the granules in cached runs.
    #[inline]
    pub fn cached_granules(&self) -> usize {
        self.cached_granules
    }

    /// Bounds the cache for a heap with so many granules in use.
    pub fn bound_cache(&mut self, granules: usize) {
        self.cached_granules_max = (granules / CACHED_SHARE).max(CACHED_GRANULES_MIN);
    }

    /// Returns whether the cached run for requests of `len` granules is known to be the only one that is not
    /// free, and to lie where a fresh heap would carve it. *O*(1).
    #[inline]
    pub fn is_alone(&self, len: u32) -> bool {
        self.alone_len == len
    }

    /// Forgets what [`is_alone`](Self::is_alone) knows: the run has become shorter.
    pub fn forget_alone(&mut self) {
        self.alone_len = 0;
    }

    /// Finds out whether [`is_alone`](Self::is_alone) holds in a heap without live blocks, of whose regions so
    /// many granules are in use. *O*(1).
    #[cold]
    pub fn find_alone(&mut self, len: u32, granules: usize) -> bool {
        let Some(run) = self.cached(len) else { return false };
        // SAFETY: at worst the opening edge.
        let neighbour = unsafe { run.backward(1) };
        let alone = run.len() == len && self.free_granules + len as usize == granules;
        if alone && neighbour.kind() == Kind::Edge {
            self.alone_len = len;
        }
        self.alone_len == len
    }

    /// Returns the length of the longest run, free or cached, that a request would find. *O*(1): as many
    /// runs are looked at as a request looks at.
    pub fn longest(&self) -> u32 {
        let top = (0..WORD_COUNT).rev().find(|&word| self.occupied[word] != 0);
        let bin = top.map(|word| word * u64::BITS as usize + self.occupied[word].ilog2() as usize);
        let free = bin.into_iter().flat_map(|bin| self.bins[bin].iter().take(SCAN_MAX));
        let cached = u64::BITS - self.cached_lens.leading_zeros();
        free.map(LineRef::len).max().unwrap_or(0).max(cached)
    }

    /// Returns the head lines of all free runs, bin by bin.
    pub fn iter(&self) -> impl Iterator<Item = LineRef> {
        self.bins.iter().flat_map(LineList::iter)
    }

    /// Returns the head lines of all cached runs.
    pub fn iter_cached(&self) -> impl Iterator<Item = LineRef> {
        let stacks = self.cached.iter().flatten().copied();
        stacks.flat_map(|top| core::iter::successors(Some(top), |run| run.next()))
    }

    /// Returns the cached run of `len` granules that was freed last.
    pub fn cached(&self, len: u32) -> Option<LineRef> {
        self.cached.get((len as usize).wrapping_sub(1)).copied().flatten()
    }

    /// Takes the cached run of `len` granules that was freed last; its kind still is `Cached`. *O*(1).
    #[inline]
    pub fn take_cached(&mut self, len: u32) -> Option<LineRef> {
        let top = self.cached.get_mut((len as usize).wrapping_sub(1))?;
        let run = (*top)?;
        *top = run.next();
        if top.is_none() {
            self.cached_lens &= !(1 << (len - 1));
        }
        self.cached_count -= 1;
        self.cached_granules -= len as usize;
        Some(run)
    }

    /// Takes a run of `len` granules out of the free ones. *O*(1); before `None` is returned `scan_max` runs are
    /// looked at.
    #[inline]
    pub fn take_free(&mut self, len: u32, scan_max: usize) -> Option<LineRef> {
        let head = if len <= EXACT_LEN_MAX {
            // Every run of these bins is long enough.
            self.bins[self.occupied_from(len as usize)?].first()?
        } else {
            self.find(len, len, scan_max, |head| (head.len() >= len).then_some(0))?.0
        };
        let run_len = head.len();
        // SAFETY: at worst the closing edge.
        let ends_fresh = || unsafe { head.forward(run_len as usize) }.kind() == Kind::Frontier;
        let skip = if len <= FAR_LEN_MAX && !ends_fresh() { run_len - len } else { 0 };
        // SAFETY: the run found is free and long enough.
        Some(unsafe { self.carve(head, skip, len) })
    }

    /// Takes a run of `len` granules at a place that `place` chooses: it gets the head of a free run
    /// and answers how many granules to skip there, or `None` if the run does not serve. Any run of
    /// `sure_len` has to serve. *O*(1); before `None` is returned `scan_max` runs from `len` on are
    /// looked at.
    ///
    /// # Safety
    ///
    /// What `place` skips, and `len` behind it, lie within the run.
    pub unsafe fn take_placed(
        &mut self,
        len: u32,
        sure_len: u32,
        scan_max: usize,
        place: impl Fn(LineRef) -> Option<u32>,
    ) -> Option<LineRef> {
        let (head, skip) = self.find(len, sure_len, scan_max, place)?;
        // SAFETY: the run is free, and the caller guarantees that it reaches far enough.
        Some(unsafe { self.carve(head, skip, len) })
    }

    fn find(
        &self,
        len: u32,
        sure_len: u32,
        scan_max: usize,
        place: impl Fn(LineRef) -> Option<u32>,
    ) -> Option<(LineRef, u32)> {
        let served = |head: LineRef| place(head).map(|skip| (head, skip));
        // The newest run of the request's own bin is most often of just the length asked for.
        if let Some(found) = self.bins[bin_of(len)].first().and_then(served) {
            return Some(found);
        }
        for at_least in [len, sure_len] {
            let bin = self.occupied_from(bin_at_least(at_least));
            if let Some(found) = bin.and_then(|bin| self.bins[bin].first()).and_then(served) {
                return Some(found);
            }
        }
        // Bins from `sure_len` on are empty; what is left may hold a run that fits by chance.
        let mut left = scan_max;
        let mut next = self.occupied_from(bin_of(len));
        while let Some(bin) = next {
            for head in self.bins[bin].iter() {
                if left == 0 {
                    return None;
                }
                if let Some(found) = served(head) {
                    return Some(found);
                }
                left -= 1;
            }
            next = self.occupied_from(bin + 1);
        }
        None
    }

    /// Returns the first occupied bin from `bin` on.
    #[inline]
    fn occupied_from(&self, bin: usize) -> Option<usize> {
        let mut word = bin / u64::BITS as usize;
        let mut bits = self.occupied.get(word)? & (u64::MAX << (bin % u64::BITS as usize));
        while bits == 0 {
            word += 1;
            bits = *self.occupied.get(word)?;
        }
        Some(word * u64::BITS as usize + bits.trailing_zeros() as usize)
    }

    /// Cuts `len` granules out of a free run, `skip` behind its head, and returns the first line,
    /// which the caller makes a head. Both rests stay free.
    ///
    /// # Safety
    ///
    /// `head` is the head of a free run of at least `skip + len` granules, and `len > 0`.
    #[inline]
    pub unsafe fn carve(&mut self, head: LineRef, skip: u32, len: u32) -> LineRef {
        let run_len = head.len();
        debug_assert!(head.kind() == Kind::Free && skip + len <= run_len && len > 0);
        self.free_granules -= len as usize;
        self.alone_len = 0;
        let rest = run_len - skip - len;
        // SAFETY: within the run.
        let first = unsafe { head.forward(skip as usize) };
        // SAFETY: within the run, or the line behind its last one.
        let behind = unsafe { first.forward(len as usize) };
        match (skip, rest) {
            (0, 0) => self.unlink(head),
            // SAFETY: the last `rest` granules of the run stay free.
            (0, _) => unsafe { self.relink(head, behind, rest) },
            // SAFETY: the first `skip` granules of the run stay free.
            (_, 0) => unsafe { self.relink(head, head, skip) },
            _ => {
                // SAFETY: the first `skip` granules of the run stay free.
                unsafe { self.relink(head, head, skip) };
                // SAFETY: the last `rest` granules of the run stay free, and what touches them is not.
                unsafe { self.link(behind, rest) };
            }
        }
        if rest == 0 {
            // H2: the end of a run of another use does not say that it is free.
            // SAFETY: within the run.
            unsafe { behind.backward(1) }.set_kind(Kind::Inside);
        }
        first
    }

    /// Takes `more` granules behind a run, if they are free. The last of them is made `Inside`; the
    /// caller corrects the head's length. *O*(1).
    ///
    /// # Safety
    ///
    /// `head` is a head of a run of `len` granules that is not free, and `more > 0`.
    pub unsafe fn extend(&mut self, head: LineRef, len: u32, more: u32) -> bool {
        // SAFETY: at worst the closing edge.
        let behind = unsafe { head.forward(len as usize) };
        if behind.kind() != Kind::Free || behind.len() < more {
            return false;
        }
        // SAFETY: a free run of at least `more`.
        unsafe { self.carve(behind, 0, more) }.set_kind(Kind::Inside);
        true
    }

    /// Returns how long the free run is that ends before a line.
    ///
    /// # Safety
    ///
    /// `line` is the first of a run, or the line behind the last granule in use of a region.
    pub unsafe fn free_before(&self, line: LineRef) -> u32 {
        // SAFETY: at worst the opening edge.
        let last = unsafe { line.backward(1) };
        if matches!(last.kind(), Kind::Free | Kind::FreeEnd) { last.len() } else { 0 }
    }

    /// Gives back a run: it is cached, or made free if the stack of its length is full. *O*(1).
    ///
    /// # Safety
    ///
    /// `head` is the head of a run of `len > 0` granules that is neither free nor cached, in no use.
    #[inline]
    pub unsafe fn give_back(&mut self, head: LineRef, len: u32) {
        let below = self.cached.get((len as usize).wrapping_sub(1)).copied();
        let depth = below.flatten().map_or(0, LineRef::depth);
        let Some(below) = below.filter(|_| depth < CACHED_DEPTH_MAX) else {
            // SAFETY: the caller guarantees the run.
            return unsafe { self.release(head, len) };
        };
        head.set_cached(below, depth + 1);
        self.cached[len as usize - 1] = Some(head);
        self.cached_lens |= 1 << (len - 1);
        self.cached_count += 1;
        self.cached_granules += len as usize;
        if self.is_cache_full() {
            self.evict(len);
        }
    }

    /// Returns how many runs are cached.
    pub fn cached_count(&self) -> u32 {
        self.cached_count
    }

    /// Returns how many bins and stacks break B2 or the last two parts of B4: their bit is wrong, or a run of
    /// another length is in them. Their lists must end.
    pub fn misfiled_count(&self) -> usize {
        let bins = (0..BIN_COUNT).filter(|&bin| {
            let word = self.occupied[bin / u64::BITS as usize];
            let marked = word >> (bin % u64::BITS as usize) & 1 == 1;
            let misfiled = |run: LineRef| bin_of(run.len()) != bin || run.bin() != bin;
            marked == self.bins[bin].is_empty() || self.bins[bin].iter().any(misfiled)
        });
        let stacks = (1..=CACHED_LEN_MAX).filter(|&len| {
            let top = self.cached[len as usize - 1];
            let marked = self.cached_lens >> (len - 1) & 1 == 1;
            let mut runs = core::iter::successors(top, |run| run.next());
            marked != top.is_some() || runs.any(|run| run.len() != len)
        });
        bins.count() + stacks.count()
    }

    /// Marks no length as cached.
    #[cfg(test)]
    pub fn unmark_cached(&mut self) {
        self.cached_lens = 0;
    }

    /// Counts one cached run too many.
    #[cfg(test)]
    pub fn miscount_cached_runs(&mut self) {
        self.cached_count += 1;
    }

    /// Counts one granule of the cache too many.
    #[cfg(test)]
    pub fn miscount_cached(&mut self) {
        self.cached_granules += 1;
    }

    fn is_cache_full(&self) -> bool {
        self.cached_granules > self.cached_granules_max || self.cached_count > CACHED_COUNT_MAX
    }

    /// Makes one or two cached runs free, so that the cache keeps its bounds after a run of `len` granules was
    /// added: one of the next shorter length, so that every length has its turn, and one of the longest.
    #[cold]
    fn evict(&mut self, len: u32) {
        let shorter = self.cached_lens & ((1 << (len - 1)) - 1);
        if shorter != 0 {
            self.uncache(u64::BITS - shorter.leading_zeros());
        }
        if self.is_cache_full() {
            self.uncache(u64::BITS - self.cached_lens.leading_zeros());
        }
    }

    /// Replaces the first lines of all lists by what became of them. No run is cached.
    pub fn moved(&mut self, moved: impl Fn(LineRef) -> LineRef) {
        self.bins.iter_mut().for_each(|bin| bin.moved(&moved));
    }

    /// Makes every cached run free. *O*(1): there are 64 at most.
    pub fn flush(&mut self) {
        while self.cached_lens != 0 {
            self.uncache(u64::BITS - self.cached_lens.leading_zeros());
        }
    }

    /// Makes the cached run of `len` granules free that was freed last.
    fn uncache(&mut self, len: u32) {
        if let Some(run) = self.take_cached(len) {
            // SAFETY: by B4 it was a cached run, which is in no use and not free.
            unsafe { self.release(run, len) };
        }
    }

    /// Makes a run free and merges it with free neighbours. *O*(1).
    ///
    /// # Safety
    ///
    /// The `len > 0` granules from `head` on are a run that is not free, or the end of one whose
    /// head has just been made shorter; the run's granules are in no use.
    pub unsafe fn release(&mut self, head: LineRef, len: u32) {
        self.free_granules += len as usize;
        // SAFETY: at worst the closing edge.
        let behind = unsafe { head.forward(len as usize) };
        // SAFETY: at worst the opening edge.
        let before = unsafe { head.backward(1) };
        let behind_len = if behind.kind() == Kind::Free { behind.len() } else { 0 };
        // By H2, a head just before another head is a run of one granule.
        if matches!(before.kind(), Kind::Free | Kind::FreeEnd) {
            let before_len = before.len();
            // SAFETY: by H2 the run that ends there is that long.
            let first = unsafe { before.backward(before_len - 1) };
            if behind_len > 0 {
                self.unlink(behind);
                behind.set_kind(Kind::Inside);
            }
            head.set_kind(Kind::Inside);
            if before_len > 1 {
                before.set_kind(Kind::Inside);
            }
            // SAFETY: the merged run is free, and by B3 nothing that touches it still is.
            unsafe { self.relink(first, first, before_len + len + behind_len) };
        } else if behind_len > 0 {
            behind.set_kind(Kind::Inside);
            // SAFETY: the merged run is free, and by B3 nothing that touches it still is.
            unsafe { self.relink(behind, head, len + behind_len) };
        } else {
            // SAFETY: the granules are free, and nothing that touches them is.
            unsafe { self.link(head, len) };
        }
    }

    /// Writes both ends of a free run and links it.
    ///
    /// # Safety
    ///
    /// The granules are free, nothing that touches them is, and `first` is in no list.
    unsafe fn link(&mut self, first: LineRef, len: u32) {
        let bin = bin_of(len);
        // SAFETY: the caller guarantees a free run.
        unsafe { mark(first, len, bin) };
        self.bins[bin].push(first);
        self.occupied[bin / u64::BITS as usize] |= 1 << (bin % u64::BITS as usize);
    }

    /// Makes a free run one that starts at `first` and has `len` granules: writes both its ends, and links it in its place.
    ///
    /// # Safety
    ///
    /// `old` is a linked run; the granules from `first` on are free, nothing that touches them is, and `first`
    /// is `old` or in no list.
    #[inline]
    unsafe fn relink(&mut self, old: LineRef, first: LineRef, len: u32) {
        let bin = bin_of(len);
        if bin != old.bin() {
            self.unlink(old);
            // SAFETY: the caller guarantees a free run, which is in no list now.
            return unsafe { self.link(first, len) };
        }
        if first != old {
            self.bins[bin].replace(old, first);
        }
        // SAFETY: the caller guarantees a free run.
        unsafe { mark(first, len, bin) };
    }

    fn unlink(&mut self, head: LineRef) {
        let bin = head.bin();
        self.bins[bin].remove(head);
        if self.bins[bin].is_empty() {
            self.occupied[bin / u64::BITS as usize] &= !(1 << (bin % u64::BITS as usize));
        }
    }
}

/// Writes both ends of a free run.
///
/// # Safety
///
/// The `len` granules from `first` on are free.
#[inline]
unsafe fn mark(first: LineRef, len: u32, bin: usize) {
    first.set_free(len, bin);
    if len > 1 {
        // SAFETY: within the run.
        let last = unsafe { first.forward((len - 1) as usize) };
        last.set_head(Kind::FreeEnd, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn a_bin_at_least_as_long_holds_no_shorter_run() {
        let lens = (1..5000).chain([1 << 20, (1 << 20) + 1, u32::MAX - 1, u32::MAX]);
        let mut previous = 0;
        for len in lens {
            let (own, sure) = (bin_of(len), bin_at_least(len));
            assert!(own >= previous && own < BIN_COUNT, "len {len}");
            assert!(sure == own || sure == own + 1, "len {len}");
            // A run of one granule less never lies in the bin that is sure to be long enough.
            assert!(len == 1 || bin_of(len - 1) < sure, "len {len}");
            // Runs a quarter longer, and short ones of any other length, lie in another bin.
            if let Some(longer) = len.checked_add(if len < 64 { 1 } else { len / 4 + 1 }) {
                assert!(bin_of(longer) > own, "len {len}");
            }
            previous = own;
        }
    }
}
