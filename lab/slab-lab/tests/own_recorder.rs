//! Recordings of slab-record: of a program with threads, of one that crashes, and through a stream.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![expect(unsafe_code, reason = "allocations of an odd alignment")]

use std::alloc::{GlobalAlloc as _, Layout, System};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::{env, fs, thread};

use slab_lab::record::{Recorder, Wish, record};
use slab_lab::trace::{self, OPERATIONS_MAX, Op, Trace, Warnings, binary};
use slab_record::{Recorder as Wrapper, Stream, ToFile};

/// The variable that makes this test program one that is recorded.
const ROLE: &str = "SLAB_LAB_TEST_ROLE";

const WISH: Wish = Wish { first: OPERATIONS_MAX, stacks: true };

/// Not a test: the program that the tests record, by this name.
#[test]
fn recorded_program() {
    match env::var(ROLE).as_deref() {
        Ok("threads") => threads(),
        Ok("crash") => {
            threads();
            std::process::abort();
        }
        Ok("wrapped") => wrapped(),
        _ => {}
    }
}

/// Blocks that one thread allocates, another resizes, and a third frees.
fn threads() {
    thread::scope(|scope| {
        let (to_middle, middle) = mpsc::channel::<Vec<u8>>();
        let (to_last, last) = mpsc::channel::<Vec<u8>>();
        scope.spawn(move || {
            for _ in 0..5000 {
                let block = vec![1; 1234];
                if to_middle.send(block).is_err() {
                    break;
                }
            }
        });
        scope.spawn(move || {
            for mut block in middle {
                block.resize(5678, 2);
                if to_last.send(block).is_err() {
                    break;
                }
            }
        });
        scope.spawn(move || last.into_iter().for_each(drop));
    });
    let layout = Layout::from_size_align(300, 4096).expect("valid");
    // SAFETY: the layout has a size.
    let block = unsafe { System.alloc(layout) };
    // SAFETY: the block is live.
    unsafe { System.dealloc(block, layout) };
}

static TO_FILE: Wrapper<System, ToFile> = Wrapper::new(System, ToFile::new());

fn wrapped() {
    pairs(|layout, new_size| {
        // SAFETY: the layout has a size.
        let block = unsafe { TO_FILE.alloc_zeroed(layout) };
        // SAFETY: the block is live, and the new size is not zero.
        let block = unsafe { TO_FILE.realloc(block, layout, new_size) };
        let layout = Layout::from_size_align(new_size, layout.align()).expect("valid");
        // SAFETY: the block is live.
        unsafe { TO_FILE.dealloc(block, layout) };
    });
}

fn pairs(mut pair: impl FnMut(Layout, usize)) {
    for size in 1..=1000 {
        pair(Layout::from_size_align(size, 64).expect("valid"), size * 2);
    }
}

/// Records this program in a role.
fn recorded(role: &str) -> slab_lab::record::Recorded {
    let program = env::current_exe().expect("a program");
    let arguments = [
        OsString::from(format!("{ROLE}={role}")),
        program.into_os_string(),
        "--exact".into(),
        "recorded_program".into(),
    ];
    // env executes the program: the recorder follows.
    record(Recorder::SlabRecord, Path::new("/usr/bin/env"), &arguments, WISH).expect("a recording")
}

fn count(trace: &Trace, is: impl Fn(&Op) -> bool) -> usize {
    trace.ops().iter().filter(|op| is(op)).count()
}

