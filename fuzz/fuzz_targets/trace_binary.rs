//! Any bytes as a file of unknown form, and as the contents of one in the lab's own format: a
//! checksum keeps them from being reached otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_fuzz::read_and_rewrite;
use slab_lab::trace::binary::{FAST, MAGIC, VERSION};

fuzz_target!(|contents: &[u8]| {
    read_and_rewrite(contents);
    let frame = zstd::encode_all(contents, FAST).expect("a vector takes everything");
    read_and_rewrite(&[MAGIC, &[VERSION], &frame].concat()[..]);
});
