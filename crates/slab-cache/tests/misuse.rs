//! The misuse matrix of boxes: what `unsafe` code gets wrong with raw ones, and when which cache says so.
//! Each cell is acted out here, and once more in a child process, which it ends.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "makes mistakes on purpose")]

mod config;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Mutex;

use config::With;
use lock_api::RawMutex;
use slab_cache::{
    CacheError, Checked, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, Unchecked,
};
use slab_testkit::child::{self, mistake};

type Spin = spin::Mutex<()>;
type Value = [u64; 8];
type Cache<R, M> = SlabCache<Value, With<R, Global, 4096, M>>;
type Held<R, M> = SlabBox<Value, With<R, Global, 4096, M>>;

/// A mistake with a raw box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misuse {
    DoubleFree,
    /// Another box has the slot by then.
    DoubleFreeAfterReuse,
    Interior,
    Unaligned,
    /// Memory of another allocator.
    Foreign,
    Stack,
    /// The first bytes of a slot, in which caches with a lock keep their links.
    WriteAfterFree,
    /// Any other byte of it.
    LateWriteAfterFree,
    Overflow,
}

const ALL: [Misuse; 9] = {
    use Misuse::*;
    [
        DoubleFree,
        DoubleFreeAfterReuse,
        Interior,
        Unaligned,
        Foreign,
        Stack,
        WriteAfterFree,
        LateWriteAfterFree,
        Overflow,
    ]
};

/// Which cache: the columns of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It stays on one thread.
    Local,
    /// Slots come back without the lock, where the mode permits.
    Locked,
    /// Slots come back to the thread's own cache, where the mode permits.
    #[cfg(feature = "std")]
    Threads,
}

impl Misuse {
    /// Returns how the cache names the mistake, or `None` if what follows is undefined, or if nothing
    /// does.
    fn documented<M: Mode>(self, kind: Kind) -> Option<&'static str> {
        use Misuse::*;
        if M::HARDENED {
            return Some(match self {
                DoubleFree | DoubleFreeAfterReuse => "is not live",
                Interior | Unaligned => "is not the start of a slot",
                Foreign | Stack => "header of the slab around",
                WriteAfterFree => "byte 0 of the free slot",
                LateWriteAfterFree => "byte 21 of the free slot",
                Overflow => "was written, and it has 64 bytes",
            });
        }
        match (kind, self) {
            (Kind::Local, DoubleFree | DoubleFreeAfterReuse | Interior | Unaligned)
                if M::CHECKED =>
            {
                Some("is not live")
            }
            (Kind::Locked, DoubleFree | DoubleFreeAfterReuse) if M::CHECKED => {
                Some("list of freed slots")
            }
            (Kind::Locked, WriteAfterFree) => Some("list of freed slots"),
            #[cfg(feature = "std")]
            (Kind::Threads, DoubleFree) if M::CHECKED => Some("is not live"),
            _ => None,
        }
    }

    /// Returns whether a cache that found this loses a slot, a slab, and so itself.
    fn loses<M: Mode>(self, kind: Kind) -> bool {
        let in_slots =
            matches!(self, Self::WriteAfterFree | Self::LateWriteAfterFree | Self::Overflow);
        in_slots || !M::HARDENED && kind != Kind::Local
    }
}

/// Frees the box that a pointer leads to, as far as the program knows.
fn free<R: RawMutex + 'static, M: Mode>(pointer: NonNull<Value>) {
    // SAFETY: none, where it is the mistake.
    drop(unsafe { Held::<R, M>::from_raw(pointer) });
}

fn shifted(pointer: NonNull<Value>, bytes: usize) -> NonNull<Value> {
    // SAFETY: callers stay within the slab.
    unsafe { pointer.cast::<u8>().add(bytes) }.cast()
}

/// Writes one byte, as a program would that forgot whose it is.
fn poke(pointer: NonNull<Value>, offset: usize) {
    let byte = shifted(pointer, offset).cast::<u8>();
    // SAFETY: the byte lies within the slab. The sanitizer would report the write, and is told to let it pass.
    unsafe {
        slab_core::poison::allow_access(byte, 1);
        byte.write(0x5A);
    }
}

