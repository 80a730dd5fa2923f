//! Reads any text as the lines of a heaptrack recording.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use slab_fuzz::read_and_rewrite;

fuzz_target!(|lines: &[u8]| read_and_rewrite(b"v 10400 3\n".chain(lines)));
