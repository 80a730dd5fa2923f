//! A sink that writes a mapped file.

use core::ffi::{c_char, c_int};
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::modules::Modules;
use super::stacks::Stacks;
use super::system::{self, preserving_errno};
use crate::format::{HEADER_BYTES, Header, RECORD_BYTES, Record};
use crate::recorder::{Request, Sink};

/// The variable that names the recording: `NAME.PROCESS.NUMBER` is written.
const FILE_VARIABLE: &[u8] = b"SLAB_LAB_RECORD\0";

/// The variable with the most MiB of a recording.
const MIB_VARIABLE: &[u8] = b"SLAB_LAB_RECORD_MIB\0";

/// The variable that turns call stacks on, if it is set to anything.
const STACKS_VARIABLE: &[u8] = b"SLAB_LAB_RECORD_STACKS\0";

const MIB_DEFAULT: u64 = 1024;
const MIB_MAX: u64 = 1 << 16;

/// The file first has so many bytes, and doubles until it grows by [`WINDOW_BYTES`].
const START_BYTES: u64 = 16 << 10;

/// Records further back than this are taken out of the process's memory; they stay in the file.
const WINDOW_BYTES: u64 = 4 << 20;

/// The header is brought up to date after so many records.
const NOTE_INTERVAL: u64 = 1024;

const PATH_BYTES_MAX: usize = 512;

/// Not started.
const NEW: u32 = 0;
/// One thread starts.
const STARTING: u32 = 1;
/// Records.
const ON: u32 = 2;
/// There is nothing to record into, or the program has ended.
const OFF: u32 = 3;

/// A sink that writes the file which the variable `SLAB_LAB_RECORD` names; without the variable it does
/// nothing.
///
/// Every request takes a place in the file by one atomic addition, so that the records of all threads
/// are in one order. The file is mapped and shared: what was written is there even if the program is
/// killed. It has at most as many MiB as `SLAB_LAB_RECORD_MIB` says, 1024 by default; later requests are
/// counted as lost. At most about 8 MiB of it are in the process's memory.
///
/// A process that is forked records nothing; one that is started records into another file.
pub struct ToFile {
    state: AtomicU32,
    /// The mapping; valid while `state` is `ON`.
    base: AtomicPtr<u8>,
    /// A page that the kernel clears in a forked process.
    alive: AtomicPtr<AtomicU32>,
    /// Where the next record begins.
    next: AtomicU64,
    /// Bytes of the file that exist.
    ready: AtomicU64,
    bytes_max: AtomicU64,
    lost: AtomicU64,
    growing: Lock,
    path: [AtomicU64; PATH_BYTES_MAX / 8],
    stacks: Stacks,
    modules: Modules,
}

