//! The search for a difference by messages finds what a comparison of both logs finds, and ends whatever it receives.

mod steps;

use slab_binned::{
    BinnedError, BlockId, Config, Divergence, DivergenceSearch, LoggedAllocator, MESSAGE_BYTES_MAX,
    OpLog, OperationSummary, PeerDivergence, SearchError, diverges_at,
};
use steps::{random, step};

/// Lets two peers search, and returns what both found and after how many messages.
fn search(ours: &OpLog, theirs: &OpLog) -> (Option<PeerDivergence>, Option<PeerDivergence>, u32) {
    let (mut here, mut there) = (DivergenceSearch::new(ours), DivergenceSearch::new(theirs));
    while let (Some(sent), Some(received)) = (here.message(), there.message()) {
        assert!(sent.len() <= MESSAGE_BYTES_MAX);
        let (sent, received) = (sent.to_vec(), received.to_vec());
        here.receive(&received).expect("an honest peer");
        there.receive(&sent).expect("an honest peer");
    }
    assert_eq!((here.message(), there.message()), (None, None), "both end at the same time");
    assert_eq!(here.rounds(), there.rounds());
    (here.divergence().cloned(), there.divergence().cloned(), here.rounds())
}

/// Compares what was found with a comparison of the logs.
fn agrees(ours: &OpLog, theirs: &OpLog) -> u32 {
    let (found, mirrored, rounds) = search(ours, theirs);
    match (diverges_at(ours, theirs), &found) {
        (None, None) => {}
        (
            Some(Divergence::Operation { at, left, right }),
            Some(PeerDivergence::Operation { at: found, ours, theirs, bytes, history, .. }),
        ) => {
            assert_eq!(at, *found);
            assert_eq!(ours.first(), left.map(OperationSummary::from).as_ref());
            assert_eq!(theirs.first(), right.map(OperationSummary::from).as_ref());
            let place = |left: &slab_binned::Operation<'_>| match *left {
                slab_binned::Operation::Write { id, offset, bytes } => {
                    Some((id, offset, bytes.to_vec()))
                }
                _ => None,
            };
            let (left, right) = (left.as_ref().and_then(place), right.as_ref().and_then(place));
            match (left, right) {
                (Some((id, offset, left)), Some((other, other_offset, right)))
                    if (id, offset, left.len()) == (other, other_offset, right.len()) =>
                {
                    let at = left.iter().zip(&right).position(|(left, right)| left != right);
                    let at = at.expect("they differ");
                    let bytes = bytes.as_ref().expect("the same place");
                    assert_eq!(bytes.offset, offset + at);
                    assert!(left[at..].starts_with(&bytes.ours));
                    assert!(right[at..].starts_with(&bytes.theirs));
                    assert_ne!(bytes.ours[0], bytes.theirs[0]);
                }
                _ => assert_eq!(bytes, &None),
            }
            for (number, operation) in history {
                assert!(*number < at && operation.block().is_some());
            }
            assert!(history.len() <= 8);
        }
        (Some(Divergence::Config { .. }), Some(PeerDivergence::Config { .. }))
        | (Some(Divergence::Start { .. }), Some(PeerDivergence::Start { .. }))
        | (Some(Divergence::End { .. }), Some(PeerDivergence::End { .. })) => {}
        (expected, found) => panic!("{expected:?}, {found:?}"),
    }
    assert_eq!(
        found.as_ref().and_then(PeerDivergence::at),
        mirrored.as_ref().and_then(PeerDivergence::at)
    );
    rounds
}

#[test]
fn finds_what_a_comparison_of_the_logs_finds() {
    let (seeds, length) = if cfg!(miri) { (3, 60) } else { (200, 3000) };
    let mut most = 0;
    for seed in 0..seeds {
        let mut peers = [LoggedAllocator::new(), LoggedAllocator::new()];
        let mut lives = [Vec::new(), Vec::new()];
        let mut states = [seed; 2];
        let fault = random(&mut states[0].clone(), length);
        for number in 0..length {
            if number == fault && seed % 5 != 0 {
                // From here on another one happens, or one less.
                states[1] = states[1].wrapping_add(1);
                if seed % 3 == 0 {
                    break;
                }
            }
            for (peer, (live, state)) in peers.iter_mut().zip(lives.iter_mut().zip(&mut states)) {
                step(peer, live, state);
            }
        }
        most = most.max(agrees(peers[0].log(), peers[1].log()));
    }
    assert!(most <= 12, "{most} messages");
}

