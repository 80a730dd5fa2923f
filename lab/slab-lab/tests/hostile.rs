//! Bad files and arguments give one line and exit code 2, and never a panic.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Writes a file for one test.
fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, contents).expect("a writable directory for tests");
    path
}

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slab-lab")).args(arguments).output().expect("the lab starts")
}

/// Asserts that a file is refused in one line which names it and says `expected`.
fn refused(name: &str, contents: &[u8], expected: &str) {
    let path = file(name, contents);
    let path = path.to_str().expect("a path in UTF-8");
    for command in ["info", "replay", "import"] {
        let output = lab(&[command, path]);
        let said = String::from_utf8(output.stderr).expect("errors are text");
        assert_eq!(output.status.code(), Some(2), "{command} {name}: {said}");
        assert_eq!(said.lines().count(), 1, "{command} {name}: {said}");
        assert!(said.contains(&format!("{name}{expected}")), "{command} {name}: {said}");
    }
}

fn zstd(contents: &[u8]) -> Vec<u8> {
    zstd::encode_all(contents, 3).expect("compression")
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(contents).expect("compression");
    to.finish().expect("compression")
}

const HEAPTRACK: &str = "v 10400 3\nX true\n+ 11c00 1 900\nt 77 0\n+ 20 1 1000\n- 1000\n";
const VALGRIND: &str = "==7== Memcheck\n--7-- malloc(24) = 0x1000\n--7-- free(0x1000)\n";

#[test]
fn files_that_are_not_recordings() {
    refused("empty.raw", b"", ": the file is empty");
    refused("empty.zst", &zstd(b""), ": the file is empty");
    refused("empty.gz", &gzip(b""), ": the file is empty");
    refused("prose.txt", b"It was a dark night.\n", ":1: not a recording");
    refused("noise.bin", &[0xfe, 0, 1, 2, 3, b'\n', 9], ":1: not a recording");
    refused("noise.zst", &zstd(&[7; 100_000]), ":1: not a recording");
    refused("broken.zst", &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff], ": cannot be read");
    refused("nothing.raw", b"v 10400 3\nX true\n", ": the recording holds no allocation");
    refused("nothing.log", b"==7== Memcheck\n", ": the recording holds no allocation");
}

#[test]
fn damaged_heaptrack_recordings() {
    let with = |tail: &str| format!("{HEAPTRACK}{tail}").into_bytes();
    refused("cut.raw", &with("+ 20 1"), ":7: the file ends in the middle of a line");
    refused("short.raw", &with("+ 20 1\n"), ":7: expected `+ SIZE TRACE POINTER`");
    refused("interpreted.raw", &with("+ 3\n"), ":7: expected `+ SIZE TRACE POINTER`");
    refused("extra.raw", &with("+ 20 1 1000 5\n"), ":7: expected `+ SIZE TRACE POINTER`");
    refused("sign.raw", &with("+ +20 1 1000\n"), ":7: expected `+ SIZE TRACE POINTER`");
    refused("long.raw", &with("- 11112222333344445\n"), ":7: expected `- POINTER`");
    refused("utf8.raw", &with("- \u{661}\n"), ":7: expected `- POINTER`");
    refused("letter.raw", &with("Q 1 2\n"), ":7: expected a record");
    refused("blank.raw", &with("\n"), ":7: expected a record");
    refused("huge.raw", &with("+ ffffffffffffffff 1 5\n"), ":7: a block of 18446744073709551615");
    let endless = [HEAPTRACK.as_bytes(), &[b'X'; 1 << 20]].concat();
    refused("endless.raw", &endless, ":7: a line is longer than 262144 bytes");
    let lines = HEAPTRACK.repeat(5000);
    let packed = zstd(lines.as_bytes());
    refused("cut.zst", &packed[..packed.len() - 9], ":");
    let packed = gzip(lines.as_bytes());
    refused("cut.gz", &packed[..packed.len() / 2], ":");
}

#[test]
fn damaged_valgrind_recordings() {
    let with = |tail: &str| format!("{VALGRIND}{tail}").into_bytes();
    refused("cut.log", &with("--7-- mall"), ":4: the file ends in the middle of a line");
    refused("open.log", &with("--7-- malloc(12\n"), ":4: expected `NAME(ARGUMENTS)");
    refused("minus.log", &with("--7-- malloc(-5) = 0x1\n"), ":4: expected `NAME(ARGUMENTS)");
    refused("address.log", &with("--7-- malloc(5) = 0xZ\n"), ":4: expected `NAME(ARGUMENTS)");
    refused("align.log", &with("--7-- memalign(al 3, size 5) = 0x1\n"), ":4: 3 is not an align");
    refused("output.log", &with("hello from the program\n"), ":4: expected a line of valgrind");
    let overflow = "--7-- calloc(9999999999,9999999999) = 0x1\n";
    refused("calloc.log", &with(overflow), ":4: a block of 18446744073709551615 bytes");
}

