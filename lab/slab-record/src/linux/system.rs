//! The calls of the C library that a recording needs, and the clock of its records.

use core::ffi::{c_char, c_int, c_long, c_void};

#[link(name = "c")]
unsafe extern "C" {
    pub(crate) fn getenv(name: *const c_char) -> *const c_char;
    pub(crate) fn getpid() -> c_int;
    pub(crate) fn pthread_self() -> usize;
    pub(crate) fn sched_yield() -> c_int;
    pub(crate) fn __errno_location() -> *mut c_int;
    pub(crate) fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    pub(crate) fn close(file: c_int) -> c_int;
    pub(crate) fn read(file: c_int, to: *mut c_void, bytes: usize) -> isize;
    pub(crate) fn posix_fallocate(file: c_int, offset: i64, bytes: i64) -> c_int;
    pub(crate) fn mmap(
        at: *mut c_void,
        bytes: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    pub(crate) fn madvise(at: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    pub(crate) fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
    pub(crate) fn getrusage(who: c_int, usage: *mut [u64; 18]) -> c_int;
    pub(crate) fn syscall(number: c_long, ...) -> c_long;
    #[cfg(slab_preload)]
    pub(crate) fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

pub(crate) const O_RDONLY: c_int = 0;
pub(crate) const O_RDWR: c_int = 2;
pub(crate) const O_CREAT: c_int = 0o100;
pub(crate) const O_EXCL: c_int = 0o200;
pub(crate) const O_CLOEXEC: c_int = 0o2_000_000;
pub(crate) const READ_WRITE: c_int = 3;
pub(crate) const MAP_SHARED: c_int = 1;
pub(crate) const MAP_PRIVATE: c_int = 2;
pub(crate) const MAP_ANONYMOUS: c_int = 0x20;
pub(crate) const MAP_NORESERVE: c_int = 0x4000;
pub(crate) const MADV_DONTNEED: c_int = 4;
pub(crate) const MADV_WIPEONFORK: c_int = 18;

/// Returns nanoseconds of a monotonic clock.
pub(crate) fn nanoseconds() -> u64 {
    const CLOCK_MONOTONIC: c_int = 1;
    let mut time = [0; 2];
    // SAFETY: on 64-bit Linux a `timespec` is two numbers of 64 bits.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    (time[0] as u64).wrapping_mul(1_000_000_000).wrapping_add(time[1] as u64)
}

/// Returns the clock of the records, which is read in a few nanoseconds.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has the instruction.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: Linux lets programs read the virtual counter.
        unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        return ticks;
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    nanoseconds()
}

/// Returns a number of the current thread, below 2³⁶. A thread that starts after another has ended may
/// get the same number.
#[inline]
pub(crate) fn thread() -> u64 {
    // SAFETY: the call has no precondition. The result is an address that is a multiple of 16.
    let thread = unsafe { pthread_self() } as u64;
    thread >> 4 & ((1 << 36) - 1)
}

/// Returns the most bytes that were resident.
pub(crate) fn resident_bytes() -> u64 {
    const SELF: c_int = 0;
    let mut usage = [0; 18];
    // SAFETY: a `rusage` is two times and 14 numbers, of 64 bits each: 18 in all.
    let failed = unsafe { getrusage(SELF, &mut usage) } != 0;
    if failed { 0 } else { usage[4] * 1024 }
}

/// Returns whether eight bytes at an address can be read, by a system call that fails if they cannot.
pub(crate) fn is_readable(address: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    const RT_SIGPROCMASK: c_long = 14;
    #[cfg(not(target_arch = "x86_64"))]
    const RT_SIGPROCMASK: c_long = 135;
    const EFAULT: c_int = 14;
    let nowhere: *mut c_void = core::ptr::null_mut();
    preserving_errno(|| {
        // SAFETY: the kernel copies the mask, and then refuses to do anything with it, because -1 says
        // nothing that can be done. If it cannot copy, it says EFAULT.
        unsafe { syscall(RT_SIGPROCMASK, -1 as c_long, address, nowhere, 8usize) };
        // SAFETY: the C library returns a valid pointer.
        unsafe { *__errno_location() != EFAULT }
    })
}

/// Runs something that may change `errno`, which the program may look at afterwards.
pub(crate) fn preserving_errno<T>(run: impl FnOnce() -> T) -> T {
    // SAFETY: the C library returns a valid pointer to this thread's number.
    let errno = unsafe { __errno_location() };
    // SAFETY: as the pointer is valid, it can be read.
    let before = unsafe { errno.read() };
    let result = run();
    // SAFETY: the pointer is valid as long as the thread runs.
    unsafe { errno.write(before) };
    result
}
