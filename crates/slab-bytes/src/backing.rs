//! The heap below magazines: what slab-local asks of its size classes.
#![expect(unsafe_code, reason = "Backing is an unsafe trait")]

use core::alloc::Layout;

use slab_core::Mode;
use slab_local::{Backing, Class};

use crate::block;
use crate::class::{CLASS_STEP, GRANULE_BYTES, SLOT_BYTES_MAX, SizeClass};
use crate::heap::SlabByteAllocator;

const _: () = assert!(SizeClass::COUNT <= Class::COUNT_MAX);

/// For each class, the largest power of two to a granule that its slots keep.
const ALIGNS: [u16; SizeClass::COUNT] = {
    let mut table = [0; SizeClass::COUNT];
    let mut index = 0;
    while index < table.len() {
        let align = 1 << SizeClass::at(index).slot_bytes().trailing_zeros();
        table[index] = if align > GRANULE_BYTES { GRANULE_BYTES as u16 } else { align as u16 };
        index += 1;
    }
    table
};

/// The class of each size, in steps of 16 bytes, as magazines count them.
const CLASSES: [Class; SLOT_BYTES_MAX / CLASS_STEP + 1] = {
    let mut table = [Class::new(0); SLOT_BYTES_MAX / CLASS_STEP + 1];
    let mut steps = 0;
    while steps < table.len() {
        if let Some(class) = SizeClass::of(steps * CLASS_STEP, 1) {
            table[steps] = Class::new(class.index());
        }
        steps += 1;
    }
    table
};

// SAFETY: a class of layouts is a size class of this heap. Its layout has the bytes of a slot, less the canary that every
// block has in the mode, and the largest alignment of the slots, so that also a borrowed slot is aligned for every layout
// of the class. Slots and runs start at multiples of 16 bytes. Classes never change.
unsafe impl<M: Mode, const PAGE: usize> Backing for SlabByteAllocator<M, PAGE> {
    const FINDS_RACES: bool = M::HARDENED;

    #[inline(always)]
    fn class_of(layout: Layout) -> Option<Class> {
        let size = layout.size() + block::canary_bytes::<M>();
        let size = SizeClass::rounded(size, layout.align())?;
        (size <= SLOT_BYTES_MAX).then(|| CLASSES[size.div_ceil(CLASS_STEP)])
    }

    #[inline]
    fn class_layout(class: Class) -> Option<Layout> {
        let align = *ALIGNS.get(class.index())?;
        let bytes = SizeClass::at(class.index()).slot_bytes() - block::canary_bytes::<M>();
        Layout::from_size_align(bytes, align as usize).ok()
    }
}

#[cfg(test)]
mod tests {
    use slab_core::{Checked, Hardened};

    use super::*;

    fn check<M: Mode>() {
        type Heap<M> = SlabByteAllocator<M>;
        let mut checked = 0;
        for align in (0..=10).map(|log2| 1_usize << log2) {
            for size in 0..=4096 {
                let layout = Layout::from_size_align(size, align).unwrap();
                let Some(class) = <Heap<M>>::class_of(layout) else { continue };
                let full = <Heap<M>>::class_layout(class).unwrap();
                assert!(full.size() >= size && full.align() >= align, "{layout:?} {full:?}");
                assert_eq!(<Heap<M>>::class_of(full), Some(class), "{full:?}");
                checked += 1;
            }
        }
        assert!(checked > 40_000);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn the_layout_of_a_class_serves_every_layout_of_the_class() {
        check::<Checked>();
        check::<Hardened>();
    }
}
