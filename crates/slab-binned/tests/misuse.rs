//! The misuse matrix: ids that are stale or forged. Wrong frees of raw blocks are in `slab-bytes/tests/misuse.rs`.

use slab_binned::{BinnedAllocator, BinnedError, BlockId};

#[test]
fn a_forged_id_reads_only_what_is_live_under_it() {
    let mut blocks = BinnedAllocator::new();
    let mut live = Vec::new();
    for step in 0..60_usize {
        let id = blocks.alloc(step * 7 % 100 + 1).expect("memory");
        blocks.update(id, |bytes| bytes.fill(step as u8)).expect("live");
        if step % 3 == 0 { blocks.free(id).expect("live") } else { live.push((id, step as u8)) }
    }
    let (mut read, mut refused) = (0, 0);
    for index in (0..70).chain([u32::MAX - 1, u32::MAX]) {
        for generation in (0..10).chain([u32::MAX - 1, u32::MAX]) {
            let Some(id) = BlockId::from_bits(u64::from(generation) << 32 | u64::from(index))
            else {
                assert!(generation % 2 == 0);
                continue;
            };
            let owner = live.iter().find(|(owner, _)| *owner == id);
            assert_eq!(blocks.contains(id), owner.is_some());
            match owner {
                Some((_, fill)) => {
                    assert!(blocks.get(id).expect("live").iter().all(|byte| byte == fill));
                    read += 1;
                }
                None => {
                    blocks.try_get(id).expect_err("nothing is live under it");
                    blocks.update(id, |_| ()).expect_err("nothing is live under it");
                    blocks.write(id, &[1]).expect_err("nothing is live under it");
                    blocks.usable_size(id).expect_err("nothing is live under it");
                    blocks.locate(id).expect_err("nothing is live under it");
                    blocks.free(id).expect_err("nothing is live under it");
                    refused += 1;
                }
            }
        }
    }
    assert!(read == live.len() && refused > 300, "{read} read, {refused} refused");
    assert_eq!(blocks.live_count(), live.len());
    blocks.validate().unwrap();
}

/// The limit: an id of another allocator may be live here too, and is then a block of this one.
#[test]
fn an_id_of_another_allocator_reads_nothing_or_a_live_block() {
    let (mut ours, mut theirs) = (BinnedAllocator::new(), BinnedAllocator::new());
    let our = ours.alloc(10).expect("memory");
    let their = theirs.alloc(10).expect("memory");
    assert_eq!(our, their);
    assert_eq!(ours.get(their), Some(&[0; 10][..]));
    let later = theirs.alloc(10).expect("memory");
    assert!(
        matches!(ours.try_get(later), Err(BinnedError::UnknownIndex { .. })),
        "{:?}",
        ours.try_get(later)
    );
    ours.free(our).expect("live");
    ours.try_get(their).expect_err("freed");
}
