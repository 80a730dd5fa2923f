//! The heaps as `core::alloc::Allocator`s, where the compiler has that trait: what the standard library
//! keeps in memory of an allocator's choice lies in a region, and misuse of it ends the program.
#![cfg(core_allocator)]
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![expect(unsafe_code, reason = "gives regions to heaps and misuses blocks")]

use std::alloc::{Allocator, Layout};
use std::fmt::{Debug, Display};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use slab_bytes::SlabByteAllocator;
use slab_testkit::child::{self, Child, mistake};
use slab_testkit::{Arena, Misuse};
use slab_traits::{Local, Locked, StdSource};

type Shared = Locked<spin::Mutex<()>, SlabByteAllocator>;

const REGION_BYTES: usize = 64 * 1024;

/// Runs `action` on a heap over a region, and expects all blocks back.
fn with_heap<R: lock_api::RawMutex, T>(
    action: impl FnOnce(&Locked<R, SlabByteAllocator>, &dyn Fn(*const u8) -> bool) -> T,
) -> T {
    let arena = Arena::new(REGION_BYTES, 0);
    let region = arena.region();
    let start = region.cast::<u8>().addr().get();
    let heap = Locked::new(SlabByteAllocator::new());
    // SAFETY: the arena is dropped after the heap, and only the heap uses it.
    unsafe { heap.add_region(region) }.expect("large enough");
    let inside = |pointer: *const u8| (start..start + region.len()).contains(&pointer.addr());
    let value = action(&heap, &inside);
    assert_eq!(heap.used_bytes(), 0, "all blocks came back");
    value
}

#[test]
fn a_vector_lies_in_the_region() {
    with_heap::<spin::Mutex<()>, _>(|heap, inside| {
        let mut numbers = Vec::new_in(heap);
        for number in (0..1000_u64).rev() {
            numbers.push(number);
        }
        assert!(inside(numbers.as_ptr().cast()));
        numbers.sort();
        numbers.retain(|number| number % 2 == 0);
        numbers.shrink_to_fit();
        let copy = numbers.to_vec();
        numbers.clear();
        numbers.extend_from_slice(&copy[..10]);
        numbers.insert(3, 99);
        assert_eq!(numbers[..5], [0, 2, 4, 99, 6]);
        assert_eq!(numbers.into_iter().sum::<u64>(), 90 + 99);
        // A boxed slice, grown and shrunk.
        let mut bytes = Vec::with_capacity_in(300, heap);
        bytes.resize(10, 7_u8);
        let mut bytes = bytes.into_boxed_slice().into_vec();
        bytes.reserve_exact(5000);
        bytes.push(8);
        assert_eq!(bytes, [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8]);
    });
}

#[test]
fn a_box_lies_in_the_region() {
    with_heap::<spin::Mutex<()>, _>(|heap, inside| {
        let name = Box::new_in(String::from("a name"), heap);
        assert!(inside((&raw const *name).cast()));
        let shown: Box<dyn Display, _> = name;
        assert_eq!(shown.to_string(), "a name");
        let unit = Box::new_in((), heap);
        assert_eq!(*unit, ());
        let large = Box::new_in([7_u8; 9000], heap);
        assert_eq!(large.iter().filter(|&&byte| byte == 7).count(), 9000);
        assert!(heap.used_bytes() >= 9000);
    });
}

#[test]
fn one_thread_needs_no_atomic_lock() {
    with_heap::<slab_traits::LocalMutex, _>(|heap: &Local<_>, inside| {
        let mut words: Vec<Box<str, _>, _> = Vec::new_in(heap);
        for word in ["one", "two", "three"] {
            let mut bytes = Vec::with_capacity_in(word.len(), heap);
            bytes.extend_from_slice(word.as_bytes());
            let (pointer, allocator) = Box::into_raw_with_allocator(bytes.into_boxed_slice());
            // SAFETY: the bytes are those of a `str`.
            words.push(unsafe { Box::from_raw_in(pointer as *mut str, allocator) });
        }
        assert!(inside(words[2].as_ptr()));
        assert_eq!(words.iter().map(|word| word.len()).sum::<usize>(), 11);
    });
}