#[test]
fn the_first_byte_of_a_long_write_is_found() -> Result<(), BinnedError> {
    let mut bytes: Vec<u8> = (0..100_000_u32).map(|at| (at >> 5) as u8).collect();
    for at in [0, 1, 31, 32, 33, 49_999, 99_999] {
        let (mut ours, mut theirs) = (LoggedAllocator::new(), LoggedAllocator::new());
        for (peer, flip) in [(&mut ours, 0), (&mut theirs, 0x40)] {
            let id = peer.alloc(100_100)?;
            bytes[at] ^= flip;
            peer.write_at(id, 100, &bytes)?;
            bytes[at] ^= flip;
        }
        let rounds = agrees(ours.log(), theirs.log());
        assert!(rounds <= 7, "{rounds} messages for one byte of 100,000");
        let (found, ..) = search(ours.log(), theirs.log());
        let text = found.expect("one byte").to_string();
        let expected = format!("operation 1, from byte {} of the block on", at + 100);
        assert!(
            text.contains(&expected) && text.contains("0: alloc 100100 align 1 -> 0:1"),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn logs_that_cannot_be_compared_are_told() -> Result<(), BinnedError> {
    let (mut ours, mut theirs) = (LoggedAllocator::new(), LoggedAllocator::new());
    assert_eq!(agrees(ours.log(), theirs.log()), 1);
    for peer in [&mut ours, &mut theirs] {
        peer.alloc(10)?;
    }
    assert_eq!(agrees(ours.log(), theirs.log()), 1, "equal logs need one message");
    ours.alloc(5)?;
    agrees(ours.log(), theirs.log());
    agrees(theirs.log(), ours.log());
    ours.clear_log();
    agrees(ours.log(), theirs.log());
    let capped = LoggedAllocator::with_config(Config::new().cap_bytes(1 << 20));
    agrees(capped.log(), ours.log());
    agrees(LoggedAllocator::new().log(), theirs.log());
    // Equal operations behind which the fingerprints differ: as if a block lay elsewhere.
    let text = theirs.log().to_string();
    let end = format!("end {:016x}", theirs.fingerprint());
    let forged = text.replace(&end, "end 0123456789abcdef");
    let error = forged.parse::<OpLog>().expect_err("another checksum").to_string();
    let found = &error[error.len() - 16..];
    let sealed =
        format!("{}checksum {found}\n", &forged[..forged.find("checksum").expect("a line")]);
    agrees(theirs.log(), &sealed.parse().expect("sealed"));
    Ok(())
}

fn logs() -> Result<[LoggedAllocator; 2], BinnedError> {
    let mut peers = [LoggedAllocator::new(), LoggedAllocator::new()];
    for (fault, peer) in (0_u8..).zip(&mut peers) {
        let ids = (0..20).map(|_| peer.alloc(200)).collect::<Result<Vec<BlockId>, _>>()?;
        let mut bytes = [5; 150];
        for (nth, &id) in ids.iter().enumerate() {
            bytes[77] += if nth == 13 { fault } else { 0 };
            peer.write_at(id, 3, &bytes)?;
        }
    }
    Ok(peers)
}

#[test]
#[cfg_attr(miri, ignore = "thousands of messages")]
fn no_flip_of_a_bit_is_read() {
    let [ours, theirs] = logs().expect("memory");
    let mut here = DivergenceSearch::new(ours.log());
    let mut there = DivergenceSearch::new(theirs.log());
    while let (Some(sent), Some(received)) = (here.message(), there.message()) {
        let (sent, mut received) = (sent.to_vec(), received.to_vec());
        for bit in 0..8 * received.len() {
            received[bit / 8] ^= 1 << (bit % 8);
            here.receive(&received).expect_err("one bit is another");
            received[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..received.len() {
            here.receive(&received[..len]).expect_err("bytes are missing");
        }
        let long = [&received[..], &[0; MESSAGE_BYTES_MAX]].concat();
        assert!(matches!(here.receive(&long), Err(SearchError::Length { .. })));
        here.receive(&received).expect("it waits for the right one");
        there.receive(&sent).expect("an honest peer");
        assert!(here.receive(&received).is_err(), "the step before");
    }
    assert_eq!(here.divergence().and_then(PeerDivergence::at), Some(33));
    assert_eq!(here.receive(&[]), Err(SearchError::Ended));
}

/// Returns whether a message was accepted, once its checksum is that of its contents.
fn receive_sealed(search: &mut DivergenceSearch<'_>, message: &mut [u8]) -> bool {
    let mut outcome = search.receive(message);
    if let Err(SearchError::Checksum { found, .. }) = outcome {
        let start = message.len() - 8;
        message[start..].copy_from_slice(&found.to_le_bytes());
        outcome = search.receive(message);
    }
    outcome.is_ok()
}

/// Whatever a peer makes up, a search ends.
#[test]
#[cfg_attr(miri, ignore = "thousands of searches")]
fn a_search_ends_whatever_the_peer_says() {
    let [ours, theirs] = logs().expect("memory");
    let (mut state, mut ended, mut refused) = (7, 0, 0);
    for _ in 0..20_000 {
        let mut here = DivergenceSearch::new(ours.log());
        let mut there = DivergenceSearch::new(theirs.log());
        for round in 0.. {
            assert!(round < 40, "the search goes on");
            let Some(sent) = here.message() else {
                let _ = here.divergence().map(ToString::to_string);
                ended += 1;
                break;
            };
            let sent = sent.to_vec();
            // A message of an honest peer, or its own, with a byte or three changed.
            let mut made_up = there.message().map_or(sent.clone(), <[u8]>::to_vec);
            let _ = there.receive(&sent);
            for _ in 0..random(&mut state, 3) {
                let at = random(&mut state, made_up.len() - 8);
                made_up[at] = [0, 0xFF, random(&mut state, 256) as u8][random(&mut state, 3)];
            }
            if !receive_sealed(&mut here, &mut made_up) {
                refused += 1;
                break;
            }
        }
    }
    assert!(ended > 100 && refused > 100, "{ended} ended, {refused} refused");
}