#[test]
fn damaged_trace_files() {
    let own =
        |version: u8, contents: &[u8]| [b"SLABTRACE", &[version][..], &zstd(contents)].concat();
    // Two allocations of 16 bytes and one free; see the format.
    let sound = [1, b't', 3, 0x80, 1, 0x80, 1, 2];
    let output = lab(&["info", file("sound.slabtrace", &own(1, &sound)).to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    refused("magic.slabtrace", b"SLABTRACE", ": cannot be read");
    refused("version.slabtrace", &own(9, &sound), ": version 9 of the trace format");
    refused("none.slabtrace", &own(1, &[0, 0]), ": byte 2: the recording holds no allocation");
    refused("cut.slabtrace", &own(1, &sound[..6]), ": byte 6: the file ends after 1 of 3");
    refused("more.slabtrace", &own(1, &[&sound[..], &[1]].concat()), ": byte 8: bytes follow");
    refused("vacant.slabtrace", &own(1, &[0, 1, 2]), ": byte 3: slot 0 holds no block");
    refused("name.slabtrace", &own(1, &[2, 27, b'[', 1, 0]), ": byte 3: the trace's name");
    refused("long.slabtrace", &own(1, &[0xff; 30]), ": byte 10: a number is longer");
    let overflow = [&[0][..], &[0xff; 9], &[0x7f]].concat();
    refused("overflow.slabtrace", &own(1, &overflow), ": byte 11: a number is longer");
    let claim = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    refused("claim.slabtrace", &own(1, &claim), ": byte 10: the file ends after 0 of");
    let huge = [0, 1, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    refused("huge.slabtrace", &own(1, &huge), ": byte 12: a block of");
    let sound = own(1, &sound);
    refused("frame.slabtrace", &sound[..sound.len() - 3], ": byte");
}

#[test]
fn a_peak_beyond_the_limit_is_not_replayed() {
    let giants: String = (1..9).map(|i| format!("+ 3fffffffff 1 {i}000\n")).collect();
    let path = file("giants.raw", format!("{HEAPTRACK}{giants}").as_bytes());
    let output = lab(&["replay", path.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("2199023255544 bytes live at one time"), "{said}");
}

#[test]
fn a_million_blocks_freed_twice_are_counted() {
    let mut text = String::from("v 10400 3\n+ 1 1 1\n");
    for block in 1..=1_000_000 {
        text += &format!("+ 10 1 {block:x}0\n");
    }
    for block in (1..=1_000_000).chain(1..=1_000_000) {
        text += &format!("- {block:x}0\n");
    }
    let path = file("twice.raw", text.as_bytes());
    let output = lab(&["info", path.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    assert!(said.contains("twice: 1000000 frees of unknown blocks"), "{said}");
}

#[test]
fn limits_are_named() {
    let mut text = String::from("v 10400 3\n+ 1 1 1\n");
    for block in 1..=(1 << 21) + 1 {
        text += &format!("+ 10 1 {block:x}0\n");
    }
    refused("blocks.zst", &zstd(text.as_bytes()), ":2097155: more than 2097152 blocks live");
    let pairs = "+ 10 1 10\n- 10\n".repeat(1 << 22);
    let text = zstd(format!("v 10400 3\n+ 1 1 1\n{pairs}+ 10 1 10\n").as_bytes());
    refused("operations.zst", &text, ":8388611: more than 8388608 operations");
}

#[test]
fn arguments_are_refused_in_one_line() {
    let own = file("short.raw", HEAPTRACK.as_bytes());
    let own = own.to_str().expect("UTF-8");
    for (arguments, expected) in [
        (&["info", "--first", "0"][..], "'--first <REQUESTS>': at least 1 request is needed"),
        (&["replay", "--first=0", own], "at least 1 request is needed"),
        (&["import", "--first=-1", own], "-1 is not a number"),
        (&["record", "--first=0", "--", "ls"], "at least 1 request is needed"),
        (&["replay", "--rounds=many"], "invalid value 'many'"),
        (&["nonsuch"], "unrecognized subcommand 'nonsuch'"),
        (&["import"], "required arguments were not provided: <FILE>"),
    ] {
        let output = lab(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("slab-lab: ") && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn unknown_names_and_files() {
    for (arguments, expected) in [
        (["replay", "--trace", "nonsuch"], "no embedded trace is named nonsuch; there are mawk"),
        (["replay", "--allocator", "nonsuch"], "no allocator is named nonsuch; there are slab-"),
        (["info", "/nonsuch/file.raw", "--first=3"], "/nonsuch/file.raw: cannot be read"),
        (["info", env!("CARGO_TARGET_TMPDIR"), "--first=3"], ": cannot be read"),
    ] {
        let output = lab(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
}