#[test]
fn a_container_may_own_its_heap() {
    let arena = Arena::new(REGION_BYTES, 0);
    let heap: Shared = Locked::new(SlabByteAllocator::new());
    // SAFETY: the arena is dropped after the heap, and only the heap uses it.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    let mut numbers = Vec::new_in(heap);
    numbers.extend(0..100);
    // The heap moves with the vector, and its blocks stay where they are.
    let numbers = thread::scope(|scope| {
        scope
            .spawn(move || {
                [numbers].map(|mut numbers| {
                    numbers.extend(100..200);
                    numbers
                })
            })
            .join()
            .expect("no panic")
    });
    assert_eq!(numbers[0].iter().sum::<i32>(), 199 * 100);
    assert!(numbers[0].allocator().used_bytes() >= 200 * size_of::<i32>());
}

/// Fills a vector and returns its sum.
fn sum<A: Allocator>(allocator: A) -> u64 {
    let mut numbers = Vec::new_in(allocator);
    numbers.extend(1..=100);
    numbers.iter().sum()
}

#[test]
fn whatever_holds_or_names_a_heap_is_an_allocator() {
    with_heap::<spin::Mutex<()>, _>(|heap, _| {
        assert_eq!(sum(heap), 5050);
        assert_eq!(sum(&heap), 5050);
        assert_eq!(sum(StdSource(heap).0), 5050);
    });
    let shared = Arc::new(Shared::new(SlabByteAllocator::new()));
    let arena = Arena::new(REGION_BYTES, 0);
    // SAFETY: the arena is dropped after the heap, and only the heap uses it.
    unsafe { shared.add_region(arena.region()) }.expect("large enough");
    thread::scope(|scope| {
        for _ in 0..2 {
            let shared = Arc::clone(&shared);
            scope.spawn(move || assert_eq!(sum(shared), 5050));
        }
    });
    assert_eq!(sum(Rc::new(shared)), 5050);
}

