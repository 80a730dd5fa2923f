//! Reads any bytes as a recording of unknown format, and again wrapped as the compressed contents of a recording in the
//! lab's own format. Without the wrapping, a checksum would refuse them before the contents are parsed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_fuzz::read_and_rewrite;
use slab_lab::trace::binary::{FAST, MAGIC, VERSION};

fuzz_target!(|contents: &[u8]| {
    read_and_rewrite(contents);
    let frame = zstd::encode_all(contents, FAST).expect("a write into a vector succeeds");
    read_and_rewrite(&[MAGIC, &[VERSION], &frame].concat()[..]);
});
