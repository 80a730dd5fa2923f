//! `malloc` and its relatives, for `LD_PRELOAD`: each request goes to the next library that has it, and
//! is recorded.
//!
//! The next library is found by `dlsym`, which may allocate: such requests, and those before, are served
//! from a small array and not recorded.
#![expect(unsafe_code, reason = "the functions of the C library")]

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_void};
use core::mem;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::format::kind;
use crate::linux::{ToFile, frame_pointer, system};
use crate::recorder::Request;

static RECORDING: ToFile = ToFile::new();

/// The alignment of `malloc`.
const MALLOC_ALIGN: usize = 16;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn abort() -> !;
    }
    // SAFETY: the call has no precondition.
    unsafe { abort() }
}

/// Runs when the program returns from `main` or calls `exit`.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = {
    extern "C" fn at_exit() {
        RECORDING.finish();
    }
    at_exit
};

/// A function of the next library.
struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(ptr::null_mut()) }
    }
}

macro_rules! next {
    ($($name:ident = $text:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions of the next library, null as long as they are not known.
        mod next {
            use super::*;

            $(pub(super) static $name: Next = Next::new($text);)*

            pub(super) const ALL: &[&Next] = &[$(&$name),*];

            /// The types of the functions.
            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "one name for a function and for its type")]
            pub(super) mod types {
                use super::*;

                $(pub(crate) type $name = unsafe extern "C" fn($($argument),*) -> $result;)*
            }
        }
    };
}

next! {
    MALLOC = c"malloc": fn(usize) -> *mut c_void;
    CALLOC = c"calloc": fn(usize, usize) -> *mut c_void;
    REALLOC = c"realloc": fn(*mut c_void, usize) -> *mut c_void;
    FREE = c"free": fn(*mut c_void) -> ();
    MEMALIGN = c"memalign": fn(usize, usize) -> *mut c_void;
    ALIGNED_ALLOC = c"aligned_alloc": fn(usize, usize) -> *mut c_void;
    POSIX_MEMALIGN = c"posix_memalign": fn(*mut *mut c_void, usize, usize) -> c_int;
    VALLOC = c"valloc": fn(usize) -> *mut c_void;
    PVALLOC = c"pvalloc": fn(usize) -> *mut c_void;
}

/// Returns a function of the next library; `None` while they are looked for, or if there is none.
macro_rules! function {
    ($name:ident) => {
        address(&next::$name).map(|address| {
            // SAFETY: the symbol of this name has this type in every C library.
            unsafe { mem::transmute::<*mut c_void, next::types::$name>(address) }
        })
    };
}

#[inline]
fn address(next: &Next) -> Option<*mut c_void> {
    let found = next.found.load(Ordering::Acquire);
    if found.is_null() { look(next) } else { Some(found) }
}

/// Looks for all functions.
#[cold]
fn look(next: &Next) -> Option<*mut c_void> {
    static LOOKING: AtomicU32 = AtomicU32::new(0);
    const RTLD_NEXT: *mut c_void = ptr::without_provenance_mut(usize::MAX);
    // Another thread that comes now is served from the array too: there is none before `main`.
    if LOOKING.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        for next in next::ALL {
            // SAFETY: the name ends with a zero.
            let found = unsafe { system::dlsym(RTLD_NEXT, next.name.as_ptr()) };
            next.found.store(found, Ordering::Release);
        }
    }
    Some(next.found.load(Ordering::Acquire)).filter(|found| !found.is_null())
}

/// Memory for the requests of `dlsym`; never reused.
#[repr(C, align(16))]
struct Early(UnsafeCell<[u8; EARLY_BYTES]>);

const EARLY_BYTES: usize = 64 << 10;

// SAFETY: every byte is given to one block.
unsafe impl Sync for Early {}

static EARLY: Early = Early(UnsafeCell::new([0; EARLY_BYTES]));

/// Cuts a block of zeros from the array. Its size lies before it.
#[cold]
fn early(size: usize, align: usize) -> *mut c_void {
    static USED: AtomicUsize = AtomicUsize::new(0);
    let align = align.max(MALLOC_ALIGN);
    let Some(bytes) = size.checked_add(2 * align) else { return ptr::null_mut() };
    let start = USED.fetch_add(bytes.saturating_add(MALLOC_ALIGN), Ordering::Relaxed);
    let Some(end) = start.checked_add(bytes).filter(|&end| end <= EARLY_BYTES) else {
        return ptr::null_mut();
    };
    let base = EARLY.0.get().cast::<u8>();
    // At least 16 bytes before the block are its own, because `align` is at least 16.
    let offset = (base.addr() + start + MALLOC_ALIGN).next_multiple_of(align) - base.addr();
    debug_assert!(offset + size <= end);
    // SAFETY: the bytes up to `end` are in the array and belong to this block alone.
    let block = unsafe { base.add(offset) };
    // SAFETY: the 16 bytes before the block are its own; `offset` is a multiple of 16, as is the array's
    // address.
    unsafe { block.cast::<usize>().sub(1).write(size) };
    block.cast()
}

