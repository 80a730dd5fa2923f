//! Reads any bytes as the records of slab-record.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use slab_fuzz::read_and_rewrite;
use slab_record::format::Header;

fuzz_target!(|records: &[u8]| {
    let header = Header { start_ns: 1, last_ns: 1000, last_ticks: 50, ..Header::default() };
    read_and_rewrite(header.to_bytes().chain(records));
});
