//! Where the next values go: a word of vacant slots of one slab.
#![expect(unsafe_code, reason = "turns a slot number into a pointer")]

use core::ptr::NonNull;

use slab_core::VacantWord;

use crate::geometry::{Geometry, SLOTS_PER_WORD};
use crate::slab::SlabRef;

/// The slots that the next values get.
///
/// # Invariants
///
/// - **F1 (held)**: `vacant` holds slots of word `word` of `slab`, the first of which starts at
///   `start`; to the slab they are live, and nobody else has them.
#[derive(Debug)]
pub struct Front {
    vacant: VacantWord,
    start: NonNull<u8>,
    slab: Option<SlabRef>,
    word: u32,
}

impl Front {
    pub const fn new() -> Self {
        Self { vacant: VacantWord::new(0), start: NonNull::dangling(), slab: None, word: 0 }
    }

    /// Takes a slot. *O*(1).
    #[inline(always)]
    pub fn take(&mut self, stride: usize) -> Option<NonNull<u8>> {
        let slot = self.vacant.take()?;
        // SAFETY: by F1 the slot lies in the slab, `slot` strides behind the word's first.
        Some(unsafe { self.start.add(slot as usize * stride) })
    }

    /// Returns whether the front holds a slot.
    #[inline(always)]
    pub fn holds(&self, slab: SlabRef, slot: u32) -> bool {
        self.slab == Some(slab)
            && slot / SLOTS_PER_WORD == self.word
            && self.vacant.contains(slot % SLOTS_PER_WORD)
    }

    /// Returns how many slots the front holds.
    pub fn held(&self) -> u32 {
        self.vacant.len()
    }

    pub fn slab(&self) -> Option<SlabRef> {
        self.slab
    }

    /// Names the slab to allocate from, and returns the one before. The front holds no slot.
    pub fn replace(&mut self, slab: SlabRef) -> Option<SlabRef> {
        debug_assert!(self.vacant.is_empty());
        self.word = 0;
        self.slab.replace(slab)
    }

    /// Takes the vacant slots of one word of its slab over, while the front holds none; `false` if the
    /// slab has none. *O*(words of the slab).
    pub fn regain(&mut self, geometry: &Geometry) -> bool {
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
                self.start = slab.slot_start(word * SLOTS_PER_WORD, geometry);
                return true;
            }
            word = if word + 1 == geometry.words { 0 } else { word + 1 };
            if word == self.word {
                return false;
            }
        }
    }

    /// Gives the slots that it holds back to the slab, and the slab to the caller.
    pub fn abandon(&mut self) -> Option<SlabRef> {
        let slab = self.slab.take()?;
        let vacant = core::mem::take(&mut self.vacant);
        slab.set_live(self.word, slab.live(self.word).without(vacant));
        slab.set_used(slab.used() - vacant.len());
        Some(slab)
    }
}