#[test]
fn threads_reallocs_and_alignments_are_recorded() {
    let recorded = recorded("threads");
    assert!(recorded.failure.is_none(), "{:?}", recorded.failure);
    let trace = recorded.trace;
    // An order in which a block is freed after its address is used again would be a warning.
    assert_eq!(trace.warnings(), Warnings::default());
    assert!(trace.context().thread_count() >= 4, "{}", trace.context().thread_count());
    let sized = |op: &Op, bytes| matches!(op, Op::Alloc { layout, .. } if layout.size() == bytes);
    assert_eq!(count(&trace, |op| sized(op, 1234)), 5000);
    let resized = |op: &Op| matches!(op, Op::Realloc { new_size: 5678, .. });
    assert_eq!(count(&trace, resized), 5000);
    let aligned = |op: &Op| matches!(op, Op::Alloc { layout, .. } if layout.align() == 4096);
    assert_eq!(count(&trace, aligned), 1);
    let times: Vec<u64> = trace.context().times().iter().map(|&(_, time)| time).collect();
    assert!(times.len() > 1 && times.is_sorted(), "{times:?}");
    assert!(trace.run().milliseconds > 0 && trace.run().resident_bytes > 1 << 20);

    let allocation = trace.ops().iter().position(|op| sized(op, 1234)).expect("one");
    let site = trace.context().site(allocation).expect("a stack");
    let stack: Vec<&str> = trace.context().stacks().frames(site).collect();
    // This program is compiled without frame pointers, so only the first frames are sure.
    assert!(stack.iter().any(|frame| frame.contains("alloc::")), "{stack:?}");

    let mut own = Vec::new();
    binary::write(&trace, &mut own, binary::FAST).expect("memory can be written");
    let back = trace::read("own", "own", &own[..], OPERATIONS_MAX).expect("what was written");
    assert_eq!(back.context(), trace.context());
    assert_eq!(back.ops(), trace.ops());

    // A replay that frees a block before its allocation, or twice, would end the checked heap.
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("threads.slabtrace");
    fs::write(&file, &own).expect("a writable directory for tests");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    lab.args(["threads", "--rounds", "2"]).arg(&file);
    let output = lab.args(["--allocator", "slab-bytes", "--allocator", "system"]).output();
    let output = output.expect("the lab starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("threads: the recorded threads, ordered where they share blocks"));
    assert!(text.contains("slab-bytes behind a lock"), "{text}");
    let flame = file.with_extension("svg");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    lab.arg("sites").arg(&file).arg("--flame").arg(&flame);
    let output = lab.output().expect("the lab starts");
    let sites = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(sites.contains("| call site") && sites.contains("alloc"), "{sites}");
    let drawing = fs::read_to_string(&flame).expect("a flame graph");
    assert!(drawing.contains("<svg") && drawing.contains("Bytes by call stack"));
    let mut lab = Command::new(env!("CARGO_BIN_EXE_slab-lab"));
    lab.arg("sites").arg(&file).arg("--after").arg(&file).args(["--by", "requests"]);
    let output = lab.output().expect("the lab starts");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("Requests: "), "{output:?}");

    assert_eq!(text.matches("| ok |").count() + text.matches("|     ok |").count(), 2, "{text}");
}

#[test]
fn a_crash_leaves_a_recording() {
    let recorded = recorded("crash");
    assert!(recorded.failure.is_some());
    let size = |op: &Op| op.new_bytes() == 1234;
    assert_eq!(count(&recorded.trace, size), 5000);
    assert_eq!(recorded.trace.warnings(), Warnings::default());
}

#[test]
fn forked_and_executed_processes_do_not_disturb_each_other() {
    let script = "for i in 1 2 3; do (eval v$i=$i; echo $i >/dev/null); ls / >/dev/null; done; exec ls -l /usr/bin >/dev/null";
    let arguments = ["-c".into(), script.into()];
    let recorded = record(Recorder::SlabRecord, Path::new("/bin/sh"), &arguments, WISH);
    let recorded = recorded.expect("a recording");
    assert!(recorded.other_processes >= 4, "{}", recorded.other_processes);
    assert_eq!((recorded.trace.name(), recorded.trace.warnings()), ("ls", Warnings::default()));
}

#[test]
fn a_wrapped_allocator_writes_the_same_file() {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wrapped");
    let _none_yet = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("a directory for tests");
    let mut program = Command::new(env::current_exe().expect("a program"));
    program.args(["--exact", "recorded_program"]).env(ROLE, "wrapped");
    let status = program.env("SLAB_LAB_RECORD", place.join("recording")).output();
    assert!(status.expect("it starts").status.success());
    let file = fs::read_dir(&place).expect("a directory").flatten().next().expect("a recording");
    let trace = trace::open(&file.path(), OPERATIONS_MAX).expect("a sound recording");
    assert_eq!((trace.ops().len(), trace.warnings()), (3000, Warnings::default()));
}

static SENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[test]
fn a_stream_sends_a_recording() {
    fn send(bytes: &[u8]) {
        SENT.lock().expect("not poisoned").extend_from_slice(bytes);
    }
    static STREAM: Wrapper<System, Stream> = Wrapper::new(System, Stream::new(send));
    pairs(|layout, _| {
        // SAFETY: the layout has a size.
        let block = unsafe { STREAM.alloc(layout) };
        // SAFETY: the block is live.
        unsafe { STREAM.dealloc(block, layout) };
    });
    let sent = SENT.lock().expect("not poisoned");
    let trace = trace::read("stream", "stream", &sent[..], OPERATIONS_MAX).expect("sound");
    assert_eq!((trace.ops().len(), trace.peak_live_bytes()), (2000, 1000));
    assert_eq!((trace.warnings(), trace.run()), Default::default());
}
