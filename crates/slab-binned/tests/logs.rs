//! Logs: what is refused, where two part, and what a replay finds.

use slab_binned::{
    BinnedError, Config, Divergence, LogError, LoggedAllocator, OpLog, Operation, ReplayError,
    diverges_at,
};

fn sample() -> Result<LoggedAllocator, BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let id = blocks.alloc(100)?;
    blocks.write(id, b"abc")?;
    blocks.alloc_dirty_aligned(5000, 512)?;
    blocks.free(id)?;
    blocks.trim()?;
    Ok(blocks)
}

#[test]
fn a_log_is_what_was_done() -> Result<(), BinnedError> {
    let blocks = sample()?;
    let text = blocks.log().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["slab-binned log 3", "classes standard chunk 262144"]);
    assert_eq!(
        lines[3..8],
        [
            "alloc 100 align 1 -> 0:1",
            "write 0:1 616263",
            "dirty 5000 align 512 -> 1:1",
            "free 0:1",
            "trim -> 0",
        ]
    );
    let operations: Vec<_> = blocks.log().operations().collect();
    assert_eq!(operations.len(), 5);
    assert!(matches!(operations[1], Operation::Write { bytes: b"abc", .. }));
    Ok(())
}

#[test]
fn a_log_of_many_parts_is_kept_in_order() -> Result<(), BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let count = if cfg!(miri) { 600 } else { 5000 };
    for step in 0..count {
        let id = blocks.alloc_dirty(step % 50 + 1)?;
        blocks.free(id)?;
    }
    assert_eq!(blocks.log().len(), 2 * count);
    assert_eq!(blocks.log().operations().count(), 2 * count);
    let replayed = blocks.log().replay().expect("the same operations");
    assert_eq!(replayed.log(), blocks.log());
    let taken = blocks.take_log();
    assert_eq!(taken.end_fingerprint(), blocks.fingerprint());
    assert!(blocks.log().is_empty());
    blocks.alloc(7)?;
    let mut follower = replayed;
    blocks.log().replay_onto(&mut follower).expect("it goes on from there");
    assert_eq!(follower.fingerprint(), blocks.fingerprint());
    let again = blocks.log().replay_onto(&mut follower);
    assert!(matches!(again, Err(ReplayError::Start { .. })));
    Ok(())
}

#[test]
fn the_first_difference_is_named() -> Result<(), BinnedError> {
    let (one, mut other) = (sample()?, sample()?);
    assert_eq!(diverges_at(one.log(), other.log()), None);
    other.alloc(1)?;
    let divergence = diverges_at(one.log(), other.log()).expect("one is longer");
    let Divergence::Operation { at: 5, left: None, right: Some(operation) } = divergence else {
        panic!("{divergence}");
    };
    assert!(matches!(operation, Operation::Alloc { size: 1, .. }));
    assert!(divergence.to_string().starts_with("operation 5: the end, against alloc 1 "));
    let elsewhere = LoggedAllocator::with_config(Config::new().cap_bytes(1 << 20));
    let fresh = LoggedAllocator::new();
    let divergence = diverges_at(elsewhere.log(), fresh.log()).expect("another cap");
    let (left, right) = (elsewhere.config(), fresh.config());
    assert_eq!(divergence, Divergence::Config { left, right });
    let mut cleared = sample()?;
    cleared.clear_log();
    let divergence = diverges_at(fresh.log(), cleared.log()).expect("another start");
    let (left, right) = (fresh.fingerprint(), cleared.fingerprint());
    assert_eq!(divergence, Divergence::Start { left, right });
    assert!(divergence.to_string().contains(&format!("{right:016x}")), "{divergence}");
    Ok(())
}

#[test]
fn writes_differ_by_their_bytes() -> Result<(), BinnedError> {
    let written = |bytes: &[u8]| {
        let mut blocks = LoggedAllocator::new();
        let id = blocks.alloc(10)?;
        blocks.write(id, b"same")?;
        blocks.write(id, bytes)?;
        Ok(blocks)
    };
    let at = |divergence| match divergence {
        Divergence::Operation { at, .. } => at,
        other => panic!("{other}"),
    };
    let (one, other) = (written(b"x")?, written(b"y")?);
    assert_eq!(diverges_at(one.log(), other.log()).map(at), Some(2));
    Ok(())
}