impl ToFile {
    /// Makes a sink. The file is opened by the first request.
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(NEW),
            base: AtomicPtr::new(ptr::null_mut()),
            alive: AtomicPtr::new(ptr::null_mut()),
            next: AtomicU64::new(HEADER_BYTES as u64),
            ready: AtomicU64::new(0),
            bytes_max: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            growing: Lock::new(),
            path: [const { AtomicU64::new(0) }; PATH_BYTES_MAX / 8],
            stacks: Stacks::new(),
            modules: Modules::new(),
        }
    }

    /// Takes a request, and the call stack that begins at a frame pointer.
    #[inline]
    pub(crate) fn take_at(&self, request: Request, frame: usize) {
        if self.is_on() {
            let stack = match request.kind {
                _ if !self.stacks.are_on() => 0,
                crate::format::kind::FREE | crate::format::kind::RESIZE_START => 0,
                _ => self.stacks.number(frame, &self.modules, &|record| self.append(record)),
            };
            self.append(&request.record(stack, system::thread(), system::ticks()));
        }
    }

    /// Brings the header up to date and records nothing more.
    #[cfg_attr(not(slab_preload), expect(dead_code, reason = "only a library is told of the end"))]
    pub(crate) fn finish(&self) {
        if self.is_on() {
            self.note(true);
            self.state.store(OFF, Ordering::Release);
        }
    }

    #[inline]
    fn is_on(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            ON => {
                let alive = self.alive.load(Ordering::Relaxed);
                // SAFETY: the page was mapped before `state` became `ON` and is never unmapped.
                unsafe { &*alive }.load(Ordering::Relaxed) != 0
            }
            NEW => preserving_errno(|| self.start()),
            _ => false,
        }
    }

    #[inline]
    fn append(&self, record: &Record) {
        let at = self.next.fetch_add(RECORD_BYTES as u64, Ordering::Relaxed);
        let end = at + RECORD_BYTES as u64;
        if end > self.ready.load(Ordering::Acquire) && !preserving_errno(|| self.grow(end)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let [meta, numbers @ ..] = record.words().map(u64::to_le);
        for (index, number) in numbers.into_iter().enumerate() {
            self.word(at + 8 + 8 * index as u64).store(number, Ordering::Relaxed);
        }
        // A record without its first word was not finished.
        self.word(at).store(meta, Ordering::Release);
        if (at / RECORD_BYTES as u64).is_multiple_of(NOTE_INTERVAL) {
            self.note(false);
        }
    }

    /// Returns the eight bytes at an offset that exists in the file.
    #[inline]
    fn word(&self, offset: u64) -> &AtomicU64 {
        let base = self.base.load(Ordering::Relaxed);
        // SAFETY: the mapping is longer than the file, which is longer than the offset.
        let word = unsafe { base.add(offset as usize) }.cast::<AtomicU64>();
        // SAFETY: a mapping begins at a page and all offsets are multiples of 8, so the word is aligned; all
        // bytes of a file are initialised, and this process writes them by atomic words only.
        unsafe { &*word }
    }

    /// Brings the header up to date.
    #[cold]
    fn note(&self, ended: bool) {
        let end = self.next.load(Ordering::Relaxed).min(self.ready.load(Ordering::Relaxed));
        let numbers = [
            system::ticks(),
            system::nanoseconds(),
            self.lost.load(Ordering::Relaxed),
            if ended { system::resident_bytes() } else { 0 },
            end,
            u64::from(ended),
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            if number != 0 {
                self.word(32 + 8 * index as u64).store(number.to_le(), Ordering::Relaxed);
            }
        }
    }

    /// Lengthens the file to at least `end` bytes; `false` if it must not or cannot.
    #[cold]
    fn grow(&self, end: u64) -> bool {
        if end > self.bytes_max.load(Ordering::Relaxed) {
            return false;
        }
        self.growing.locked(|| {
            let ready = self.ready.load(Ordering::Relaxed);
            if end <= ready {
                return true;
            }
            let more = ready.clamp(START_BYTES, WINDOW_BYTES);
            let wanted = (ready + more).max(end).min(self.bytes_max.load(Ordering::Relaxed));
            // The file is opened again, because the program may have closed all files.
            let mut path = [0; PATH_BYTES_MAX];
            for (place, word) in path.chunks_exact_mut(8).zip(&self.path) {
                place.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
            }
            let file = open(&path, system::O_RDWR | system::O_CLOEXEC);
            // Without blocks of the disk behind it, a write into the mapping would end the program.
            let failed = file < 0 || {
                // SAFETY: the call has no precondition.
                unsafe { system::posix_fallocate(file, 0, wanted as i64) != 0 }
            };
            close(file);
            if failed {
                self.bytes_max.store(ready, Ordering::Relaxed);
                return false;
            }
            self.ready.store(wanted, Ordering::Release);
            self.leave_behind(ready);
            true
        })
    }

    /// Takes old records out of the process's memory.
    fn leave_behind(&self, ready: u64) {
        const PAGE_BYTES: u64 = 64 << 10;
        if ready >= 2 * WINDOW_BYTES {
            let start = (ready - 2 * WINDOW_BYTES).next_multiple_of(PAGE_BYTES) as usize;
            let base = self.base.load(Ordering::Relaxed);
            // SAFETY: the range is a part of the mapping, which is of a file and shared: its bytes
            // stay in the file, and a later access maps them again.
            unsafe {
                system::madvise(
                    base.add(start).cast(),
                    WINDOW_BYTES as usize,
                    system::MADV_DONTNEED,
                )
            };
            self.word(56).store(system::resident_bytes().to_le(), Ordering::Relaxed);
        }
    }

    /// Opens the file. Returns whether it records now.
    #[cold]
    fn start(&self) -> bool {
        let started =
            self.state.compare_exchange(NEW, STARTING, Ordering::Acquire, Ordering::Acquire);
        if started.is_err() {
            // The requests of other threads meanwhile, or of the calls below.
            return false;
        }
        let is_on = self.open_recording().is_some();
        self.state.store(if is_on { ON } else { OFF }, Ordering::Release);
        if is_on && self.stacks.are_on() {
            self.modules.look(&|record| self.append(record));
        }
        is_on
    }

    fn open_recording(&self) -> Option<()> {
        let prefix = variable(FILE_VARIABLE)?;
        let mib = variable(MIB_VARIABLE).and_then(number).unwrap_or(MIB_DEFAULT);
        let bytes_max = mib.clamp(1, MIB_MAX) << 20;
        // SAFETY: the call has no precondition.
        let process = unsafe { system::getpid() } as u64;
        let flags = system::O_RDWR | system::O_CREAT | system::O_EXCL | system::O_CLOEXEC;
        // A process that executes another program keeps its number.
        let (path, file) = (0..64).find_map(|attempt| {
            let path = path(prefix, process, attempt)?;
            let file = open(&path, flags);
            (file >= 0).then_some((path, file))
        })?;
        // SAFETY: the call has no precondition.
        let failed = unsafe { system::posix_fallocate(file, 0, START_BYTES as i64) } != 0;
        let shared = system::MAP_SHARED | system::MAP_NORESERVE;
        let base = if failed { None } else { map(bytes_max as usize, shared, file) };
        close(file);
        let alive = map(4096, system::MAP_PRIVATE | system::MAP_ANONYMOUS, -1)?;
        let base = base?;
        // SAFETY: the page was just mapped and is used by nothing else.
        unsafe { system::madvise(alive.as_ptr().cast(), 4096, system::MADV_WIPEONFORK) };
        let alive = alive.cast::<AtomicU32>();
        // SAFETY: the page is readable, writable, zero and stays mapped.
        unsafe { alive.as_ref() }.store(1, Ordering::Relaxed);

        for (word, bytes) in self.path.iter().zip(path.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(eight), Ordering::Relaxed);
        }
        self.alive.store(alive.as_ptr(), Ordering::Relaxed);
        self.base.store(base.as_ptr(), Ordering::Relaxed);
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.ready.store(START_BYTES, Ordering::Release);
        let (start_ticks, start_ns) = (system::ticks(), system::nanoseconds());
        let name = program_name();
        let header = Header { process, start_ticks, start_ns, name, ..Header::default() };
        for (index, bytes) in header.to_bytes().chunks_exact(8).enumerate() {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            self.word(8 * index as u64).store(u64::from_ne_bytes(eight), Ordering::Relaxed);
        }
        if variable(STACKS_VARIABLE).is_some() {
            self.stacks.turn_on();
        }
        Some(())
    }
}

