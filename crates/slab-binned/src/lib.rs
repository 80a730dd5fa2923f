//! Deterministic binned allocator: the same operations give the same blocks on every platform, with snapshots, replay and fingerprints.
#![cfg_attr(not(test), no_std)]