#[test]
fn a_heap_is_a_source_for_crates_that_ask_for_the_other_trait() {
    with_heap::<spin::Mutex<()>, _>(|heap, inside| {
        let source = StdSource(heap);
        let mut numbers = allocator_api2::vec::Vec::new_in(source);
        numbers.extend(0..100_u64);
        assert!(inside(numbers.as_ptr().cast()));
        let mut map = hashbrown::HashMap::new_in(source);
        map.extend(numbers.iter().map(|&number| (number, number * 2)));
        assert_eq!(map[&50], 100);
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    with_heap::<spin::Mutex<()>, _>(|heap, _| {
        let mut bytes: Vec<u8, _> = Vec::new_in(heap);
        bytes.try_reserve(REGION_BYTES).expect_err("the region has bookkeeping too");
        bytes.try_reserve(isize::MAX as usize).expect_err("no region is as large");
        bytes.try_reserve(REGION_BYTES / 2).expect("half of the region");
    });
}

// Misuse, in a child process.

/// The size of a block that is misused; its class has 112 bytes.
const SIZE: usize = 100;

/// Of another size and alignment.
#[repr(align(128))]
#[expect(dead_code, reason = "freed, not used")]
struct Aligned([u8; 128]);

fn drop_box<T>(pointer: NonNull<u8>, heap: &Shared) {
    // SAFETY: none: the misuse.
    drop(unsafe { Box::from_raw_in(pointer.cast::<T>().as_ptr(), heap) });
}

fn drop_vec<T>(pointer: NonNull<u8>, capacity: usize, heap: &Shared) {
    // SAFETY: none: the misuse, or a live block with its capacity.
    drop(unsafe { Vec::from_raw_parts_in(pointer.cast::<T>().as_ptr(), 0, capacity, heap) });
}

fn act_out(misuse: Misuse, through: &str) {
    let [(heap, region), (other, _)] = [(); 2].map(|()| {
        let heap: Shared = Locked::new(SlabByteAllocator::new());
        let region = NonNull::from(Box::leak(vec![0_u8; REGION_BYTES].into_boxed_slice()));
        // SAFETY: leaked memory that only the heap uses.
        unsafe { heap.add_region(region) }.expect("large enough");
        (heap, region)
    });
    let alloc = |heap: &Shared, layout: Layout| {
        let mut bytes = Vec::<u8, _>::with_capacity_in(layout.size(), heap);
        let block = NonNull::new(bytes.as_mut_ptr()).expect("not null");
        std::mem::forget(bytes);
        block
    };
    let (pointer, _) = misuse.prepare(
        SIZE,
        region,
        alloc(&other, Layout::new::<[u8; SIZE]>()),
        |layout| alloc(&heap, layout),
        |block, layout| drop_vec::<u8>(block, layout.size(), &heap),
    );
    mistake(|| match (through, misuse) {
        ("Box", Misuse::SmallerLayout) => drop_box::<[u8; SIZE / 2]>(pointer, &heap),
        ("Box", Misuse::LargerLayout) => drop_box::<[u8; SIZE * 2]>(pointer, &heap),
        ("Box", Misuse::StricterLayout) => drop_box::<Aligned>(pointer, &heap),
        ("Box", _) => drop_box::<[u8; SIZE]>(pointer, &heap),
        (_, Misuse::SmallerLayout) => drop_vec::<u8>(pointer, SIZE / 2, &heap),
        (_, Misuse::LargerLayout) => drop_vec::<u8>(pointer, SIZE * 2, &heap),
        (_, Misuse::StricterLayout) => drop_vec::<Aligned>(pointer, 1, &heap),
        (..) => drop_vec::<u8>(pointer, SIZE, &heap),
    });
}

/// Returns what the program says last.
fn words(misuse: Misuse) -> &'static str {
    match misuse {
        Misuse::DoubleFree => "slabworks: double free of block 0x",
        Misuse::DoubleFreeAfterReuse => "",
        Misuse::Interior | Misuse::AlignedInterior | Misuse::Unaligned => {
            "slabworks: pointer into a block: 0x"
        }
        Misuse::Foreign | Misuse::Stack => "slabworks: foreign pointer: 0x",
        Misuse::NeverHandedOut => "slabworks: not allocated: no live block starts at 0x",
        Misuse::SmallerLayout | Misuse::LargerLayout | Misuse::StricterLayout => {
            "slabworks: wrong layout: block 0x"
        }
    }
}

fn name_of(misuse: impl Debug, through: &str) -> String {
    format!("{misuse:?} through {through}")
}

const CONTAINERS: [&str; 2] = ["Box", "Vec"];

/// The child's part; on its own it does nothing.
#[test]
fn acts() {
    let Some(cell) = child::cell_unhooked() else { return };
    for misuse in Misuse::ALL {
        for through in CONTAINERS {
            if cell == name_of(misuse, through) {
                act_out(misuse, through);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn every_misuse_through_a_box_or_a_vector_ends_the_program_by_name() {
    for misuse in Misuse::ALL {
        for (through, backtrace) in CONTAINERS.into_iter().zip(["full", "0"]) {
            let child = Child::new("acts", &name_of(misuse, through));
            let ending = child.env("RUST_BACKTRACE", backtrace).run();
            if misuse == Misuse::DoubleFreeAfterReuse {
                // The address names a live block, and is taken for that.
                assert!(ending.went_on(), "{ending}");
            } else {
                ending.assert_ended(&[words(misuse)]);
                assert!(!ending.to_string().contains("panicked"), "{ending}");
            }
        }
    }
}
