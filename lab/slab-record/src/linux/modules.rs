//! The mapped files of the process, by `/proc/self/maps`.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::file::{Lock, close, open};
use super::system::{self, O_CLOEXEC, O_RDONLY};
use crate::format::{Record, kind};

/// The most files that are written.
const MODULES_MAX: usize = 512;

/// The list is read at most so often: code that is made at run time is in no file.
const LOOKS_MAX: u32 = 256;

/// The files that were written.
pub(super) struct Modules {
    /// First address and end of each.
    known: [[AtomicU64; 2]; MODULES_MAX],
    count: AtomicU32,
    looks: AtomicU32,
    looking: Lock,
}

impl Modules {
    pub(super) const fn new() -> Self {
        Self {
            known: [const { [const { AtomicU64::new(0) }; 2] }; MODULES_MAX],
            count: AtomicU32::new(0),
            looks: AtomicU32::new(0),
            looking: Lock::new(),
        }
    }

    /// Writes the files that were mapped meanwhile if one of the addresses is in no file so far.
    pub(super) fn know(&self, addresses: &[usize], write: &dyn Fn(&Record)) {
        if addresses.iter().any(|&address| !self.knows(address as u64)) {
            self.look(write);
        }
    }

    fn knows(&self, address: u64) -> bool {
        let count = self.count.load(Ordering::Acquire) as usize;
        self.known[..count].iter().any(|[start, end]| {
            (start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)).contains(&address)
        })
    }

    /// Reads the list of the kernel and writes new files.
    pub(super) fn look(&self, write: &dyn Fn(&Record)) {
        if self.looks.fetch_add(1, Ordering::Relaxed) >= LOOKS_MAX {
            return;
        }
        system::preserving_errno(|| {
            self.looking.locked(|| {
                let file = open(b"/proc/self/maps\0", O_RDONLY | O_CLOEXEC);
                if file < 0 {
                    return;
                }
                let (mut line, mut length) = ([0; 1024], 0);
                let mut buffer = [0; 2048];
                loop {
                    // SAFETY: the buffer has so many bytes.
                    let read =
                        unsafe { system::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
                    if read <= 0 {
                        break;
                    }
                    for &byte in &buffer[..read as usize] {
                        if byte == b'\n' {
                            self.take(&line[..length], write);
                            length = 0;
                        } else if length < line.len() {
                            line[length] = byte;
                            length += 1;
                        }
                    }
                }
                close(file);
            });
        });
    }

    /// Takes a line: `START-END PERMISSIONS OFFSET DEVICE INODE PATH`.
    fn take(&self, line: &[u8], write: &dyn Fn(&Record)) -> Option<()> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let mut range = fields.next()?.split(|&byte| byte == b'-');
        let (start, end) = (hexadecimal(range.next()?)?, hexadecimal(range.next()?)?);
        let is_code = fields.next()?.get(2) == Some(&b'x');
        let offset = hexadecimal(fields.next()?)?;
        let path = fields.nth(2)?.trim_ascii_start();
        if !is_code || !path.starts_with(b"/") || self.knows(start) {
            return None;
        }
        let number = self.count.load(Ordering::Relaxed);
        let [first, past] = self.known.get(number as usize)?;
        first.store(start, Ordering::Relaxed);
        past.store(end, Ordering::Relaxed);
        self.count.store(number + 1, Ordering::Release);
        let record =
            |part, numbers| Record { kind: kind::MODULE, part, stack: number, thread: 0, numbers };
        write(&record(0, [start, end, offset]));
        for (part, chunk) in (1..32).zip(path.chunks(24)) {
            let mut bytes = [0; 24];
            bytes[..chunk.len()].copy_from_slice(chunk);
            let number = |at: usize| {
                let mut eight = [0; 8];
                eight.copy_from_slice(&bytes[at..at + 8]);
                u64::from_le_bytes(eight)
            };
            write(&record(part, [number(0), number(8), number(16)]));
        }
        Some(())
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}