impl Default for ToFile {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ToFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToFile").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Sink for ToFile {
    #[inline]
    fn take(&self, request: Request) {
        self.take_at(request, super::stacks::frame_pointer());
    }
}

/// A lock that waits by giving up the processor. Nothing that it protects allocates.
pub(super) struct Lock(AtomicU32);

impl Lock {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Runs something while no other thread runs something with this lock.
    pub(super) fn locked<T>(&self, run: impl FnOnce() -> T) -> T {
        while self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // SAFETY: the call has no precondition.
            unsafe { system::sched_yield() };
        }
        let result = run();
        self.0.store(0, Ordering::Release);
        result
    }
}

/// Maps memory; `None` if there is none.
pub(super) fn map(bytes: usize, flags: c_int, file: c_int) -> Option<NonNull<u8>> {
    let anywhere = ptr::null_mut();
    // SAFETY: a mapping at no given address changes no other one.
    let memory = unsafe { system::mmap(anywhere, bytes, system::READ_WRITE, flags, file, 0) };
    NonNull::new(memory.cast::<u8>()).filter(|memory| memory.addr().get() != usize::MAX)
}

/// Opens a file whose path ends with a zero; negative if that fails.
pub(super) fn open(path: &[u8], flags: c_int) -> c_int {
    const MODE: c_int = 0o600;
    assert!(path.contains(&0), "a path ends with a zero");
    // SAFETY: the path ends with a zero, and the mode is there if the flags create a file.
    unsafe { system::open(path.as_ptr().cast::<c_char>(), flags, MODE) }
}

/// Closes an open file.
pub(super) fn close(file: c_int) {
    if file >= 0 {
        // SAFETY: the number is that of a file that only this module knows.
        unsafe { system::close(file) };
    }
}

/// Returns the value of a variable of the environment, whose name ends with a zero.
fn variable(name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: the constants above end with a zero.
    let value = unsafe { system::getenv(name.as_ptr().cast::<c_char>()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a value of the environment ends with a zero. It is read before the program's first
    // request is served, so before the program can change it.
    Some(unsafe { core::ffi::CStr::from_ptr(value) }.to_bytes())
}

fn number(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns `PREFIX.PROCESS.ATTEMPT`, with a zero behind it.
fn path(prefix: &[u8], process: u64, attempt: u64) -> Option<[u8; PATH_BYTES_MAX]> {
    let mut path = Path { bytes: [0; PATH_BYTES_MAX], length: 0 };
    path.push(prefix)?;
    for number in [process, attempt] {
        path.push(b".")?;
        path.push_number(number)?;
    }
    Some(path.bytes)
}

struct Path {
    bytes: [u8; PATH_BYTES_MAX],
    length: usize,
}

impl Path {
    fn push(&mut self, part: &[u8]) -> Option<()> {
        // The last byte stays zero.
        let room = &mut self.bytes[..PATH_BYTES_MAX - 1];
        room.get_mut(self.length..self.length + part.len())?.copy_from_slice(part);
        self.length += part.len();
        Some(())
    }

    fn push_number(&mut self, number: u64) -> Option<()> {
        if number >= 10 {
            self.push_number(number / 10)?;
        }
        self.push(&[b'0' + (number % 10) as u8])
    }
}

/// Returns the name of the running program, as far as the kernel keeps it.
fn program_name() -> [u8; 32] {
    let mut name = [0; 32];
    let file = open(b"/proc/self/comm\0", system::O_RDONLY | system::O_CLOEXEC);
    if file >= 0 {
        // SAFETY: the buffer has so many bytes.
        unsafe { system::read(file, name.as_mut_ptr().cast(), name.len() - 1) };
        close(file);
    }
    name.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = 0);
    name
}
