//! Reads forged deltas and messages of a search: real ones with some bytes replaced, sealed again, or any bytes.
//! A delta must be refused and change nothing, or lead to an allocator that is consistent and works. A search must end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slab_binned::{
    BlockAllocator, Delta, DeltaError, DivergenceSearch, Global, Logged, LoggedAllocator,
    Rewindable, SearchError,
};

const BUDGET: usize = 4 << 20;
/// The first bytes of the input are a program.
const PROGRAM_BYTES: usize = 24;
/// Bytes of input for one replaced byte: they choose its place and its new value.
const CHANGE_BYTES: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    let (program, changes) = bytes.split_at(bytes.len().min(PROGRAM_BYTES));
    let (before, after) = program.split_at(program.len() / 2);
    let mut sender = BlockAllocator::<Global, Rewindable<Logged>>::new();
    let mut live = Vec::new();
    slab_fuzz::run_on_ids(&mut sender, &mut live, before);
    let base = sender.checkpoint().expect("memory");
    let mut peer: LoggedAllocator =
        BlockAllocator::restore(&sender.snapshot().expect("memory"), BUDGET)
            .expect("a whole snapshot");
    slab_fuzz::run_on_ids(&mut sender, &mut live, after);
    let delta = sender.delta_since(base).expect("kept");
    apply(&mut peer, forged(delta.as_bytes(), changes));
    let _ = Delta::from_bytes(bytes);

    let mut other = sender.log().replay().expect("the sender's own log");
    other.alloc(program.len() + 1).expect("memory");
    search(&sender, &other, changes);
});

/// Returns a copy of bytes with those replaced that the changes choose.
fn forged(bytes: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes.chunks_exact(CHANGE_BYTES) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    bytes
}

fn seal(bytes: &mut [u8], sum: u64) {
    let start = bytes.len() - 8;
    bytes[start..].copy_from_slice(&sum.to_le_bytes());
}

fn apply(peer: &mut LoggedAllocator, mut bytes: Vec<u8>) {
    slab_fuzz::count(1);
    let mut delta = Delta::from_bytes(&bytes);
    if let Err(DeltaError::Checksum { found, .. }) = delta {
        seal(&mut bytes, found);
        delta = Delta::from_bytes(&bytes);
    }
    let Ok(delta) = delta else { return };
    let before = peer.snapshot().expect("memory");
    let mut applied = peer.apply_delta(&delta, BUDGET);
    if let Err(DeltaError::Content { found, .. }) = applied {
        let start = bytes.len() - 16;
        bytes[start..start + 8].copy_from_slice(&found.to_le_bytes());
        let Err(DeltaError::Checksum { found, .. }) = Delta::from_bytes(&bytes) else { return };
        seal(&mut bytes, found);
        applied = peer.apply_delta(&Delta::from_bytes(&bytes).expect("sealed"), BUDGET);
    }
    peer.validate().expect("the allocator is consistent");
    match applied {
        Err(_) => assert_eq!(peer.snapshot(), Ok(before), "a refusal changes nothing"),
        Ok(()) => {
            let mut live = Vec::new();
            for size in [1, 40, 600, 2000, 9000, 100_000, 40] {
                live.extend(peer.alloc(size));
            }
            for id in live {
                assert!(peer.get(id).expect("live").iter().all(|&byte| byte == 0), "{id}");
                peer.free(id).expect("live");
            }
            peer.trim().expect("memory");
            peer.validate().expect("the allocator stays consistent");
        }
    }
}

/// Searches, with some bytes of what arrives replaced.
fn search(
    ours: &BlockAllocator<Global, Rewindable<Logged>>,
    theirs: &LoggedAllocator,
    changes: &[u8],
) {
    let mut here = DivergenceSearch::new(ours.log());
    let mut there = DivergenceSearch::new(theirs.log());
    let mut changes = changes.chunks(2 * CHANGE_BYTES);
    for rounds in 0.. {
        assert!(rounds < 64, "a search ends");
        let Some(sent) = here.message().map(<[u8]>::to_vec) else { break };
        let honest = there.message().map_or_else(|| sent.clone(), <[u8]>::to_vec);
        let _ = there.receive(&sent);
        let mut received = forged(&honest, changes.next().unwrap_or_default());
        slab_fuzz::count(1);
        let mut outcome = here.receive(&received);
        if let Err(SearchError::Checksum { found, .. }) = outcome {
            seal(&mut received, found);
            outcome = here.receive(&received);
        }
        if outcome.is_err() {
            break;
        }
    }
    let _ = here.divergence().map(ToString::to_string);
}