/// As [`poke`], of a byte of a canary, which may be any: it is another one afterwards.
fn flip(pointer: NonNull<Value>, offset: usize) {
    let byte = shifted(pointer, offset).cast::<u8>();
    // SAFETY: within the slab. The sanitizer would report it, and is told to let it pass.
    unsafe { slab_core::poison::allow_access(byte, 1) };
    // SAFETY: a canary is initialised.
    let before = unsafe { byte.read() };
    // SAFETY: none: this is the mistake.
    unsafe { byte.write(!before) };
}

/// Memory that looks like a slab as little as any.
#[repr(align(4096))]
struct Page([Value; 64]);

impl Page {
    /// Returns where a slot would lie that lies in its slab as this one does.
    fn slot(&mut self, like: NonNull<Value>) -> NonNull<Value> {
        shifted(NonNull::from(&mut self.0).cast(), like.addr().get() % align_of::<Self>())
    }
}

/// Makes a mistake with a box of `cache`, and looks where it is documented to be detected. The step to be
/// reported is the [`mistake`].
fn act_out<R: RawMutex + 'static, M: Mode>(misuse: Misuse, cache: &Cache<R, M>) {
    let make = |number| cache.alloc([number; 8]).expect("memory");
    // So that the slab has values whatever happens.
    let mut others: Vec<_> = [1, 2, 3].map(make).into();
    let pointer = SlabBox::into_raw(make(7));
    // SAFETY: it comes from `into_raw`; callers make it a box once.
    let owned = || unsafe { Held::<R, M>::from_raw(pointer) };
    let inside = shifted(pointer, if misuse == Misuse::Interior { 8 } else { 1 });
    match misuse {
        Misuse::DoubleFree => {
            drop(owned());
            mistake(|| {
                free::<R, M>(pointer);
                cache.reclaim();
            });
        }
        Misuse::DoubleFreeAfterReuse => {
            drop(owned());
            while others.last().is_some_and(|last| SlabBox::as_ptr(last) != pointer) {
                others.push(make(8));
            }
            let owner = others.pop().map(SlabBox::into_raw).expect("it has the slot");
            free::<R, M>(pointer);
            mistake(|| {
                free::<R, M>(owner);
                cache.reclaim();
            });
        }
        Misuse::Interior | Misuse::Unaligned if M::HARDENED => {
            let _owned = owned();
            mistake(|| free::<R, M>(inside));
        }
        Misuse::Interior | Misuse::Unaligned => {
            // This mode does not check the address: this frees the box around it, whose owner finds out.
            free::<R, M>(inside);
            mistake(|| free::<R, M>(pointer));
        }
        Misuse::Foreign => {
            let (_owned, mut page) = (owned(), Box::new(Page([[1; 8]; 64])));
            mistake(|| free::<R, M>(page.slot(pointer)));
        }
        Misuse::Stack => {
            let (_owned, mut page) = (owned(), Page([[1; 8]; 64]));
            mistake(|| free::<R, M>(page.slot(pointer)));
        }
        Misuse::WriteAfterFree | Misuse::LateWriteAfterFree => {
            drop(owned());
            let offsets: &[usize] = if misuse == Misuse::WriteAfterFree { &[0, 1] } else { &[21] };
            offsets.iter().for_each(|&offset| poke(pointer, offset));
            mistake(|| {
                cache.reclaim();
                (0..100).for_each(|number| others.push(make(number)));
            });
        }
        Misuse::Overflow => {
            flip(pointer, size_of::<Value>() + 3);
            mistake(|| drop(owned()));
        }
    }
}

/// A cell of the matrix of which something is documented.
struct Cell<'a> {
    name: String,
    words: &'static str,
    /// Whether the cache is lost with what was found.
    loses: bool,
    act_out: &'a dyn Fn(),
}

