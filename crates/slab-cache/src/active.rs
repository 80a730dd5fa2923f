//! The active slots: a word of vacant slots of the active slab, where the next values go.
#![expect(unsafe_code, reason = "turns a slot number into a pointer")]

use core::ptr::NonNull;

use slab_core::VacantWord;

use crate::geometry::Geometry;
use crate::slab::{SLOTS_PER_WORD, SlabRef};

/// Vacant slots of one word of the active slab.
///
/// # Invariants
///
/// - **F1 (owned)**: `vacant` has slots of word `word` of `slab`, the first slot of which starts at
///   `start`. Their bits in the live map are set, and they have no other owner.
#[derive(Debug)]
pub struct ActiveSlots {
    vacant: VacantWord,
    start: NonNull<u8>,
    slab: Option<SlabRef>,
    word: u32,
}

impl ActiveSlots {
    pub const fn new() -> Self {
        Self { vacant: VacantWord::new(0), start: NonNull::dangling(), slab: None, word: 0 }
    }

    /// Removes the lowest slot. *O*(1).
    #[inline(always)]
    pub fn pop(&mut self, stride: usize) -> Option<NonNull<u8>> {
        let slot = self.vacant.take()?;
        // SAFETY: by F1 the slot lies in the slab, `slot` strides behind the first one of the word.
        Some(unsafe { self.start.add(slot as usize * stride) })
    }

    /// Returns whether a slot is one of them.
    #[inline(always)]
    pub fn contains(&self, slab: SlabRef, slot: u32) -> bool {
        self.slab == Some(slab)
            && slot / SLOTS_PER_WORD == self.word
            && self.vacant.contains(slot % SLOTS_PER_WORD)
    }

    pub fn len(&self) -> u32 {
        self.vacant.len()
    }

    /// Returns the active slab.
    pub fn slab(&self) -> Option<SlabRef> {
        self.slab
    }

    /// Changes the active slab while there are no slots, and returns the previous one.
    pub fn replace(&mut self, slab: SlabRef) -> Option<SlabRef> {
        debug_assert!(self.vacant.is_empty());
        self.word = 0;
        self.slab.replace(slab)
    }

    /// Takes over the vacant slots of one word of the active slab, while there are none; `false` if the slab
    /// has none either. *O*(words of the slab).
    pub fn refill(&mut self, geometry: &Geometry) -> bool {
        debug_assert!(self.vacant.is_empty());
        let Some(slab) = self.slab else { return false };
        if slab.used() == slab.slots() {
            return false;
        }
        let mut word = self.word;
        loop {
            let mut live = slab.live(word);
            let vacant = live.fill(Geometry::slots_in_word(slab.slots(), word));
            if !vacant.is_empty() {
                slab.set_live(word, live);
                slab.set_used(slab.used() + vacant.len());
                self.vacant = vacant;
                self.word = word;
                self.start = geometry.slot_start(slab, word * SLOTS_PER_WORD);
                return true;
            }
            word = if word + 1 == geometry.words { 0 } else { word + 1 };
            if word == self.word {
                return false;
            }
        }
    }

    /// Returns the slots to the slab, and the slab to the caller.
    pub fn release(&mut self) -> Option<SlabRef> {
        let slab = self.slab.take()?;
        let vacant = core::mem::take(&mut self.vacant);
        slab.set_live(self.word, slab.live(self.word).without(vacant));
        slab.set_used(slab.used() - vacant.len());
        Some(slab)
    }
}
