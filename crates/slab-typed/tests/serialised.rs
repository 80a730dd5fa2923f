//! Round trips after any history, and forged input.
#![cfg(feature = "serde")]
#![expect(unsafe_code, reason = "a memory source is an unsafe trait")]

use std::alloc::Layout;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use serde_json::{Value, json};
use slab_typed::{SlabAllocator, SlotHandle};

/// Past this generation a slot has spent more than half of its lives.
const WORN: u32 = 1 << 31;
/// The generation of a slot that is never filled again.
const RETIRED: u32 = u32::MAX - 1;

fn read(text: &str) -> Result<SlabAllocator<u64>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn written(slab: &SlabAllocator<u64>) -> String {
    serde_json::to_string(slab).expect("whatever the history")
}

/// Pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// Sets the right checksum of forged input: an attacker can compute it.
fn seal(input: &mut Value) {
    fn scrambled(mut word: u64) -> u64 {
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }
    let structure = &input["structure"];
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let [held, live, worn] = ["held", "live", "worn"].map(|name| list(&structure[name]));
    let entries = list(&input["entries"]);
    let mut numbers =
        vec![structure["slab_capacity"].clone(), structure["generation_floor"].clone()];
    numbers.extend([held.len(), live.len(), worn.len(), entries.len()].map(Value::from));
    numbers.extend([held, live].concat());
    numbers.extend(worn.iter().flat_map(&list));
    numbers.extend(entries.iter().map(|entry| entry[0].clone()));
    let numbers = numbers.iter().map(|number| number.as_u64().unwrap_or(0));
    let sum = numbers.fold(0x9E37_79B9_7F4A_7C15, |sum, number| scrambled(sum ^ number));
    input["checksum"] = sum.into();
}

fn sealed(
    slab_capacity: u64,
    held: &[u64],
    live: &[u64],
    worn: &[(u32, u32)],
    generations: &[u32],
) -> String {
    let entries: Vec<_> = generations.iter().map(|&generation| json!([generation, 7])).collect();
    let structure = json!({
        "slab_capacity": slab_capacity, "generation_floor": 0, "held": held, "live": live, "worn": worn,
    });
    let mut input = json!({"version": 2, "structure": structure, "entries": entries});
    seal(&mut input);
    input.to_string()
}

#[test]
fn handles_mean_the_same_in_the_copy() {
    let mut slab = SlabAllocator::new(8);
    let handles: Vec<_> = (0..100_u64).map(|n| slab.allocate(n).unwrap()).collect();
    slab.retain(|_, n| *n % 3 == 0);
    slab.compact();
    let mut copy = read(&written(&slab)).unwrap();
    copy.validate().unwrap();
    assert!(copy.iter().eq(slab.iter()));
    // Stale handles stay stale, whatever is stored afterwards.
    let stale: Vec<_> = handles.iter().filter(|&&handle| !slab.contains(handle)).collect();
    for n in 0..500 {
        copy.allocate(n).unwrap();
        assert!(stale.iter().all(|&&handle| !copy.contains(handle)));
    }
}

#[test]
fn few_values_of_many_take_few_bytes_and_are_read_back() {
    for slab_capacity in [1, 64, 1024, 1500] {
        let mut slab = SlabAllocator::new(slab_capacity);
        let count: u64 = if cfg!(miri) { 3000 } else { 100_000 };
        slab.extend(0..count);
        slab.retain(|_, n| *n % 1000 == 0);
        slab.compact();
        let text = written(&slab);
        let values = count as usize / 1000;
        assert!(text.len() < 300 + values * 80 + count as usize / 16, "{} bytes", text.len());
        let copy = read(&text).expect("what was written is read");
        assert_eq!(copy.slab_count(), slab.slab_count());
        assert!(copy.iter().eq(slab.iter()));
    }
}

/// An allocator and its expected contents.
struct History {
    slab: SlabAllocator<u64>,
    live: BTreeMap<SlotHandle, u64>,
    freed: Vec<SlotHandle>,
    random: Random,
    worn: usize,
}

impl History {
    fn step(&mut self) {
        match self.random.below(14) {
            0..4 => (0..self.random.below(60)).for_each(|n| self.allocate(n as u64)),
            4..7 => {
                for _ in 0..self.random.below(40) {
                    let nth = self.random.below(self.live.len());
                    let Some(&handle) = self.live.keys().nth(nth) else { break };
                    self.slab.free(handle).unwrap();
                    self.live.remove(&handle);
                    self.freed.push(handle);
                }
            }
            7 => {
                let divisor = self.random.below(50) as u64 + 1;
                self.slab.retain(|_, n| *n % divisor == 0);
                self.forget(|n| n % divisor != 0);
            }
            8 if self.random.below(3) == 0 => {
                self.slab.clear();
                self.forget(|_| true);
            }
            9 => _ = self.slab.compact(),
            10 => {
                let slots = self.random.below(100);
                self.slab.shrink_to(slots);
            }
            11 => {
                let (live, freed) = (&mut self.live, &mut self.freed);
                self.slab.defragment(usize::MAX, |_, old, new| {
                    let value = live.remove(&old).unwrap();
                    freed.push(old);
                    live.insert(new, value).is_none()
                });
            }
            12 => self.wear(),
            _ => self.slab.raise_generation_floor(self.random.below(100) as u32),
        }
    }