fn each_cell(visit: &mut dyn FnMut(&Cell<'_>)) {
    column::<NoLock, Unchecked>(Kind::Local, Cache::with_config, visit);
    column::<NoLock, Checked>(Kind::Local, Cache::with_config, visit);
    column::<NoLock, Hardened>(Kind::Local, Cache::with_config, visit);
    column::<Spin, Unchecked>(Kind::Locked, Cache::with_config, visit);
    column::<Spin, Checked>(Kind::Locked, Cache::with_config, visit);
    column::<Spin, Hardened>(Kind::Locked, Cache::with_config, visit);
    #[cfg(feature = "std")]
    {
        column::<Spin, Unchecked>(Kind::Threads, Cache::with_thread_caches, visit);
        column::<Spin, Checked>(Kind::Threads, Cache::with_thread_caches, visit);
        column::<Spin, Hardened>(Kind::Threads, Cache::with_thread_caches, visit);
    }
}

fn column<R: RawMutex + 'static, M: Mode>(
    kind: Kind,
    new: fn() -> Result<Cache<R, M>, CacheError>,
    visit: &mut dyn FnMut(&Cell<'_>),
) {
    for misuse in ALL {
        if let Some(words) = misuse.documented::<M>(kind) {
            visit(&Cell {
                name: format!("{kind:?} {} {misuse:?}", M::NAME),
                words,
                loses: misuse.loses::<M>(kind),
                act_out: &|| act_out(misuse, &new().expect("memory")),
            });
        }
    }
}

/// Returns what a mistake was reported as.
fn report_of(act_out: &dyn Fn()) -> String {
    std::panic::set_hook(Box::new(|_| {}));
    let panic = catch_unwind(AssertUnwindSafe(act_out)).expect_err("it is reported");
    *panic.downcast::<String>().expect("a message with numbers")
}

const CELLS: usize = if cfg!(feature = "std") { 36 } else { 26 };

#[test]
fn every_mistake_is_named_when_it_is_documented_to_be() {
    let mut cells = 0;
    each_cell(&mut |cell| {
        cells += 1;
        // Lost memory is a leak, and left to the child processes. Miri refuses the reference to an unaligned value that
        // its box makes to learn the value's size; the compiler knows the size of this one, and reads nothing.
        let is_refused = cfg!(miri) && cell.name.ends_with("Unaligned");
        if !cell.loses && !is_refused {
            let report = report_of(cell.act_out);
            assert!(report.contains(cell.words), "{}: {report}", cell.name);
        }
    });
    assert_eq!(cells, CELLS);
}

/// The child's part; on its own it does nothing.
#[test]
fn acts() {
    let Some(name) = child::cell() else { return };
    each_cell(&mut |cell| {
        if cell.name == name {
            (cell.act_out)();
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn every_mistake_ends_a_program_that_does_not_catch_it() {
    let mut cells = 0;
    each_cell(&mut |cell| {
        cells += 1;
        child::run_child("acts", &cell.name).assert_ended(&["slab-cache: ", cell.words]);
    });
    assert_eq!(cells, CELLS);
}

/// Where a box is looked at first: a value with a destructor would do damage.
#[test]
fn the_value_of_a_box_that_is_freed_wrongly_is_not_dropped() {
    /// Half of it is aligned as the whole is.
    type Pair = (Box<u64>, u64);
    fn run<R: RawMutex + 'static, M: Mode>() {
        let cache = SlabCache::<Pair, With<R, Global, 1024, M>>::with_config().expect("memory");
        let _other = cache.alloc((Box::new(1), 0)).expect("memory");
        let pointer = SlabBox::into_raw(cache.alloc((Box::new(2), 0)).expect("memory"));
        // SAFETY: the first, from `into_raw`; the others are the mistakes.
        let again = || unsafe { SlabBox::<Pair, With<R, Global, 1024, M>>::from_raw(pointer) };
        drop(again());
        assert!(report_of(&|| drop(again())).contains("not live"));
        assert!(report_of(&|| _ = SlabBox::into_inner(again())).contains("not live"));
        let held = cache.alloc((Box::new(3), 0)).expect("memory");
        // SAFETY: within the slab.
        let inside =
            unsafe { SlabBox::as_ptr(&held).cast::<u8>().add(size_of::<Pair>() / 2) }.cast();
        // SAFETY: none: this is the mistake.
        let wrong = || unsafe { SlabBox::<Pair, With<R, Global, 1024, M>>::from_raw(inside) };
        assert!(report_of(&|| drop(wrong())).contains("is not the start of a slot"));
        assert_eq!((*held.0, cache.stats().live), (3, 2));
    }
    run::<NoLock, Checked>();
    run::<NoLock, Hardened>();
    run::<Spin, Hardened>();
}

/// A list that names a slot twice ends there, and the slots of others stay theirs.
#[test]
fn a_slot_freed_twice_behind_a_lock_takes_no_other_with_it() {
    /// The cache has lost a slab, and never ends. Memory that is reachable from here is no leak.
    static CACHES: Mutex<Vec<Cache<Spin, Checked>>> = Mutex::new(Vec::new());
    let cache = Cache::<Spin, Checked>::with_config().expect("memory");
    let _others = [1, 2, 3].map(|number| cache.alloc([number; 8]).expect("memory"));
    let pointer = SlabBox::into_raw(cache.alloc([7; 8]).expect("memory"));
    let report = report_of(&|| {
        free::<Spin, Checked>(pointer);
        free::<Spin, Checked>(pointer);
        cache.reclaim();
    });
    assert!(report.contains("list of freed slots"), "{report}");
    assert_eq!(cache.stats().live, 3);
    CACHES.lock().expect("no panic").push(cache);
}

/// Without a lock there are no links in dead slots, so that nothing but other values is damaged.
#[test]
#[cfg(not(any(miri, slab_sanitizer = "address")))]
fn a_write_after_free_damages_no_bookkeeping_of_a_cache_without_a_lock() {
    fn run<M: Mode>() {
        let cache = Cache::<NoLock, M>::with_config().expect("memory");
        let held: Vec<_> = (0..100).map(|n| cache.alloc([n; 8]).expect("memory")).collect();
        let dead: Vec<_> = held.iter().map(SlabBox::as_ptr).collect();
        let kept = cache.alloc([100; 8]).expect("memory");
        drop(held);
        for &pointer in dead.iter().filter(|&&pointer| cache.owns(pointer)) {
            (0..size_of::<Value>()).for_each(|offset| poke(pointer, offset));
        }
        let again: Vec<_> = (0..200).map(|n| cache.alloc([n; 8]).expect("memory")).collect();
        assert!((0..).zip(&again).all(|(n, held)| **held == [n; 8]));
        assert_eq!((cache.stats().live, *kept), (201, [100; 8]));
    }
    run::<Unchecked>();
    run::<Checked>();
}

#[test]
fn a_box_freed_twice_is_found_when_its_slot_is_about_to_serve_again() {
    let cache = Cache::<NoLock, Checked>::with_config().expect("memory");
    let slots = Cache::<NoLock, Checked>::SLOTS_PER_SLAB as usize;
    let mut held: Vec<_> =
        (1..slots).map(|n| cache.alloc([n as u64; 8]).expect("memory")).collect();
    let pointer = SlabBox::into_raw(cache.alloc([7; 8]).expect("memory"));
    free::<NoLock, Checked>(pointer);
    // The word goes to the front again with two slots, of which the lower serves first.
    drop(held.swap_remove(0));
    let _front = cache.alloc([1; 8]).expect("memory");
    assert!(report_of(&|| free::<NoLock, Checked>(pointer)).contains("not live"));
}

#[test]
#[cfg(target_pointer_width = "64")] // The words are counted as they lie there.
#[cfg_attr(miri, ignore = "what is restored is a number, not a pointer")]
fn an_overwritten_header_is_found() {
    for word in 0..9 {
        let cache = Cache::<NoLock, Hardened>::with_config().expect("memory");
        let held = [1, 2].map(|n| cache.alloc([n; 8]).expect("memory"));
        let pointer = SlabBox::as_ptr(&held[0]);
        let header = pointer.as_ptr().map_addr(|address| address & !4095).cast::<u64>();
        // Links and the word of freed slots change by right: what is found there is found later.
        if (2..5).contains(&word) {
            continue;
        }
        // SAFETY: the header has nine words.
        let place = unsafe { header.add(word) };
        // SAFETY: none: this is the mistake.
        let before = unsafe { place.replace(0x4141_4141_4141_4141) };
        let report = report_of(&|| free::<NoLock, Hardened>(pointer));
        assert!(report.contains("header of the slab around"), "word {word}: {report}");
        // SAFETY: as it was.
        unsafe { place.write(before) };
        assert_eq!(held.map(|held| held[7]), [1, 2]);
    }
}

/// The other edge of the canary, and values that its alignment does not fit.
#[test]
fn an_overflow_is_found_at_each_byte_behind_values_of_any_size() {
    fn run<const BYTES: usize>() {
        for offset in BYTES..BYTES + 8 {
            let cache =
                SlabCache::<[u8; BYTES], With<NoLock, Global, 1024, Hardened>>::with_config();
            let cache = cache.expect("memory");
            let _neighbours = [(); 3].map(|()| cache.alloc([1; BYTES]).expect("memory"));
            let held = cache.alloc([2; BYTES]).expect("memory");
            let pointer = SlabBox::into_raw(held);
            let owned = || {
                // SAFETY: it comes from `into_raw`; a drop that reports frees nothing.
                unsafe { SlabBox::<_, With<NoLock, Global, 1024, Hardened>>::from_raw(pointer) }
            };
            // SAFETY: the byte lies within the slab and is initialised. The sanitizer is told to let it pass.
            let (byte, before) = unsafe {
                let byte = pointer.cast::<u8>().add(offset);
                slab_core::poison::allow_access(byte, 1);
                (byte, byte.read())
            };
            // SAFETY: none: this is the mistake.
            unsafe { byte.write(!before) };
            let report = report_of(&|| drop(owned()));
            let address = pointer.addr().get();
            let error = CacheError::Overrun { address, size: BYTES, offset };
            assert_eq!(report, format!("slab-cache: {error}"));
            // SAFETY: this restores the byte; the sanitizer is told again.
            unsafe {
                slab_core::poison::allow_access(byte, 1);
                byte.write(before);
            }
            drop(owned());
            assert_eq!(cache.stats().live, 3);
        }
    }
    run::<0>();
    run::<1>();
    run::<7>();
    run::<100>();
}

#[test]
fn adoption_names_what_is_wrong_in_every_cache() {
    fn run<R: RawMutex + 'static, M: Mode>(new: fn() -> Result<Cache<R, M>, CacheError>) {
        let (cache, other) = (new().expect("memory"), new().expect("memory"));
        let held = cache.alloc([7; 8]).expect("memory");
        let pointer = SlabBox::as_ptr(&held);
        // SAFETY: refused, or not used.
        let adopt = |cache: &Cache<R, M>, pointer| unsafe { cache.adopt(pointer) }.map(|_| ());
        let foreign = adopt(&other, pointer);
        assert!(matches!(foreign, Err(CacheError::ForeignPointer { .. })), "{foreign:?}");
        let stack = adopt(&cache, NonNull::from(&mut [0; 8]));
        assert!(matches!(stack, Err(CacheError::ForeignPointer { .. })), "{stack:?}");
        for bytes in [1, 8, 63] {
            let inside = adopt(&cache, shifted(pointer, bytes));
            assert!(matches!(inside, Err(CacheError::NotASlot { .. })), "{inside:?}");
        }
        let keeps_slab = cache.alloc([8; 8]).expect("memory");
        drop(held);
        cache.reclaim();
        assert!(matches!(adopt(&cache, pointer), Err(CacheError::NotLive { .. })));
        assert!(cache.owns(SlabBox::as_ptr(&keeps_slab)));
        assert!(!other.owns(SlabBox::as_ptr(&keeps_slab)));
    }
    run::<NoLock, Unchecked>(Cache::with_config);
    run::<NoLock, Checked>(Cache::with_config);
    run::<NoLock, Hardened>(Cache::with_config);
    run::<Spin, Unchecked>(Cache::with_config);
    run::<Spin, Checked>(Cache::with_config);
    run::<Spin, Hardened>(Cache::with_config);
    #[cfg(feature = "std")]
    {
        run::<Spin, Unchecked>(Cache::with_thread_caches);
        run::<Spin, Checked>(Cache::with_thread_caches);
    }
}
