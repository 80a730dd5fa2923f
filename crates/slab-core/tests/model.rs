//! Random programs over segments of every mode and shape.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "gives a buffer away and misuses raw slots")]

mod program;

use program::run_all;

#[test]
fn a_fixed_program_reaches_every_outcome() {
    let length = if cfg!(miri) { 120 } else { 4000 };
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    // First fill all segments, then mix.
    let program: Vec<u8> = (0..160).map(|_| 0).chain((0..2 * length).map(|_| next())).collect();
    let tally = run_all(&program);
    assert!(tally.executed > length / 2, "{tally:?}");
    assert!(tally.popped > length / 4 && tally.pushed > length / 4, "{tally:?}");
    assert!(tally.refused > 10 && tally.misuse_found > length / 4, "{tally:?}");
}

#[cfg(not(miri))]
mod random {
    use super::run_all;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_program(program in proptest::collection::vec(any::<u8>(), 2..600)) {
            // The first step of this prefix always executes.
            let program = [&[0, 0][..], &program].concat();
            prop_assert!(run_all(&program).executed > 0);
        }
    }
}