    fn allocate(&mut self, value: u64) {
        let handle = self.slab.allocate(value).unwrap();
        assert!(!self.freed.contains(&handle), "{handle:?} came back");
        assert_eq!(self.live.insert(handle, value), None);
    }

    fn forget(&mut self, goes: impl Fn(u64) -> bool) {
        self.live.retain(|&handle, value| {
            let goes = goes(*value);
            self.freed.extend(goes.then_some(handle));
            !goes
        });
    }

    /// Raises the generations of some dead slots by thousands of millions.
    fn wear(&mut self) {
        let mut input: Value = serde_json::to_value(&self.slab).unwrap();
        let held = input["structure"]["held"].as_array().unwrap().clone();
        let Some(word) = held.iter().position(|word| word.as_u64() != Some(0)) else { return };
        let chunk = word as u32 * 64 + held[word].as_u64().unwrap().trailing_zeros();
        let len = self.slab.slab_capacity().min(64) as u32;
        let live = input["structure"]["live"][0].as_u64().unwrap();
        let worn: Vec<_> = (0..len)
            .filter(|slot| live >> slot & 1 == 0 && slot % 3 == 0)
            .map(|slot| {
                (chunk << 10 | slot, [WORN + 2, RETIRED - 2, RETIRED][slot as usize % 9 / 3])
            })
            .collect();
        if worn.is_empty() || input["structure"]["worn"] != json!([]) {
            return;
        }
        self.worn += worn.len();
        input["structure"]["worn"] = json!(worn);
        seal(&mut input);
        self.slab = serde_json::from_value(input).unwrap();
        let retired = worn.iter().filter(|&&(_, generation)| generation == RETIRED).count();
        assert_eq!(self.slab.retired_slots(), retired);
    }

    fn round_trip(&mut self) {
        let text = written(&self.slab);
        let copy = read(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        copy.validate().unwrap_or_else(|broken| panic!("{broken}: {text}"));
        assert!(copy.iter().map(|(handle, &value)| (handle, value)).eq(self.live.clone()));
        assert!(self.freed.iter().all(|&handle| !copy.contains(handle)));
        assert_eq!(written(&copy), text, "a copy is written as the original was");
        self.slab = copy;
    }
}

#[test]
fn what_was_written_is_read_after_any_history() {
    let (mut worn, mut trips) = (0, 0);
    for slab_capacity in [1, 3, 8, 70, 1030] {
        for seed in 0..if cfg!(miri) { 1 } else { 30 } {
            let mut history = History {
                slab: SlabAllocator::new(slab_capacity),
                live: BTreeMap::new(),
                freed: Vec::new(),
                random: Random(seed * 7919 + slab_capacity as u64),
                worn: 0,
            };
            for _ in 0..if cfg!(miri) { 12 } else { 60 } {
                history.step();
                if history.random.below(4) == 0 {
                    history.round_trip();
                    trips += 1;
                }
            }
            history.round_trip();
            (0..300).for_each(|n| history.allocate(n));
            history.slab.validate().unwrap();
            worn += history.worn;
        }
    }
    assert!(cfg!(miri) || worn > 100 && trips > 1000, "{worn} worn slots, {trips} round trips");
}

#[test]
fn one_worn_slot_wears_no_other() {
    // Slot 0 is retired, slot 1 has one life left, slot 3 has the value.
    let worn = [(0, RETIRED), (1, RETIRED - 2)];
    let mut slab = read(&sealed(4, &[1], &[0b1000], &worn, &[5])).unwrap();
    assert_eq!((slab.retired_slots(), slab.free_slots()), (1, 2));
    let handles = [slab.allocate(1).unwrap(), slab.allocate(2).unwrap()];
    assert_eq!(handles.map(SlotHandle::generation), [RETIRED - 1, 1]);
    slab.free(handles[0]).unwrap();
    let mut slab = read(&written(&slab)).unwrap();
    assert_eq!((slab.retired_slots(), slab.free_slots()), (2, 0));
    assert!(slab.allocate(3).unwrap().generation() < 10, "in a new slab");
    // The id of the first slab is exhausted once it is released; later ids are not.
    slab.clear();
    slab.shrink_to(0);
    assert_eq!(slab.total_slots(), 0);
    let mut slab = read(&written(&slab)).unwrap();
    let next = slab.allocate(4).unwrap();
    assert!(slab.locate(next) == Ok((1, 0)) && next.generation() < 20, "{next:?}");
    assert!(!slab.contains(handles[0]));
}

#[test]
fn a_floor_that_was_raised_is_kept_to_half_of_the_lives() {
    for (raised, kept) in [(100, 101), (u32::MAX, WORN + 1)] {
        let mut slab = SlabAllocator::<u64>::new(4);
        slab.raise_generation_floor(raised);
        let mut copy = read(&written(&slab)).unwrap();
        assert_eq!(copy.allocate(1).unwrap().generation(), kept);
    }
}

/// A source that counts the bytes requested by its thread.
#[derive(Debug, Default, Clone, Copy)]
struct Counting;

thread_local! {
    static REQUESTED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all blocks come from `Global` and go back there.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        REQUESTED.set(REQUESTED.get() + layout.size());
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: `Global` has the same preconditions, and allocated the block.
        unsafe { Global.deallocate(block, layout) };
    }
}

