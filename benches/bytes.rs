//! Byte allocators side by side: `cargo bench --bench bytes [-- ROUNDS]`.

use slab_benches::{Entrant, HARNESS, Pattern, Work};
use slab_testkit::{Contender, race};

const REGION_BYTES: usize = 64 << 20;
const PAIRS: usize = 200_000;

const PATTERNS: [Pattern; 5] = [
    Pattern::HotPair { size: 64 },
    Pattern::Batch { size: 64, count: 1000 },
    Pattern::Batch { size: 400, count: 1000 },
    Pattern::HotPair { size: 10_000 },
    Pattern::Batch { size: 10_000, count: 1000 },
];

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(21);
    for pattern in PATTERNS {
        let mut entrants: Vec<Box<dyn Contender<Work>>> = vec![Box::new(Entrant::harness())];
        for peer in slab_peers::contenders() {
            entrants.push(Box::new(Entrant::new(peer, REGION_BYTES)));
        }
        let results = race(&mut entrants, &(pattern, PAIRS), rounds).less(HARNESS).against("talc");
        println!("{}\n{}", pattern.title(), results.table(PAIRS as u64));
    }
}
