//! Every method of `GlobalAlloc` and of both `Allocator` traits, with an inner allocator, a lock, a hook or a
//! fault handler that fails. The program ends, no method unwinds, and faults are reported without an
//! allocation and without the lock of standard error.
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![expect(unsafe_code, reason = "implements and calls unsafe traits")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::process;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_api::RawMutex;
use slab_testkit::child::{self, Child, mistake};
use slab_traits::{
    AllocError, AllocResult, BaseAllocator, ByteAllocator, Fault, Local, Locked, RegionError,
};

/// The global allocator. It exits without a word if it is called while a fault is reported.
struct Watched;

/// Whether a fault is being reported. Without `std` the report is a panic, which allocates.
static REPORTING: AtomicBool = AtomicBool::new(false);

fn expect_a_report() {
    REPORTING.store(cfg!(feature = "std"), Ordering::Relaxed);
}

// SAFETY: forwards to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if REPORTING.load(Ordering::Relaxed) {
            process::exit(1);
        }
        // SAFETY: the system's allocator has the same preconditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the system's allocator has the same preconditions.
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

/// The failure that a call causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The allocator finds a fault and stores it.
    Named,
    /// It finds one and stores none.
    Unnamed,
    /// It panics.
    Inner,
    /// The lock panics.
    Lock,
    /// There is no memory, and the hook panics.
    Hook,
    /// The allocator finds a fault, and the handler panics.
    Handler,
}

impl Trouble {
    const ALL: [Self; 6] =
        [Self::Named, Self::Unnamed, Self::Inner, Self::Lock, Self::Hook, Self::Handler];

    /// Returns whether the trouble is a panic.
    fn panics(self) -> bool {
        !matches!(self, Self::Named | Self::Unnamed)
    }
}

/// The kind of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Alloc,
    Resize,
    Free,
}

/// A spin lock that panics if told to.
struct PanickingMutex(spin::Mutex<()>);

static LOCK_PANICS: AtomicBool = AtomicBool::new(false);

// SAFETY: it is the spin lock.
unsafe impl RawMutex for PanickingMutex {
    const INIT: Self = Self(<spin::Mutex<()> as RawMutex>::INIT);
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        assert!(!LOCK_PANICS.load(Ordering::Relaxed), "the lock panics");
        RawMutex::lock(&self.0);
    }

    fn try_lock(&self) -> bool {
        RawMutex::try_lock(&self.0)
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock, which is the spin lock.
        unsafe { RawMutex::unlock(&self.0) };
    }
}

/// An allocator that never has a block.
struct Toy {
    trouble: Trouble,
    fault: Option<Fault>,
}

impl Toy {
    fn answer<T>(&mut self, fault: Fault, unnamed: AllocError) -> AllocResult<T> {
        match self.trouble {
            Trouble::Named => {
                self.fault = Some(fault);
                Err(fault.into())
            }
            Trouble::Unnamed | Trouble::Handler => Err(unnamed),
            Trouble::Inner => panic!("the inner allocator panics"),
            Trouble::Hook | Trouble::Lock => Err(AllocError::NoMemory),
        }
    }
}

impl BaseAllocator for Toy {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

const FREED: Fault = Fault::DoubleFree { address: 0x1000, block_bytes: 64 };
const WRITTEN: Fault = Fault::WrittenAfterFree { address: 0x1000, block_bytes: 64, offset: 5 };
const UNFIT: Fault =
    Fault::WrongLayout { address: 0x1000, size: 64, align: 8, size_min: 1, size_max: 16 };

// SAFETY: it hands out nothing.
unsafe impl ByteAllocator for Toy {
    fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        self.answer(WRITTEN, AllocError::Damaged)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {
        unreachable!("adapters ask for a report");
    }

    unsafe fn try_dealloc(&mut self, _: NonNull<u8>, _: Layout) -> AllocResult {
        self.answer(FREED, AllocError::NotAllocated)
    }

    unsafe fn resize_in_place(
        &mut self,
        _: NonNull<u8>,
        _: Layout,
        _: Layout,
    ) -> AllocResult<NonNull<u8>> {
        self.answer(UNFIT, AllocError::NotAllocated)
    }

    fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}

type Heap = Locked<PanickingMutex, Toy>;

fn heap(trouble: Trouble) -> Heap {
    let heap: Heap =
        Locked::with_hook(Toy { trouble, fault: None }, |_, _| panic!("the hook panics"));
    if trouble == Trouble::Handler {
        heap.with_fault_handler(|_| panic!("the handler panics"))
    } else {
        heap
    }
}

/// A method of a trait.
struct Method {
    name: &'static str,
    kind: Kind,
    call: fn(&Heap, NonNull<u8>),
}

const SMALL: Layout = Layout::new::<[u64; 4]>();
const LARGE: Layout = Layout::new::<[u64; 8]>();

/// The methods of one of the `Allocator` traits.
macro_rules! allocator_methods {
    ($name:literal, $allocator:path) => {{
        use $allocator as Allocator;
        [
            Method {
                name: concat!($name, "::allocate"),
                kind: Kind::Alloc,
                call: |heap, _| _ = Allocator::allocate(heap, SMALL),
            },
            Method {
                name: concat!($name, "::allocate_zeroed"),
                kind: Kind::Alloc,
                call: |heap, _| _ = Allocator::allocate_zeroed(heap, SMALL),
            },
            Method {
                name: concat!($name, "::deallocate"),
                kind: Kind::Free,
                // SAFETY: the toy looks at no block.
                call: |heap, block| unsafe { Allocator::deallocate(heap, block, SMALL) },
            },
            Method {
                name: concat!($name, "::grow"),
                kind: Kind::Resize,
                // SAFETY: the toy looks at no block.
                call: |heap, block| _ = unsafe { Allocator::grow(heap, block, SMALL, LARGE) },
            },
            Method {
                name: concat!($name, "::grow_zeroed"),
                kind: Kind::Resize,
                call: |heap, block| {
                    // SAFETY: the toy looks at no block.
                    _ = unsafe { Allocator::grow_zeroed(heap, block, SMALL, LARGE) };
                },
            },
            Method {
                name: concat!($name, "::shrink"),
                kind: Kind::Resize,
                // SAFETY: the toy looks at no block.
                call: |heap, block| _ = unsafe { Allocator::shrink(heap, block, LARGE, SMALL) },
            },
        ]
    }};
}

fn methods() -> Vec<Method> {
    let mut methods = vec![
        Method {
            name: "GlobalAlloc::alloc",
            kind: Kind::Alloc,
            // SAFETY: the layout is not empty.
            call: |heap, _| _ = unsafe { heap.alloc(SMALL) },
        },
        Method {
            name: "GlobalAlloc::alloc_zeroed",
            kind: Kind::Alloc,
            // SAFETY: the layout is not empty.
            call: |heap, _| _ = unsafe { heap.alloc_zeroed(SMALL) },
        },
        Method {
            name: "GlobalAlloc::dealloc",
            kind: Kind::Free,
            // SAFETY: the toy looks at no block.
            call: |heap, block| unsafe { heap.dealloc(block.as_ptr(), SMALL) },
        },
        Method {
            name: "GlobalAlloc::realloc",
            kind: Kind::Resize,
            // SAFETY: the toy looks at no block.
            call: |heap, block| _ = unsafe { heap.realloc(block.as_ptr(), SMALL, LARGE.size()) },
        },
    ];
    methods.extend(allocator_methods!("allocator_api2", allocator_api2::alloc::Allocator));
    #[cfg(core_allocator)]
    methods.extend(allocator_methods!("core", core::alloc::Allocator));
    methods
}

/// Returns the words that the child must print.
fn words(trouble: Trouble, kind: Kind) -> [&'static str; 2] {
    let left = "slabworks: a panic may not leave an allocator";
    match (trouble, kind) {
        (Trouble::Named, Kind::Alloc) => {
            ["slabworks: written after it was freed, at offset 5", "free block 0x1000 (64 bytes)"]
        }
        (Trouble::Named, Kind::Resize) => {
            ["slabworks: wrong layout: block 0x1000 freed with 64", "allocated with 1 to 16 bytes"]
        }
        (Trouble::Named, Kind::Free) => ["slabworks: double free of block 0x1000 (64 bytes)", ""],
        (Trouble::Unnamed, Kind::Alloc) => {
            ["slabworks: block 0x0", "memory of this allocator was written by code"]
        }
        (Trouble::Unnamed, _) => ["slabworks: block 0x", "is not the start of a live block"],
        (Trouble::Inner, _) => ["the inner allocator panics", left],
        (Trouble::Lock, _) => ["the lock panics", left],
        (Trouble::Hook, _) => ["the hook panics", left],
        (Trouble::Handler, _) => ["the handler panics", left],
    }
}

/// A free needs no memory, so it calls no hook.
fn happens(trouble: Trouble, kind: Kind) -> bool {
    (trouble, kind) != (Trouble::Hook, Kind::Free)
}

fn cells() -> impl Iterator<Item = (String, Method, Trouble)> {
    methods().into_iter().flat_map(|Method { name, kind, call }| {
        Trouble::ALL.into_iter().filter(move |&trouble| happens(trouble, kind)).map(
            move |trouble| (format!("{name} {trouble:?}"), Method { name, kind, call }, trouble),
        )
    })
}

/// The child's part; on its own it does nothing.
#[test]
fn acts() {
    let Some(cell) = child::cell_unhooked() else { return };
    let mut memory = [0_u64; 8];
    let block = NonNull::from(&mut memory).cast::<u8>();
    // SAFETY: the toy looks at no block.
    let free = |heap: &Heap| unsafe { heap.dealloc(block.as_ptr(), SMALL) };
    match cell.as_str() {
        "inside eprintln" => {
            let faulty = Faulty(heap(Trouble::Named));
            mistake(|| eprintln!("a line that ends with {faulty}"));
        }
        "stderr held" => {
            let faulty = Faulty(heap(Trouble::Named));
            mistake(|| {
                let held = std::io::stderr().lock();
                std::thread::spawn(move || faulty.to_string()).join().expect("it does not return");
                drop(held);
            });
        }
        "a handler that uses the heap" => {
            fn handler(fault: &Fault) -> ! {
                eprintln!("handled: {fault}, {} bytes in use", OWN.used_bytes());
                process::exit(7);
            }
            static OWN: Heap = Locked::new(Toy { trouble: Trouble::Named, fault: None })
                .with_fault_handler(handler);
            mistake(|| free(&OWN));
        }
        "a heap entered twice" => {
            let heap: Local<Toy> = Locked::new(Toy { trouble: Trouble::Hook, fault: None });
            // SAFETY: the layout is not empty.
            let alloc = |_: &mut Toy| unsafe { heap.alloc(SMALL) };
            // SAFETY: the inner allocator stays where it is.
            mistake(|| unsafe { heap.with_inner(alloc) });
        }
        _ => {
            let (_, method, trouble) =
                cells().find(|(name, ..)| *name == cell).expect("a known cell");
            let heap = heap(trouble);
            mistake(|| {
                LOCK_PANICS.store(trouble == Trouble::Lock, Ordering::Relaxed);
                if !trouble.panics() {
                    expect_a_report();
                }
                (method.call)(&heap, block);
            });
        }
    }
}

/// Frees a block wrongly when it is displayed.
struct Faulty(Heap);

impl fmt::Display for Faulty {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        expect_a_report();
        // SAFETY: the toy looks at no block.
        unsafe { self.0.dealloc(NonNull::dangling().as_ptr(), SMALL) };
        Ok(())
    }
}