type Counted = SlabAllocator<u64, SlotHandle, Counting>;

/// Reads input that may be refused, and returns the result and the bytes requested.
fn try_read(text: &str) -> (Result<Counted, serde_json::Error>, usize) {
    REQUESTED.set(0);
    (serde_json::from_str(text), REQUESTED.get())
}

#[test]
fn what_does_not_agree_is_refused_before_memory_is_acquired() {
    let refused = |text: String, because: &str| {
        let (outcome, requested) = try_read(&text);
        let error = outcome.expect_err(&text).to_string();
        assert!(error.contains(because), "{error}, expected {because}: {text}");
        assert_eq!(requested, 0, "{text}");
    };
    // Capacities and chunks beyond what the length of the input allows.
    for capacity in [1025, 1 << 20, 1 << 31, 1 << 40, u64::MAX] {
        let because = if capacity < 1 << 17 { "not all chunks" } else { "bits" };
        refused(sealed(capacity, &[1], &[1], &[], &[1]), because);
    }
    refused(sealed(1024, &[1], &[1], &[], &[1]), "1 words of live slots, expected 16");
    refused(sealed(64, &[1, 1], &[1], &[], &[1]), "expected 2");
    refused(sealed(64, &[0], &[1], &[], &[1]), "expected 0");
    refused(sealed(64, &[1], &[0b11], &[], &[1]), "1 values, expected 2");
    refused(sealed(4, &[1], &[1 << 4], &[], &[1]), "chunk of 4");
    refused(sealed(1, &vec![0; 1 << 16], &[], &[], &[1]), "values, expected 0");
    refused(sealed(1, &vec![0; (1 << 16) + 1], &[], &[], &[]), "at most 65536");
    for generation in [0, 2, RETIRED, u32::MAX] {
        refused(sealed(4, &[1], &[1], &[], &[generation]), "never lives");
    }
    // Worn slots that do not exist, or are not worn.
    for worn in [(4, RETIRED), (0, RETIRED + 1), (0, WORN), (0, 2), (1 << 10 | 1, RETIRED)] {
        refused(sealed(4, &[1], &[1], &[worn], &[1]), "which is none");
    }
    refused(sealed(4, &[1], &[1], &[(2, RETIRED), (1, RETIRED)], &[1]), "which is none");
    refused(sealed(4, &[1], &[1], &[(64 << 10, RETIRED)], &[1]), "bits");
    refused(sealed(4, &[1], &[1], &[(u32::MAX, RETIRED), (1, RETIRED)], &[1]), "none");
    refused(sealed(4, &[1], &[1], &[(u32::MAX, RETIRED), (1 << 10, RETIRED)], &[1]), "none");
    let (outcome, _) = try_read(&sealed(4, &[1], &[1], &[(0, RETIRED)], &[1]));
    assert!(outcome.unwrap_err().to_string().contains("worn slot 0 is live"));
    // Another version, another floor, another checksum.
    let good: Value = serde_json::from_str(&sealed(4, &[1], &[1], &[], &[1])).unwrap();
    let changed = |pointer: &str, value: u64, sealing: bool| {
        let mut input = good.clone();
        *input.pointer_mut(pointer).unwrap() = value.into();
        if sealing {
            seal(&mut input);
        }
        input.to_string()
    };
    refused(changed("/version", 1, true), "format version 1, expected 2");
    refused(changed("/structure/generation_floor", 3, true), "even number");
    refused(changed("/structure/generation_floor", u32::MAX.into(), true), "even number");
    refused(changed("/structure/generation_floor", 4, false), "checksum");
    refused(changed("/checksum", 4, false), "checksum");
    assert!(try_read(&good.to_string()).0.is_ok());
    assert!(serde_json::from_str::<SlotHandle>("0").is_err());
    // An empty allocator may have any capacity.
    let empty = read(&written(&SlabAllocator::new(usize::MAX))).unwrap();
    assert_eq!((empty.slab_capacity(), empty.memory_bytes()), (usize::MAX, 0));
}

