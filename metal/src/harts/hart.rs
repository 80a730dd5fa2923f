//! A hart in machine mode: start-up, its number, its interrupts and its timer.
#![expect(unsafe_code, reason = "contains inline assembly, and accesses the timer's registers")]

use core::arch::{asm, global_asm};
use core::fmt::Write;

use slab_local::Cpu;

/// The bit of `mstatus` that enables interrupts.
const INTERRUPT_ENABLE: usize = 8;
/// The bit of `mie` that enables the timer's interrupt.
const TIMER_ENABLE: usize = 1 << 7;
/// The cause of a timer interrupt.
const TIMER: usize = 1 << 31 | 7;

/// The timer's registers: the time, and for each hart when its next interrupt comes.
const MTIME: *const u32 = 0x0200_BFF8 as *const u32;
const MTIMECMP: *mut u32 = 0x0200_4000 as *mut u32;

/// Ticks of 100 ns between two interrupts.
const PERIOD: u64 = 2_000;

// Hart 0 clears the zeroed memory, and the other one waits for it. `is_ready` must not lie there itself. Each stack has
// 64 KiB. A trap saves what a function may change.
global_asm!(
    ".section .vectors, \"ax\"",
    ".global reset",
    "reset:",
    "    csrr a0, mhartid",
    "    la sp, _stack_top",
    "    slli t0, a0, 16",
    "    sub sp, sp, t0",
    "    la t0, trap_entry",
    "    csrw mtvec, t0",
    "    la t2, is_ready",
    "    bnez a0, 2f",
    "    la t0, _bss_start",
    "    la t1, _bss_end",
    "1:  bgeu t0, t1, 3f",
    "    sw zero, 0(t0)",
    "    addi t0, t0, 4",
    "    j 1b",
    "2:  lw t0, 0(t2)",
    "    beqz t0, 2b",
    "    fence",
    "    j 4f",
    "3:  fence",
    "    li t0, 1",
    "    sw t0, 0(t2)",
    "4:  call start",
    "5:  j 5b",
    ".balign 4",
    "trap_entry:",
    "    addi sp, sp, -64",
    "    sw ra, 0(sp)",
    "    sw t0, 4(sp)",
    "    sw t1, 8(sp)",
    "    sw t2, 12(sp)",
    "    sw a0, 16(sp)",
    "    sw a1, 20(sp)",
    "    sw a2, 24(sp)",
    "    sw a3, 28(sp)",
    "    sw a4, 32(sp)",
    "    sw a5, 36(sp)",
    "    sw a6, 40(sp)",
    "    sw a7, 44(sp)",
    "    sw t3, 48(sp)",
    "    sw t4, 52(sp)",
    "    sw t5, 56(sp)",
    "    sw t6, 60(sp)",
    "    csrr a0, mcause",
    "    csrr a1, mepc",
    "    call trap",
    "    lw ra, 0(sp)",
    "    lw t0, 4(sp)",
    "    lw t1, 8(sp)",
    "    lw t2, 12(sp)",
    "    lw a0, 16(sp)",
    "    lw a1, 20(sp)",
    "    lw a2, 24(sp)",
    "    lw a3, 28(sp)",
    "    lw a4, 32(sp)",
    "    lw a5, 36(sp)",
    "    lw a6, 40(sp)",
    "    lw a7, 44(sp)",
    "    lw t3, 48(sp)",
    "    lw t4, 52(sp)",
    "    lw t5, 56(sp)",
    "    lw t6, 60(sp)",
    "    addi sp, sp, 64",
    "    mret",
    ".section .data",
    ".balign 4",
    "is_ready: .word 0",
);

/// The harts of this machine.
pub struct Harts;

// SAFETY: a hart runs one thread. Masked interrupts do not interrupt it, and no two harts have the same number. `asm!`
// blocks without `nomem` are barriers for the compiler.
unsafe impl Cpu for Harts {
    /// Whether interrupts were enabled.
    type State = bool;

    fn mask() -> bool {
        let status: usize;
        // SAFETY: reads a register and clears one bit of it.
        unsafe {
            asm!("csrrci {status}, mstatus, {bit}", status = out(reg) status, bit = const INTERRUPT_ENABLE);
        }
        status & INTERRUPT_ENABLE != 0
    }

    unsafe fn restore(were_enabled: bool) {
        if were_enabled {
            // SAFETY: the caller guarantees that the critical section is over.
            unsafe { asm!("csrsi mstatus, {bit}", bit = const INTERRUPT_ENABLE) };
        }
    }

    fn current() -> Option<usize> {
        Some(number())
    }
}

/// Returns the number of this hart.
pub fn number() -> usize {
    let number;
    // SAFETY: reads a register that never changes.
    unsafe { asm!("csrr {number}, mhartid", number = out(reg) number, options(nomem, nostack)) };
    number
}

/// Starts the timer interrupts of this hart.
pub fn start_timer() {
    set_timer();
    // SAFETY: the handler is `trap`, which keeps to the registers that it may change.
    unsafe {
        asm!("csrs mie, {timer}", "csrsi mstatus, {bit}", timer = in(reg) TIMER_ENABLE, bit = const INTERRUPT_ENABLE);
    }
}

/// Stops the timer interrupts of this hart.
pub fn stop_timer() {
    // SAFETY: changes a register.
    unsafe { asm!("csrc mie, {timer}", timer = in(reg) TIMER_ENABLE) };
}

/// Sets when the next interrupt comes.
fn set_timer() {
    // SAFETY: the registers of the machine's timer; those of this hart are written by it alone, with its interrupt
    // masked or not yet enabled. The upper half is set to the largest value first, so that no early interrupt comes.
    unsafe {
        let time = loop {
            let high = MTIME.add(1).read_volatile();
            let low = MTIME.read_volatile();
            if MTIME.add(1).read_volatile() == high {
                break u64::from(high) << 32 | u64::from(low);
            }
        };
        let next = time + PERIOD;
        let compare = MTIMECMP.add(2 * number());
        compare.add(1).write_volatile(u32::MAX);
        compare.write_volatile(next as u32);
        compare.add(1).write_volatile((next >> 32) as u32);
    }
}

/// The trap entry calls this, with interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn trap(cause: usize, address: usize) {
    if cause != TIMER {
        // No check can be made any more, and the console cannot fail.
        let _ = writeln!(crate::Console, "hart {}: trap {cause:#x} at {address:#x}", number());
        crate::semihosting::exit(2);
    }
    crate::work::tick(number());
    set_timer();
}

/// Stops this hart.
pub fn halt() -> ! {
    loop {
        // SAFETY: waits for an interrupt.
        unsafe { asm!("wfi") };
    }
}
