//! The misuse matrix of trait objects, slices, and slots that several types share: what `unsafe` code gets wrong with raw
//! boxes, and which cache reports it.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "makes mistakes on purpose")]

mod config;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use config::With;
use lock_api::RawMutex;
use slab_cache::{Checked, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, WithSlots, coerce};

type Spin = spin::Mutex<()>;
type One<R, M> = With<R, Global, 1024, M>;
type Several<R, M> = WithSlots<48, One<R, M>>;

/// Returns the report of a mistake; it is empty if there is none.
fn report_of(action: impl FnOnce()) -> String {
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(action));
    outcome.err().and_then(|report| report.downcast_ref().cloned()).unwrap_or_default()
}

#[test]
fn a_trait_object_that_is_freed_twice_is_reported_before_its_value_is_dropped() {
    fn run<R: RawMutex + 'static, M: Mode>() {
        let words = SlabCache::<String, One<R, M>>::with_config().expect("memory");
        let mixed = SlabCache::<(), Several<R, M>>::with_config().expect("memory");
        let _kept = (words.alloc("kept".into()), mixed.of().alloc(7_u8));

        let word = words.alloc("slab".into()).expect("memory");
        let word = SlabBox::into_raw(SlabBox::unsize(word, coerce!(dyn Display)));
        // SAFETY: the first, from `into_raw`; the second is the mistake.
        let again = || drop(unsafe { SlabBox::<dyn Display, One<R, M>>::from_raw(word) });
        again();
        assert!(report_of(again).contains("is not live"));

        let slice = mixed.of().alloc(["one".to_owned()]).expect("memory");
        let slice = SlabBox::into_raw(SlabBox::unsize(slice, coerce!([String])));
        // SAFETY: the first, from `into_raw`; the second is the mistake.
        let again = || drop(unsafe { SlabBox::<[String], Several<R, M>>::from_raw(slice) });
        again();
        assert!(report_of(again).contains("is not live"));
        assert_eq!((words.len(), mixed.len()), (1, 1));
    }
    run::<NoLock, Checked>();
    run::<NoLock, Hardened>();
    run::<Spin, Hardened>();
}

#[test]
fn a_write_past_a_shared_slot_is_reported() {
    fn write_at<R: RawMutex + 'static>(offset: usize) -> String {
        let cache = SlabCache::<(), Several<R, Hardened>>::with_config().expect("memory");
        let word: SlabBox<u64, Several<R, Hardened>> = cache.of().alloc(7).expect("memory");
        let word = SlabBox::into_raw(word);
        let free = || {
            // SAFETY: from `into_raw`; a box whose drop is reported keeps its slot.
            drop(unsafe { SlabBox::<u64, Several<R, Hardened>>::from_raw(word) });
        };
        // Changes bits of the byte, and changes them back the next time.
        let flip = || {
            // SAFETY: none: this is the mistake. The byte lies in the slab, behind the value.
            unsafe { *word.cast::<u8>().add(offset).as_ptr() ^= 0xEE };
        };
        flip();
        let report = report_of(free);
        if !report.is_empty() {
            flip();
            free();
        }
        report
    }
    for offset in 48..56 {
        assert!(write_at::<NoLock>(offset).contains("was written, and it has 48 bytes"));
        assert!(write_at::<Spin>(offset).contains("was written, and it has 48 bytes"));
    }
    assert_eq!(write_at::<NoLock>(20), "", "between the value and the end of the slot");
}
