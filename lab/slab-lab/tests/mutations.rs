//! Cut and changed recordings are read or refused, and never cause a panic.

use slab_lab::trace::{OPERATIONS_MAX, binary, read};

const VALGRIND: &[u8] = b"==7== Memcheck\n--7-- malloc(24) = 0x1000\n\
    --7-- realloc(0x1000,90) = 0x2000\n--7-- calloc(3,7) = 0x3000\n--8-- malloc(1) = 0x9\n\
    --7-- memalign(al 64, size 300) = 0x1000\n--7-- realloc(0x0,8)malloc(8) = 0x4000\n\
    --7-- realloc(0x4000,0)free(0x4000)\n--7-- free(0x2000)\n";

const HEAPTRACK: &[u8] = b"v 10400 3\nX true\nI 1000 5e2990\nm 1 -\n+ 11c00 1 900\nt 77 0\n\
    + 20 1 1000\n+ 30 1 2000\n- 1000\nc 5\n+ 20 1 2000\n- 55\n";

/// A recording of slab-record: every kind of record.
fn recorded() -> Vec<u8> {
    use slab_record::format::{Header, Record, kind};
    let header = Header { start_ns: 1, last_ns: 9, last_ticks: 80, ..Header::default() };
    let record = |kind, part, stack, numbers| Record { kind, part, stack, thread: 5, numbers };
    let path = u64::from_le_bytes(*b"/a/b/c.s");
    let records = [
        record(kind::MODULE, 0, 0, [0x1000, 0x2000, 0]),
        record(kind::MODULE, 1, 0, [path, 0x6f, 0]),
        record(kind::STACK, 0, 9, [0x1010, 0x1020, 0x77]),
        record(kind::ALLOC, 4, 9, [10, 0x100, 24]),
        record(kind::ALLOC_ZEROED, 4, 9, [20, 0x200, 24]),
        record(kind::RESIZE_START, 0, 0, [30, 0x100, 0]),
        Record { thread: 6, ..record(kind::ALLOC, 6, 0, [40, 0x100, 64]) },
        record(kind::RESIZE_END, 4, 9, [50, 0x300, 90]),
        record(kind::NOTHING, 0, 0, [0; 3]),
        record(kind::FREE, 0, 0, [60, 0x300, 0]),
    ];
    let mut bytes = header.to_bytes().to_vec();
    records.iter().for_each(|record| bytes.extend(record.to_bytes()));
    bytes
}

#[test]
fn every_record_of_the_own_recorder_is_understood() {
    let trace = read("sound", "sound", &recorded()[..], OPERATIONS_MAX).expect("sound");
    assert_eq!((trace.ops().len(), trace.slots()), (5, 3));
    assert_eq!(trace.warnings(), Default::default());
    let context = trace.context();
    let threads: Vec<u16> = (0..5).map(|request| context.thread(request)).collect();
    assert_eq!(threads, [0, 0, 1, 0, 0]);
    let site = context.site(0).expect("a stack");
    assert_eq!((context.site(1), context.site(2), context.site(4)), (Some(site), None, None));
    let frames: Vec<&str> = context.stacks().frames(site).collect();
    assert_eq!(frames, ["/a/b/c.so+0xf", "/a/b/c.so+0x1f", "0x76"]);
}

fn survives(contents: &[u8]) {
    if let Err(error) = read("mutant", "mutant", contents, OPERATIONS_MAX) {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[test]
fn cut_and_flipped_recordings_are_read_or_refused() {
    let trace = read("sound", "sound", VALGRIND, OPERATIONS_MAX).expect("a sound recording");
    let mut own = Vec::new();
    binary::write(&trace, &mut own, binary::SMALL).expect("memory can be written");
    let mut tried = 0;
    for sound in [VALGRIND, HEAPTRACK, &own, &recorded()] {
        read("sound", "sound", sound, OPERATIONS_MAX).expect("a sound recording");
        for length in 0..sound.len() {
            survives(&sound[..length]);
            for change in [0x01, 0x04, 0x10, 0x40, 0x80, 0xff] {
                let mut mutant = sound.to_vec();
                mutant[length] ^= change;
                survives(&mutant);
                tried += 1;
            }
        }
    }
    assert!(tried > 2000, "{tried}");
}

#[test]
fn own_contents_are_read_or_refused() {
    // These pass the compression's checksum, which stops most mutants of the test before.
    let mut state = 1u64;
    for length in 0..4000 {
        let contents: Vec<u8> = (0..length % 60)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Small numbers make most operations valid, so that reading gets far.
                if state >> 63 == 0 { (state >> 40) as u8 & 15 } else { (state >> 40) as u8 }
            })
            .collect();
        let frame = zstd::encode_all(&contents[..], 1).expect("compression");
        survives(&[b"SLABTRACE\x01", &frame[..]].concat());
        survives(&[b"SLABTRACE\x02", &frame[..]].concat());
        survives(&[b"SLABTRACE\x03", &frame[..]].concat());
    }
}

#[test]
fn own_format_keeps_everything() {
    let trace = read("sound", "sound", VALGRIND, OPERATIONS_MAX).expect("a sound recording");
    assert_eq!(trace.warnings().foreign_lines, 1);
    let mut own = Vec::new();
    binary::write(&trace, &mut own, binary::FAST).expect("memory can be written");
    let back = read("own", "other", &own[..], OPERATIONS_MAX).expect("what was written");
    assert_eq!((back.ops(), back.name()), (trace.ops(), "sound"));
    assert_eq!(back.peak_live_bytes(), trace.peak_live_bytes());
    assert_eq!((back.run(), back.warnings()), (trace.run(), trace.warnings()));
    let first = read("own", "other", &own[..], 2).expect("the first two");
    assert_eq!(first.ops(), &trace.ops()[..2]);
}

#[test]
fn heaptracks_own_block_is_left_out() {
    let trace = read("sound", "sound", HEAPTRACK, OPERATIONS_MAX).expect("a sound recording");
    // Two blocks, a free, the unrecorded free of the second block, and the block after it.
    assert_eq!(trace.ops().len(), 5);
    assert_eq!(trace.peak_live_bytes(), 0x50);
    assert_eq!(trace.warnings().unknown_frees, 1);
    assert_eq!(trace.warnings().replaced_blocks, 1);
}

#[test]
fn time_and_memory_of_the_run_are_read_and_kept() {
    let recording = [HEAPTRACK, b"R 21\nR 20\nc 1f4\nc no number\n"].concat();
    let trace = read("run", "run", &recording[..], OPERATIONS_MAX).expect("a sound recording");
    assert_eq!((trace.run().milliseconds, trace.run().resident_bytes), (500, 0x21 * 4096));
    let mut own = Vec::new();
    binary::write(&trace, &mut own, binary::FAST).expect("memory can be written");
    let back = read("own", "own", &own[..], OPERATIONS_MAX).expect("what was written");
    assert_eq!((back.run(), back.warnings()), (trace.run(), trace.warnings()));
    // The facts about the whole run are not about its first two requests.
    let first = read("own", "own", &own[..], 2).expect("the first two");
    assert_eq!(first.run(), Default::default());
}