/// Gives a text that was changed the checksum of what it says, as somebody would who makes a log up.
fn sealed(text: &str) -> String {
    match text.parse::<OpLog>() {
        Err(LogError::Checksum { expected, found, .. }) => {
            text.replace(&format!("{expected:016x}"), &format!("{found:016x}"))
        }
        _ => text.to_owned(),
    }
}

/// Every flip of one bit is refused, or the text still says the same: in another case, with other blanks.
#[test]
#[cfg_attr(miri, ignore = "thousands of logs")]
fn no_flip_of_a_bit_is_read() -> Result<(), BinnedError> {
    let blocks = sample()?;
    let log = blocks.log();
    let texts = [log.to_string(), serde_json::to_string(log).expect("text")];
    for (text, is_json) in texts.iter().zip([false, true]) {
        let (mut flipped, mut same) = (text.clone().into_bytes(), 0);
        for bit in 0..8 * flipped.len() {
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read: Option<OpLog> = if is_json {
                serde_json::from_slice(&flipped).ok()
            } else {
                std::str::from_utf8(&flipped).ok().and_then(|text| text.parse().ok())
            };
            if let Some(read) = read {
                assert_eq!(&read, log, "{}", String::from_utf8_lossy(&flipped));
                same += 1;
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(same < text.len() / 4, "{same} of {} are not seen", 8 * text.len());
    }
    Ok(())
}

#[test]
fn a_changed_log_is_refused_with_both_checksums() -> Result<(), BinnedError> {
    let text = sample()?.log().to_string();
    let changed = text.replacen("616263", "616264", 1);
    let Err(error @ LogError::Checksum { line: 10, expected, found }) = changed.parse::<OpLog>()
    else {
        panic!("{changed}");
    };
    assert_ne!(expected, found);
    assert!(text.ends_with(&format!("checksum {expected:016x}\n")));
    assert!(error.to_string().contains(&format!("{found:016x}")));
    Ok(())
}

#[test]
fn a_replay_names_what_came_out_differently() -> Result<(), BinnedError> {
    let text = sample()?.log().to_string();
    let replay = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        sealed(&changed).parse::<OpLog>().expect("still a log").replay().map(|_| ())
    };
    let other = replay("-> 1:1", "-> 4:1");
    assert!(matches!(other, Err(ReplayError::Other { at: 2, .. })), "{other:?}");
    let refused = replay("free 0:1", "free 0:3");
    assert!(matches!(refused, Err(ReplayError::Refused { at: 3, .. })), "{refused:?}");
    let trimmed = replay("trim -> 0", "trim -> 9");
    assert!(matches!(trimmed, Err(ReplayError::OtherTrim { at: 4, expected: 9, found: 0 })));
    let end = replay("616263", "616264");
    assert!(matches!(end, Err(ReplayError::End { .. })), "{end:?}");
    let start = replay("chunk 262144", "chunk 65536");
    assert!(matches!(start, Err(ReplayError::Start { .. })), "{start:?}");
    Ok(())
}

#[test]
fn what_is_no_log_is_refused_with_its_line() -> Result<(), BinnedError> {
    let text = sample()?.log().to_string();
    let line_of = |from: &str, to: &str| match text.replacen(from, to, 1).parse::<OpLog>() {
        Err(LogError::Syntax { line, .. }) => line,
        outcome => panic!("{from} -> {to}: {outcome:?}"),
    };
    assert_eq!(line_of("log 3", "log 2"), 1);
    assert_eq!(line_of("standard", "other"), 2);
    assert_eq!(line_of("start ", "begin "), 3);
    assert_eq!(line_of("alloc 100", "alloc 1073741825"), 4);
    assert_eq!(line_of("align 1 ", "align 3 "), 4);
    assert_eq!(line_of("0:1", "0:2"), 4);
    assert_eq!(line_of("616263", "61626"), 5);
    assert_eq!(line_of("616263", "6162é"), 5);
    assert_eq!(line_of("free 0:1", "free 0:1 now"), 7);
    assert_eq!(line_of("trim -> 0", "what"), 8);
    assert_eq!(line_of("chunk 262144", "chunk 262144 each"), 2);
    assert_eq!(line_of("chunk 262144", "chunk 0"), 2);
    assert_eq!(line_of("\nend ", "\nend 0 "), 9);
    for more in ["free 0:1\n", "\n\n end 0"] {
        let outcome = format!("{text}{more}").parse::<OpLog>();
        assert!(matches!(outcome, Err(LogError::Syntax { line: 11.., .. })), "{outcome:?}");
    }
    assert!(format!("{text}\n\n").parse::<OpLog>().is_ok());
    let cut = &text[..text.rfind("end").expect("it has an end")];
    assert!(matches!(cut.parse::<OpLog>(), Err(LogError::Syntax { line: 9, .. })));
    assert!("".parse::<OpLog>().is_err());
    Ok(())
}

#[test]
fn a_write_at_an_offset_is_recorded() -> Result<(), BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let id = blocks.alloc(20)?;
    blocks.write_at(id, 7, b"abc")?;
    blocks.write_at(id, 20, b"")?;
    blocks.write_at(id, 0, b"x")?;
    let refusal =
        BinnedError::WriteTooLong { len: 3, offset: 18, block_len: 20, index: 0, generation: 1 };
    assert_eq!(blocks.write_at(id, 18, b"abc"), Err(refusal));
    assert!(blocks.write_at(id, usize::MAX, b"abc").is_err());
    assert_eq!(blocks.log().len(), 4);
    let text = blocks.log().to_string();
    assert!(text.contains("write 0:1 at 7 616263\nwrite 0:1 at 20 \nwrite 0:1 78\n"), "{text}");
    assert_eq!(text.parse::<OpLog>().as_ref(), Ok(blocks.log()));
    let replayed = blocks.log().replay().expect("the same operations");
    assert_eq!(replayed.try_get(id)?, b"x\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(replayed.fingerprint(), blocks.fingerprint());
    let shifted = text.replace("at 7", "at 8").parse::<OpLog>();
    assert!(matches!(shifted, Err(LogError::Checksum { .. })));
    for wrong in ["at 0", "at 4294967295", "at -1"] {
        let refused = text.replace("at 7", wrong).parse::<OpLog>();
        assert!(matches!(refused, Err(LogError::Syntax { line: 5, .. })), "{wrong}: {refused:?}");
    }
    Ok(())
}

#[test]
fn an_update_is_recorded_also_if_it_panics() -> Result<(), BinnedError> {
    let mut blocks = LoggedAllocator::new();
    let id = blocks.alloc(4)?;
    let update = std::panic::AssertUnwindSafe(|| {
        blocks.update(id, |bytes| -> () {
            bytes[1] = 9;
            panic!("in the middle of a change");
        })
    });
    assert!(std::panic::catch_unwind(update).is_err());
    assert_eq!(blocks.try_get(id)?, [0, 9, 0, 0]);
    let replayed = blocks.log().replay().expect("the same operations");
    assert_eq!(replayed.try_get(id)?, [0, 9, 0, 0]);
    Ok(())
}

#[test]
fn a_clone_goes_on_alone() -> Result<(), BinnedError> {
    let mut blocks = sample()?;
    blocks.alloc(100_000)?;
    let mut clone = blocks.clone();
    assert_eq!(clone.log(), blocks.log());
    assert_eq!(clone.snapshot(), blocks.snapshot());
    let (ours, theirs) = (blocks.alloc(77)?, clone.alloc(77)?);
    assert_eq!((ours, blocks.fingerprint()), (theirs, clone.fingerprint()));
    clone.write(theirs, b"theirs")?;
    assert_eq!(blocks.try_get(ours)?[..6], [0; 6]);
    clone.validate().unwrap();
    Ok(())
}
