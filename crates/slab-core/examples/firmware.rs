//! A firmware's message queue over a static array: no heap, no operating system, no lock.
//!
//! The array is divided into slots once, at start. An interrupt handler would pop a slot, fill it and
//! queue it; the main loop empties the queue and pushes the slots back. If all slots are in use, the
//! message is refused and counted. Nothing else can fail.
//!
//! `cargo run -p slab-core --example firmware`
#![expect(unsafe_code, reason = "a static array is given to the slots")]

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use slab_core::{Slot, SlotError, Slots, SlotsState};

/// A message from a sensor.
struct Message {
    sensor: u8,
    reading: [i16; 6],
}

/// Room for the messages and the live map. The linker knows all of it.
const BUFFER_BYTES: usize = 256;
const MESSAGES: usize = Slots::<Message>::calculate_total_slots(BUFFER_BYTES) as usize;

type Buffer = [MaybeUninit<u64>; BUFFER_BYTES / 8];
static mut BUFFER: Buffer = [MaybeUninit::uninit(); BUFFER_BYTES / 8];

/// A ring of messages, the oldest first. Each entry owns its slot, so no message can be in it twice.
struct Queue {
    slots: Slots<Message>,
    waiting: [Option<Slot<Message>>; MESSAGES],
    oldest: usize,
    refused: u32,
}

impl Queue {
    /// Makes a queue that uses the whole buffer.
    ///
    /// # Safety
    ///
    /// `buffer` is valid, and only the queue uses it from now on.
    unsafe fn new(buffer: NonNull<Buffer>) -> Result<Self, SlotError> {
        // SAFETY: the buffer has `BUFFER_BYTES`, and the caller guarantees that only the queue uses it.
        let slots = unsafe { Slots::new(buffer.cast(), BUFFER_BYTES) }?;
        Ok(Self { slots, waiting: [const { None }; MESSAGES], oldest: 0, refused: 0 })
    }

    fn send(&mut self, message: Message) {
        let place = (self.oldest + self.slots.live_count() as usize) % MESSAGES;
        match self.slots.try_pop_slot() {
            Ok(mut slot) => {
                slot.as_uninit_mut().write(message);
                self.waiting[place] = Some(slot);
            }
            Err(_) => self.refused += 1,
        }
    }

    fn receive(&mut self) -> Option<Message> {
        let mut slot = self.waiting[self.oldest].take()?;
        self.oldest = (self.oldest + 1) % MESSAGES;
        // SAFETY: `send` wrote a message into each waiting slot, and `take` makes sure it is read once.
        let message = unsafe { slot.as_uninit_mut().assume_init_read() };
        self.slots.push(slot).expect("all slots of the queue come from its segment");
        Some(message)
    }
}

fn main() -> Result<(), SlotError> {
    let buffer = NonNull::new(&raw mut BUFFER).expect("a static is not null");
    // SAFETY: this is the only use of `BUFFER`.
    let mut queue = unsafe { Queue::new(buffer) }?;
    println!("{BUFFER_BYTES} bytes hold {MESSAGES} messages of {}", size_of::<Message>());

    // The main loop is late: more messages arrive than there are slots.
    for sensor in 0..MESSAGES as u8 + 3 {
        queue.send(Message { sensor, reading: [i16::from(sensor); 6] });
    }
    assert_eq!((queue.slots.state(), queue.refused), (SlotsState::Full, 3));

    let mut expected = 0;
    while let Some(message) = queue.receive() {
        assert_eq!(message.sensor, expected, "messages keep their order");
        assert_eq!(message.reading, [i16::from(expected); 6]);
        expected += 1;
    }
    assert_eq!(queue.slots.state(), SlotsState::Free);
    println!("{expected} received, {} refused", queue.refused);
    Ok(())
}