/// The time that a backtrace may take on a busy machine.
const BACKTRACE: Duration = Duration::from_secs(20);

/// Without `std` each end is a panic during a panic, which prints a backtrace whatever the environment says.
fn limit(trouble: Trouble) -> Duration {
    if cfg!(feature = "std") && !trouble.panics() { Duration::from_secs(2) } else { BACKTRACE }
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn whatever_goes_wrong_ends_the_program_and_never_unwinds() {
    let mut count = 0;
    for (name, method, trouble) in cells() {
        let child = Child::new("acts", &name).env("RUST_BACKTRACE", "0");
        child.time_limit(limit(trouble)).run().assert_ended(&words(trouble, method.kind));
        count += 1;
    }
    assert!(count >= 10 * 6 - 2, "{count} cells");
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn a_fault_is_reported_at_once_whatever_backtraces_are_asked_for() {
    for backtrace in ["0", "1", "full"] {
        let child = Child::new("acts", "GlobalAlloc::dealloc Named");
        child
            .env("RUST_BACKTRACE", backtrace)
            .time_limit(limit(Trouble::Named))
            .run()
            .assert_ended(&words(Trouble::Named, Kind::Free));
        let child = Child::new("acts", "GlobalAlloc::alloc Hook");
        child
            .env("RUST_BACKTRACE", backtrace)
            .time_limit(BACKTRACE)
            .run()
            .assert_ended(&words(Trouble::Hook, Kind::Alloc));
    }
}

#[test]
#[cfg(feature = "std")]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn a_fault_is_reported_although_standard_error_is_locked() {
    for cell in ["inside eprintln", "stderr held"] {
        child::run_child("acts", cell).assert_ended(&words(Trouble::Named, Kind::Free));
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn a_fault_handler_runs_without_the_lock_and_ends_the_program() {
    let ending = child::run_child("acts", "a handler that uses the heap");
    ending.assert_ended(&["handled: double free of block 0x1000 (64 bytes), 0 bytes in use"]);
    assert!(!ending.to_string().contains("slabworks"), "{ending}");
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn an_allocation_from_within_a_local_heap_ends_the_program() {
    let ending = child::run_child("acts", "a heap entered twice");
    ending.assert_ended(&["entered while it was in use", "slabworks: a panic may not leave"]);
}

/// Refuses every request as invalid, with a fault of an earlier one.
struct Invalid;

impl BaseAllocator for Invalid {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: it hands out nothing.
unsafe impl ByteAllocator for Invalid {
    fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        Err(AllocError::InvalidParam)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}

    unsafe fn resize_in_place(
        &mut self,
        _: NonNull<u8>,
        _: Layout,
        _: Layout,
    ) -> AllocResult<NonNull<u8>> {
        Err(AllocError::InvalidParam)
    }

    fn take_fault(&mut self) -> Option<Fault> {
        Some(FREED)
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}

#[test]
fn a_request_that_cannot_be_served_is_refused_and_is_no_fault() {
    let heap: Local<Invalid> = Locked::new(Invalid);
    // SAFETY: the layout is not empty.
    assert!(unsafe { heap.alloc(SMALL) }.is_null());
    // SAFETY: the heap looks at no block.
    assert!(unsafe { heap.realloc(NonNull::dangling().as_ptr(), SMALL, 100) }.is_null());
}
