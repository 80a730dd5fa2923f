//! Reads any text as the lines of a valgrind log.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use slab_fuzz::read_and_rewrite;

fuzz_target!(|lines: &[u8]| read_and_rewrite(b"==1== Memcheck\n".chain(lines)));