#[test]
fn every_single_bit_counts() {
    let mut slab = SlabAllocator::new(5);
    let handles: Vec<_> = (0..30).map(|n| slab.allocate(n).unwrap()).collect();
    handles[4..20].iter().for_each(|&handle| slab.free(handle).unwrap());
    slab.compact();
    slab.extend([77]);
    let mut original = serde_json::to_value(&slab).unwrap();
    original["structure"]["worn"] = json!([[1 << 10, RETIRED]]);
    seal(&mut original);
    let text = original.to_string();
    read(&text).unwrap();
    let generations = |value: &Value| {
        let entries = value["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry[0].clone()).collect::<Vec<_>>()
    };
    let (mut refused, mut accepted) = (0, 0);
    for bit in (0..text.len() * 8).step_by(if cfg!(miri) { 97 } else { 1 }) {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match serde_json::from_slice::<SlabAllocator<u64>>(&bytes) {
            Err(_) => refused += 1,
            Ok(copy) => {
                // Only a value changed.
                let copy = serde_json::to_value(&copy).unwrap();
                assert_eq!(copy["structure"], original["structure"]);
                assert_eq!(generations(&copy), generations(&original));
                accepted += 1;
            }
        }
    }
    let value_bits = 8 * slab.values().map(|value| value.to_string().len()).sum::<usize>();
    assert!(accepted <= value_bits && (cfg!(miri) || refused > 2000), "{accepted}, {refused}");
}

/// The numbers of a JSON value, except for the values of its entries.
fn numbers<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| numbers(item, found)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| numbers(field, found)),
        Value::Number(_) => found.push(value),
        _ => {}
    }
}

#[test]
fn reading_costs_no_more_than_the_input_is_long() {
    let mut random = Random(11);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..if cfg!(miri) { 30 } else { 20_000 } {
        let slab_capacity = [1, 5, 64, 300, 1024, 1025, 5000][round % 7];
        let mut slab = SlabAllocator::new(slab_capacity);
        slab.extend(0..random.below(200) as u64);
        let keep = random.below(20) as u64 + 1;
        slab.retain(|_, n| *n % keep == 0);
        slab.compact();
        let mut input = serde_json::to_value(&slab).unwrap();
        for _ in 0..random.below(4) {
            let mut found = Vec::new();
            numbers(&mut input["structure"], &mut found);
            let which = random.below(found.len());
            let number = [random.below(1 << 31) as u64, random.below(1200) as u64, u64::MAX, 0];
            *found[which] = number[random.below(4)].into();
        }
        for list in ["held", "live"] {
            let words = random.below(3) * random.below(30);
            let list = input["structure"][list].as_array_mut().unwrap();
            list.extend((0..words).map(|_| json!(if random.below(2) == 0 { 0 } else { u64::MAX })));
        }
        seal(&mut input);
        let text = input.to_string();
        let (outcome, requested) = try_read(&text);
        assert!(
            requested <= 1024 + 800 * text.len(),
            "{requested} bytes for {}: {text}",
            text.len()
        );
        match outcome {
            Err(_) => refused += 1,
            Ok(copy) => {
                copy.validate().unwrap();
                accepted += 1;
            }
        }
    }
    assert!(
        cfg!(miri) || accepted > 500 && refused > 500,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn what_is_acquired_stays_within_the_bound() {
    for (slab_capacity, kept) in [(4, 0), (4, 12), (1024, 3000), (3000, 9000)] {
        let mut slab = SlabAllocator::new(slab_capacity);
        slab.extend(0..10_000);
        slab.retain(|_, n| *n == kept);
        slab.compact();
        let text = written(&slab);
        let within = |bound: usize| -> Result<SlabAllocator<u64>, _> {
            let mut reader = serde_json::Deserializer::from_str(&text);
            SlabAllocator::deserialize_within(&mut reader, bound)
        };
        let held = read(&text).unwrap().memory_bytes();
        assert_eq!(within(held).unwrap().memory_bytes(), held);
        let refused = within(held - 1).unwrap_err().to_string();
        assert!(refused.contains(&format!("{held} bytes of memory are needed")), "{refused}");
    }
}
