//! The work of the harts: messages that one hart allocates and the other one checks and frees.
#![expect(
    unsafe_code,
    reason = "looks at the heap behind its lock, and frees a block twice on purpose"
)]

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::{Heap, hart};

const HARTS: usize = 2;
/// Messages that each hart sends.
const ROUNDS: usize = 20_000;
/// Places for messages on their way to a hart.
const PLACES: usize = 16;
/// Interrupts that each hart takes at least.
const TICKS_MIN: usize = 50;

/// A message: words that all are its number.
struct Message {
    number: usize,
    words: Vec<usize>,
}

/// Messages on their way to a hart.
struct Mailbox {
    places: [AtomicPtr<Message>; PLACES],
    /// One that an interrupt of the other hart has sent.
    from_interrupt: AtomicPtr<Message>,
    received: AtomicUsize,
    ticks: AtomicUsize,
    is_done: AtomicBool,
}

static MAILBOXES: [Mailbox; HARTS] = [const {
    Mailbox {
        places: [const { AtomicPtr::new(ptr::null_mut()) }; PLACES],
        from_interrupt: AtomicPtr::new(ptr::null_mut()),
        received: AtomicUsize::new(0),
        ticks: AtomicUsize::new(0),
        is_done: AtomicBool::new(false),
    }
}; HARTS];

/// The block that hart 1 frees, and hart 0 frees again at the end.
static FREED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
const FREED_LAYOUT: Layout = Layout::new::<[u64; 5]>();

impl Message {
    fn new(number: usize) -> Box<Self> {
        Box::new(Self { number, words: vec![number; 1 + number % 60] })
    }

    /// Checks a message that was in a place, if there was one, and frees it. Returns whether there was one.
    fn check(message: *mut Self) -> bool {
        if message.is_null() {
            return false;
        }
        // SAFETY: places have messages that came from `Box::into_raw`, and each is taken out by an exchange, once.
        let message = unsafe { Box::from_raw(message) };
        assert_eq!(message.words.len(), 1 + message.number % 60);
        assert!(
            message.words.iter().all(|&word| word == message.number),
            "a message has one owner"
        );
        true
    }
}

/// Sends, receives, and takes interrupts. Returns when both harts have done so.
pub fn run(hart: usize) {
    let (own, other) = (&MAILBOXES[hart], &MAILBOXES[1 - hart]);
    hart::start_timer();
    let receive = |place: &AtomicPtr<Message>| {
        if Message::check(place.swap(ptr::null_mut(), Ordering::AcqRel)) {
            own.received.fetch_add(1, Ordering::Relaxed);
        }
    };
    for round in 0..ROUNDS {
        let message = Box::into_raw(Message::new(round * HARTS + hart));
        let place = &other.places[round % PLACES];
        while place
            .compare_exchange(ptr::null_mut(), message, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            own.places.iter().for_each(receive);
        }
        receive(&own.places[round % PLACES]);
    }
    while own.received.load(Ordering::Relaxed) < ROUNDS {
        own.places.iter().for_each(receive);
        spin_loop();
    }
    while own.ticks.load(Ordering::Relaxed) < TICKS_MIN {
        spin_loop();
    }
    hart::stop_timer();
    if hart == 1 {
        // SAFETY: a block is allocated and freed with its layout.
        unsafe {
            let block = alloc::alloc::alloc(FREED_LAYOUT);
            FREED.store(block, Ordering::Relaxed);
            alloc::alloc::dealloc(block, FREED_LAYOUT);
        }
    }
    own.is_done.store(true, Ordering::Release);
    while !other.is_done.load(Ordering::Acquire) {
        spin_loop();
    }
}

/// A timer interrupt: frees what the other hart's last one has sent, and sends.
pub fn tick(hart: usize) {
    let (own, other) = (&MAILBOXES[hart], &MAILBOXES[1 - hart]);
    let tick = own.ticks.fetch_add(1, Ordering::Relaxed);
    Message::check(own.from_interrupt.swap(ptr::null_mut(), Ordering::AcqRel));
    let message = Box::into_raw(Message::new(tick));
    // The other hart may not have had an interrupt since the last message.
    Message::check(other.from_interrupt.swap(message, Ordering::AcqRel));
}

/// Returns whether both harts are done.
pub fn is_done() -> bool {
    MAILBOXES.iter().all(|mailbox| mailbox.is_done.load(Ordering::Relaxed))
}

/// The work that was done.
pub struct Report {
    received: [usize; HARTS],
    ticks: [usize; HARTS],
    total_bytes: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received: [a, b], ticks: [c, d], total_bytes } = self;
        write!(
            f,
            "{a} + {b} messages, {c} + {d} interrupts that allocate, {total_bytes} bytes of heap"
        )
    }
}

/// Checks that the heap is consistent and that every block came back. Runs on hart 0, when both harts are done.
pub fn check(heap: &Heap) -> Report {
    for mailbox in &MAILBOXES {
        Message::check(mailbox.from_interrupt.swap(ptr::null_mut(), Ordering::AcqRel));
    }
    heap.reclaim();
    // SAFETY: the closure only reads the heap.
    unsafe { heap.with_inner(|heap| heap.validate()) }.expect("the heap is consistent");
    assert_eq!(heap.lost_blocks(), 0);
    // Hart 1 keeps blocks in its magazines, and the depot has memory.
    assert!(heap.used_bytes() < 100 << 10, "{} bytes in use", heap.used_bytes());
    let of = |count: fn(&Mailbox) -> &AtomicUsize| {
        [0, 1].map(|hart| count(&MAILBOXES[hart]).load(Ordering::Relaxed))
    };
    let (received, ticks) = (of(|mailbox| &mailbox.received), of(|mailbox| &mailbox.ticks));
    assert_eq!(received, [ROUNDS; HARTS]);
    Report { received, ticks, total_bytes: heap.total_bytes() }
}

/// Frees the block that hart 1 has freed.
pub fn free_again(heap: &Heap) {
    // SAFETY: not met: this is the mistake that the heap must find.
    unsafe { heap.dealloc(FREED.load(Ordering::Relaxed), FREED_LAYOUT) };
}