/// Returns the size of a block of the array; `None` for a block of the next library.
#[inline]
fn early_size(block: *mut c_void) -> Option<usize> {
    let base = EARLY.0.get().addr();
    (base..base + EARLY_BYTES).contains(&block.addr()).then(|| {
        // SAFETY: `early` wrote the size before the block.
        unsafe { block.cast::<usize>().sub(1).read() }
    })
}

#[inline(always)]
fn record(kind: u8, block: *mut c_void, size: usize, align: usize) {
    RECORDING.take_at(Request { kind, block: block.addr(), size, align }, frame_pointer());
}

#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    let Some(next) = function!(MALLOC) else { return early(size, MALLOC_ALIGN) };
    // SAFETY: the call has no precondition.
    let block = unsafe { next(size) };
    record(kind::ALLOC, block, size, MALLOC_ALIGN);
    block
}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, each: usize) -> *mut c_void {
    let size = count.saturating_mul(each);
    let Some(next) = function!(CALLOC) else { return early(size, MALLOC_ALIGN) };
    // SAFETY: the call has no precondition.
    let block = unsafe { next(count, each) };
    record(kind::ALLOC_ZEROED, block, size, MALLOC_ALIGN);
    block
}

/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() || early_size(block).is_some() {
        return;
    }
    if let Some(next) = function!(FREE) {
        record(kind::FREE, block, 0, 1);
        // SAFETY: the caller passes a live block, and it is not of the array.
        unsafe { next(block) }
    }
}

/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        return malloc(size);
    }
    if let Some(old_size) = early_size(block) {
        let moved = malloc(size);
        if !moved.is_null() {
            // SAFETY: both blocks have so many bytes, and one of them is new.
            unsafe {
                ptr::copy_nonoverlapping(block.cast::<u8>(), moved.cast(), old_size.min(size))
            };
        }
        return moved;
    }
    let Some(next) = function!(REALLOC) else { return ptr::null_mut() };
    if size == 0 {
        // Whatever the library returns, the old block is gone.
        record(kind::FREE, block, 0, 1);
        // SAFETY: the caller passes a live block.
        let moved = unsafe { next(block, size) };
        if !moved.is_null() {
            record(kind::ALLOC, moved, size, MALLOC_ALIGN);
        }
        return moved;
    }
    record(kind::RESIZE_START, block, 0, 1);
    // SAFETY: the caller passes a live block.
    let moved = unsafe { next(block, size) };
    record(kind::RESIZE_END, moved, size, MALLOC_ALIGN);
    moved
}

#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    let Some(next) = function!(MEMALIGN) else { return early(size, align) };
    // SAFETY: the call has no precondition.
    let block = unsafe { next(align, size) };
    record(kind::ALLOC, block, size, align);
    block
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    let Some(next) = function!(ALIGNED_ALLOC) else { return early(size, align) };
    // SAFETY: the call has no precondition.
    let block = unsafe { next(align, size) };
    record(kind::ALLOC, block, size, align);
    block
}

/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> c_int {
    const ENOMEM: c_int = 12;
    let Some(next) = function!(POSIX_MEMALIGN) else {
        let block = early(size, align);
        if block.is_null() {
            return ENOMEM;
        }
        // SAFETY: the caller passes a place for a pointer.
        unsafe { to.write(block) };
        return 0;
    };
    // SAFETY: the caller passes a place for a pointer.
    let failed = unsafe { next(to, align, size) };
    if failed == 0 {
        // SAFETY: the library wrote the pointer.
        record(kind::ALLOC, unsafe { to.read() }, size, align);
    }
    failed
}

#[unsafe(no_mangle)]
extern "C" fn valloc(size: usize) -> *mut c_void {
    let Some(next) = function!(VALLOC) else { return early(size, 4096) };
    // SAFETY: the call has no precondition.
    let block = unsafe { next(size) };
    record(kind::ALLOC, block, size, 4096);
    block
}

#[unsafe(no_mangle)]
extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let Some(next) = function!(PVALLOC) else { return early(size, 4096) };
    // SAFETY: the call has no precondition.
    let block = unsafe { next(size) };
    record(kind::ALLOC, block, size, 4096);
    block
}
