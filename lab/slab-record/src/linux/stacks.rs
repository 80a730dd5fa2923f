//! Call stacks by frame pointers, each written once.
//!
//! Where a function keeps no frame pointer, its caller is missing from the stack, and the chain may end
//! early. It may also lead anywhere: so it must lead upwards by small steps, and memory is read only
//! if the kernel says that it can be read.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::file::map;
use super::modules::Modules;
use super::system::{MAP_ANONYMOUS, MAP_PRIVATE, is_readable};
use crate::format::{FRAMES_MAX, Record, kind};

/// The number of different stacks; further ones have no number.
const STACKS: usize = 1 << 17;

/// The most places at which a stack is looked for in the table.
const PROBES: usize = 16;

/// The longest step between two frames. A function with a larger frame ends the stack.
const STEP_BYTES_MAX: usize = 1 << 17;

const PAGE_BYTES: usize = 4096;

/// The stacks that were written.
pub(super) struct Stacks {
    /// The hashes of the stacks, [`STACKS`] of them; null if stacks are not recorded.
    table: AtomicPtr<AtomicU64>,
    /// Pages that could be read, each at its number modulo the length.
    readable: [AtomicUsize; 256],
}

impl Stacks {
    pub(super) const fn new() -> Self {
        let table = AtomicPtr::new(core::ptr::null_mut());
        Self { table, readable: [const { AtomicUsize::new(0) }; 256] }
    }

    /// Returns whether stacks are recorded.
    #[inline]
    pub(super) fn are_on(&self) -> bool {
        !self.table.load(Ordering::Relaxed).is_null()
    }

    /// Records stacks from now on, if there is memory.
    pub(super) fn turn_on(&self) {
        let memory = map(STACKS * 8, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        if let Some(memory) = memory {
            self.table.store(memory.as_ptr().cast(), Ordering::Release);
        }
    }

    /// Returns the number of the stack whose first frame is given, and writes a new stack; 0 if it has
    /// no number.
    pub(super) fn number(&self, frame: usize, modules: &Modules, write: &dyn Fn(&Record)) -> u32 {
        let mut addresses = [0; FRAMES_MAX];
        let count = self.walk(frame, &mut addresses);
        let addresses = &addresses[..count];
        let Some(first) = NonNull::new(self.table.load(Ordering::Acquire)) else { return 0 };
        // SAFETY: the table has so many words, which were zero when it was mapped, and stays mapped.
        let table = unsafe { core::slice::from_raw_parts(first.as_ptr(), STACKS) };
        let hash = addresses.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |hash, &address| {
            (hash ^ address as u64).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29)
        }) | 1;
        for probe in 0..PROBES {
            let place = (hash as usize >> 1).wrapping_add(probe) % STACKS;
            let known = match table[place].load(Ordering::Relaxed) {
                0 => table[place].compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed),
                other => Err(other),
            };
            let number = place as u32 + 1;
            match known {
                Ok(_) => {
                    write_stack(number, addresses, write);
                    modules.know(addresses, write);
                    return number;
                }
                Err(other) if other == hash => return number,
                Err(_) => {}
            }
        }
        0
    }

    /// Follows the frame pointers and returns how many return addresses were found.
    fn walk(&self, mut frame: usize, addresses: &mut [usize; FRAMES_MAX]) -> usize {
        let mut count = 0;
        while count < FRAMES_MAX && frame.is_multiple_of(8) && self.can_read(frame) {
            let words = core::ptr::with_exposed_provenance::<[usize; 2]>(frame);
            // SAFETY: both words can be read: the kernel said so of their pages. The address comes from
            // a register or another frame, not from a reference.
            let [next, address] = unsafe { words.read_volatile() };
            if address < PAGE_BYTES {
                break;
            }
            addresses[count] = address;
            count += 1;
            if next <= frame || next - frame > STEP_BYTES_MAX {
                break;
            }
            frame = next;
        }
        count
    }

    /// Returns whether the two words at an address can be read.
    fn can_read(&self, address: usize) -> bool {
        let pages = [address / PAGE_BYTES, address.saturating_add(15) / PAGE_BYTES];
        pages.into_iter().all(|page| {
            let known = &self.readable[page % self.readable.len()];
            if page == 0 {
                return false;
            }
            if known.load(Ordering::Relaxed) == page {
                return true;
            }
            let readable = is_readable(page * PAGE_BYTES);
            if readable {
                known.store(page, Ordering::Relaxed);
            }
            readable
        })
    }
}

fn write_stack(number: u32, addresses: &[usize], write: &dyn Fn(&Record)) {
    for (part, chunk) in addresses.chunks(3).enumerate() {
        let mut numbers = [0; 3];
        for (number, &address) in numbers.iter_mut().zip(chunk) {
            *number = address as u64;
        }
        write(&Record { kind: kind::STACK, part: part as u8, stack: number, thread: 0, numbers });
    }
}

/// Returns the frame pointer of the function into which this is inlined.
#[inline(always)]
pub(crate) fn frame_pointer() -> usize {
    let frame: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the register is only read.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the register is only read.
    unsafe {
        core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        frame = 0;
    }
    frame
}
