//! Deserialises forged allocators: a real one with some numbers replaced and the checksum corrected, or any text. The
//! reader must refuse the input, or return an allocator that is consistent and works. It may request memory only in
//! proportion to the input's length, which bounds the time too.
#![no_main]
#![expect(unsafe_code, reason = "a memory source is an unsafe trait")]

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use slab_typed::{SlabAllocator, SlotHandle};

/// The first bytes of the input are a program, which runs before the allocator is serialised.
const PROGRAM_BYTES: usize = 24;
/// Bytes of input for one replaced number: they choose the number and its new value.
const CHANGE_BYTES: usize = 8;
/// Bytes that the reader may request per byte of input. A word of two bytes can stand for 64 slots of 12 bytes, or for
/// 64 entries of the directory.
const BYTES_PER_INPUT_BYTE: usize = 800;

thread_local! {
    static REQUESTED: Cell<usize> = const { Cell::new(0) };
}

/// Counts the bytes that are requested from `Global`.
#[derive(Debug, Default, Clone, Copy)]
struct Counting;

// SAFETY: `Global` returns and frees the blocks, and implements this trait.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        REQUESTED.set(REQUESTED.get() + layout.size());
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller guarantees a live block of this layout, and `allocate` took it from `Global`.
        unsafe { Global.deallocate(block, layout) };
    }
}

type Subject = SlabAllocator<u32, SlotHandle, Counting>;

fuzz_target!(|bytes: &[u8]| {
    if bytes.first() == Some(&b'{') {
        if let Ok(mut input) = serde_json::from_slice::<Value>(bytes) {
            try_read(bytes);
            seal(&mut input);
            try_read(input.to_string().as_bytes());
        }
        return;
    }
    let (program, changes) = bytes.split_at(bytes.len().min(PROGRAM_BYTES));
    let mut input = serde_json::to_value(written(program))
        .expect("an allocator with any history can be serialised");
    for change in changes.chunks_exact(CHANGE_BYTES) {
        let number = u64::from(u32::from_le_bytes([change[3], change[4], change[5], change[6]]));
        let number = match change[2] % 4 {
            0 => number,
            1 => number % 1300,
            2 => 1 << (number % 64),
            _ => u64::MAX - number % 3,
        };
        let structure = &mut input["structure"];
        if change[7] % 4 == 0 {
            let list = ["held", "live", "worn"][usize::from(change[0]) % 3];
            let item = if list == "worn" { json!([change[1], number]) } else { json!(number) };
            let list = structure[list].as_array_mut().expect("a list");
            list.extend((0..change[7] / 4).map(|_| item.clone()));
            continue;
        }
        let mut found = Vec::new();
        numbers(structure, &mut found);
        let which = usize::from(u16::from_le_bytes([change[0], change[1]])) % found.len();
        *found[which] = number.into();
    }
    seal(&mut input);
    try_read(input.to_string().as_bytes());
});

/// Runs a short program and returns the allocator.
fn written(program: &[u8]) -> Subject {
    let Some((&capacity, program)) = program.split_first() else {
        return SlabAllocator::new_in(1, Counting);
    };
    let capacity = [1, 3, 64, 70, 1024, 1025, 3000][usize::from(capacity) % 7];
    let mut slab = SlabAllocator::new_in(capacity, Counting);
    for &byte in program {
        match byte {
            0..100 => slab.extend(0..u32::from(byte)),
            100..180 => slab.retain(|_, value| *value % u32::from(byte - 98) == 0),
            180..200 => slab.clear(),
            200..230 => _ = slab.compact(),
            230..250 => slab.shrink_to(0),
            _ => slab.raise_generation_floor(u32::from(byte) << 24),
        }
    }
    slab
}

/// Collects all numbers of a value.
fn numbers<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| numbers(item, found)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| numbers(field, found)),
        Value::Number(_) => found.push(value),
        _ => {}
    }
}

/// Corrects the checksum of a changed input, as its author could.
fn seal(input: &mut Value) {
    fn scrambled(mut word: u64) -> u64 {
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }
    let list = |list: Option<&Value>| list.and_then(Value::as_array).cloned().unwrap_or_default();
    let structure = |name: &str| input.get("structure").and_then(|fields| fields.get(name));
    let [held, live, worn] = ["held", "live", "worn"].map(|name| list(structure(name)));
    let entries = list(input.get("entries"));
    let mut all: Vec<Value> = ["slab_capacity", "generation_floor"]
        .map(|name| structure(name).cloned().unwrap_or_default())
        .into();
    all.extend([held.len(), live.len(), worn.len(), entries.len()].map(Value::from));
    all.extend([held, live].concat());
    all.extend(worn.iter().flat_map(|pair| list(Some(pair))));
    all.extend(entries.iter().map(|entry| entry.get(0).cloned().unwrap_or_default()));
    let words = all.iter().map(|number| number.as_u64().unwrap_or(0));
    let sum = words.fold(0x9E37_79B9_7F4A_7C15, |sum, number| scrambled(sum ^ number));
    if let Some(fields) = input.as_object_mut() {
        fields.insert("checksum".to_owned(), sum.into());
    }
}

/// Reads an allocator. If it is accepted, checks that it is consistent, works on, and can be written and read again.
fn try_read(text: &[u8]) {
    slab_fuzz::count(1);
    REQUESTED.set(0);
    let read = serde_json::from_slice::<Subject>(text);
    let requested = REQUESTED.get();
    assert!(
        requested <= 1024 + BYTES_PER_INPUT_BYTE * text.len(),
        "{requested} bytes requested for {} bytes of input",
        text.len()
    );
    let Ok(mut slab) = read else { return };
    slab.validate().expect("an accepted input gives a consistent allocator");
    let again = serde_json::to_vec(&slab).expect("an allocator with any history can be serialised");
    let copy: Subject =
        serde_json::from_slice(&again).expect("the reader accepts what the writer wrote");
    assert!(copy.iter().eq(slab.iter()));
    let before: Vec<_> = slab.keys().collect();
    for value in 0..20 {
        let handle = slab.allocate(value).expect("slab ids are left");
        assert!(!before.contains(&handle) && slab.get(handle) == Some(&value));
    }
    slab.retain(|handle, _| !before.contains(&handle));
    slab.compact();
    assert!(before.iter().all(|&handle| !slab.contains(handle)));
    slab.validate().expect("the allocator stays consistent");
}
